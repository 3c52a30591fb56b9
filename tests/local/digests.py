"""Checksums of what is found in uploads: run on the layers alone, they tell whether a part is missing."""

import hashlib
import json
import sys
from pathlib import Path

from batchline import formats
from batchline.formats import Archive, Content, Image, Scan, Table, Text
from batchline.tokens import tokenizers

WORDS = "Two words, 二つの言葉。"


def read(content: Content) -> str:
    """Tell what a document holds; members of an archive by their names."""
    match content:
        case Text(sections):
            return repr(list(sections))
        case Table(rows):
            return repr([dict(row) for row in rows])
        case Archive(members):
            return repr([(member.name, member.size) for member in members])
        case Image() as image:
            return repr(image)
        case Scan(pages):
            return repr(list(pages))


def digests(folder: Path) -> dict[str, str | int]:
    """Give a checksum for each file, and the length of some words for each tokenizer."""
    found: dict[str, str | int] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as stream:
            content = formats.read(stream, path.name, size=path.stat().st_size, rows=False)
            found[path.name] = hashlib.sha256(read(content).encode()).hexdigest()
    return found | {
        name: tokenizers.count(WORDS, name) for name in ("claude-3", "claude-4.7", "o200k", "qwen3")
    }


if __name__ == "__main__":
    print(json.dumps(digests(Path(sys.argv[1]))))  # noqa: T201
