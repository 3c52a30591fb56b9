"""The emulator's time: the wall clock plus what a test has added, or time that only a test moves.

Everything that waits in the emulator waits here, so `advance` can run hours in milliseconds and
return when all that was due has happened.
"""

import asyncio
import heapq
import itertools
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any


class Clock:
    """`now`, `sleep`, `advance`; with `manual` the hands stand still between calls of `advance`."""

    def __init__(
        self,
        *,
        manual: bool = False,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.manual = manual
        self._wall = wall
        self._frozen_at = wall()
        self._added = timedelta()
        self._sleepers: list[tuple[datetime, int, asyncio.Future[None]]] = []
        self._order = itertools.count()
        self._tasks: set[asyncio.Task[None]] = set()
        self._busy = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def now(self) -> datetime:
        return (self._frozen_at if self.manual else self._wall()) + self._added

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start a task that `advance` waits for until it ends or sleeps."""
        self._enter()
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    async def sleep(self, seconds: float) -> None:
        """Wait until `seconds` of this clock have passed; only for tasks begun by `spawn`."""
        due = self.now() + timedelta(seconds=seconds)
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (due, next(self._order), woken))
        timer = None
        if not self.manual:
            timer = asyncio.get_running_loop().call_later(seconds, self._wake_due)
        self._leave()
        try:
            await woken
        except asyncio.CancelledError:
            if woken.cancelled():
                self._enter()
            raise
        finally:
            if timer is not None:
                timer.cancel()

    async def advance(self, seconds: float) -> None:
        """Move the clock on, waking sleepers in the order of their hours, until all is quiet."""
        target = self.now() + timedelta(seconds=seconds)
        await self.settle()
        while self._sleepers and self._sleepers[0][0] <= target:
            self._added += max(self._sleepers[0][0] - self.now(), timedelta())
            self._wake_due()
            await self.settle()
        self._added += max(target - self.now(), timedelta())

    async def settle(self) -> None:
        """Wait until every task sleeps or has ended."""
        while self._busy:
            await self._idle.wait()

    async def close(self) -> None:
        """Cancel what is still running."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _wake_due(self) -> None:
        while self._sleepers and self._sleepers[0][0] <= self.now():
            woken = heapq.heappop(self._sleepers)[2]
            if not woken.done():
                self._enter()
                woken.set_result(None)
        if self._sleepers and not self.manual:
            # Timers may fire before the wall clock agrees: look again when the next is due.
            wait = (self._sleepers[0][0] - self.now()).total_seconds()
            asyncio.get_running_loop().call_later(max(wait, 0.001), self._wake_due)

    def _enter(self) -> None:
        self._busy += 1
        self._idle.clear()

    def _leave(self) -> None:
        self._busy -= 1
        if self._busy == 0:
            self._idle.set()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._leave()
        if not task.cancelled() and (error := task.exception()) is not None:
            asyncio.get_running_loop().call_exception_handler(
                {"message": "a task of the emulator failed", "exception": error, "task": task}
            )
