"""What one run of the command line knows: which stack, where to write and in which form."""

import json
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from typing import Any, Final, NoReturn

import typer
from rich.console import Console

from batchline.aws.stack import Stack

PIPE_WIDTH: Final = 1_000_000  # what is piped on is neither shortened nor wrapped
FULL_ID_WIDTH: Final = 140
SHORT_ID: Final = 8

NOT_WELL: Final = 1
NOT_DONE: Final = 2


class Problem(Exception):
    """What was asked cannot be done; the message is a sentence that says why and what to do."""


@dataclass(frozen=True)
class Session:
    """One run. `as_json`: nothing but JSON goes to standard output."""

    stack_name: str
    as_json: bool
    console: Console = field(default_factory=lambda: _console(stderr=False))
    notes: Console = field(default_factory=lambda: _console(stderr=True))

    @cached_property
    def stack(self) -> Stack:
        """The stack, looked up when it is first asked for. Raises StackError."""
        return Stack.connect(self.stack_name)

    @property
    def width(self) -> int:
        return self.console.width

    def write_json(self, value: Any) -> None:
        """Write one JSON document; Decimals are strings, so that no digit is lost."""
        json.dump(value, sys.stdout, ensure_ascii=False, indent=2, default=_plain)
        sys.stdout.write("\n")

    def note(self, sentence: str) -> None:
        """Say something that is not the answer itself."""
        self.notes.print(sentence, soft_wrap=True)

    def pause(self, seconds: float) -> None:
        """Let time pass between two looks at what is going on."""
        time.sleep(seconds)

    def short_id(self, document_id: str) -> str:
        """Shorten a document's id where there is little room; its start finds it again."""
        return document_id if self.width >= FULL_ID_WIDTH else document_id[:SHORT_ID]


def session(context: typer.Context) -> Session:
    """Get the session that the global options have made."""
    found = context.find_object(Session)
    if found is None:
        raise RuntimeError("a command was run without the application around it")
    return found


def fail(code: int = NOT_WELL) -> NoReturn:
    """End with an exit code, everything being said."""
    raise typer.Exit(code)


def _plain(value: object) -> object:
    if isinstance(value, Decimal):
        return format(value.normalize(), "f") if value else "0"
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is not JSON")


def _console(*, stderr: bool) -> Console:
    console = Console(stderr=stderr, markup=False, emoji=False, highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = PIPE_WIDTH
    return console
