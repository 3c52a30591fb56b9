"""Mail: written by hand as it travels."""

import base64
import io
from email.message import EmailMessage

import pytest
from batchline import formats
from batchline.errors import Code, Refused
from batchline.formats import Section, mail
from docx import Document
from openpyxl import Workbook

PLAIN = b"""\
From: Ann <ann@example.com>\r
To: bob@example.com\r
Subject: Minutes\r
 of May\r
Date: Mon, 03 May 2027 09:00:00 +0900\r
Message-ID: <1@example.com>\r
\r
We agreed.\r
\r
Ann\r
"""


def sections(data: bytes) -> list[Section]:
    return list(mail.parse(io.BytesIO(data)))


def text(data: bytes) -> str:
    return "".join(section.text for section in sections(data))


def test_the_head_that_people_read_and_the_body() -> None:
    assert sections(PLAIN) == [
        Section(
            "Subject: Minutes of May\nFrom: Ann <ann@example.com>\nTo: bob@example.com\n"
            "Date: Mon, 03 May 2027 09:00:00 +0900\n\n",
            None,
            ("Minutes of May",),
        ),
        Section("We agreed.\n\nAnn\n\n", None, ("Minutes of May",)),
    ]


def test_japanese_in_iso_2022_jp_with_signs_that_only_windows_has() -> None:
    subject = base64.b64encode("議事録".encode("iso-2022-jp")).decode()
    head = f"Subject: =?ISO-2022-JP?B?{subject}?=\nContent-Type: text/plain; charset=ISO-2022-JP\n\n"
    assert text(head.encode() + "本日の会議です。".encode("iso-2022-jp")) == (
        "Subject: 議事録\n\n本日の会議です。\n\n"
    )
    windows = b"Subject: x\nContent-Type: text/plain; charset=Shift_JIS\n\n" + "①髙橋".encode("cp932")
    assert text(windows) == "Subject: x\n\n①髙橋\n\n"


def test_plain_text_is_taken_before_html_and_html_is_read() -> None:
    message = EmailMessage()
    message["Subject"] = "x"
    message.set_content("plain")
    message.add_alternative("<p>rich</p>", subtype="html")
    assert text(bytes(message)) == "Subject: x\n\nplain\n\n"

    html = EmailMessage()
    html["Subject"] = "x"
    html.set_content(
        "<html><body><p>One <b>bold</b>.</p><script>bad()</script></body></html>", subtype="html"
    )
    assert text(bytes(html)) == "Subject: x\n\nOne bold.\n\n"


def test_text_attachments_are_read_and_others_are_named() -> None:
    inner = EmailMessage()
    inner["Subject"] = "Inner"
    inner.set_content("deep")
    message = EmailMessage()
    message["Subject"] = "Outer"
    message.set_content("see below")
    message.add_attachment("a,b\n1,2\n", subtype="csv", filename="表.csv")
    message.add_attachment(b"12345", maintype="application", subtype="pdf", filename="r.pdf")
    message.add_attachment(inner)

    found = sections(bytes(message))

    assert "".join(section.text for section in found) == (
        "Subject: Outer\n\nsee below\n\n# 表.csv\n\na,b\n1,2\n\n"
        "[Attachment not read: r.pdf, application/pdf, 5 bytes. Of mail this kind is not read. "
        "Upload it by itself.]\n\n"
        "# Attached mail\n\nSubject: Inner\n\ndeep\n\n"
    )
    assert found[2].headings == ("Outer", "表.csv")
    assert found[-1].headings == ("Outer", "Inner")


def attached(*files: tuple[bytes, str]) -> list[Section]:
    message = EmailMessage()
    message["Subject"] = "Contract"
    message.set_content("see below")
    for data, name in files:
        message.add_attachment(data, maintype="application", subtype="octet-stream", filename=name)
    return sections(bytes(message))[2:]


def word(*paragraphs: str) -> bytes:
    document, file = Document(), io.BytesIO()
    document.add_heading("Terms", 1)
    for one in paragraphs:
        document.add_paragraph(one)
    document.save(file)
    return file.getvalue()


def sheet() -> bytes:
    book, file = Workbook(), io.BytesIO()
    book.active.append(["品名", "価格"])
    book.active.append(["りんご", 3])
    book.save(file)
    return file.getvalue()


def test_attached_documents_are_read_under_their_names() -> None:
    found = attached((word("Pay in May."), "terms.docx"), (sheet(), "価格.xlsx"))
    assert "".join(one.text for one in found).startswith("# terms.docx\n\n# Terms\n\nPay in May.\n\n")
    (terms,) = [one for one in found if "Pay in May" in one.text]
    assert terms.headings == ("Contract", "terms.docx", "Terms")
    (price,) = [one for one in found if "りんご" in one.text]
    assert price.headings[:2] == ("Contract", "価格.xlsx")


def test_an_attachment_that_cannot_be_read_costs_nothing_but_itself() -> None:
    found = attached((word("x")[:-2000], "cut.docx"), (b"Rar!\x1a\x07\x00", "a.rar"), (word("y"), "b.docx"))
    said = "".join(one.text for one in found)
    assert "[Attachment not read: cut.docx, application/octet-stream" in said
    assert "a RAR archive, which is not read. Upload a zip of the documents.]" in said
    assert "y\n\n" in said


def test_an_unknown_character_set_and_a_broken_transfer_encoding_do_not_lose_the_mail() -> None:
    assert text(b"Subject: x\nContent-Type: text/plain; charset=nonsense\n\nbody") == "Subject: x\n\nbody\n\n"
    broken = b"Subject: x\nContent-Type: text/plain\nContent-Transfer-Encoding: base64\n\naGVsbG8=!\n"
    assert text(broken) == "Subject: x\n\nhello\n\n"


def test_what_is_no_mail_is_refused() -> None:
    with pytest.raises(Refused) as caught:
        sections(b"Dear diary,\n\ntoday\n")
    assert caught.value.code is Code.FILE_DAMAGED


@pytest.mark.parametrize("kind", ["multipart/mixed; boundary=b", "message/rfc822"])
def test_parts_nested_without_end_are_refused(kind: str) -> None:
    data = b"Subject: x\n" + (f"Content-Type: {kind}\n\n" + "--b\n" * ("multi" in kind)).encode() * 3_000
    content = formats.read(io.BytesIO(data), "a.eml", size=len(data), rows=False)
    assert isinstance(content, formats.Text)
    with pytest.raises(Refused) as caught:
        list(content.sections)
    assert caught.value.code is Code.FILE_TOO_COMPLEX
