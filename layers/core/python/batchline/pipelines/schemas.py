"""References in a JSON Schema: what is found to be wrong only when an answer is held against it."""

from collections.abc import Iterator
from typing import Any, Final

import jsonschema
import referencing
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

_EACH_KIND: Final[tuple[Any, ...]] = (None, True, 0, "", [], {})


def refuse_references(schema: dict[str, Any]) -> None:
    """Raise ValueError for what is found to be wrong only when an answer is held against the schema."""
    resolver = referencing.Registry().resolver_with_root(DRAFT202012.create_resource(schema))
    validator = jsonschema.Draft202012Validator(schema, registry=referencing.Registry())
    for ref in dict.fromkeys(_references(schema)):
        if not ref.startswith("#"):
            message = f"$ref {ref} leads outside the file; put the definition under $defs"
            raise ValueError(message)
        try:
            validator.check_schema(resolver.lookup(ref).contents)
            for value in _EACH_KIND:
                validator.evolve(schema={"$ref": ref}).is_valid(value)
        except (Unresolvable, jsonschema.SchemaError) as error:
            message = f"$ref {ref} leads to no schema; put the definition under $defs"
            raise ValueError(message) from error
        except RecursionError as error:
            message = f"$ref {ref} leads back to itself without end"
            raise ValueError(message) from error


def _references(schema: object) -> Iterator[str]:
    if isinstance(schema, dict):
        for key, value in schema.items():
            if key in {"$ref", "$dynamicRef"} and isinstance(value, str):
                yield value
            yield from _references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _references(value)
