"""Chunk: what an upload is, and the records that it becomes."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from batchline import splitting, tokens
from batchline.errors import Code, Refused
from batchline.formats import whole as formats
from batchline.ids import MAP, MAX_RECORDS, RecordId
from batchline.models import Range
from batchline.pipelines import NAME, Pipeline
from batchline.records import INVOCATION_TYPE, Record, record

INBOX: Final = "inbox/"
PIPELINES: Final = "pipelines/"
MAX_UPLOAD_BYTES: Final = 100_000_000
# A document of at most so many records is written in one transaction with others of its kind.
SMALL_RECORDS: Final = 500
SHARD_RECORDS: Final = 2_000
SHARD_BYTES: Final = 16_000_000


@dataclass(frozen=True, slots=True)
class Upload:
    """One version of an object in the inbox, as S3 tells of it."""

    bucket: str
    key: str
    version_id: str | None
    size: int
    sequencer: str


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


def records(file: DocumentFile, key: str, data: bytes, pipeline: Pipeline) -> Iterator[Record]:
    """Yield the records of a document, the same ones on every run.

    Raises Refused, also after some records: then the document as a whole is refused.
    """
    text = formats.decode(data)
    kind = formats.detect(file.name, text)
    document = {"name": PurePosixPath(file.name).name, "key": key, "pipeline": file.pipeline}
    index = -1
    for index, variables in enumerate(_chunks(text, kind, pipeline)):
        if index >= MAX_RECORDS:
            raise Refused(
                Code.TOO_MANY_RECORDS,
                f"The file makes more than {MAX_RECORDS:,} records. Split it into smaller files.",
            )
        shared = {"document": document, "chunk": {"index": index}}
        yield record(pipeline, index, shared | variables)
    if index < 0:
        raise Refused(Code.TEXT_MISSING, "The file has no rows. Upload a file that has some.")


def _chunks(text: str, kind: formats.Format, pipeline: Pipeline) -> Iterator[dict[str, object]]:
    if pipeline.chunk.by == "row":
        for row in formats.rows(text, kind):
            yield {"row": row, "text": "\n".join(f"{name}: {_cell(cell)}" for name, cell in row.items())}
        return
    plain = formats.plain_text(text, kind)
    if pipeline.chunk.by == "document":
        yield {"text": plain.strip()}
        return
    for piece in splitting.split(
        plain,
        max_tokens=pipeline.chunk.max_tokens,
        overlap_tokens=pipeline.chunk.overlap_tokens,
        count=tokens.counter(pipeline.model),
    ):
        yield {"text": piece.text}


def _cell(value: object) -> str:
    """Write a cell as its file has it: text as it is, all else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def lane(model: str) -> str:
    """Name the lane of a model: records of one lane may share a job."""
    return f"{re.sub(r'[^A-Za-z0-9.:/_-]', '', model)}#{INVOCATION_TYPE}"


@dataclass(frozen=True, slots=True)
class Part:
    """The records of one document that go into one shard together: consecutive, first attempt."""

    document_id: str
    records: Sequence[Record]

    @property
    def range(self) -> Range:
        return Range(self.document_id, MAP, self.records[0].index, len(self.records), 1)

    def lines(self) -> Iterator[bytes]:
        for one in self.records:
            yield one.line(str(RecordId(self.document_id, MAP, one.index, 1)))


def parts(document_id: str, found: Iterator[Record]) -> Iterator[Part]:
    """Cut the records of a document into parts of a shard's size."""
    batch: list[Record] = []
    size = 0
    for one in found:
        if batch and (len(batch) >= SHARD_RECORDS or size + len(one.model_input) > SHARD_BYTES):
            yield Part(document_id, tuple(batch))
            batch, size = [], 0
        batch.append(one)
        size += len(one.model_input)
    if batch:
        yield Part(document_id, tuple(batch))
