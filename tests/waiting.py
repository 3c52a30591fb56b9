"""Waiting for what happens in other processes."""

import time
from collections.abc import Callable

POLL_S = 0.05


def eventually[T](fetch: Callable[[], T], *, seconds: float = 30) -> T:
    """Call until the result is truthy and return it; fail the test when time is up."""
    deadline = time.monotonic() + seconds
    while not (found := fetch()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s; the last result is {found!r}")
        time.sleep(POLL_S)
    return found
