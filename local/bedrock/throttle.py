"""On-demand quotas: requests and tokens per minute of each caller and base model.

A request first takes its input tokens and its max_tokens; when it ends, the output counts at the
model's burndown rate instead.
https://docs.aws.amazon.com/bedrock/latest/userguide/quotas-token-burndown.html
"""

import threading
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from datetime import datetime, timedelta

from local.bedrock.errors import ApiError

_MINUTE = timedelta(minutes=1)


@dataclass
class Charge:
    """What one request holds of its minute's quota."""

    at: datetime
    tokens: int


class Meter:
    """Counts what each key used in the last minute of the emulator's clock."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._used: dict[Hashable, deque[Charge]] = {}

    def begin(
        self, key: Hashable, tokens: int, *, requests_limit: int | None, tokens_limit: int | None
    ) -> Charge:
        """Take a request's share of the minute; ThrottlingException where a quota would be passed."""
        with self._lock:
            used = self._used.setdefault(key, deque())
            now = self._now()
            while used and used[0].at <= now - _MINUTE:
                used.popleft()
            if requests_limit is not None and len(used) >= requests_limit:
                raise _throttled("requests")
            if tokens_limit is not None and sum(c.tokens for c in used) + tokens > tokens_limit:
                raise _throttled("tokens")
            charge = Charge(now, tokens)
            used.append(charge)
            return charge

    def settle(self, charge: Charge, tokens: int) -> None:
        """Replace what a request had reserved by what it used."""
        with self._lock:
            charge.tokens = tokens

    def clear(self) -> None:
        with self._lock:
            self._used.clear()


def _throttled(what: str) -> ApiError:
    return ApiError("ThrottlingException", f"Too many {what}, please wait before trying again.")
