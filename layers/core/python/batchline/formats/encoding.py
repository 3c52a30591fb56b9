"""Bytes to text: any encoding, in constant memory."""

import codecs
import io
import re
from collections.abc import Iterator
from typing import BinaryIO, Final

from batchline.errors import Code, Refused
from batchline.formats import east_asian
from batchline.formats.streams import read_exactly

BLOCK_BYTES: Final = 65_536  # what is made of a block stays in the processor's cache
SAMPLE_BYTES: Final = 32_768  # what an encoding is guessed by
BYTE_ORDER_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # begins as UTF-16's mark does, so it comes first
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# What programs write under the name of a standard: Microsoft's supersets, as browsers read them too.
SUPERSETS: Final = {
    "shift_jis": "cp932",
    "iso2022_jp": "iso2022_jp_ext",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "big5": "cp950",
    "euc_kr": "cp949",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "ascii": "cp1252",
}
# Bytes that no text has: the C0 controls but tab, line feed, form feed, carriage return and escape.
_CONTROL: Final = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]")
_JIS_ESCAPE: Final = re.compile(rb"\x1b(?:\$[@B]|\$\(D|\([IJ])")
_UTF8_SEQUENCE: Final = re.compile(
    rb"(?:[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3})+"
)
_ASCII: Final = re.compile(rb"[ -~]")
_NOT_ASCII: Final = re.compile(rb"[\x80-\xff]")
# What text in UTF-16 is made of: ASCII, Latin, Greek, Cyrillic, kana, ideographs, Hangul and their marks.
# To compile it takes as long as to read 5 MB, so that is done when such a file comes.
_WIDE_TEXT: Final = "[\t-\r -~\u00a0-\u0530\u2010-\u203b\u3000-\u30ff\u4e00-\u9fff\uac00-\ud7a3\uff00-\uffef]"
# Of Windows-1252 in a word or by itself, as in `café`, `Größe` and `20 °C`.
_LATIN: Final = re.compile(
    rb"(?<![\x80-\xff])[\xa0-\xff](?![\x80-\xff])|(?<=[a-z])[\xdf-\xff]{2}(?![\x80-\xff])"
)
_LETTER: Final = re.compile(rb"[A-Za-z]")
FEW: Final = 4
_CUT: Final = frozenset({"unexpected end of data", "truncated data", "incomplete multibyte sequence"})


def decode(stream: BinaryIO, *, declared: str | None = None) -> Iterator[str]:
    """Yield the text of a stream in blocks, with line feeds at the end of lines.

    A byte order mark decides, then whether it is UTF-8, then `declared` (what the document itself says),
    then statistics. While all is ASCII the question stays open, however long.
    Raises Refused with FORMAT_UNSUPPORTED, TEXT_TRUNCATED or TEXT_ENCODING.
    """
    block = read_exactly(stream, BLOCK_BYTES)
    mark, encoding = next((one for one in BYTE_ORDER_MARKS if block.startswith(one[0])), (b"", ""))
    position = len(mark)
    block = block[position:]
    if not encoding and _CONTROL.search(block, 0, SAMPLE_BYTES):
        encoding = _wide(block[:SAMPLE_BYTES])
    decoder = codecs.getincrementaldecoder(encoding or "utf-8")()
    newlines = io.IncrementalNewlineDecoder(None, translate=True)
    cut = False  # whether a block has ended with a carriage return
    while block:
        if not encoding and b"\x1b" in block[-3:]:
            block += read_exactly(stream, 3)  # an escape sequence must be seen whole
        following = read_exactly(stream, BLOCK_BYTES)
        if not encoding and (encoding := _recognise(block, following, position, declared)):
            decoder = codecs.getincrementaldecoder(encoding)()
        waiting = len(decoder.getstate()[0])
        try:
            text = decoder.decode(block, final=not following)
        except UnicodeDecodeError as error:
            raise _undecodable(error, position - waiting, encoding) from error
        if cut or "\r" in text:  # the decoder looks at each character of texts such as Japanese
            cut = text.endswith("\r")
            text = newlines.decode(text, final=not following)
        yield text
        position += len(block)
        block = following


def _wide(sample: bytes) -> str:
    """Name the encoding of text in UTF-16 or UTF-32 without a mark. Raises Refused for what is binary."""
    name = _guess(sample)
    if name.lower().startswith(("utf-16", "utf-32")):
        return name
    for name in ("utf-16-le", "utf-16-be") if len(_ASCII.findall(sample)) < 0.8 * len(sample) else ():
        text = sample[: len(sample) // 2 * 2].decode(name, "replace")
        if len(re.findall(_WIDE_TEXT, text)) >= 0.98 * len(text):
            return name
    control = _CONTROL.search(sample)
    where = f" (byte {control.start()} is 0x{control[0].hex()})" if control else ""
    raise Refused(
        Code.FORMAT_UNSUPPORTED,
        f"The file is binary{where} and of no kind that is read. Convert it to text or PDF.",
    )


def _recognise(block: bytes, following: bytes, start: int, declared: str | None) -> str:
    """Name the encoding of a block that begins at byte `start`; nothing while all of it is ASCII."""
    if b"\x1b" in block and _JIS_ESCAPE.search(block):
        return SUPERSETS["iso2022_jp"]
    first = None if block.isascii() else _NOT_ASCII.search(block)
    if first is None:
        return ""
    whole = block + following  # a block may end within its first character that is not ASCII
    try:
        codecs.getincrementaldecoder("utf-8")().decode(whole, final=not following)
    except UnicodeDecodeError:
        sample = whole[max(0, first.start() - 64) :][:SAMPLE_BYTES]
        if _is_damaged_utf8(sample):
            return "utf-8"
    else:
        return "utf-8"
    if declared and (known := _known(declared)):
        return known
    if (guess := _guess(sample)) and (known := _known(guess)):
        return known
    raise Refused(
        Code.TEXT_ENCODING,
        f"Byte {start + first.start()} (0x{first[0].hex()}) is not UTF-8, and the encoding is not known. "
        "Save the file as UTF-8 and upload it again.",
    )


def _is_nearly_ascii(sample: bytes) -> bool:
    """Tell text of a Western language that has so few other letters that statistics say nothing."""
    few = len(_NOT_ASCII.findall(sample))
    return few <= FEW and len(_LETTER.findall(sample)) >= 2 * few and _LATIN.sub(b"", sample).isascii()


def _guess(sample: bytes) -> str:
    """Guess the encoding of a sample by statistics; nothing where they say nothing."""
    if _is_nearly_ascii(sample):
        return "cp1252"
    if encoding := east_asian.encoding(sample):
        return encoding
    import chardet  # noqa: PLC0415 - takes longer than to read 2 MB of UTF-8, which needs no guess

    return chardet.detect(sample)["encoding"] or ""


def _is_damaged_utf8(sample: bytes) -> bool:
    """Tell text in UTF-8 with a few bad bytes from text in another encoding, which has few good ones."""
    good = sum(len(run) for run in _UTF8_SEQUENCE.findall(sample))
    return good >= 4 * (len(_NOT_ASCII.findall(sample)) - good)


def _known(encoding: str) -> str:
    """Give the codec for the name of an encoding; nothing for a name that no text codec has."""
    try:
        name = codecs.lookup(encoding).name
        b"".decode(name)  # refuses codecs of bytes to bytes
    except LookupError:
        return ""
    name = SUPERSETS.get(name, name)
    return "" if name.startswith(("utf", "punycode", "idna", "unicode", "raw")) else name


def _undecodable(error: UnicodeDecodeError, start: int, encoding: str) -> Refused:
    position = start + error.start
    if error.reason in _CUT:
        return Refused(
            Code.TEXT_TRUNCATED,
            f"The file ends in the middle of a character (byte {position}): its end is missing. "
            "Upload the whole file.",
        )
    return Refused(
        Code.TEXT_ENCODING,
        f"Byte {position} (0x{error.object[error.start]:02x}) is not {encoding.upper()}, which the text "
        "before it is. Save the file as UTF-8 and upload it again.",
    )
