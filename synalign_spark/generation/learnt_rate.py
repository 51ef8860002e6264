"""A limit that nobody tells, found out from refusals. The clock is the caller's: methods take ``now``, in seconds."""

import math
from collections import deque

MINUTE_S = 60.0
KEPT = 0.95  # of the rate that a server has borne, after a refusal
GROWTH, GROWTH_REQUESTS = 0.05, 200  # the next refusal is so far away: it costs less than a hundredth of the requests
RECENT, RECENT_S = 30, 2.0  # accepted requests of which the rate is measured, and those of so many seconds, if they are more
FEWEST, LEAST_S, CUT = 10, 1.0, 0.2  # of fewer, or within less, it is not measured: the rate is cut by a fifth
FEW, MANY = 0.05, 20  # share of refused requests that may be chance; so many are none
VAIN_CUTS, PASSED_REQUESTS = 3, 1_000  # cuts that a refusal follows soon; accepted requests for which refusals are then let pass
SHUT_REFUSALS, LONGEST_LOOK_S = 4, 8.0  # refusals with nothing accepted between; seconds between two looks


class LearntRate:
    """The rate of a server that tells no limit, from its refusals (429): what it has borne, and slowly more.

    Additive increase, multiplicative decrease, of the rate and not of the requests in flight: where answers come fast, a few in flight
    are many a second. Three phases: after the first refusals what was accepted is only the least that it bears, so the rate doubles with
    so many more; after the next one it is known, and grows slowly; and where one refusal follows another with nothing between, its
    minute is used up: single requests ask whether the next has begun, and the rate is what the whole minute has borne. A few refusals
    that a lower rate does not end are not of the rate: it is as it was, and they are let pass for a while."""

    def __init__(self) -> None:
        self.per_s = math.inf
        self._recent: deque[float] = deque()  # when requests were accepted
        self._refused: deque[float] = deque()  # and refused, within the same time
        self._phase, self._step, self._goal = "free", 0.0, math.inf
        self._next, self._cut_at, self._barren = -math.inf, -math.inf, 0
        self._period_from: float | None = None
        self._in_period = self._since_cut = self._vain = 0
        self._let_pass, self._before = 0, math.inf

    def wait(self, now: float) -> float:
        return max(0.0, self._next - now)

    def took(self, now: float) -> None:
        """A request went."""
        self._period_from = now if self._period_from is None else self._period_from
        self._next = max(self._next, now) + (1.0 / self.per_s if math.isfinite(self.per_s) else 0.0)

    def accepted(self, now: float) -> None:
        """A request was not refused."""
        if self._phase == "shut" and self._period_from is not None:
            self._reopen(self._in_period / max(now - self._period_from, 1e-3), now)
        self._recent.append(now)
        while len(self._recent) > RECENT and self._recent[0] < now - RECENT_S:
            self._recent.popleft()
        self._in_period, self._since_cut, self._barren = self._in_period + 1, self._since_cut + 1, 0
        if self._phase in ("exploring", "holding"):
            self.per_s += self._step
            if self.per_s >= self._goal:  # no refusal where the last one was: the limit may be another one now
                self._step, self._goal = 2 * self._step, self._goal * (1 + GROWTH)

    def refused(self, sent: float, now: float) -> None:
        """A request that went at ``sent`` was refused for the rate. Those sent before the last cut say nothing of the rate after it."""
        if sent < self._cut_at:
            return
        self._refused.append(now)
        few = self._are_few()
        if few and (self._phase == "free" or self._since_cut < self._let_pass):
            return
        self._cut_at, self._barren = now, self._barren + 1
        if self._barren >= SHUT_REFUSALS:
            self._phase = "shut"
            self.per_s = 1.0 / min(LONGEST_LOOK_S, 2.0 ** min(self._barren - SHUT_REFUSALS, 10))
            self._next = now + 1.0 / self.per_s
        elif self._phase == "free":
            self._explore(KEPT * self._borne(now), now)
            self._recent.clear()
        elif len(self._recent) < FEWEST or now - self._recent[0] < LEAST_S:
            self._explore((1 - CUT) * self.per_s, now)
        else:
            self._cut(few, now)

    def _cut(self, few: bool, now: float) -> None:
        """A refusal at a rate that is known."""
        in_vain = few and self._since_cut < GROWTH_REQUESTS / 2
        self._vain, self._before = (self._vain + 1, self._before) if in_vain else (0, self.per_s)
        self._since_cut, self._let_pass = 0, 0
        if self._vain < VAIN_CUTS:
            self._hold(min(self.per_s, self._borne(now)), now)
            return
        self._hold(self._before, now)
        self.per_s, self._vain, self._let_pass = self._before, 0, PASSED_REQUESTS

    def _reopen(self, borne: float, now: float) -> None:
        known = self._in_period >= FEWEST
        self._period_from, self._in_period, self._since_cut = now, 0, 0
        self._recent.clear()
        self._refused.clear()
        if known:
            self._hold(borne, now)
        else:  # it was shut from the beginning, or nearly so
            self._explore(max(borne, 1.0), now)

    def _hold(self, borne: float, now: float) -> None:
        self._phase, self._goal, self.per_s = "holding", borne, KEPT * borne
        self._step = GROWTH * borne / max(GROWTH_REQUESTS, MINUTE_S * borne)
        self._next = now + 1.0 / self.per_s

    def _explore(self, per_s: float, now: float) -> None:
        self._phase, self._goal = "exploring", math.inf
        self.per_s, self._step = per_s, per_s / max(FEWEST, len(self._recent))
        self._next = now + 1.0 / per_s

    def _borne(self, now: float) -> float:
        """Requests a second that were accepted of late."""
        return max(1, len(self._recent)) / max(LEAST_S, now - self._recent[0] if self._recent else 0.0)

    def _are_few(self) -> bool:
        """Whether hardly any of the requests of late were refused."""
        since = self._recent[0] if self._recent else -math.inf
        while self._refused and self._refused[0] < since:
            self._refused.popleft()
        n = len(self._refused)
        return n <= FEW * (n + len(self._recent)) and n < MANY
