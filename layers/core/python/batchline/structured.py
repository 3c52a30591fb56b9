"""Structured answers: text that must satisfy a JSON Schema becomes a value, read leniently, held strictly."""

import json
from collections.abc import Iterator
from decimal import Context, Decimal
from typing import Any, Final, Never
from urllib.parse import quote

import json_repair
import jsonschema_rs
import orjson

from batchline.errors import Code
from batchline.models import Failure

# What DynamoDB takes: 38 digits, magnitudes from 1E-130 to 9.9…E+125, 32 levels of maps and lists.
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
NUMBERS: Final = Context(prec=38, traps=[])
SMALLEST: Final = -130
LARGEST: Final = 125
MAX_DEPTH: Final = 30
# What orjson writes as an int, and how deep it writes; below both, everything else works as well.
INTEGERS: Final = range(-(2**63), 2**64)
ANSWER_DEPTH: Final = 100
# Longer answers are not mended: what is wrong with them is more than a comma.
MENDED_CHARACTERS: Final = 200_000
# In so many places of an answer a JSON value is looked for, when text stands around it.
PLACES: Final = 5
OPENERS: Final = "{["
CLOSERS: Final = {"{": "}", "[": "]"}
# Under these keywords of a schema stand names, not rules.
NAMED: Final = frozenset({"properties", "patternProperties", "dependentSchemas", "$defs"})

_DECODER: Final = json.JSONDecoder()


class NotASchema(ValueError):
    """A schema that no answer can be held against; says what is wrong with it."""


class Schema:
    """A JSON Schema (draft 2020-12), compiled once to read many answers."""

    def __init__(self, schema: dict[str, Any]) -> None:
        """Compile a schema. Raises NotASchema; a reference that leads out of it is not followed."""
        self._schema = schema
        self._names = frozenset(_names(schema))
        try:
            self._validator = jsonschema_rs.Draft202012Validator(_with_encoded(schema), retriever=_nowhere)
        except jsonschema_rs.ValidationError as error:
            raise NotASchema(error.message) from error

    def read(self, text: str) -> tuple[Any, Failure | None]:
        """Read an answer; numbers become int or Decimal.

        A Markdown fence and text around the value are left out, and slips such as a comma too many are
        mended; a value that breaks off is not completed. The failure names the path and the rule, never
        the value.
        """
        value, failure = self._exact(text)
        if failure is None:
            return value, None
        for bare in _candidates(text):
            found, wrong = self._exact(bare)
            if wrong is None:
                return found, None
            failure = wrong
        return None, failure

    def _exact(self, text: str) -> tuple[Any, Failure | None]:
        """Read text that is JSON and nothing else."""
        try:
            plain = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            return None, _invalid(f"is not JSON: {error.msg}")
        exact, deep = _look(plain)
        if deep:
            return None, _invalid(f"is nested more than {ANSWER_DEPTH} levels deep")
        if not self._validator.is_valid(plain):
            return None, self._broken(plain)
        if exact:
            return plain, None
        return json.loads(text, parse_float=_decimal, parse_int=_integer), None

    def _broken(self, plain: Any) -> Failure:
        wrong = next(self._validator.iter_errors(plain))
        return _invalid(f"breaks the schema at {self._place(wrong.instance_path)} ({self._rule(wrong)})")

    def _place(self, path: list[str | int]) -> str:
        """Write a path as JSONPath. Keys that only the answer has are part of its text: they become `*`."""
        steps = (
            f"[{one}]" if isinstance(one, int) else f".{one}" if one in self._names else ".*" for one in path
        )
        return "$" + "".join(steps)

    def _rule(self, wrong: jsonschema_rs.ValidationError) -> str:
        """Name the keyword that an answer breaks, and what it asks for."""
        path = wrong.schema_path
        rule: Any = self._schema
        for step in path:
            rule = rule[step]
        *above, keyword = path
        if isinstance(keyword, int) or (above and above[-1] in NAMED):
            return "false"  # a schema that allows nothing
        return f"{keyword}: {json.dumps(rule, ensure_ascii=False)[:100]}"


def storable(value: Any, depth: int = 0) -> bool:
    """Tell whether DynamoDB can hold a value as it is."""
    if depth > MAX_DEPTH:
        return False
    if isinstance(value, dict):
        return all(name and storable(one, depth + 1) for name, one in value.items())
    if isinstance(value, list):
        return all(storable(one, depth + 1) for one in value)
    if isinstance(value, int):
        return abs(value) < 10**38
    if isinstance(value, Decimal):
        digits = len(value.as_tuple().digits)
        return value.is_finite() and digits <= NUMBERS.prec and SMALLEST <= value.adjusted() <= LARGEST
    return value is None or isinstance(value, str)


def _candidates(text: str) -> Iterator[str]:
    """Yield what in a text may be a JSON value: whole values in their order, at last what can be mended."""
    start, length = 0, len(text.strip())
    for _ in range(PLACES):
        start = min((at for one in OPENERS if (at := text.find(one, start)) >= 0), default=-1)
        if start < 0:
            return
        try:
            _, end = _DECODER.raw_decode(text, start)
        except (ValueError, RecursionError):
            if (mended := _mended(text, start)) is not None:
                yield mended
            return
        if end - start < length:  # the whole text has been read already
            yield text[start:end]
        start = end


def _mended(text: str, start: int) -> str | None:
    """Mend a value that begins at `start`. None: it breaks off, or cannot be mended."""
    bare = text[start : text.rfind(CLOSERS[text[start]], start) + 1]
    closed = all(bare.count(one) == bare.count(other) for one, other in CLOSERS.items())
    if not bare or not closed or len(bare) > MENDED_CHARACTERS:
        return None
    try:
        return json.dumps(json_repair.loads(bare, skip_json_loads=True), allow_nan=False)
    except (ValueError, RecursionError):
        return None


def _look(value: Any) -> tuple[bool, bool]:
    """Tell whether a parsed value holds no float, and whether it nests too deeply; without recursion."""
    exact = True
    level = [value]
    for _ in range(ANSWER_DEPTH + 1):
        inner: list[Any] = []
        for one in level:
            if isinstance(one, dict):
                inner += one.values()
            elif isinstance(one, list):
                inner += one
            elif isinstance(one, float):
                exact = False
        if not inner:
            return exact, False
        level = inner
    return exact, True


def _integer(digits: str) -> int | Decimal:
    return value if (value := int(digits)) in INTEGERS else _decimal(digits)


def _decimal(digits: str) -> Decimal:
    return NUMBERS.create_decimal(digits) or Decimal(0)  # DynamoDB takes no exponent of a zero


def _invalid(what: str) -> Failure:
    return Failure(Code.ANSWER_INVALID, f"The answer {what}.")


def _names(schema: Any) -> Iterator[str]:
    """Yield the keys that stand anywhere in a schema; names of properties are among them."""
    if isinstance(schema, dict):
        yield from schema
    for inner in schema.values() if isinstance(schema, dict) else schema:
        if isinstance(inner, dict | list):
            yield from _names(inner)


def _with_encoded(schema: Any) -> Any:
    """Write references as the URIs that they are: `#/$defs/名` is percent-encoded."""
    if isinstance(schema, list):
        return [_with_encoded(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: quote(value, safe="/:#?&=~!$'()*+,;@%")
        if key in {"$ref", "$dynamicRef"} and isinstance(value, str)
        else _with_encoded(value)
        for key, value in schema.items()
    }


def _nowhere(uri: str) -> Never:
    message = f"{uri} leads outside the schema"
    raise LookupError(message)
