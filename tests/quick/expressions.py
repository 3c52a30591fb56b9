"""DynamoDB's condition and update expressions, compiled once each into functions of an item."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Any

from boto3.dynamodb.types import DYNAMODB_CONTEXT

type Item = dict[str, Any]
type Operand = Callable[[Item, "Terms"], Any]
type Condition = Callable[[Item, "Terms"], bool]
type Change = Callable[[Item, Item, "Terms"], None]

TOKEN = re.compile(r"#\w+|:\w+|\w+|<=|>=|[=<>(),.]")
COMPARED: dict[str, Callable[[Any, Any], bool]] = {
    "<": lambda left, right: left < right,
    "<=": lambda left, right: left <= right,
    ">": lambda left, right: left > right,
    ">=": lambda left, right: left >= right,
}
EXPRESSIONS = ("ConditionExpression", "FilterExpression", "KeyConditionExpression", "UpdateExpression")
CLAUSES = ("SET", "REMOVE", "ADD", "DELETE")


@dataclass(frozen=True, slots=True)
class Terms:
    """What `#name` and `:value` of a request stand for."""

    names: Mapping[str, str]
    values: Mapping[str, Any]

    @classmethod
    def of(cls, request: Mapping[str, Any]) -> "Terms":
        found = cls(request.get("ExpressionAttributeNames", {}), request.get("ExpressionAttributeValues", {}))
        used = _placeholders(*(request.get(name, "") for name in EXPRESSIONS))
        # DynamoDB refuses what is given and not used as well.
        assert found.names.keys() | found.values.keys() == used, f"not what is used: {request}"
        return found


@cache
def _placeholders(*texts: str) -> frozenset[str]:
    return frozenset(token for text in texts for token in TOKEN.findall(text) if token[0] in "#:")


@cache
def condition(text: str) -> Condition:
    """Compile a condition; an empty one always holds."""
    return _Parser(text).condition() if text else lambda _item, _terms: True


@cache
def update(text: str) -> Callable[[Item, Terms], Item]:
    """Compile an update: a function from the item before to the item after it."""
    changes = list(_Parser(text).changes())

    def apply(before: Item, terms: Terms) -> Item:
        after = dict(before)
        for change in changes:
            change(before, after, terms)
        return after

    return apply


def plain(value: Any) -> Any:
    """Read a value in DynamoDB's notation as one that can be compared."""
    ((kind, inner),) = value.items()
    return Decimal(inner) if kind == "N" else inner


def number(value: Decimal) -> Item:
    """Write a number as DynamoDB keeps it: without exponent and without needless zeros."""
    return {"N": f"{DYNAMODB_CONTEXT.normalize(value):f}"}


class _Parser:
    def __init__(self, text: str) -> None:
        assert not TOKEN.sub("", text).strip(), f"not understood: {text}"
        self.left = TOKEN.findall(text)[::-1]

    def condition(self) -> Condition:
        found = self._any()
        assert not self.left, f"left over: {self.left}"
        return found

    def changes(self) -> Iterator[Change]:
        while self.left:
            clause = self._take(*CLAUSES)
            yield from self._clause(clause)

    def _next(self) -> str:
        return self.left[-1] if self.left else ""

    def _take(self, *wanted: str) -> str:
        token = self.left.pop()
        assert not wanted or token in wanted, f"{token} stands where {wanted} should"
        return token

    def _skip(self, token: str) -> bool:
        if self._next() != token:
            return False
        self.left.pop()
        return True

    # conditions

    def _any(self) -> Condition:
        parts = [self._all()]
        while self._skip("OR"):
            parts.append(self._all())
        return parts[0] if len(parts) == 1 else lambda item, terms: any(one(item, terms) for one in parts)

    def _all(self) -> Condition:
        parts = [self._not()]
        while self._skip("AND"):
            parts.append(self._not())
        return parts[0] if len(parts) == 1 else lambda item, terms: all(one(item, terms) for one in parts)

    def _not(self) -> Condition:
        if self._skip("NOT"):
            inner = self._not()
            return lambda item, terms: not inner(item, terms)
        if self._skip("("):
            inner = self._any()
            self._take(")")
            return inner
        if self._next() in FUNCTIONS:
            return self._function(FUNCTIONS[self._take()])
        return self._comparison()

    def _function(self, do: Callable[[Any, Any], bool]) -> Condition:
        self._take("(")
        path = self._operand()
        given = self._operand() if self._skip(",") else lambda _item, _terms: None
        self._take(")")
        return lambda item, terms: do(path(item, terms), given(item, terms))

    def _comparison(self) -> Condition:
        left = self._operand()
        if self._skip("IN"):
            self._take("(")
            options = [self._operand()]
            while self._skip(","):
                options.append(self._operand())
            self._take(")")
            return lambda item, terms: any(_equal(left(item, terms), one(item, terms)) for one in options)
        sign = self._take("=", *COMPARED)
        right = self._operand()
        if sign == "=":
            return lambda item, terms: _equal(left(item, terms), right(item, terms))
        compare = COMPARED[sign]

        def holds(item: Item, terms: Terms) -> bool:
            one, other = left(item, terms), right(item, terms)
            if one is None or other is None or one.keys() != other.keys():
                return False
            return compare(plain(one), plain(other))

        return holds

    def _operand(self) -> Operand:
        token = self._take()
        if token == "size":
            self._take("(")
            path = self._operand()
            self._take(")")
            return lambda item, terms: _size(path(item, terms))
        if token.startswith(":"):
            return lambda _item, terms: terms.values[token]
        assert token.startswith("#"), f"{token} is no name"
        inner: list[str] = []
        while self._skip("."):
            inner.append(self._take())

        def read(item: Item, terms: Terms) -> Any:
            found = item.get(terms.names[token])
            for name in inner:
                found = (found or {}).get("M", {}).get(terms.names[name])
            return found

        return read

    # updates

    def _clause(self, clause: str) -> Iterator[Change]:
        while True:
            name = self._take()
            assert name.startswith("#"), f"{name} is no name"
            if clause == "REMOVE":
                yield _remove(name)
            elif clause == "SET":
                self._take("=")
                yield _set(name, self._operand())
            else:
                yield _add(name, self._take()) if clause == "ADD" else _take_out(name, self._take())
            if not self._skip(","):
                return


def _equal(left: Any, right: Any) -> bool:
    if left is None or right is None or left.keys() != right.keys():
        return False
    return bool(plain(left) == plain(right))


def _size(value: Any) -> Any:
    return None if value is None else {"N": str(len(plain(value)))}


def _contains(value: Any, wanted: Any) -> bool:
    return value is not None and wanted["S"] in plain(value)


def _begins(value: Any, wanted: Any) -> bool:
    return value is not None and value["S"].startswith(wanted["S"])


FUNCTIONS: dict[str, Callable[[Any, Any], bool]] = {
    "attribute_exists": lambda value, _given: value is not None,
    "attribute_not_exists": lambda value, _given: value is None,
    "contains": _contains,
    "begins_with": _begins,
}


def _set(name: str, operand: Operand) -> Change:
    def change(before: Item, after: Item, terms: Terms) -> None:
        after[terms.names[name]] = operand(before, terms)

    return change


def _remove(name: str) -> Change:
    def change(_before: Item, after: Item, terms: Terms) -> None:
        after.pop(terms.names[name], None)

    return change


def _add(name: str, value: str) -> Change:
    def change(before: Item, after: Item, terms: Terms) -> None:
        attribute, more = terms.names[name], terms.values[value]
        if "N" in more:
            old = plain(before.get(attribute, {"N": "0"}))
            after[attribute] = number(DYNAMODB_CONTEXT.add(old, plain(more)))
        else:
            old = before.get(attribute, {"SS": []})["SS"]
            after[attribute] = {"SS": sorted({*old, *more["SS"]})}

    return change


def _take_out(name: str, value: str) -> Change:
    def change(before: Item, after: Item, terms: Terms) -> None:
        attribute = terms.names[name]
        old = before.get(attribute, {"SS": []})["SS"]
        left = sorted(set(old) - set(terms.values[value]["SS"]))
        after.pop(attribute, None)
        if left:
            after[attribute] = {"SS": left}

    return change
