"""What Word, PowerPoint and Excel files have in common: a zip of XML parts that point to one another."""

import posixpath
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from typing import IO, Any, BinaryIO, Final, cast

from lxml import etree

from batchline.errors import Code, Refused
from batchline.formats import zipped

MAX_PARTS: Final = 20_000
MAX_PART_BYTES: Final = 1_000_000_000
MAX_SMALL_PART_BYTES: Final = 50_000_000
KINDS: Final = {
    "word": ("Word document", ".docx"),
    "ppt": ("PowerPoint presentation", ".pptx"),
    "xl": ("Excel workbook", ".xlsx"),
}
type Element = etree._Element  # noqa: SLF001 the only name that lxml gives it

# No entities, no network, no trees of unbounded depth: a part needs none of them.
_SAFE: Final[Mapping[str, Any]] = {
    "resolve_entities": False,
    "no_network": True,
    "load_dtd": False,
    "huge_tree": False,
}


class Package:
    """The parts of an Office file of one kind: "word", "ppt" or "xl". Every method raises Refused."""

    def __init__(self, file: BinaryIO, kind: str) -> None:
        self.what, suffix = KINDS[kind]
        try:
            self._zip = zipfile.ZipFile(file)
        except zipped.DAMAGED as error:
            raise self.damaged("its end is missing, or is not what it should be") from error
        if len(self._zip.infolist()) > MAX_PARTS:
            raise Refused(
                Code.FILE_TOO_COMPLEX,
                f"The {self.what} has more than {MAX_PARTS:,} parts. Save it anew or split it.",
            )
        self.main = self._main(kind, suffix)

    def has(self, part: str) -> bool:
        return part in self._zip.NameToInfo

    def open(self, part: str) -> IO[bytes]:
        """Open a part to read it as a stream."""
        info = self._zip.NameToInfo.get(part)
        if info is None:
            raise self.damaged(f"its part {part} is missing")
        if zipped.is_encrypted(info):
            raise Refused(
                Code.FILE_ENCRYPTED,
                f"The {self.what} is encrypted. Please remove the password and upload it again.",
            )
        if zipped.is_bomb(info) or info.file_size > MAX_PART_BYTES:
            raise Refused(
                Code.FILE_TOO_COMPLEX,
                f"The {self.what} packs {info.file_size:,} bytes into {info.compress_size:,} ({part}). "
                "Save it anew or split it into smaller files.",
            )
        try:
            return self._zip.open(info)
        except zipped.DAMAGED as error:
            raise self.damaged(f"its part {part} cannot be unpacked") from error

    def tree(self, part: str) -> Element:
        """Parse a small part whole."""
        with self.open(part) as stream:
            try:
                data = stream.read(MAX_SMALL_PART_BYTES + 1)
            except zipped.DAMAGED as error:
                raise self.damaged(f"its part {part} cannot be unpacked") from error
        if len(data) > MAX_SMALL_PART_BYTES:
            raise Refused(
                Code.FILE_TOO_COMPLEX,
                f"The {self.what} has a part of {len(data):,} bytes ({part}). Split it into smaller files.",
            )
        try:
            return etree.fromstring(data, etree.XMLParser(**_SAFE))
        except etree.XMLSyntaxError as error:
            raise self.damaged(f"its part {part} is not XML ({error.msg})") from error

    def stream(self, part: str, tags: Iterable[str]) -> Iterator[Element]:
        """Parse a large part: yield the elements of the tags where they end; the caller clears them."""
        with self.open(part) as source:
            try:
                for _, element in etree.iterparse(cast("BinaryIO", source), tag=tuple(tags), **_SAFE):
                    yield element
            except etree.XMLSyntaxError as error:
                raise self.damaged(f"its part {part} breaks off or is not XML ({error.msg})") from error
            except zipped.DAMAGED as error:
                raise self.damaged(f"its part {part} cannot be unpacked") from error

    def related(self, part: str) -> dict[str, tuple[str, str]]:
        """Give what a part points to, by id: the last word of the relation's type, and the part."""
        folder, name = posixpath.split(part)
        relations = posixpath.join(folder, "_rels", f"{name}.rels")
        if not self.has(relations):
            return {}
        return {
            each.get("Id", ""): (
                each.get("Type", "").rpartition("/")[2],
                posixpath.normpath(posixpath.join("/", folder, each.get("Target", "")))[1:],
            )
            for each in self.tree(relations).iter("{*}Relationship")
            if each.get("TargetMode") != "External"
        }

    def related_by(self, part: str, kind: str) -> str | None:
        """Give the part that a part points to by a type of relation."""
        return next((target for type_, target in self.related(part).values() if type_ == kind), None)

    def damaged(self, how: str) -> Refused:
        return Refused(
            Code.FILE_DAMAGED,
            f"The {self.what} is damaged: {how}. Open it in the program that wrote it, save it anew and "
            "upload that.",
        )

    def _main(self, kind: str, suffix: str) -> str:
        main = self.related_by("", "officeDocument") or ""
        top = main.partition("/")[0]
        if top == kind:
            return main
        if top in KINDS:
            other, right = KINDS[top]
            raise Refused(
                Code.FORMAT_UNSUPPORTED,
                f"The file is named as a {self.what}, but it is a {other}. Name it {right}.",
            )
        raise Refused(
            Code.FORMAT_UNSUPPORTED,
            f"The file is a zip archive without a {self.what} in it. Save the document as {suffix}, or name "
            "the archive .zip if it is a set of documents.",
        )


def local(element: Element) -> str:
    """Give a tag without its namespace: there is one for each of two editions of the standard."""
    return str(element.tag).rpartition("}")[2]


def attribute(element: Element | None, name: str, *, of_namespace: bool = False) -> str | None:
    """Give an attribute whatever its namespace; `of_namespace` if it must have one."""
    if element is None:
        return None
    for key, value in element.items():
        namespace, _, word = str(key).rpartition("}")
        if word == name and (namespace or not of_namespace):
            return str(value)
    return None
