"""The one place through which all calls to AWS of a test pass: counted, one at a time, made to fail."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from botocore.exceptions import ConnectTimeoutError, ReadTimeoutError

READS = ("Get", "Head", "List", "Query", "BatchGet", "Scan")
ENDPOINT = "https://aws.test"


class Died(Exception):
    """The function was killed here; nothing that it would do afterwards happens."""


class Fault(Enum):
    """How a call goes wrong."""

    DIED_BEFORE = "died before the call"
    DIED_AFTER = "died after the call took effect"
    FAILED_BEFORE = "the call failed"
    REPLY_LOST = "the call took effect, its reply was lost"

    @property
    def deadly(self) -> bool:
        return self in {Fault.DIED_BEFORE, Fault.DIED_AFTER}

    @property
    def takes_effect(self) -> bool:
        return self in {Fault.DIED_AFTER, Fault.REPLY_LOST}

    def error(self) -> Exception:
        if self.deadly:
            return Died()
        if self.takes_effect:
            return ReadTimeoutError(endpoint_url=ENDPOINT)
        return ConnectTimeoutError(endpoint_url=ENDPOINT)


@dataclass(frozen=True)
class Call:
    stage: str
    name: str
    parameters: Any
    reply: Any

    @property
    def reads(self) -> bool:
        return self.name.partition(".")[2].startswith(READS)


@dataclass
class Calls:
    """Counts the calls of the stages. The `at`-th one from `arm` on has the fault.

    `counted` tells by stage and name which calls count, where not all do. `watch` is told of each call before
    it is made, `change` may change its reply, and `after` is told what a run has returned. `run` counts runs.
    """

    made: list[Call] = field(default_factory=list)
    watch: Callable[[str, Any], None] | None = None
    change: Callable[[str, Any, Any], Any] | None = None
    after: Callable[[Any], None] | None = None
    _inside: bool = False
    _dead: bool = False
    _fault: Fault | None = None
    _left: int = 0
    _counted: Callable[[str, str], bool] = lambda _stage, _name: True
    stage: str = ""
    run: int = 0
    struck: str = ""
    _lock: Any = field(default_factory=threading.RLock)

    def arm(self, fault: Fault, at: int, counted: Callable[[str, str], bool] | None = None) -> None:
        self._fault, self._left, self.struck = fault, at, ""
        self._counted = counted or (lambda _stage, _name: True)

    def disarm(self) -> None:
        self._fault = None

    def lose_reply(self, name: str) -> None:
        """Let the next call of this name take effect, and its reply get lost."""

        def lose(made: str, _parameters: Any, reply: Any) -> Any:
            if made == name:
                self.change = None
                raise Fault.REPLY_LOST.error()
            return reply

        self.change = lose

    def begin(self, stage: str) -> None:
        """A function starts in a process of its own."""
        self._inside, self._dead, self.stage = True, False, stage
        self.run += 1

    def end(self) -> None:
        self._inside = False

    def pass_on(self, name: str, parameters: Any, do: Callable[[], Any]) -> Any:
        """Make a call, or let it go wrong."""
        if self.watch and self._inside and not self._dead:
            self.watch(name, parameters)  # without the lock: it may run other stages
        with self._lock:
            if not self._inside:
                return do()
            if self._dead:
                raise Died
            fault = self._due(name)
            if fault and not fault.takes_effect:
                raise fault.error()
            reply = do()
            if fault:
                raise fault.error()
            if self.change:
                reply = self.change(name, parameters, reply)
            self.made.append(Call(self.stage, name, parameters, reply))
            return reply

    def _due(self, name: str) -> Fault | None:
        if self._fault is None or not self._counted(self.stage, name):
            return None
        self._left -= 1
        if self._left:
            return None
        fault, self._fault = self._fault, None
        self._dead, self.struck = fault.deadly, f"{self.stage} {name}"
        return fault

    def names(self) -> list[str]:
        return [one.name for one in self.made]

    def of(self, name: str) -> list[Call]:
        return [one for one in self.made if one.name == name]
