"""Compound files: what Office wrote until 2003, and what it puts an encrypted document into."""

from typing import BinaryIO, Final, NoReturn

from batchline.errors import Code, Refused

BLOCK_BYTES: Final = 1 << 20
# The names of streams that tell what is inside, in the order in which they decide.
STREAMS: Final = (
    ("EncryptedPackage", "", ""),
    ("WordDocument", "Word document of 1997 to 2003", ".docx"),
    ("PowerPoint Document", "PowerPoint presentation of 1997 to 2003", ".pptx"),
    ("Workbook", "Excel workbook of 1997 to 2003", ".xlsx"),
    ("__properties_version1.0", "Outlook message", ".eml"),
)


def read(stream: BinaryIO, name: str, *, size: int, rows: bool) -> NoReturn:  # noqa: ARG001
    """Refuse the file: say what it is and what to save it as."""
    found: set[str] = set()
    kept = b""
    while block := stream.read(BLOCK_BYTES):
        window = kept + block
        found.update(each for each, _, _ in STREAMS if each.encode("utf-16-le") in window)
        kept = window[-64:]  # a name may lie across two blocks
    if "EncryptedPackage" in found:
        raise Refused(
            Code.FILE_ENCRYPTED,
            "The Office document is encrypted. Please remove the password (File > Info > Protect) and upload "
            "it again.",
        )
    for each, what, suffix in STREAMS:
        if each in found:
            raise Refused(
                Code.FORMAT_UNSUPPORTED, f"The file is a {what}, which is not read. Save it as {suffix}."
            )
    raise Refused(
        Code.FORMAT_UNSUPPORTED,
        "The file is an old Office document, which is not read. Save it as .docx, .pptx or .xlsx.",
    )
