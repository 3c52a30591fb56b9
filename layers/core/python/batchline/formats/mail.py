"""Mail (.eml): the head that people read, the body as text, and the attachments that have text."""

import email
import email.policy
import importlib
import io
from collections.abc import Iterator, Mapping
from email.message import EmailMessage, MIMEPart
from typing import Any, BinaryIO, Final, cast

from batchline.errors import Code, Refused
from batchline.formats import isolated, markup
from batchline.formats.content import Section, Text
from batchline.formats.detection import HEAD_BYTES, Format, detect

HEADS: Final = ("Subject", "From", "To", "Cc", "Date")
MAX_PARTS: Final = 1_000
MAX_DEPTH: Final = 20
# Attachments that are read, by the module that parses them, and how it is asked for text.
DOCUMENTS: Final[Mapping[Format, tuple[str, dict[str, Any]]]] = {
    Format.PDF: ("pdf_pages", {}),
    Format.DOCX: ("word", {}),
    Format.PPTX: ("slides", {}),
    Format.XLSX: ("spreadsheet", {"rows": False}),
}
# What a mail may be called that says too little; Japanese mail mostly lies in this direction.
LIKELIER: Final = {"iso-2022-jp": "iso-2022-jp-ext", "shift_jis": "cp932", "gb2312": "gb18030"}


def read(stream: BinaryIO, name: str, *, size: int, rows: bool) -> Text:  # noqa: ARG001
    """Read a mail. The iterator raises Refused."""
    return Text(cast("Iterator[Section]", isolated.run(__name__, stream, what="mail")))


def parse(file: BinaryIO) -> Iterator[Section]:
    """Yield head, body and attachments, in this process. Raises Refused."""
    message = email.message_from_binary_file(file, policy=email.policy.default)
    if not any(message[head] for head in HEADS):
        raise Refused(
            Code.FILE_DAMAGED,
            "The mail has no Subject, From, To or Date. Save it anew as .eml; name plain text .txt.",
        )
    yield from _message(message, (), 0)


def _message(message: EmailMessage, path: tuple[str, ...], depth: int) -> Iterator[Section]:
    if depth > MAX_DEPTH:
        raise Refused(
            Code.FILE_TOO_COMPLEX,
            f"The mail holds mails more than {MAX_DEPTH} deep. Upload the inner ones by themselves.",
        )
    subject = " ".join(str(message["Subject"] or "").split())
    path = (*path, subject) if subject else path
    heads = ((head, " ".join(str(message[head]).split())) for head in HEADS if message[head])
    yield Section("".join(f"{head}: {value}\n" for head, value in heads) + "\n", None, path)
    body = message.get_body(("plain", "html"))
    if body is not None:
        yield Section(_readable(body).strip() + "\n\n", None, path)
    for number, part in enumerate(message.iter_attachments() if message.is_multipart() else ()):
        if number >= MAX_PARTS:
            raise Refused(
                Code.FILE_TOO_COMPLEX,
                f"The mail has more than {MAX_PARTS:,} attachments. Upload them by themselves.",
            )
        yield from _attachment(part, path, depth)


def _attachment(part: EmailMessage, path: tuple[str, ...], depth: int) -> Iterator[Section]:
    name = " ".join((part.get_filename() or "").split()) or "unnamed"
    if part.get_content_type() == "message/rfc822":
        yield Section("# Attached mail\n\n", None, path)
        for inner in part.iter_parts():
            yield from _message(cast("EmailMessage", inner), path, depth + 1)
    elif part.get_content_maintype() == "text":
        yield Section(f"# {name}\n\n{_readable(part).strip()}\n\n", None, (*path, name))
    elif not part.is_multipart():
        data = cast("bytes", part.get_payload(decode=True)) or b""
        try:
            yield from _document(data, name, path)
        except Refused as refusal:
            # The rest of the mail is worth reading without it.
            what = f"{name}, {part.get_content_type()}, {len(data):,} bytes"
            yield Section(f"[Attachment not read: {what}. {refusal.message}]\n\n", None, path)


def _document(data: bytes, name: str, path: tuple[str, ...]) -> Iterator[Section]:
    """Yield the text of an attachment, in this process, which runs for this mail alone. Raises Refused."""
    kind = detect(data[:HEAD_BYTES], name)
    if kind not in DOCUMENTS:
        raise Refused(Code.FORMAT_UNSUPPORTED, "Of mail this kind is not read. Upload it by itself.")
    parser, asked = DOCUMENTS[kind]
    title: list[Section] = [Section(f"# {name}\n\n", None, (*path, name))]
    for item in importlib.import_module(f"batchline.formats.{parser}").parse(io.BytesIO(data), **asked):
        if not isinstance(item, Section):
            raise Refused(Code.TEXT_MISSING, "It holds pictures of pages, not text. Upload it by itself.")
        yield from title
        title = []
        yield Section(item.text, None, (*path, name, *item.headings))
    if not title:
        yield Section("\n\n", None, (*path, name))


def _readable(part: MIMEPart) -> str:
    """Decode a part of text; what its head says wrongly becomes a replacement character, not a refusal."""
    data = cast("bytes", part.get_payload(decode=True)) or b""
    charset = (part.get_content_charset("utf-8") or "utf-8").lower()
    try:
        text = data.decode(LIKELIER.get(charset, charset), "replace")
    except LookupError:
        text = data.decode("utf-8", "replace")
    text = text.replace("\r\n", "\n")
    if part.get_content_subtype() == "html":
        return "".join(one.text for one in markup.sections([text]))
    return text
