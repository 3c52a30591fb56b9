"""Intake: a file becomes the records that the chunk function would make of it, and nothing is written."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import PurePosixPath
from typing import Any, BinaryIO, Final

from batchline import chunk, ids, units
from batchline.chunk import Part, Upload
from batchline.formats import Archive, Content, Member
from batchline.pipelines import Pipeline

# What is refused within so many parts has never begun; later than that what came before is kept.
PARTS_READ_AHEAD: Final = 2


@dataclass(frozen=True, slots=True)
class File:
    """A file that is uploaded or might be. `name` is what people call it; `uploaded_at` is ISO-8601."""

    name: str
    upload: Upload
    open: Callable[[], BinaryIO]
    content_type: str = ""
    uploaded_at: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    tags: Callable[[], Mapping[str, str]] = dict


@dataclass(frozen=True, slots=True)
class Document:
    """A document and the parts of it that would become shards. Reading them raises Refused."""

    name: str
    parts: Iterator[Part]


def documents(file: File, name: str, pipeline: Pipeline) -> Iterator[Document]:
    """Yield the documents of a file for the pipeline of that name: of an archive one for each member.

    Raises Refused where the file as a whole is.
    """
    chunk.refuse_size(file.upload.size)
    stream = file.open()
    try:
        content = units.read(stream, PurePosixPath(file.upload.key).name, pipeline, size=file.upload.size)
        if not isinstance(content, Archive):
            found = _parts(file, content, name, pipeline)
            yield Document(file.name, _admitted(found, begun=file.upload.size > chunk.LARGE_BYTES))
            return
        for member in content.members:
            found = _member_parts(file, member, name, pipeline)
            yield Document(f"{file.name}/{member.name}", _admitted(found, begun=False))
    finally:
        stream.close()


def _member_parts(file: File, member: Member, name: str, pipeline: Pipeline) -> Iterator[Part]:
    upload = replace(file.upload, member=member.name, size=member.size)
    content = units.read(member.open(), member.name, pipeline, size=member.size)
    yield from _parts(replace(file, upload=upload), content, name, pipeline)


def _parts(file: File, content: Content, name: str, pipeline: Pipeline) -> Iterator[Part]:
    upload = file.upload
    document_id = ids.document_id(
        key=f"{upload.key}/{upload.member or ''}", content=upload.name, version=pipeline.version
    )
    return chunk.parts(document_id, units.cut(content, pipeline), pipeline, _described(file, name, pipeline))


def _described(file: File, name: str, pipeline: Pipeline) -> dict[str, Any]:
    return chunk.described(
        file.upload, pipeline=name, content_type=file.content_type, uploaded_at=file.uploaded_at
    ) | {"metadata": dict(file.metadata), "tags": dict(file.tags()) if pipeline.uses_tags else {}}


def _admitted(parts: Iterator[Part], *, begun: bool) -> Iterator[Part]:
    """Pass parts on as the chunk function keeps them: a document that is refused early leaves none."""
    if not begun:
        yield from list(islice(parts, PARTS_READ_AHEAD))
    yield from parts
