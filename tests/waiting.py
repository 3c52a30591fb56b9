"""Waiting for what happens in other processes."""

import time
from collections.abc import Callable

POLL_S = 0.05


def eventually[T](
    fetch: Callable[[], T], *, seconds: float = 30, saying: Callable[[], object] | None = None
) -> T:
    """Call until the result is truthy and return it; fail the test when time is up.

    `saying` is called then, to tell more than the last result does.
    """
    deadline = time.monotonic() + seconds
    while not (found := fetch()):
        if time.monotonic() > deadline:
            last = saying() if saying else found
            raise AssertionError(f"not within {seconds} s; the last result is {last!r}")
        time.sleep(POLL_S)
    return found
