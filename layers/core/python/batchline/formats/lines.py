"""Lines of a text that comes in blocks."""

import io
from collections.abc import Iterable, Iterator
from typing import Final

from batchline.errors import Code, Refused

# A row is one request to a model, and no model takes a tenth of this.
MAX_LINE_CHARACTERS: Final = 16_000_000


def lines(blocks: Iterable[str]) -> Iterator[str]:
    """Yield lines with their line feed; the last one may lack it.

    Raises Refused(ROWS_INVALID) for a line of more than `MAX_LINE_CHARACTERS`.
    """
    number = 0
    begun = ""
    for block in blocks:
        end = block.rfind("\n") + 1
        if end:
            complete, begun = begun + block[:end], block[end:]
            for line in io.StringIO(complete, newline="\n"):
                number += 1
                yield line
        else:
            begun += block
        if len(begun) > MAX_LINE_CHARACTERS:
            raise Refused(
                Code.ROWS_INVALID,
                f"Line {number + 1} has more than {MAX_LINE_CHARACTERS:,} characters, more than a model "
                "reads. Put one row on each line and upload the file again.",
            )
    if begun:
        yield begun
