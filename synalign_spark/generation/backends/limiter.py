"""The one limiter of a pool: whoever sends a request asks it first. First come, first served, on one event loop."""

import asyncio
import contextlib
import dataclasses
import math
import time

from synalign_spark.generation.backends.sender import Outcome
from synalign_spark.generation.calls import TRANSIENT
from synalign_spark.generation.faults import NEVER_RETRIED
from synalign_spark.generation.learnt_rate import MINUTE_S
from synalign_spark.generation.limits import Allowance, Purse, Take
from synalign_spark.generation.rates import RateLimiter, Ticket
from synalign_spark.generation.window import Pressure, Refusal, Turn, Window

LONGEST_PAUSE_S = 300.0


@dataclasses.dataclass(frozen=True)
class Leave:
    """Leave to send one request. reserved: what it may take."""

    turn: Turn
    ticket: Ticket
    reserved: Take


class Limiter:
    """The pool's only clock and count, whatever the number of senders."""

    def __init__(self, allowance: Allowance) -> None:
        now = time.monotonic()
        self._closes = now + allowance.seconds_left
        self._rates = RateLimiter(allowance.limits, allowance.requests_left, allowance.spent, self._closes, now)
        self._purse = Purse(allowance.tokens_left, allowance.usd_left)
        self._outage_minutes = allowance.limits.max_outage_minutes
        self._window = Window(allowance.concurrency, self._outage_minutes * MINUTE_S)
        self._turn = asyncio.Lock()
        self._changed = asyncio.Event()
        self._closed, self._closing = "", asyncio.Event()

    async def acquire(self, reserved: Take) -> Leave | Refusal:
        """Waits for the turn of a request that may take ``reserved``; refuses at once where nobody will get one any more."""
        async with self._turn:
            while isinstance(found := self._reserve(reserved, time.monotonic()), float):
                # Requests that end, and tokens that come back, may shorten the wait.
                self._changed.clear()
                try:
                    await asyncio.wait_for(self._changed.wait(), self._at_most(found))
                except TimeoutError:
                    continue
            return found if isinstance(found, Refusal) else Leave(self._window.enter(), found, reserved)

    def _reserve(self, reserved: Take, now: float) -> float | Refusal | Ticket:
        """A ticket when the request may go now and is counted, else the seconds to wait."""
        if self._closed:
            return Refusal("not_asked", self._closed)
        if self._window.given_up(now):
            pressure = self._window.pressure(now)
            faults = ", ".join(f"{status} {count}" for status, count in sorted(pressure.faults.items()))
            return Refusal("fatal", f"it has been down for {pressure.down_s or 0.0:.0f} s, and generate.limits.max_outage_minutes is "
                           f"{self._outage_minutes:g} (a minute before the first answer); requests that failed: {faults}")  # fmt: skip
        wait = self._window.wait(now)
        if wait == 0.0:
            return self._pay(reserved, now)
        return wait if now < self._closes else Refusal("not_asked", "limits.max_minutes")

    def _pay(self, reserved: Take, now: float) -> float | Refusal | Ticket:
        """The same by rates and budgets. Requests in flight may give back what a budget lacks, so that is waited for."""
        broken = self._purse.take(reserved)
        if broken is not None:
            return math.inf if self._window.flying and now < self._closes else Refusal("not_asked", broken)
        found = self._rates.reserve(reserved.tokens, now)
        if not isinstance(found, Ticket):
            self._purse.give_back(reserved, Take())
        return Refusal("not_asked", found) if isinstance(found, str) else found

    def _at_most(self, wait: float) -> float | None:
        """The seconds to wait, none beyond the last moment; None for no end."""
        wait = min(wait, max(0.0, self._closes - time.monotonic()))
        return None if math.isinf(wait) else wait

    def settle(self, leave: Leave, outcome: Outcome, used: Take, waited: float) -> None:
        """Takes a request back that has ended. used: what it took; waited: share of the time-out until its answer."""
        now, fault = time.monotonic(), outcome.fault
        self._rates.settle(leave.ticket, leave.reserved.tokens, used.tokens, now)
        accepted = True if fault is None or fault.status in NEVER_RETRIED else False if fault.status == "rate_limited" else None
        self._rates.answered(leave.ticket, accepted, outcome.rates, now)
        self._purse.give_back(leave.reserved, used)
        if fault is not None and fault.retry_after is not None:
            self._rates.pause(now + min(fault.retry_after, LONGEST_PAUSE_S))
        if fault is not None and fault.status in TRANSIENT:
            self._window.pressed(leave.turn, fault.status, now)
        else:
            self._window.succeeded(leave.turn, waited)
        self._changed.set()

    def lost(self, leave: Leave, sent: bool) -> None:
        """Takes a request back of whose end nothing is known. sent: it may have been paid for, and counts so."""
        if not sent:
            self._purse.give_back(leave.reserved, Take())
            self._rates.settle(leave.ticket, leave.reserved.tokens, 0, time.monotonic())
        self._window.lost(leave.turn)
        self._changed.set()

    async def rest(self, seconds: float) -> None:
        """Waits so long before another attempt, but not once the limiter is closed: then none will be allowed."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._closing.wait(), seconds)

    def close(self, reason: str) -> None:
        """No request goes any more."""
        self._closed = reason
        self._closing.set()
        self._changed.set()

    def pressure(self) -> Pressure:
        per_s = self._rates.per_s
        return dataclasses.replace(self._window.pressure(time.monotonic()), per_s=None if math.isinf(per_s) else per_s)
