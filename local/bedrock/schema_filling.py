"""Fills a JSON Schema from a document: the value is valid first of all, and taken from the text.

A property's name and description say what kind of fact is looked for; where the text has none, the
smallest valid value stands in, null if the schema allows it.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from local.bedrock.evidence import Evidence
from local.bedrock.sought import Sought

_DEEPEST: Final = 12
_MOST_ITEMS: Final = 8

type Schema = Mapping[str, Any] | bool


def fill(schema: Schema, document: str) -> Any:
    """Return a value for `schema`, drawn from `document`."""
    return _Filler(schema).value(schema, Evidence(document), "", 0)


class _Filler:
    def __init__(self, root: Schema) -> None:
        self._root = root

    def value(self, schema: Schema, evidence: Evidence, name: str, depth: int) -> Any:
        rules = self._resolved(schema)
        if "const" in rules:
            return rules["const"]
        if rules.get("enum"):
            return _choose(rules["enum"], evidence, Sought.read(name, rules))
        kinds = _kinds(rules)
        for kind in kinds:
            found = self._of_kind(kind, rules, evidence, name, depth)
            if found is not None:
                return found
        return None if "null" in kinds else _smallest(kinds[0], rules)

    def _of_kind(self, kind: str, rules: Mapping[str, Any], evidence: Evidence, name: str, depth: int) -> Any:
        sought = Sought.read(name, rules)
        match kind:
            case "object":
                return self._object(rules, evidence, depth)
            case "array":
                return self._array(rules, evidence, name, depth)
            case "string":
                return _string(rules, evidence, sought)
            case "integer" | "number":
                number = evidence.number(sought)
                return None if number is None else _bounded(number, rules, whole=kind == "integer")
            case "boolean":
                return evidence.says(sought)
            case _:
                return None

    def _object(self, rules: Mapping[str, Any], evidence: Evidence, depth: int) -> Any:
        properties = rules.get("properties")
        names = dict(properties) if isinstance(properties, dict) else {}
        required = rules.get("required")
        required = required if isinstance(required, list) else []
        for missing in required:
            names.setdefault(missing, rules.get("additionalProperties", True))
        if depth >= _DEEPEST:
            # A schema that contains itself ends where it may.
            names = {name: names[name] for name in names if name in required}
        if depth >= 2 * _DEEPEST:
            return {}
        return {
            name: self.value(member, evidence, str(name), depth + 1)
            for name, member in names.items()
            if isinstance(member, (dict, bool))
        }

    def _array(self, rules: Mapping[str, Any], evidence: Evidence, name: str, depth: int) -> Any:
        fewest = int(rules.get("minItems", 0))
        most = min(int(rules.get("maxItems", max(_MOST_ITEMS, fewest))), max(_MOST_ITEMS, fewest))
        items = self._resolved(rules.get("items", True))
        sought = Sought.read(name, {**rules, "description": _text_of(rules, items)})
        if depth >= _DEEPEST:
            most = fewest
        found = [
            entry
            for part in evidence.parts(sought, objects="object" in _kinds(items))
            if (entry := self._item(items, part, name, depth)) is not None
        ]
        unique = [entry for at, entry in enumerate(found) if entry not in found[:at]]
        while len(unique) < fewest:
            unique.append(self.value(items, evidence, name, depth + 1))
        return unique[:most]

    def _item(self, items: Mapping[str, Any], part: Evidence, name: str, depth: int) -> Any:
        """Return one element from its part of the text, None where the part cannot give one."""
        if _kinds(items)[0] == "string" and not {"enum", "const"} & items.keys():
            return _fitted(part.text, items)
        return self.value(items, part, name, depth + 1)

    def _resolved(self, schema: Schema) -> Mapping[str, Any]:
        """Follow references and take the first of alternatives; true is a schema without rules."""
        for _ in range(_DEEPEST):
            if not isinstance(schema, Mapping):
                return {}
            if isinstance(reference := schema.get("$ref"), str):
                schema = {
                    **self._referred(reference),
                    **{k: v for k, v in schema.items() if k != "$ref"},
                }
            elif choices := schema.get("anyOf") or schema.get("oneOf"):
                schema = {**schema, **_first_choice(choices), "anyOf": None, "oneOf": None}
            elif parts := schema.get("allOf"):
                merged: dict[str, Any] = {**schema, "allOf": None}
                for part in parts:
                    merged = _merged(merged, self._resolved(part))
                schema = merged
            else:
                return schema
        return {}

    def _referred(self, reference: str) -> Mapping[str, Any]:
        target: Any = self._root
        for step in reference.removeprefix("#").strip("/").split("/"):
            if step:
                target = target.get(step, {}) if isinstance(target, Mapping) else {}
        return target if isinstance(target, Mapping) else {}


def _first_choice(choices: Any) -> Mapping[str, Any]:
    """Prefer what is not null: `anyOf: [string, null]` means a string if there is one."""
    options = [choice for choice in choices if isinstance(choice, Mapping)]
    options.sort(key=lambda choice: choice.get("type") == "null")
    if not options:
        return {}
    nullable = any(choice.get("type") == "null" for choice in options)
    chosen = dict(options[0])
    if nullable and isinstance(chosen.get("type"), str):
        chosen["type"] = [chosen["type"], "null"]
    return chosen


def _merged(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    result = {**one, **other}
    result["properties"] = {**(one.get("properties") or {}), **(other.get("properties") or {})}
    result["required"] = [*(one.get("required") or []), *(other.get("required") or [])]
    if not result["properties"]:
        del result["properties"]
    return result


def _kinds(rules: Mapping[str, Any]) -> list[str]:
    kind = rules.get("type")
    if isinstance(kind, str):
        return [kind]
    if isinstance(kind, list) and kind:
        return [*[str(k) for k in kind if k != "null"], *(["null"] if "null" in kind else [])]
    if "properties" in rules or "required" in rules:
        return ["object"]
    return ["array"] if "items" in rules else ["string"]


def _text_of(rules: Mapping[str, Any], items: Mapping[str, Any]) -> str:
    return f"{rules.get('description', '')} {items.get('description', '')}"


def _choose(options: Any, evidence: Evidence, sought: Sought) -> Any:
    scored = [(evidence.support(str(option), sought), -at) for at, option in enumerate(options)]
    return options[-max(scored)[1]]


def _string(rules: Mapping[str, Any], evidence: Evidence, sought: Sought) -> str | None:
    for candidate in evidence.texts(sought, form=str(rules.get("format", ""))):
        if (fitted := _fitted(candidate, rules)) is not None:
            return fitted
    return None


def _fitted(text: str, rules: Mapping[str, Any]) -> str | None:
    """Return `text` cut to maxLength, or None where it breaks another rule."""
    most = rules.get("maxLength")
    if isinstance(most, int) and len(text) > most:
        text = text[:most].rstrip()
    if len(text) < int(rules.get("minLength", 0)):
        return None
    pattern = rules.get("pattern")
    if isinstance(pattern, str):
        try:
            return text if re.search(pattern, text) else None
        except re.error:  # a pattern of another regular-expression dialect cannot be checked here
            return text
    return text


def _bounded(number: float, rules: Mapping[str, Any], *, whole: bool) -> int | float:
    low = rules.get("minimum", rules.get("exclusiveMinimum"))
    high = rules.get("maximum", rules.get("exclusiveMaximum"))
    step = 1 if whole else 1e-6
    if low is not None:
        number = max(number, low + (step if "exclusiveMinimum" in rules else 0))
    if high is not None:
        number = min(number, high - (step if "exclusiveMaximum" in rules else 0))
    if multiple := rules.get("multipleOf"):
        number = round(number / multiple) * multiple
    return round(number) if whole else number


def _smallest(kind: str, rules: Mapping[str, Any]) -> Any:
    """Return the least valid value of a kind for which the text has no evidence."""
    if kind in {"integer", "number"}:
        return _bounded(0, rules, whole=kind == "integer")
    if kind == "string":
        form = str(rules.get("format", ""))
        if form in {"date", "date-time"}:
            return {"date": "1970-01-01", "date-time": "1970-01-01T00:00:00Z"}[form]
        return "-" * int(rules.get("minLength", 0))
    return {"object": {}, "array": [], "boolean": False}.get(kind)
