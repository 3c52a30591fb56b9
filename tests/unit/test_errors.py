import re
from pathlib import Path

import pytest
from batchline import errors
from batchline.errors import BatchlineError, Code, Held, LostRace, Refused

SOURCES = sorted(Path(errors.__file__).parent.rglob("*.py"))


@pytest.mark.parametrize("code", Code)
def test_every_code_is_used(code: Code) -> None:
    users = [
        path.name
        for path in SOURCES
        if path.name != "errors.py" and re.search(rf"\bCode\.{code.name}\b", path.read_text("utf-8"))
    ]
    assert users, f"nothing ever says {code.name}"


def test_codes_are_called_what_they_say() -> None:
    assert [code.name for code in Code] == [code.value for code in Code]


def test_the_tree_is_the_one_that_the_docstring_draws() -> None:
    assert issubclass(Held, Refused)
    assert issubclass(Refused, BatchlineError)
    assert issubclass(LostRace, BatchlineError)
    assert not issubclass(LostRace, Refused)
    own = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, Exception)]
    for one in own:
        assert one.__name__ in str(errors.__doc__)


def test_a_refusal_tells_code_and_sentence() -> None:
    refusal = Refused(Code.UPLOAD_EMPTY, "The file has 0 bytes.")
    assert (refusal.code, refusal.message) == (Code.UPLOAD_EMPTY, "The file has 0 bytes.")
    assert str(refusal) == "UPLOAD_EMPTY: The file has 0 bytes."
