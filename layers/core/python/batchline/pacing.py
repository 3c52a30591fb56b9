"""Pacing: when the next single call to a model may start, decided from values alone.

A quota counts what was asked for in the last minute, so what was asked for is remembered for a minute:
then no minute has more than the quota, wherever it begins. When the model refuses all the same, the pace
is halved, and it grows back by a sixtieth a second (additive increase, multiplicative decrease). Times
are seconds.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Final

MINUTE: Final = 60.0
RECOVERY: Final = 1 / 60  # of the full pace, per second
SLOWEST: Final = 1 / 32
# Calls that were under way when the first of them was refused say nothing new.
SAME_REFUSAL: Final = 5.0
FIRST_BACKOFF: Final = 1.0
LONGEST_BACKOFF: Final = 60.0


@dataclass(slots=True, eq=False)
class Ticket:
    """The right to have made a call, with the tokens that count for it."""

    at: float
    tokens: int
    counts: bool = True


@dataclass(slots=True)
class Governor:
    """The pace of one model. `width` bounds the calls under way; a quota that is None is not known."""

    width: int
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    _share: float = 1.0
    _share_at: float = 0.0
    _refused_at: float = float("-inf")
    _tokens: int = 0
    _tickets: deque[Ticket] = field(default_factory=deque)

    def room(self, now: float) -> int:
        """Count the calls that may be under way at once; at least one."""
        return max(1, int(self.width * self.share(now)))

    def delay(self, now: float, tokens: int) -> float:
        """Say in how many seconds a call of so many tokens may start; 0: now.

        A call that is larger than the whole quota starts when no other was made for a minute.
        """
        self._forget(now)
        share, free_at = self.share(now), now
        if self.requests_per_minute is not None:
            allowed = max(1, int(self.requests_per_minute * share))
            if (over := len(self._tickets) + 1 - allowed) > 0:
                free_at = max(free_at, self._tickets[over - 1].at + MINUTE)
        if self.tokens_per_minute is not None:
            allowed = max(1, int(self.tokens_per_minute * share))
            free_at = max(free_at, self._free_at(self._tokens + min(tokens, allowed) - allowed))
        return free_at - now

    def _free_at(self, tokens: int) -> float:
        """Say when so many tokens will have left the window."""
        at = float("-inf")
        for ticket in self._tickets:
            if tokens <= 0:
                break
            tokens -= ticket.tokens
            at = ticket.at + MINUTE
        return at

    def admit(self, now: float, tokens: int) -> Ticket:
        """Count a call that starts now, with the most tokens that it may use."""
        ticket = Ticket(now, tokens)
        self._tickets.append(ticket)
        self._tokens += tokens
        return ticket

    def settle(self, ticket: Ticket, tokens: int) -> None:
        """Count what a call has really used."""
        if ticket.counts:
            self._tokens += tokens - ticket.tokens
            ticket.tokens = tokens

    def refused(self, now: float) -> None:
        """Halve the pace: the model says that it was asked too often."""
        if now - self._refused_at >= SAME_REFUSAL:
            self._share, self._share_at = max(SLOWEST, self.share(now) / 2), now
            self._refused_at = now

    def share(self, now: float) -> float:
        """Say at which part of its full pace the model is asked."""
        return min(1.0, self._share + max(0.0, now - self._share_at) * RECOVERY)

    def _forget(self, now: float) -> None:
        while self._tickets and self._tickets[0].at + MINUTE <= now:
            ticket = self._tickets.popleft()
            ticket.counts = False
            self._tokens -= ticket.tokens


def backoff(attempt: int, chance: float) -> float:
    """Say how long to wait after the n-th attempt, from 1; `chance` from 0 to 1 spreads it (full jitter).

    https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """
    return chance * min(LONGEST_BACKOFF, FIRST_BACKOFF * 2.0 ** (attempt - 1))
