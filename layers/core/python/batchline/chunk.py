"""Chunk: what an upload is, and the records that it becomes."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import batched
from mimetypes import guess_type
from pathlib import PurePosixPath
from typing import Any, Final

from batchline import catalog, units
from batchline.errors import Code, Refused
from batchline.ids import MAP, MAX_RECORDS, RecordId, document_id
from batchline.models import Range
from batchline.pipelines import NAME, Pipeline
from batchline.records import Form, Record, input_tokens, lengths
from batchline.units import Picture, Units

INBOX: Final = "inbox/"
PIPELINES: Final = "pipelines/"
# Of text and tables, which are read as a stream; what needs more than its stream has a limit of its own.
MAX_UPLOAD_BYTES: Final = 10 * 2**30  # 10 GB in either sense of it
# Above this the message of an upload is for that upload alone.
LARGE_BYTES: Final = 32 << 20
# A document of at most so many records is written in one transaction with others of its kind.
SMALL_RECORDS: Final = 500
SHARD_RECORDS: Final = 2_000
SHARD_BYTES: Final = 4_000_000
# So many records are written at a time.
WRITTEN: Final = 100
# While units are passed over, the time is looked at this often.
LOOK_EVERY: Final = 10_000


@dataclass(frozen=True, slots=True)
class Upload:
    """One version of an object in the inbox, as S3 tells of it, or one document in an archive.

    `created_on` is the day of the upload (`2026-11-22`) where S3 has said it. `member` is the path of a
    document in an archive, which the rest of the upload is then.
    """

    bucket: str
    key: str
    version_id: str | None
    size: int
    sequencer: str
    created_on: str | None = None
    member: str | None = None

    @property
    def name(self) -> str:
        """Name the object's version: the same name, however often S3 tells of it."""
        version = self.version_id or self.sequencer
        return document_id(key=self.key, content=version, version=self.member or "")


@dataclass(frozen=True, slots=True)
class PipelineFile:
    """An upload that defines a pipeline."""

    name: str


@dataclass(frozen=True, slots=True)
class DocumentFile:
    """An upload for a pipeline."""

    pipeline: str
    name: str


def destination(key: str) -> PipelineFile | DocumentFile | None:
    """Say what an object of the inbox is by its key. None: a folder, which is nothing.

    Raises Refused(KEY_INVALID).
    """
    if key.endswith("/"):
        return None
    if key.startswith(PIPELINES):
        file = key.removeprefix(PIPELINES)
        path = PurePosixPath(file)
        if path.suffix in {".yaml", ".yml"} and file == path.name and NAME.fullmatch(path.stem):
            return PipelineFile(path.stem)
        raise Refused(
            Code.KEY_INVALID,
            "A pipeline file is named pipelines/<name>.yaml; a name has up to 64 letters, digits, "
            "'-' and '_'. Upload it under such a key.",
        )
    pipeline, slash, name = key.removeprefix(INBOX).partition("/")
    if key.startswith(INBOX) and slash and name and NAME.fullmatch(pipeline):
        return DocumentFile(pipeline, name)
    raise Refused(
        Code.KEY_INVALID,
        "A document is named inbox/<pipeline>/<any path>, and the key does not say a pipeline. "
        "Upload it under such a key.",
    )


def refuse_size(size: int) -> None:
    """Raise Refused(UPLOAD_TOO_LARGE) before anything of the object is read."""
    if size > MAX_UPLOAD_BYTES:
        raise Refused(
            Code.UPLOAD_TOO_LARGE,
            f"The file has {size:,} bytes; {MAX_UPLOAD_BYTES:,} are read. Split it into smaller files.",
        )


def described(upload: Upload, *, pipeline: str, content_type: str, uploaded_at: str) -> dict[str, Any]:
    """Say what prompts may know of a document, but for what only S3 knows: its metadata and its tags.

    `content_type` is that of the upload; a document in an archive has its own.
    """
    path = upload.member or upload.key
    return {
        "name": PurePosixPath(path).name,
        "key": upload.key,
        "pipeline": pipeline,
        "size": upload.size,
        "content_type": content_type if upload.member is None else guess_type(path)[0] or "",
        "uploaded_at": uploaded_at,
        "metadata": {},
        "tags": {},
    }


def in_turn[M](messages: Iterable[M], *, name: Callable[[M], str], receives: Callable[[M], int]) -> list[M]:
    """Order the messages of a batch: those first that have not been delivered before.

    Some message may have killed the function the last time. The order of the others turns round with
    each delivery, so that what came after the deadly one comes before it the next time.
    """
    found = sorted(messages, key=name)
    again = [one for one in found if receives(one) > 1]
    if again and max(map(receives, again)) % 2:
        again.reverse()
    return [one for one in found if receives(one) <= 1] + again


def lane(model: str) -> str:
    """Name the lane of a model: records of one lane may share a job."""
    kind = catalog.model(model).invocation_type
    return f"{re.sub(r'[^A-Za-z0-9.:/_-]', '', model)}#{kind}"


def fits(records: int, size: int) -> bool:
    """Tell whether one shard may hold so many records of so many bytes together."""
    return records <= SHARD_RECORDS and size <= SHARD_BYTES


class OutOfTime(Exception):
    """The function must end soon. What is left of the document is for another run."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a document has come: so many units of it have been read and made so many records."""

    units: int = 0
    records: int = 0


@dataclass(frozen=True, slots=True)
class Part:
    """The records of one document that go into one shard together: consecutive, first attempt.

    `units` counts the document's units up to the end of this part.
    """

    document_id: str
    records: Sequence[Record]
    units: int

    @property
    def range(self) -> Range:
        return Range(self.document_id, MAP, self.records[0].index, len(self.records), 1)

    @property
    def progress(self) -> Progress:
        return Progress(self.units, self.records[-1].index + 1)

    @property
    def size(self) -> int:
        return _size(self.records)

    @property
    def input_tokens(self) -> int:
        return input_tokens(self.records)

    @property
    def lengths(self) -> list[int]:
        """The tokens of each request whose prompt may be a long one."""
        return lengths(self.records)

    def lines(self) -> bytes:
        """Write the records as lines of a batch job's input."""
        # In half the time that it takes to write each by itself; in batches, for they stand in memory twice.
        before, behind = str(RecordId(self.document_id, MAP, 0, 1)).encode().split(b"0000000")
        line = b'{"recordId":"' + before + b"%07d" + behind + b'","modelInput":%b}\n'
        written = BytesIO()
        for some in batched(self.records, WRITTEN, strict=False):
            written.write(b"".join([line % (one.index, one.model_input) for one in some]))
        return written.getvalue()


def parts(
    document_id: str,
    found: Iterable[Units],
    pipeline: Pipeline,
    document: Mapping[str, Any],
    *,
    done: Progress = Progress(),
    out_of_time: Callable[[], bool] = lambda: False,
) -> Iterator[Part]:
    """Cut the records of a document into parts of a shard's size, from where an earlier run has stopped.

    The units of a document are the same ones on every run, so those that are done are passed over. A run
    makes the records of at least one unit. Raises Refused, and OutOfTime after the last part for now.
    """
    form = Form.of(pipeline)
    batch: list[Record] = []
    size, index, read = 0, done.records, done.units
    for some in units.records(_rest(found, done.units, out_of_time), index, form, document):
        waiting = [some]
        while waiting:
            made = waiting.pop()
            added = _size(made.records)
            if not fits(len(batch) + len(made.records), size + added):
                if made.units > 1:
                    waiting += reversed(made.halves())
                    continue
                if batch:
                    yield Part(document_id, batch, read)
                batch, size = [], 0
            batch += made.records
            size += added
            read += made.units
            index += len(made.records)
            if index > MAX_RECORDS:
                raise Refused(
                    Code.TOO_MANY_RECORDS,
                    f"The file makes more than {MAX_RECORDS:,} records. Split it into smaller files.",
                )
            if out_of_time():
                yield Part(document_id, batch, read)
                raise OutOfTime
    if batch:
        yield Part(document_id, batch, read)


def _size(found: Iterable[Record]) -> int:
    return sum([len(one.model_input) for one in found])


def _rest(found: Iterable[Units], done: int, out_of_time: Callable[[], bool]) -> Iterator[Units]:
    """Pass over the units that are done."""
    after = 0
    for unit in found:
        before, after = after, after + unit.units
        if before >= done:
            yield unit
        elif not isinstance(unit, Picture) and after > done:
            yield unit.part(done - before)
        elif before // LOOK_EVERY < after // LOOK_EVERY and out_of_time():
            raise Refused(
                Code.FILE_TOO_COMPLEX,
                f"To read again what comes before record {done:,} takes as long as the function may run. "
                "Split the file into smaller ones.",
            )
