"""One document of each format in each language, all of which say the same two sentences."""

import gzip
import io
import json
import zipfile
from collections.abc import Callable, Mapping
from email.message import EmailMessage
from typing import Final

import docx
import openpyxl
import pptx
from arro3.core import Array, DataType, Table
from arro3.io import write_parquet
from PIL import Image, ImageDraw
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfgen.canvas import Canvas

SENTENCES: Final[Mapping[str, tuple[str, str]]] = {
    "en": ("The bridge over the Lark closes on 3 May 2027.", "Ms Okello plans the diversion."),
    "ja": ("雲雀橋は2027年5月3日から通行止めになります。", "迂回路の計画は大城が立てます。"),
}


def _text(first: str, second: str) -> bytes:
    return f"{first}\n\n{second}\n".encode()


def _shift_jis(first: str, second: str) -> bytes:
    return _text(first, second).decode().encode("shift_jis")


def _utf16(first: str, second: str) -> bytes:
    return _text(first, second).decode().encode("utf-16")


def _markdown(first: str, second: str) -> bytes:
    return f"# 1\n\n{first}\n\n- {second}\n".encode()


def _html(first: str, second: str) -> bytes:
    page = f"<html><head><meta charset=utf-8><script>x()</script></head><body><h1>1</h1><p>{first}<p>{second}"
    return page.encode()


def _separated(separator: str) -> Callable[[str, str], bytes]:
    return lambda first, second: f"id{separator}note\n1{separator}{first}\n2{separator}{second}\n".encode()


def _rows(first: str, second: str) -> list[dict[str, str]]:
    return [{"id": "1", "note": first}, {"id": "2", "note": second}]


def _json(first: str, second: str) -> bytes:
    return json.dumps(_rows(first, second), ensure_ascii=False).encode()


def _json_lines(first: str, second: str) -> bytes:
    return b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in _rows(first, second))


def _parquet(first: str, second: str) -> bytes:
    made = io.BytesIO()
    write_parquet(Table.from_pydict({"note": Array([first, second], type=DataType.utf8())}), made)
    return made.getvalue()


def _workbook(first: str, second: str) -> bytes:
    book, made = openpyxl.Workbook(), io.BytesIO()
    sheet = book.worksheets[0]
    for row in (("id", "note"), (1, first), (2, second)):
        sheet.append(row)
    book.save(made)
    return made.getvalue()


def _word(first: str, second: str) -> bytes:
    document, made = docx.Document(), io.BytesIO()
    document.add_paragraph(first)
    document.add_paragraph(second, style="List Bullet")
    document.save(made)
    return made.getvalue()


def _slides(first: str, second: str) -> bytes:
    deck, made = pptx.Presentation(), io.BytesIO()
    slide = deck.slides.add_slide(deck.slide_layouts[1])
    for place, text in zip(slide.placeholders, (first, second), strict=True):
        place.text = text  # type: ignore[attr-defined]
    deck.save(made)
    return made.getvalue()


def _pdf(first: str, second: str) -> bytes:
    made = io.BytesIO()
    page = Canvas(made)
    font = "Helvetica"
    if not first.isascii():
        font = "HeiseiMin-W3"
        pdfmetrics.registerFont(UnicodeCIDFont(font))
    page.setFont(font, 11)
    for place, line in ((760, first), (720, second)):
        page.drawString(70, place, line)
    page.save()
    return made.getvalue()


def _mail(first: str, second: str) -> bytes:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "a@lark.example", "b@lark.example", second
    message.set_content(first)
    return message.as_bytes()


def _archive(first: str, second: str) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as file:
        file.writestr("one/first.txt", f"{first}\n")
        file.writestr("second.md", f"# 2\n\n{second}\n")
    return made.getvalue()


def _gzip(first: str, second: str) -> bytes:
    return gzip.compress(_text(first, second))


MAKERS: Final[Mapping[str, Callable[[str, str], bytes]]] = {
    "plain.txt": _text,
    "utf16.txt": _utf16,
    "page.html": _html,
    "notes.md": _markdown,
    "list.csv": _separated(","),
    "list.tsv": _separated("\t"),
    "list.json": _json,
    "list.jsonl": _json_lines,
    "list.parquet": _parquet,
    "book.xlsx": _workbook,
    "letter.docx": _word,
    "deck.pptx": _slides,
    "report.pdf": _pdf,
    "mail.eml": _mail,
    "plain.txt.gz": _gzip,
}
PAPERS: Final = {
    f"{language}/{name}": make(*SENTENCES[language])
    for language in SENTENCES
    for name, make in MAKERS.items()
} | {"ja/sjis.txt": _shift_jis(*SENTENCES["ja"])}
ARCHIVES: Final = {f"{language}/pair.zip": _archive(*SENTENCES[language]) for language in SENTENCES}


def poster() -> bytes:
    image, made = Image.new("RGB", (320, 200), "white"), io.BytesIO()
    ImageDraw.Draw(image).text((20, 80), "Bridge closed", fill="black")
    image.save(made, "png")
    return made.getvalue()
