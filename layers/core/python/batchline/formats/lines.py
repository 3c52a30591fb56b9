"""Lines of a text that comes in blocks."""

import io
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Final

from batchline.errors import Code, Refused

# A row is one request to a model, and no model takes a tenth of this.
MAX_LINE_CHARACTERS: Final = 16_000_000


def lines(blocks: Iterable[str]) -> Iterator[str]:
    """Give lines with their line feed; the last one may lack it. The iterator raises what `whole` does."""
    return chain.from_iterable(split(text) for text, _ in whole(blocks))


def split(text: str) -> Iterator[str]:
    """Give the lines of a text with their line feed."""
    return io.StringIO(text, newline="\n")


def whole(blocks: Iterable[str]) -> Iterator[tuple[str, int]]:
    """Yield a text in blocks of whole lines, and how many they are; the last one may lack its line feed.

    Raises Refused(ROWS_INVALID) for a line of more than `MAX_LINE_CHARACTERS`.
    """
    number = 0
    begun = ""
    for block in blocks:
        end = block.rfind("\n") + 1
        if end:
            complete, begun = begun + block[:end], block[end:]
            count = complete.count("\n")
            yield complete, count
            number += count
        else:
            begun += block
        if len(begun) > MAX_LINE_CHARACTERS:
            raise Refused(
                Code.ROWS_INVALID,
                f"Line {number + 1} has more than {MAX_LINE_CHARACTERS:,} characters, more than a model "
                "reads. Put one row on each line and upload the file again.",
            )
    if begun:
        yield begun, 1
