"""The text and the bookmarks of a PDF, by the few functions of PDFium that these take.

The library is pypdfium2's, but for pictures its modules stay away: they declare all of PDFium's functions,
which takes as long as reading thirty pages, and an object with a finalizer for each page.
https://pdfium.googlesource.com/pdfium/+/refs/heads/main/public/
"""

import ctypes
from collections.abc import Iterator
from ctypes import CFUNCTYPE, POINTER, c_int, c_ulong, c_void_p
from importlib.machinery import PathFinder
from typing import Any, BinaryIO, Final, NamedTuple, Self

from batchline.errors import Code, Refused

MAX_DEPTH: Final = 15
_PASSWORD, _SECURITY = 4, 5  # FPDF_ERR_*

_READ = CFUNCTYPE(c_int, c_void_p, c_ulong, c_void_p, c_ulong)


class _Access(ctypes.Structure):
    """FPDF_FILEACCESS."""

    _fields_ = (("size", c_ulong), ("read", _READ), ("parameter", c_void_p))


# What each function returns and takes. A handle is an address, None where there is nothing.
_SIGNATURES: Final[dict[str, tuple[Any, ...]]] = {
    "FPDF_InitLibrary": (None,),
    "FPDF_LoadCustomDocument": (c_void_p, POINTER(_Access), c_void_p),
    "FPDF_CloseDocument": (None, c_void_p),
    "FPDF_GetLastError": (c_ulong,),
    "FPDF_GetPageCount": (c_int, c_void_p),
    "FPDF_LoadPage": (c_void_p, c_void_p, c_int),
    "FPDF_ClosePage": (None, c_void_p),
    "FPDFPage_CountObjects": (c_int, c_void_p),
    "FPDFText_LoadPage": (c_void_p, c_void_p),
    "FPDFText_ClosePage": (None, c_void_p),
    "FPDFText_CountChars": (c_int, c_void_p),
    "FPDFText_GetText": (c_int, c_void_p, c_int, c_int, c_void_p),
    "FPDFBookmark_GetFirstChild": (c_void_p, c_void_p, c_void_p),
    "FPDFBookmark_GetNextSibling": (c_void_p, c_void_p, c_void_p),
    "FPDFBookmark_GetTitle": (c_ulong, c_void_p, c_void_p, c_ulong),
    "FPDFBookmark_GetDest": (c_void_p, c_void_p, c_void_p),
    "FPDFDest_GetDestPageIndex": (c_int, c_void_p, c_void_p),
}


def _loaded() -> Any:
    spec = PathFinder.find_spec("pypdfium2_raw")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("pypdfium2 is not installed", name="pypdfium2_raw")
    library = ctypes.CDLL(f"{spec.submodule_search_locations[0]}/libpdfium.so")
    for name, (result, *arguments) in _SIGNATURES.items():
        function = library[name]
        function.restype, function.argtypes = result, arguments
        setattr(library, name, function)
    library.FPDF_InitLibrary()
    return library


_PDFIUM: Final = _loaded()


class Page(NamedTuple):
    """The text of a page as PDFium reads it, and whether anything is drawn on it."""

    text: str
    drawn: bool


class Bookmark(NamedTuple):
    """A heading in the outline: its depth from 0, and the page it leads to from 1, if to any."""

    level: int
    title: str
    page: int | None


class Document:
    """An open PDF. Raises Refused(FILE_ENCRYPTED or FILE_DAMAGED). To be closed by `with`."""

    def __init__(self, file: BinaryIO) -> None:
        def read(_: object, start: int, target: int, size: int) -> int:
            file.seek(start)
            data = file.read(size)
            ctypes.memmove(target, data, len(data))
            return len(data) == size

        self._access = _Access(file.seek(0, 2), _READ(read))  # PDFium reads as long as it is open
        self._handle = _PDFIUM.FPDF_LoadCustomDocument(self._access, None)
        self._buffer = ctypes.create_string_buffer(1 << 16)
        if len(self) < 1:
            raise _unreadable(_PDFIUM.FPDF_GetLastError())

    def __len__(self) -> int:
        """Count the pages."""
        return int(_PDFIUM.FPDF_GetPageCount(self._handle))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        _PDFIUM.FPDF_CloseDocument(self._handle)

    def page(self, number: int) -> Page:
        """Read a page, from 1. Raises Refused(FILE_DAMAGED)."""
        page = _PDFIUM.FPDF_LoadPage(self._handle, number - 1)
        text = _PDFIUM.FPDFText_LoadPage(page)
        if not text:
            raise damaged_page(number, len(self))
        count = _PDFIUM.FPDFText_CountChars(text)
        buffer = self._room(2 * count + 2)
        units = _PDFIUM.FPDFText_GetText(text, 0, count, buffer)  # the last one is zero
        found = Page(_decoded(buffer, 2 * units - 2), _PDFIUM.FPDFPage_CountObjects(page) > 0)
        _PDFIUM.FPDFText_ClosePage(text)
        _PDFIUM.FPDF_ClosePage(page)
        return found

    def bookmarks(self) -> Iterator[Bookmark]:
        """Yield the outline from top to bottom, none twice, MAX_DEPTH levels deep."""
        yield from self._below(None, 0, set())

    def _below(self, parent: int | None, level: int, seen: set[int]) -> Iterator[Bookmark]:
        mark = _PDFIUM.FPDFBookmark_GetFirstChild(self._handle, parent)
        while mark and mark not in seen:
            seen.add(mark)
            size = _PDFIUM.FPDFBookmark_GetTitle(mark, None, 0)
            buffer = self._room(size)
            _PDFIUM.FPDFBookmark_GetTitle(mark, buffer, size)
            target = _PDFIUM.FPDFBookmark_GetDest(self._handle, mark)
            index = _PDFIUM.FPDFDest_GetDestPageIndex(self._handle, target) if target else -1
            yield Bookmark(level, _decoded(buffer, size - 2), index + 1 if index >= 0 else None)
            if level + 1 < MAX_DEPTH:
                yield from self._below(mark, level + 1, seen)
            mark = _PDFIUM.FPDFBookmark_GetNextSibling(self._handle, mark)

    def _room(self, size: int) -> ctypes.Array[ctypes.c_char]:
        """Give a buffer of at least so many bytes, mostly the same one."""
        if size > len(self._buffer):
            self._buffer = ctypes.create_string_buffer(size)
        return self._buffer


def _decoded(buffer: ctypes.Array[ctypes.c_char], size: int) -> str:
    return ctypes.string_at(buffer, max(size, 0)).decode("utf-16-le", "ignore")


def damaged_page(number: int, count: int) -> Refused:
    return Refused(
        Code.FILE_DAMAGED,
        f"Page {number} of {count} of the PDF is damaged. Open it in a PDF viewer, save it anew "
        "and upload that.",
    )


def _unreadable(error: int) -> Refused:
    if error in {_PASSWORD, _SECURITY}:
        return Refused(
            Code.FILE_ENCRYPTED,
            "The PDF needs a password to open. Please remove the password and upload it again.",
        )
    return Refused(
        Code.FILE_DAMAGED,
        "The PDF is damaged: it has no readable structure. Open it in a PDF viewer, save it anew and "
        "upload that.",
    )
