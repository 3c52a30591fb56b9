"""Parameters: which keys of a pipeline fit the model that it names."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from batchline.catalog import Model


@dataclass(frozen=True, slots=True)
class Misfit:
    """A key under `inference` that a model does not take as it is given, and what to do about it."""

    key: str
    message: str


def misfit(model: Model, given: Mapping[str, Any]) -> Misfit | None:
    """Find what a model does not take of the keys that a file gives under `inference`, if anything."""
    for key in given:
        if key not in model.parameters:
            return Misfit(key, _not_taken(model, key))
    together = [key for key in model.one_of if key in given]
    if len(together) > 1:
        return Misfit(together[-1], f"{model.base_id} takes {' or '.join(together)}, not both: leave one out")
    longest = given.get("max_tokens", 0)
    if model.known and longest > model.max_output:
        said = f"is {longest}, but {model.base_id} answers at most {model.max_output} tokens"
        return Misfit("max_tokens", f"inference.max_tokens {said}")
    length = given.get("dimensions")
    if length is not None and length not in model.dimensions:
        return Misfit(
            "dimensions",
            f"{model.base_id} makes vectors of {_either(model.dimensions)} numbers, not {length}",
        )
    return None


def _not_taken(model: Model, key: str) -> str:
    if key == "dimensions" and not model.embeds:
        return f"inference.dimensions is for embeddings, and {model.base_id} answers in words: leave it out"
    if key == "dimensions":
        return f"{model.base_id} always makes vectors of {model.dimensions[0]} numbers: leave dimensions out"
    if model.embeds:
        return f"{model.base_id} answers with a vector and takes no {key}: leave it out"
    return f"{model.base_id} takes no {key}: leave it out"


def _either(values: Collection[int]) -> str:
    *others, last = map(str, values)
    return f"{', '.join(others)} or {last}" if others else last
