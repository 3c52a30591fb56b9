"""Compound files: told apart by the names of their streams, wherever these lie."""

import io

import pytest
from batchline import formats
from batchline.errors import Code, Refused

MAGIC = bytes.fromhex("d0cf11e0a1b11ae1")


def refusal(stream: str, *, before: int = 5_000) -> Refused:
    data = MAGIC + bytes(before) + stream.encode("utf-16-le") + bytes(1_000)
    with pytest.raises(Refused) as caught:
        formats.read(io.BytesIO(data), "contract.docx", size=len(data), rows=False)
    return caught.value


@pytest.mark.parametrize(
    ("stream", "words"),
    [
        ("WordDocument", "Word document of 1997 to 2003, which is not read. Save it as .docx"),
        ("Workbook", "Save it as .xlsx"),
        ("PowerPoint Document", "Save it as .pptx"),
        ("Something", "Save it as .docx, .pptx or .xlsx"),
    ],
)
def test_an_old_document_is_told_what_to_become(stream: str, words: str) -> None:
    refused = refusal(stream)
    assert refused.code is Code.FORMAT_UNSUPPORTED
    assert words in refused.message


@pytest.mark.parametrize("before", [100, (1 << 20) - 20, 3_000_000])
def test_an_encrypted_document_is_told_to_lose_its_password(before: int) -> None:
    refused = refusal("EncryptedPackage", before=before)
    assert refused.code is Code.FILE_ENCRYPTED
    assert "remove the password" in refused.message
