"""Templates of prompts: Jinja2 in a sandbox, bounded in what it computes."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, override

import jinja2.meta
from jinja2.sandbox import ImmutableSandboxedEnvironment

from batchline.pipelines.hints import did_you_mean

MAX_NUMBER_BITS: Final = 10_000  # of what a prompt computes


class _Templates(ImmutableSandboxedEnvironment):
    """Jinja2, but a name after a dot is a column first: a table may have one called `items`."""

    @override
    def getattr(self, obj: Any, attribute: str) -> Any:
        if isinstance(obj, Mapping) and attribute in obj:
            return obj[attribute]
        return super().getattr(obj, attribute)

    # Python hears no signal while it multiplies, so no time limit ends these.
    intercepted_binops = frozenset({"*", "**"})

    @override
    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if isinstance(left, int) and isinstance(right, int):
            bits = left.bit_length() * right if operator == "**" else left.bit_length() + right.bit_length()
            if bits > MAX_NUMBER_BITS:
                message = "a number is too large"
                raise OverflowError(message)
        return super().call_binop(context, operator, left, right)


TEMPLATES: Final = _Templates(
    undefined=jinja2.StrictUndefined,
    keep_trailing_newline=False,
    autoescape=False,
    optimized=False,  # nothing is computed while a template is compiled: only rendering is bounded
)
# A document's records are the same on every run, so nothing in a prompt is left to chance.
del TEMPLATES.globals["lipsum"], TEMPLATES.filters["random"]


def variables(prompt: str, known: tuple[str, ...]) -> set[str]:
    """Name the variables that a template uses. Raises ValueError for a template that is wrong."""
    try:
        TEMPLATES.from_string(prompt)
        parsed = TEMPLATES.parse(prompt)
        used = jinja2.meta.find_undeclared_variables(parsed)
    except jinja2.TemplateSyntaxError as error:
        message = f"the template is wrong in its line {error.lineno}: {error.message}"
        raise ValueError(message) from error
    except (RecursionError, MemoryError, SyntaxError) as error:
        # A template becomes Python code, and Python nests only so deep.
        message = "the template is nested too deeply"
        raise ValueError(message) from error
    if any(True for _ in jinja2.meta.find_referenced_templates(parsed)):
        message = "the template includes another one; a prompt stands in one piece"
        raise ValueError(message)
    if strange := sorted(used - set(known)):
        message = f"unknown variable {strange[0]}{did_you_mean(strange[0], known)}"
        raise ValueError(message)
    return used


@lru_cache(maxsize=64)
def compiled(prompt: str) -> jinja2.Template:
    """Compile a prompt's template."""
    return TEMPLATES.from_string(prompt)
