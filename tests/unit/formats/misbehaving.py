"""A parser that does what hostile files make parsers do; run in a child by test_isolated.py."""

import ctypes
import os
import signal
from collections.abc import Iterator
from typing import BinaryIO

from batchline.errors import Code, Refused
from batchline.formats.content import Image, Section


def parse(file: BinaryIO, *, mode: str = "echo") -> Iterator[Section | Image | dict[str, object]]:
    yield Section(file.read().decode(), 1, ("見出し", "two"))
    match mode:
        case "refuse":
            raise Refused(Code.TEXT_MISSING, "今日は nothing.")
        case "crash":
            ctypes.string_at(0)
        case "abort":
            os.abort()
        case "hang":
            signal.pause()
        case "spin":
            while True:
                pass
        case "eat":
            yield Section("x" * 2_000_000_000)
        case "bug":
            raise KeyError("secret")
        case "deep":
            parse_deeper()
        case "all":
            yield Image("png", b"\x00\xff", 2)
            yield {"a": "\ud800", "b": 1}
            yield Section("lone \ud800", None, ("\udfff",))
        case "environment":
            yield Section(",".join(name for name in os.environ if name.startswith("AWS_")), 2)
        case "many":
            for number in range(1_000_000):
                yield Section("y" * 10_000, number)


def parse_deeper() -> None:
    parse_deeper()
