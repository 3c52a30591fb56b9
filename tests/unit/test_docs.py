"""What the documentation lists is what the code knows."""

import re
from pathlib import Path

from batchline.errors import Code

DOCS = Path(__file__).parents[2] / "docs"


def test_every_error_code_is_explained_once() -> None:
    listed = re.findall(r"^\| ([A-Z_]+) \|", (DOCS / "errors.md").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(Code)
