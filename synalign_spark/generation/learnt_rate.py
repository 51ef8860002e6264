"""A limit that nobody tells, found out from refusals. The clock is the caller's: methods take ``now``, in seconds."""

import math
from collections import deque

MINUTE_S = 60.0
KEPT = 0.95  # of the rate that a server has borne, after a refusal
GROWTH, GROWTH_REQUESTS = 0.05, 200  # the next refusal is so far away: it costs less than a hundredth of the requests
FASTEST_S = 5.0  # that growing by GROWTH takes at least where a minute was used up: the next refusal comes at the end of one only
RECENT, RECENT_S = 30, 2.0  # accepted requests of which the rate is measured, and those of so many seconds, if they are more
FEWEST, LEAST_S, CUT = 10, 1.0, 0.2  # of fewer, or within less, it is not measured: the rate is cut by a fifth
FIRST_REFUSALS = 3  # and half of what went: before there are answers, fewer may be chance
FEW, RARE = 0.05, 0.004  # shares of refused requests: that may be chance, and that no cut is worth
MOST_UNUSED = 2.0  # times what goes: a rate that nobody uses tells nothing, and grows no more
SLACK = 0.8  # of a rate that may go: where less goes, a limit is not near
CATCH_UP = 500  # requests in which the rate grows by GROWTH where refusals have been told to be chance
VAIN, VAIN_CUTS = 0.975, 3  # of the rate at the last cut: a refusal below it says that the cut was in vain; so many in a row are chance
PASSED_REQUESTS, MOST_PASSED = 1_000, 32_000  # accepted requests for which refusals by chance are then let pass, twice as many each time
SHUT_REFUSALS, LONGEST_LOOK_S = 4, 8.0  # refusals with nothing else between; seconds between two looks


class LearntRate:
    """The rate of a server that tells no limit, from its refusals (429): what it has borne, and slowly more.

    Additive increase, multiplicative decrease, of the rate and not of the requests in flight: where answers come fast, a few in flight
    are many a second. Three phases: after the first refusals what was accepted is only the least that it bears, so the rate doubles with
    so many more; after the next one it is known, and grows slowly; and where one refusal follows another with nothing between, its
    minute is used up: single requests ask whether the next has begun, and the rate is what the whole minute has borne.

    Some refusals are of no rate: they come by chance, as many of a few requests a second as of many, and a limit's only above it. So
    where refusals are few, each cut is a test: if they go on below the rate that was refused, the rate is as it was before, and they are
    let pass for a while, then tested again."""

    def __init__(self) -> None:
        self.per_s = math.inf
        self._recent: deque[float] = deque()  # when requests were accepted
        self._refused: deque[float] = deque()  # and refused, within the same time
        self._phase, self._step, self._goal = "free", 0.0, math.inf
        self._longest_step = math.inf
        self._next, self._barren = -math.inf, 0
        self._sent = self._sent_at_cut = self._refused_of_new = 0  # requests, those before the last cut, and refusals of those after it
        self._period_from: float | None = None
        self._in_period = self._since_cut = self._refused_since_cut = self._vain = 0
        self._let_pass, self._passes, self._before, self._refused_at = 0, PASSED_REQUESTS, math.inf, 0.0
        self._accepted_in_test = self._refused_in_test = 0
        self._chance = FEW  # share of refusals by chance, at most

    def wait(self, now: float) -> float:
        return max(0.0, self._next - now)

    def took(self, now: float) -> int:
        """A request goes. Returns its number."""
        self._sent += 1
        self._period_from = now if self._period_from is None else self._period_from
        self._next = max(self._next, now) + (1.0 / self.per_s if math.isfinite(self.per_s) else 0.0)
        return self._sent

    def accepted(self, number: int, now: float) -> None:
        """A request was not refused. One that went before the last cut opens nothing that was shut then: its answer may have taken many
        seconds, and a refusal takes none."""
        is_new = number > self._sent_at_cut
        if is_new and self._phase == "shut" and self._period_from is not None:
            self._reopen(self._in_period / max(now - self._period_from, 1e-3), now)
        self._recent.append(now)
        while len(self._recent) > RECENT and self._recent[0] < now - RECENT_S:
            self._recent.popleft()
        self._in_period, self._accepted_in_test, self._since_cut = self._in_period + 1, self._accepted_in_test + 1, self._since_cut + 1
        self._barren = 0 if is_new else self._barren
        if self._phase in ("exploring", "holding") and self.per_s < MOST_UNUSED * self._borne(now):
            self.per_s += self._step
            if self.per_s >= self._goal:  # no refusal where the last one was: the limit may be another one now
                self._passes = PASSED_REQUESTS if self._since_cut >= self._let_pass else self._passes
                self._step, self._goal = max(self._step, min(2 * self._step, self._longest_step)), self._goal * (1 + GROWTH)

    def refused(self, number: int, now: float) -> None:
        """A request was refused for the rate. Those that went before the last cut say nothing of the rate after it."""
        if number <= self._sent_at_cut:
            return
        self._refused_of_new += 1
        went = number - self._sent_at_cut
        is_early = self._phase == "free" and len(self._recent) < FEWEST  # it has hardly answered yet, which takes longer than a refusal
        if is_early and (self._refused_of_new < FIRST_REFUSALS or 2 * self._refused_of_new < went):
            return
        nothing_else = self._refused_of_new >= went  # none since the cut was taken: no chance, and no cut helps
        self._refused.append(now)
        self._refused_since_cut, self._refused_in_test = self._refused_since_cut + 1, self._refused_in_test + 1
        few = self._are_few()
        in_vain = few and not nothing_else and self._phase == "holding" and self.per_s < VAIN * self._refused_at
        rare = few and self._refused_since_cut <= RARE * self._since_cut
        unused = self._phase == "free" or self._borne(now) < SLACK * self.per_s
        self._vain += in_vain and self._since_cut >= self._let_pass
        if self._vain >= VAIN_CUTS:
            self._let_chance_pass(now)
        elif not ((few and self._since_cut < self._let_pass) or (rare and (unused or in_vain))):
            self._barren = self._barren + 1 if nothing_else else 1
            self._slow_down(few, in_vain, now)

    def _slow_down(self, few: bool, in_vain: bool, now: float) -> None:
        """few: hardly any are refused; in_vain: and these at a lower rate than was refused before."""
        self._sent_at_cut, self._refused_of_new = self._sent, 0
        if self._barren >= SHUT_REFUSALS:
            self._phase = "shut"
            self.per_s = 1.0 / min(LONGEST_LOOK_S, 2.0 ** min(self._barren - SHUT_REFUSALS, 10))
            self._next = now + 1.0 / self.per_s
        elif self._phase == "free" and not (few and now - self._recent[0] >= LEAST_S):
            self._explore(KEPT * self._borne(now), now)
            self._recent.clear()
        elif len(self._recent) < FEWEST or now - self._recent[0] < LEAST_S:
            self._explore((1 - CUT) * self.per_s, now)
        else:
            self._cut(in_vain, now)

    def _cut(self, in_vain: bool, now: float) -> None:
        """A refusal at a rate that is known; where it is not in vain, a test begins."""
        borne = min(self.per_s, self._borne(now))
        if not in_vain:
            self._vain, self._before = 0, self.per_s if self._phase == "free" else borne
            self._accepted_in_test = self._refused_in_test = 0
        self._since_cut = self._refused_since_cut = self._let_pass = 0
        self._refused_at = borne
        self._hold(borne, now)

    def _let_chance_pass(self, now: float) -> None:
        """Refusals that no cut ends: the rate is as it was before the first of them, and grows soon to what they have cost."""
        self._since_cut = self._refused_since_cut = self._vain = 0
        n = self._refused_in_test
        self._chance = min(FEW, (n + 2.0 * math.sqrt(n) + 1.0) / (n + self._accepted_in_test))  # two standard errors above
        self._refused_at, self._let_pass, self._passes = 0.0, self._passes, min(2 * self._passes, MOST_PASSED)
        if math.isinf(self._before):
            self._phase, self.per_s = "free", math.inf
            return
        self._hold(self._before, now)
        self.per_s, self._step = self._before, GROWTH * self._before / CATCH_UP

    def _reopen(self, borne: float, now: float) -> None:
        self._longest_step = GROWTH / FASTEST_S
        known = self._in_period >= FEWEST
        self._period_from, self._in_period, self._since_cut, self._refused_since_cut = now, 0, 0, 0
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
        most = (self._chance if self._since_cut < self._let_pass else FEW) * (n + len(self._recent))
        return n <= most + 3.0 * math.sqrt(most) and len(self._recent) >= FEWEST
