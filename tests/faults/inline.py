"""A pool without threads: what is handed in is done at once, so every run makes its calls in one order."""

from collections.abc import Callable
from concurrent.futures import Executor, Future


class InlineExecutor(Executor):
    """Takes the place of a ThreadPoolExecutor."""

    def __init__(self, max_workers: int | None = None) -> None:
        self.max_workers = max_workers

    def submit[**P, T](self, do: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        done: Future[T] = Future()
        try:
            done.set_result(do(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - the future keeps it, as any pool does
            done.set_exception(error)
        return done
