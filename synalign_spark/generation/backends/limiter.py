"""The one limiter of a pool: whoever sends a request asks it first. First come, first served, on one event loop.

It knows each endpoint's rates and window, the budgets of all together, and whose turn it is."""

import asyncio
import contextlib
import dataclasses
import math
import time
from collections.abc import Sequence

from synalign_spark.generation.backends.sender import Outcome
from synalign_spark.generation.calls import TRANSIENT
from synalign_spark.generation.faults import NEVER_RETRIED
from synalign_spark.generation.learnt_rate import MINUTE_S
from synalign_spark.generation.limits import Allowance, Purse, Share, Take
from synalign_spark.generation.rates import RateLimiter, Ticket
from synalign_spark.generation.window import Pressure, Refusal, Turn, Window

LONGEST_PAUSE_S = 300.0


@dataclasses.dataclass(frozen=True)
class Leave:
    """Leave to send one request. reserved: what it may take; place: of the endpoint, among those of the pool."""

    turn: Turn
    ticket: Ticket
    reserved: Take
    place: int = 0


class Lane:
    """What one endpoint bears. next_turn: when it is its turn, in requests of weight 1; left: why nothing goes there any more; answered: whether
    it has answered any request; last: what the last fault said that may pass."""

    def __init__(self, share: Share, closes: float, now: float) -> None:
        self.rates = RateLimiter(share.limits, share.spent, closes, now)
        self._outage_minutes = share.limits.max_outage_minutes
        self.window = Window(share.concurrency, self._outage_minutes * MINUTE_S)
        self.weight, self.next_turn, self.left = share.weight, 0.0, ""
        self.answered, self.last = False, ""

    def wait(self, now: float) -> float | Refusal:
        """0 where its window lets a request go now, else the seconds to wait."""
        if not self.window.given_up(now):
            return self.window.wait(now)
        pressure = self.window.pressure(now)
        faults = ", ".join(f"{status} {count}" for status, count in sorted(pressure.faults.items()))
        return Refusal("fatal", f"it has been down for {pressure.down_s or 0.0:.0f} s, and generate.limits.max_outage_minutes is "
                       f"{self._outage_minutes:g} (a minute before the first answer); requests that failed: {faults}, the last by: {self.last}")  # fmt: skip

    def pressure(self) -> Pressure:
        per_s = self.rates.per_s
        return dataclasses.replace(self.window.pressure(time.monotonic()), per_s=None if math.isinf(per_s) else per_s)


class Limiter:
    """The pool's only clock and count, whatever the number of senders and endpoints."""

    def __init__(self, allowance: Allowance) -> None:
        now = time.monotonic()
        self._closes = now + allowance.seconds_left
        self._lanes = [Lane(share, self._closes, now) for share in allowance.shares]
        requests = math.inf if allowance.requests_left is None else allowance.requests_left
        self._purse = Purse(allowance.tokens_left, allowance.usd_left, requests)
        self._last_turn = 0.0
        self._turn = asyncio.Lock()
        self._changed = asyncio.Event()
        self._closed, self._closing = "", asyncio.Event()

    async def acquire(self, reserved: Sequence[Take]) -> Leave | Refusal:
        """Waits for the turn of a request that may take so much at each endpoint; refuses at once where nobody will get one any more."""
        async with self._turn:
            while isinstance(found := self._first(reserved, time.monotonic()), float):
                # Requests that end, and tokens that come back, may shorten the wait.
                self._changed.clear()
                try:
                    await asyncio.wait_for(self._changed.wait(), self._at_most(found))
                except TimeoutError:
                    continue
            return found

    def _first(self, reserved: Sequence[Take], now: float) -> float | Refusal | Leave:
        """Leave for the endpoint whose turn it is, of those that let a request go now; else the seconds to wait for the first of them."""
        if self._closed:
            return Refusal("not_asked", self._closed)
        waits: list[float] = []
        refusal = Refusal("fatal", "; ".join(dict.fromkeys(lane.left for lane in self._lanes)))
        for place in sorted(range(len(self._lanes)), key=lambda place: self._lanes[place].next_turn):
            lane = self._lanes[place]
            if lane.left:
                continue
            found = self._reserve(lane, reserved[place], now)
            if isinstance(found, Ticket):
                # Start-time fair queueing (Goyal et al. 1996): one that had to wait has no turns to make up for.
                self._last_turn = max(lane.next_turn, self._last_turn)
                lane.next_turn = self._last_turn + 1.0 / lane.weight
                return Leave(lane.window.enter(), found, reserved[place], place)
            if isinstance(found, float):
                waits.append(found)
            else:
                refusal = found
                lane.left = found.error if found.status == "fatal" else ""
        return min(waits) if waits else refusal

    def _reserve(self, lane: Lane, reserved: Take, now: float) -> float | Refusal | Ticket:
        """A ticket when the request may go there now and is counted, else the seconds to wait."""
        wait = lane.wait(now)
        if isinstance(wait, Refusal) or wait > 0.0:
            return wait if isinstance(wait, Refusal) or now < self._closes else Refusal("not_asked", "limits.max_minutes")
        # Requests in flight may give back what a budget lacks, so that is waited for.
        broken = self._purse.take(reserved)
        if broken is not None:
            flying = any(one.window.flying for one in self._lanes)
            return math.inf if flying and now < self._closes else Refusal("not_asked", broken)
        found = lane.rates.reserve(reserved.tokens, now)
        if not isinstance(found, Ticket):
            self._purse.put_back(reserved)
        return Refusal("not_asked", found) if isinstance(found, str) else found

    def _at_most(self, wait: float) -> float | None:
        """The seconds to wait, none beyond the last moment; None for no end."""
        wait = min(wait, max(0.0, self._closes - time.monotonic()))
        return None if math.isinf(wait) else wait

    def settle(self, leave: Leave, outcome: Outcome, used: Take, waited: float) -> None:
        """Takes a request back that has ended. used: what it took; waited: share of the time-out until its answer."""
        now, fault, lane = time.monotonic(), outcome.fault, self._lanes[leave.place]
        lane.rates.settle(leave.ticket, leave.reserved.tokens, used.tokens, now)
        lane.answered = lane.answered or fault is None
        accepted = True if fault is None or fault.status in NEVER_RETRIED else False if fault.status == "rate_limited" else None
        lane.rates.answered(leave.ticket, accepted, outcome.rates, now)
        self._purse.give_back(leave.reserved, used)
        if fault is not None and fault.retry_after is not None:
            lane.rates.pause(now + min(fault.retry_after, LONGEST_PAUSE_S))
        if fault is not None and fault.status in TRANSIENT:
            lane.last = fault.message
            lane.window.pressed(leave.turn, fault.status, now)
        else:
            lane.window.succeeded(leave.turn, waited)
        self._changed.set()

    def lost(self, leave: Leave, sent: bool) -> None:
        """Takes a request back of whose end nothing is known. sent: it may have been paid for, and counts so."""
        lane = self._lanes[leave.place]
        if not sent:
            self._purse.put_back(leave.reserved)
            lane.rates.settle(leave.ticket, leave.reserved.tokens, 0, time.monotonic())
        lane.window.lost(leave.turn)
        self._changed.set()

    async def rest(self, seconds: float) -> None:
        """Waits so long before another attempt, but not once the limiter is closed: then none will be allowed."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._closing.wait(), seconds)

    def charge(self, used: Take, requests: int) -> None:
        """Counts requests that went past the limiter against the budgets."""
        self._purse.charge(used, requests)

    def close(self, reason: str) -> None:
        """No request goes any more."""
        self._closed = reason
        self._closing.set()
        self._changed.set()

    def leave(self, place: int, reason: str) -> None:
        """No request goes to this endpoint any more."""
        self._lanes[place].left = reason
        self._changed.set()

    def has_answered(self, place: int) -> bool:
        """Whether an endpoint has answered any request."""
        return self._lanes[place].answered

    @property
    def left(self) -> dict[int, str]:
        """The endpoints that nothing goes to any more, and why."""
        return {place: lane.left for place, lane in enumerate(self._lanes) if lane.left}

    def pressures(self) -> list[Pressure]:
        """What each endpoint has met so far."""
        return [lane.pressure() for lane in self._lanes]
