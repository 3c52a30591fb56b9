"""What Word, PowerPoint and Excel files have in common: a zip of XML parts that point to one another."""

import posixpath
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import IO, TYPE_CHECKING, BinaryIO, Final
from xml.parsers import expat

from batchline.errors import Code, Refused
from batchline.formats import zipped

MAX_PARTS: Final = 20_000
MAX_PART_BYTES: Final = 1_000_000_000
PACKED: Final = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
MAX_SMALL_PART_BYTES: Final = 50_000_000
KINDS: Final = {
    "word": ("Word document", ".docx"),
    "ppt": ("PowerPoint presentation", ".pptx"),
    "xl": ("Excel workbook", ".xlsx"),
}
# As deep as other readers of XML go. Expat keeps what is open, so a file could fill the memory with it.
MAX_DEPTH: Final = 256
# Expat remembers every name. A Word document has about a hundred.
MAX_NAMES: Final = 10_000
BLOCK_BYTES: Final = 65_536

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element as _Element

type Element = _Element
type Start = Callable[[Mapping[str, str]], None]
type End = Callable[[], None]


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
        if info.compress_type not in PACKED:
            raise self.damaged(f"its part {part} is packed as no Office program does it")
        try:
            return self._zip.open(info)
        except zipped.DAMAGED as error:
            raise self.damaged(f"its part {part} cannot be unpacked") from error

    def tree(self, part: str) -> Element:
        """Parse a small part whole."""
        from xml.etree import ElementTree as ET  # noqa: PLC0415 - Word documents go without

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
            return ET.fromstring(data)  # noqa: S314 - expat limits what entities become, and fetches none
        except ET.ParseError as error:
            raise self.damaged(f"its part {part} is not XML ({error})") from error

    def walk(
        self,
        part: str,
        starts: Mapping[str, Start],
        ends: Mapping[str, End] = {},
        *,
        text: Callable[[str], None] | None = None,
        dropped: Iterable[str] = (),
    ) -> Iterator[None]:
        """Go through a part and pause after each block; what `starts` and `ends` have for a tag is called.

        Tags are without their namespace, since there is one for each of two editions of the standard.
        Elements of the tags in `dropped` are passed over with all that is in them.
        """
        parser = _Walker(starts, ends, text, dropped).parser
        with self.open(part) as source:
            try:
                while block := source.read(BLOCK_BYTES):
                    parser.Parse(block, False)
                    yield
                parser.Parse(b"", True)
            except (expat.ExpatError, LookupError) as error:  # LookupError: of an encoding nobody knows
                raise self.damaged(f"its part {part} breaks off or is not XML ({error})") from error
            except _Hostile as error:
                raise self.damaged(f"its part {part} {error}") from error
            except zipped.DAMAGED as error:
                raise self.damaged(f"its part {part} cannot be unpacked") from error

    def related(self, part: str) -> dict[str, tuple[str, str]]:
        """Give what a part points to, by id: the last word of the relation's type, and the part."""
        folder, name = posixpath.split(part)
        relations = posixpath.join(folder, "_rels", f"{name}.rels")
        if not self.has(relations):
            return {}
        found: dict[str, tuple[str, str]] = {}

        def relation(attributes: Mapping[str, str]) -> None:
            if attributes.get("TargetMode") != "External":
                kind = attributes.get("Type", "").rpartition("/")[2]
                target = posixpath.normpath(posixpath.join("/", folder, attributes.get("Target", "")))
                found[attributes.get("Id", "")] = kind, target[1:]

        for _ in self.walk(relations, {"Relationship": relation}):
            pass
        return found

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


class _Hostile(Exception):
    """A part that only somebody who means harm would write; says how it goes on behind its name."""


class _ByName[F: Callable[..., None]](dict[str, F | None]):
    """What is to be done for a tag as it stands in the file, with its prefix."""

    def __init__(self, acts: Mapping[str, F]) -> None:
        super().__init__()
        self._acts = acts

    def __missing__(self, name: str) -> F | None:
        if len(self) >= MAX_NAMES:
            raise _Hostile(f"has more than {MAX_NAMES:,} kinds of elements")
        act = self[name] = self._acts.get(name.rpartition(":")[2])
        return act


class _Walker:
    """Calls what there is to call for the tags of one part, which is fed to its parser."""

    def __init__(
        self,
        starts: Mapping[str, Start],
        ends: Mapping[str, End],
        text: Callable[[str], None] | None,
        dropped: Iterable[str],
    ) -> None:
        self._starts = _ByName[Start]({**starts, **dict.fromkeys(dropped, self._drop)})
        self._ends = _ByName[End](ends)
        self._text = text
        self._depth = self._kept = 0  # elements that are open, and those of them around one that is dropped
        self.parser = expat.ParserCreate()
        self.parser.buffer_text = True
        self.parser.buffer_size = BLOCK_BYTES
        self.parser.StartDoctypeDeclHandler = self._refuse
        self._go_on()

    def _go_on(self) -> None:
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise _Hostile(f"has elements {MAX_DEPTH} deep in each other")
        act = self._starts[name]
        if act is not None:
            act(attributes)

    def _end(self, name: str) -> None:
        self._depth -= 1
        act = self._ends[name]
        if act is not None:
            act()

    def _drop(self, _: Mapping[str, str]) -> None:
        self._kept = self._depth - 1
        self.parser.StartElementHandler, self.parser.EndElementHandler = (
            self._start_dropped,
            self._end_dropped,
        )
        self.parser.CharacterDataHandler = None

    def _start_dropped(self, _name: str, _attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise _Hostile(f"has elements {MAX_DEPTH} deep in each other")

    def _end_dropped(self, _name: str) -> None:
        self._depth -= 1
        if self._depth == self._kept:
            self._go_on()

    def _refuse(self, *_: object) -> None:
        raise _Hostile("has a document type, which no Office program writes")


def local(element: Element) -> str:
    """Give a tag without its namespace."""
    return element.tag.rpartition("}")[2]


def value(attributes: Mapping[str, str], name: str = "val") -> str | None:
    """Give an attribute that `walk` has found, whatever its namespace."""
    for key, found in attributes.items():
        if key.rpartition(":")[2] == name:
            return found
    return None


def attribute(element: Element | None, name: str, *, of_namespace: bool = False) -> str | None:
    """Give an attribute whatever its namespace; `of_namespace` if it must have one."""
    if element is None:
        return None
    for key, found in element.items():
        namespace, _, word = key.rpartition("}")
        if word == name and (namespace or not of_namespace):
            return found
    return None
