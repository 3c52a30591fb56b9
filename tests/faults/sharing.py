"""Work for several processes: each takes the next item when it is done with the last."""

import multiprocessing
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

PROCESSES = int(os.environ.get("BATCHLINE_FAULTS_PROCESSES", "2"))


@dataclass
class _Task:
    """What the children of a fork inherit, because it cannot be sent to them."""

    do: Callable[[Any], Any]


_current: list[_Task] = []


def _run(item: Any) -> Any:
    return _current[-1].do(item)


def shared[T, R](do: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """Do something for each item, in a few processes that begin as copies of this one.

    What is returned must be picklable, in the order of the items.
    """
    _current.append(_Task(do))
    try:
        with multiprocessing.get_context("fork").Pool(PROCESSES) as pool:
            return pool.map(_run, items, chunksize=4)
    finally:
        _current.pop()
