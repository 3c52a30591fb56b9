"""PDFs drawn line by line with reportlab, with the text that a person would write down."""

import io
import zlib
from collections.abc import Callable, Sequence

import PIL.Image
import pytest
from batchline import formats
from batchline.errors import Code, Refused
from batchline.formats import Image, Section, pdf_pages
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.lib.utils import ImageReader
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfgen.canvas import Canvas

pdfmetrics.registerFont(UnicodeCIDFont("HeiseiMin-W3"))
FILLER = "lorem ipsum dolor sit amet consectetur adipiscing elit sed do eiusmod tempor incididunt"


WORDS = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
]


def drawn(
    pages: Sequence[Sequence[str]],
    *,
    font: str = "Helvetica",
    marks: Sequence[tuple[int, int, str]] = (),
    encrypt: StandardEncryption | None = None,
    extra: Callable[[Canvas, int], object] | None = None,
) -> bytes:
    """Draw each page's lines from the top; bookmarks are (page, level, title)."""
    data = io.BytesIO()
    canvas = Canvas(data, pagesize=(595, 842), encrypt=encrypt)
    for number, lines in enumerate(pages, start=1):
        for page, level, title in marks:
            if page == number:
                canvas.bookmarkPage(title)
                canvas.addOutlineEntry(title, title, level)
        canvas.setFont(font, 10)
        for index, line in enumerate(lines):
            canvas.drawString(50, 800 - 14 * index, line)
        if extra is not None:
            extra(canvas, number)
        canvas.showPage()
    canvas.save()
    return data.getvalue()


def parsed(data: bytes, *, first: int = 1) -> list[Section | Image]:
    return list(pdf_pages.parse(io.BytesIO(data), first=first))


def text(data: bytes) -> str:
    return "".join(item.text for item in parsed(data) if isinstance(item, Section))


def refusal(data: bytes) -> Refused:
    """As an upload meets it: detected, in a child."""

    def upload() -> None:
        content = formats.read(io.BytesIO(data), "a.pdf", size=len(data), rows=False)
        assert isinstance(content, formats.Text)
        list(content.sections)

    with pytest.raises(Refused) as caught:
        upload()
    return caught.value


def test_wrapped_lines_become_paragraphs_and_hyphens_go() -> None:
    lines = [
        "The parties agree that the deliverables described in this agreement shall be com-",
        "pleted within thirty days after the date on which the last of the parties has signed",
        "it.",
        "Payment is due on delivery. Both parties may end this agreement at any time with a",
        "notice of one month in writing, for which an electronic mail to the address that is",
        "named above is enough.",
        "Deliverables:",
        "• the source code",
        "• the documentation, which holds all that a reader who is new to the work must know",
        "before the work can be continued",
        "1. signed",
        "2. sealed",
    ]
    assert text(drawn([lines])) == (
        "The parties agree that the deliverables described in this agreement shall be completed within "
        "thirty days after the date on which the last of the parties has signed it.\n\n"
        "Payment is due on delivery. Both parties may end this agreement at any time with a notice of one "
        "month in writing, for which an electronic mail to the address that is named above is enough.\n\n"
        "Deliverables:\n• the source code\n• the documentation, which holds all that a reader who is new to "
        "the work must know before the work can be continued\n1. signed\n2. sealed\n\n"
    )


def test_japanese_lines_are_joined_without_spaces() -> None:
    lines = [
        "本契約は、甲が乙に対してソフトウェアの開発を委託し、乙がこれを受託することに",
        "ついて定める。乙は「仕様書」に従い、善良な管理者の注意をもって本業務を行う",
        "ものとする。",
        "甲は、検収の完了した日の属する月の翌月末日までに、委託料を乙の指定する銀行",
        "口座に振り込む方法で支払う。",
    ]
    assert text(drawn([lines], font="HeiseiMin-W3")) == (
        "本契約は、甲が乙に対してソフトウェアの開発を委託し、乙がこれを受託することについて定める。"
        "乙は「仕様書」に従い、善良な管理者の注意をもって本業務を行うものとする。\n\n"
        "甲は、検収の完了した日の属する月の翌月末日までに、委託料を乙の指定する銀行口座に振り込む方法で"
        "支払う。\n\n"
    )


def test_a_page_of_very_many_letters_is_read_whole() -> None:
    lines = [f"{number:05d} {FILLER}" for number in range(600)]  # more than 50,000, far below the page, too
    assert text(drawn([lines])).split() == [word for line in lines for word in line.split()]


def book(pages: int = 6) -> bytes:
    """A book with a running head on left and on right pages, page numbers from 9, and headings."""
    made = []
    for number in range(1, pages + 1):  # no two pages have a line in common but the heads
        head = "The Book of Tests" if number % 2 else "Chapter 1"
        made.append(
            [
                head,
                f"Section {number}",
                f"{WORDS[number]} {FILLER}",
                f"{WORDS[number]} end.",
                f"- {number + 8} -",
            ]
        )
    marks = [(1, 0, "Part I"), (2, 1, "Section 2"), (4, 0, "Section 4"), (5, 1, "Section 5")]
    return drawn(made, marks=marks)


def test_running_heads_and_page_numbers_go_and_headings_are_a_path() -> None:
    paths = [("Part I",), ("Part I", "Section 2"), ("Part I", "Section 2")]
    paths += [("Section 4",), ("Section 4", "Section 5"), ("Section 4", "Section 5")]
    wanted = []
    for number, path in enumerate(paths, start=1):
        gap = "\n\n" if path[-1] == f"Section {number}" else "\n"
        start = "The Book of Tests\n" if number == 1 else ""  # where it stands first, it may be a title
        body = f"{start}Section {number}{gap}{WORDS[number]} {FILLER} {WORDS[number]} end.\n\n"
        wanted.append(Section(body, number, path))

    found = parsed(book())

    assert [item.page for item in found if isinstance(item, Section)] == [1, 2, 3, 4, 5, 6]
    assert [item.headings for item in found if isinstance(item, Section)] == paths
    assert found[1:] == wanted[1:]


def test_forms_that_are_alike_keep_what_is_in_them() -> None:
    pages = [["Invoice", "Bolts and Nuts", f"Number 4{number}", "Total 10 USD"] for number in (7, 1, 5, 3, 9)]
    assert text(drawn(pages)).count("Bolts and Nuts\nNumber 4") == 5


def test_reading_goes_on_at_any_page() -> None:
    whole = parsed(book(12))
    for first in (2, 5, 12):
        assert parsed(book(12), first=first) == [item for item in whole if (item.page or 0) >= first]


def test_a_sentence_goes_on_over_the_page() -> None:
    pages = [
        [
            "My Book 1",
            FILLER,
            "and this sentence, which is a long one, does not end on the page where it be-",
        ],
        ["My Book 2", "gan, but here.", "That is all."],
        ["My Book 3", "Third page."],
        ["My Book 4", "Fourth page."],
    ]
    found = parsed(drawn(pages))
    assert isinstance(found[0], Section)
    assert found[0].text.endswith("does not end on the page where it be")
    assert text(drawn(pages)).count("where it began, but here.\n\nThat is all.") == 1


def test_a_title_at_the_top_of_a_page_is_no_part_of_the_paragraph_before() -> None:
    pages = [
        ["本契約は、甲が乙に対してソフトウェアの開発を委託し、乙がこれを受託する契約です。"],
        ["再発防止策", "第二倉庫では、歩行者の通路を十月末までに柵で分けます。担当は物流課の小林です。"],
        ["費用は八十六万円を見込んでいますが、十一月に予定している見積もりの結果により変わ", "ります。"],
    ]
    assert text(drawn(pages, font="HeiseiMin-W3")) == (
        "本契約は、甲が乙に対してソフトウェアの開発を委託し、乙がこれを受託する契約です。\n\n"
        "再発防止策\n第二倉庫では、歩行者の通路を十月末までに柵で分けます。担当は物流課の小林です。"
        "費用は八十六万円を見込んでいますが、十一月に予定している見積もりの結果により変わります。\n\n"
    )


def test_columns_are_read_one_after_the_other() -> None:
    def columns(canvas: Canvas, page: int) -> None:
        for left, words in ((50, "left"), (320, "right")):
            for index in range(3):
                canvas.drawString(
                    left, 700 - 14 * index, f"{words} column line {index} with some more words,"
                )

    left, right = (
        " ".join(f"{words} column line {index} with some more words," for index in range(3))
        for words in ("left", "right")
    )
    assert text(drawn([[]], extra=columns)) == f"{left} {right}\n\n"


def picture() -> ImageReader:
    return ImageReader(PIL.Image.effect_noise((300, 400), 100))


def test_a_scan_gives_its_pages_as_pictures() -> None:
    data = drawn(
        [[], [], []], extra=lambda canvas, page: page == 2 or canvas.drawImage(picture(), 0, 0, 595, 842)
    )
    content = formats.read(io.BytesIO(data), "scan.pdf", size=len(data), rows=False)
    assert isinstance(content, formats.Scan)
    found = list(content.pages)
    assert [(one.format, one.page) for one in found] == [("jpeg", 1), ("jpeg", 3)]  # page 2 is blank
    assert max(PIL.Image.open(io.BytesIO(found[0].data)).size) in {1_568, 1_569}


def test_a_picture_among_pages_of_text_is_not_passed_over_in_silence() -> None:
    pages = [["First page."], [], ["Third page."]]
    data = drawn(pages, extra=lambda canvas, page: page == 2 and canvas.drawImage(picture(), 0, 0, 99, 99))
    assert text(data) == f"First page.\n\n{pdf_pages.PICTURE}\n\nThird page.\n\n"


def test_a_password_to_open_is_refused_and_one_to_print_is_not() -> None:
    closed = drawn([["secret"]], encrypt=StandardEncryption("open sesame", strength=128))
    refused = refusal(closed)
    assert refused.code is Code.FILE_ENCRYPTED
    assert "remove the password" in refused.message
    assert text(drawn([["public"]], encrypt=StandardEncryption("", "owner", strength=128))) == "public\n\n"


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_truncated_file_is_refused(share: float) -> None:
    data = book()
    refused = refusal(data[: int(len(data) * share)])
    assert refused.code is Code.FILE_DAMAGED
    assert "a part is missing" in refused.message


def test_garbage_with_the_marks_of_a_pdf_is_refused() -> None:
    assert refusal(b"%PDF-1.7\n" + bytes(range(256)) * 50 + b"\n%%EOF").code is Code.FILE_DAMAGED


def test_a_file_without_text_is_refused() -> None:
    assert refusal(drawn([[], []])).code is Code.TEXT_MISSING


def by_hand(*objects: bytes) -> bytes:
    """A PDF of numbered objects, the first of which is the catalogue."""
    data = bytearray(b"%PDF-1.7\n")
    starts: list[int] = []
    for number, each in enumerate(objects, start=1):
        starts.append(len(data))
        data += b"%d 0 obj\n%b\nendobj\n" % (number, each)
    table = b"".join(b"%010d 00000 n \n" % start for start in starts)
    trailer = b"trailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF" % (len(starts) + 1, len(data))
    return bytes(data) + b"xref\n0 %d\n0000000000 65535 f \n%b" % (len(starts) + 1, table) + trailer


CATALOGUE = b"<< /Type /Catalog /Pages 2 0 R >>"
PAGES = b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>"
PAGE = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources << >> >>"


def packed(content: bytes) -> bytes:
    stream = zlib.compress(content, 9)
    return b"<< /Length %d /Filter /FlateDecode >>\nstream\n%b\nendstream" % (len(stream), stream)


@pytest.mark.parametrize(
    "objects",
    [
        pytest.param([CATALOGUE, b"<< /Type /Pages /Kids [2 0 R 2 0 R] /Count 2 >>"], id="pages in a circle"),
        pytest.param([CATALOGUE, b"<< /Type /Pages /Kids [3 0 R] /Count 2000000000 >>", PAGE], id="count"),
        pytest.param([CATALOGUE, b"[" * 200_000], id="nesting"),
        pytest.param([CATALOGUE, PAGES, PAGE, packed(b"[" * 5_000_000)], id="nesting in a page"),
        pytest.param([CATALOGUE, PAGES, PAGE, packed(b"0 0 m " * 20_000_000)], id="content bomb"),
        pytest.param(
            [CATALOGUE, PAGES, PAGE, b"<< /Length 4 0 R >>\nstream\nendstream"], id="length of itself"
        ),
        pytest.param([CATALOGUE, PAGES, *[b"<< >>"] * 300_000], id="objects"),
    ],
)
def test_hostile_files_end_as_refusals(objects: list[bytes]) -> None:
    refused = refusal(by_hand(*objects))
    assert refused.code in {Code.FILE_DAMAGED, Code.FILE_TOO_COMPLEX, Code.TEXT_MISSING}


def test_bookmarks_in_a_circle_end() -> None:
    catalogue = b"<< /Type /Catalog /Pages 2 0 R /Outlines 5 0 R >>"
    mark = b"<< /Title (x) /Parent 5 0 R /Next 6 0 R /First 6 0 R /Dest [3 0 R /Fit] >>"
    content = b"<< /Length 0 >>\nstream\n\nendstream"
    data = by_hand(catalogue, PAGES, PAGE, content, b"<< /First 6 0 R /Last 6 0 R >>", mark)
    assert refusal(data).code is Code.TEXT_MISSING
