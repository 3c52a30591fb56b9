"""Entries of zip files, be they archives of documents or Office files: which of them are not unpacked."""

import zipfile
import zlib
from typing import Final

# What zipfile raises for an entry, or a directory, that is damaged or packed in a way that it does not know.
DAMAGED: Final = (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError)
# What deflate reaches only with a file that was made to; text packs 3 to 20 times, logs up to 100.
MAX_RATIO: Final = 300
SUSPECT_BYTES: Final = 10_000_000
_ENCRYPTED: Final = 0x1


def is_encrypted(info: zipfile.ZipInfo) -> bool:
    return bool(info.flag_bits & _ENCRYPTED)


def is_bomb(info: zipfile.ZipInfo) -> bool:
    """Tell an entry that was made to harm by what its head claims, to which zipfile holds it."""
    return info.file_size > SUSPECT_BYTES and info.file_size > MAX_RATIO * info.compress_size
