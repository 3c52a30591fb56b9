"""A parser that does what hostile files make parsers do; run in a child by test_isolated.py."""

import ctypes
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import BinaryIO

from batchline.errors import Code, Refused
from batchline.formats import child
from batchline.formats.content import Image, Section


def parse(file: BinaryIO, *, mode: str = "echo") -> Iterator[child.Item]:
    yield Section(file.read().decode(), 1, ("見出し", "two"))
    if mode in DEATHS:
        DEATHS[mode]()
    if mode in YIELDS:
        yield from YIELDS[mode]()


def refuse() -> None:
    raise Refused(Code.TEXT_MISSING, "今日は nothing.")


def spin() -> None:
    while True:
        pass


def fail() -> None:
    raise KeyError("secret")


def deepen() -> None:
    deepen()


def kinds() -> Iterator[child.Item]:
    yield Image("png", b"\x00\xff", 2)
    yield {"a": "\ud800", "b": 1}
    yield Section("lone \ud800", None, ("\udfff",))


def environment() -> Iterator[child.Item]:
    yield Section(",".join(name for name in os.environ if name.startswith("AWS_")), 2)


def many() -> Iterator[child.Item]:
    for number in range(1_000_000):
        yield Section("y" * 10_000, number)


DEATHS: Mapping[str, Callable[[], object]] = {
    "refuse": refuse,
    "crash": partial(ctypes.string_at, 0),
    "abort": os.abort,
    "hang": signal.pause,
    "spin": spin,
    "eat": partial(bytearray, 2_000_000_000),
    "bug": fail,
    "deep": deepen,
}
YIELDS: Mapping[str, Callable[[], Iterator[child.Item]]] = {
    "all": kinds,
    "environment": environment,
    "many": many,
}
