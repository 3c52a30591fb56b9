"""Rendering prompts within bounds: a template is a small program, and may be a wrong one.

Jinja's sandbox keeps a template from Python's insides and its ranges below 100,000. It bounds neither
nested loops nor recursion, nor what `*`, `~`, `join` or `center` may build, so the time, the memory and
the text of each rendering are bounded here.
"""

import resource
import signal
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import repeat
from pathlib import Path
from typing import Any, Final, NoReturn, Self

import jinja2
from jinja2 import nodes

# Of the processor, so that a busy machine changes nothing; a long prompt takes a millisecond.
MAX_SECONDS: Final = 2.0
# No model takes as much: a token is rarely longer than eight characters.
MAX_CHARACTERS: Final = 8_000_000
MAX_MEMORY_BYTES: Final = 512 << 20
# What Jinja writes as `str` does.
_PLAIN: Final = frozenset({str, int, float, bool})


class TooMuch(Exception):
    """A rendering has crossed a bound. Do not retry: it will again."""


# What rendering may raise because of the template or of the values in it.
ERRORS: Final = (
    TooMuch,
    jinja2.TemplateError,
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)


class Plain:
    """A template that only puts values between words, as most do; filled without Jinja's machinery.

    `{{ text }}`, `{{ document.name }}` and `{{ row.price }}` are such values.
    """

    def __init__(self, parts: Sequence[str | tuple[str, ...]]) -> None:
        self._parts = parts

    @classmethod
    def of(cls, parsed: nodes.Template) -> Self | None:
        """Read a template. None: it does more."""
        parts: list[str | tuple[str, ...]] = []
        for output in parsed.body:
            if not isinstance(output, nodes.Output):
                return None
            for node in output.nodes:
                if isinstance(node, nodes.TemplateData):
                    parts.append(node.data)
                elif isinstance(node, nodes.Name):
                    parts.append((node.name,))
                elif isinstance(node, nodes.Getattr) and isinstance(node.node, nodes.Name):
                    parts.append((node.node.name, node.attr))
                else:
                    return None
        return cls(parts)

    def given(self, name: str, values: Mapping[str, Any]) -> "Plain":
        """Put in what is the same in all prompts: the plain values of one variable."""
        put = [
            str(values[part[1]]) if part[:1] == (name,) and type(values.get(part[-1])) in _PLAIN else part
            for part in self._parts
        ]
        parts: list[str | tuple[str, ...]] = []
        for part in put:
            if parts and isinstance(parts[-1], str) and isinstance(part, str):
                parts[-1] += part
            else:
                parts.append(part)
        return Plain(parts)

    def around(self, name: str) -> list[str] | None:
        """Give what stands around a value, if it is all that is put in, once."""
        fixed = [part for part in self._parts if isinstance(part, str)]
        values = [part for part in self._parts if not isinstance(part, str)]
        return fixed if values == [(name,)] else None

    def fill(self, variables: Mapping[str, Sequence[Any]], count: int) -> list[str] | None:
        """Give what Jinja would for so many prompts, given the values of each variable in them.

        None: a value is missing, not plain or too long, and Jinja must say.
        """
        columns: list[Iterable[str]] = []
        for part in self._parts:
            if type(part) is str:
                columns.append(repeat(part, count))
                continue
            try:
                values = variables[part[0]]
                if len(part) > 1:
                    values = [one[part[1]] for one in values]
            except (KeyError, TypeError):
                return None
            kinds = set(map(type, values))
            if not kinds <= _PLAIN:
                return None
            columns.append(values if kinds == {str} else map(str, values))
        filled = list(map("".join, zip(*columns, strict=True)))
        return filled if max(map(len, filled)) <= MAX_CHARACTERS else None


def render(template: jinja2.Template, variables: Mapping[str, Any]) -> str:
    """Render a template; call it from the main thread, where Python hears signals.

    Raises one of ERRORS.
    """
    try:
        return _render(template, variables)
    except MemoryError:
        _occupied.cache_clear()  # the process itself may have grown since that was measured
    try:
        return _render(template, variables)
    except MemoryError as error:
        raise TooMuch(f"it takes more than {MAX_MEMORY_BYTES >> 20} MB of memory") from error


def may_read(parsed: nodes.Template, variable: str, attribute: str) -> bool:
    """Tell whether a template reads this attribute of a variable, or may: it may name one at run time."""
    named: list[object] = [one.attr for one in parsed.find_all(nodes.Getattr) if _is(one.node, variable)]
    named += [one.arg for one in parsed.find_all(nodes.Getitem) if _is(one.node, variable)]
    fixed = [one.value if isinstance(one, nodes.Const) else one for one in named]
    mentioned = sum(one.name == variable for one in parsed.find_all(nodes.Name))
    return attribute in fixed or mentioned > len(fixed) or not all(isinstance(one, str) for one in fixed)


def _is(node: nodes.Node, variable: str) -> bool:
    return isinstance(node, nodes.Name) and node.name == variable


def _render(template: jinja2.Template, variables: Mapping[str, Any]) -> str:
    parts: list[str] = []
    size = 0
    with _bounded():
        for part in template.generate(variables):
            size += len(part)
            if size > MAX_CHARACTERS:
                raise TooMuch(f"it is longer than {MAX_CHARACTERS:,} characters")
            parts.append(part)
    return "".join(parts)


@contextmanager
def _bounded() -> Iterator[None]:
    _listen()
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    room = _occupied() + MAX_MEMORY_BYTES
    lowest = min((one for one in (soft, hard, room) if one != resource.RLIM_INFINITY), default=room)
    signal.setitimer(signal.ITIMER_VIRTUAL, MAX_SECONDS)
    try:
        resource.setrlimit(resource.RLIMIT_DATA, (lowest, hard))
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


@cache
def _listen() -> None:
    signal.signal(signal.SIGVTALRM, _expire)


def _expire(_signal: int, _frame: object) -> NoReturn:
    raise TooMuch(f"it takes longer than {MAX_SECONDS:g} seconds")


@cache
def _occupied() -> int:
    """Measure the memory that the process has for its data, in bytes. Elsewhere than on Linux: none."""
    if sys.platform != "linux":
        return 0
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[5])
    return pages * resource.getpagesize()
