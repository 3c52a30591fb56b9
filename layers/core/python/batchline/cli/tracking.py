"""Follows uploads until their documents have ended: an upload's content tells what it will be called."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from batchline import ids
from batchline.aws.chunk import NO_VERSION
from batchline.aws.dynamo import Row
from batchline.aws.stack import Stack
from batchline.chunk import Upload
from batchline.cli.session import Session
from batchline.cli.status import style_of
from batchline.cli.views.documents import Document, Totals
from batchline.errors import Code
from batchline.models import DocumentStatus

SENDERS: Final = 8
POLL_SECONDS: Final = 0.7
BAR_CELLS: Final = 30


@dataclass(frozen=True, slots=True)
class File:
    """A file and the key that it goes to."""

    path: Path
    key: str
    pipeline: str


@dataclass(frozen=True, slots=True)
class Sent:
    """A file that is in the inbox. `content` identifies its bytes."""

    file: File
    upload: Upload
    content: str

    def named(self, version: str) -> str:
        """Name the document that this becomes under a version of its pipeline."""
        return ids.document_id(key=self.upload.key, content=self.content, version=version)

    @property
    def unread(self) -> str:
        """Name the document that this becomes where it is refused before it is read."""
        content = self.upload.version_id or self.upload.sequencer
        return ids.document_id(key=self.upload.key, content=content, version=NO_VERSION)


@dataclass(frozen=True, slots=True)
class Tracked:
    """An upload and its document, or None where that has not arrived yet.

    `document_id` is what the document is called, or will be unless it is refused.
    """

    sent: Sent
    document_id: str
    document: Document | None

    @property
    def known(self) -> bool:
        """Tell whether an earlier upload of the same bytes has made the document."""
        return self.document is not None and self.document.version_id != self.sent.upload.version_id

    @property
    def settled(self) -> bool:
        return self.document is not None and not self.document.moving


def send(stack: Stack, files: Iterable[File]) -> list[Sent]:
    """Upload files, several at a time; the result is in their order."""

    def one(file: File) -> Sent:
        upload = stack.inbox.send(stack.inbox_bucket, file.key, file.path)
        return Sent(file, upload, stack.inbox.find(upload).content)

    with ThreadPoolExecutor(SENDERS) as pool:
        return list(pool.map(one, files))


def look(stack: Stack, sent: Sequence[Sent]) -> list[Tracked]:
    """Read what has become of uploads, in their order."""
    names = {one.file.pipeline for one in sent}
    in_force = {name: version for name, version, _ in stack.control.versions.in_force(names)}
    wanted = {
        name: None
        for one in sent
        for name in (
            one.unread,
            one.named(NO_VERSION),
            one.named(in_force.get(one.file.pipeline, NO_VERSION)),
        )
    }
    rows = {row["document_id"]: row for row in stack.documents.get_many(wanted)}
    return [_tracked(one, rows, in_force.get(one.file.pipeline)) for one in sent]


def _tracked(one: Sent, rows: Mapping[str, Row], version: str | None) -> Tracked:
    row = _row(one, rows, version)
    if row is None:
        return Tracked(one, one.named(version or NO_VERSION), None)
    return Tracked(one, row["document_id"], Document.of(row))


def _row(one: Sent, rows: Mapping[str, Row], version: str | None) -> Row | None:
    """Choose the row that is this upload's, as chunk does."""
    if row := rows.get(one.unread):
        return row
    waiting = rows.get(one.named(NO_VERSION))
    if waiting and (
        _waits(waiting)
        or waiting["source"].get("version_id") == one.upload.version_id
        or waiting["pipeline_version"] == version
    ):
        return waiting
    return rows.get(one.named(version)) if version else None


def _waits(row: Row) -> bool:
    return (row.get("error") or {}).get("code") == Code.PIPELINE_UNKNOWN


def follow(
    run: Session,
    sent: Sequence[Sent],
    *,
    seconds: float,
    beside: Callable[[], RenderableType] | None = None,
) -> list[Tracked]:
    """Show how documents come along until none is in motion or the time is up.

    On a terminal the picture stays in its place, with `beside` below it; elsewhere a line is written
    whenever something has changed.
    """
    began = time.monotonic()
    last = ""
    with Live(console=run.notes, transient=True, auto_refresh=False) as live:
        while True:
            found = look(run.stack, sent)
            elapsed = time.monotonic() - began
            if run.notes.is_terminal:
                parts = [progress(found, elapsed), *([beside()] if beside else [])]
                live.update(Group(*parts), refresh=True)
            elif (line := counts(found).plain) != last:
                run.note(f"{_clock(elapsed)}  {line}")
                last = line
            if all(one.settled for one in found) or elapsed > seconds:
                return found
            run.pause(POLL_SECONDS)


def progress(found: Sequence[Tracked], elapsed: float) -> Text:
    """Picture how far documents and their records are."""
    totals = Totals.of(one.document for one in found if one.document)
    done = totals.succeeded + totals.failed
    full = BAR_CELLS * done // totals.records if totals.records else 0
    line = Text(f"{_clock(elapsed)}  ", style="bold")
    line.append_text(counts(found))
    line.append("\n      ").append("━" * full, style="green").append("━" * (BAR_CELLS - full), style="dim")
    return line.append(f" {done:,}/{totals.records:,} records\n")


def counts(found: Sequence[Tracked]) -> Text:
    """Count documents by status, on one line."""
    by_status = Counter(one.document.status if one.document else None for one in found)
    line = Text(f"{len(found):,} document{'s' if len(found) != 1 else ''}:")
    if by_status[None]:
        line.append(f" {by_status[None]:,} on the way")
    for status in DocumentStatus:
        if by_status[status]:
            line.append(f" {by_status[status]:,} {status}", style=style_of(status))
    return line


def unfinished(found: Sequence[Tracked]) -> str:
    """Say what is still in motion, in words for a message."""
    statuses = Counter(
        one.document.status if one.document else "on the way" for one in found if not one.settled
    )
    return ", ".join(f"{count:,} {status}" for status, count in statuses.items())


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
