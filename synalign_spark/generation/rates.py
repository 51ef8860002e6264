"""How fast calls may go: limits that are told, by the configuration or by the server, and one that is found out from refusals.

The clock is the caller's: methods take ``now``, in seconds.
"""

import math
import re
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from synalign_spark.config import LimitsConfig

MINUTE_S = 60.0
USED_SHARE = 0.99  # of a told limit: the server's minute is not ours by the jitter of the network
BURST_S = 1.0  # of a rate, that may go at once
LONGEST_RESET_S = 7 * 86_400.0  # beyond it a reset is the time of a clock, which some servers send
UNITS_S = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhd])?")

KEPT = 0.95  # of the rate that a server has borne, after a refusal
GROWTH, GROWTH_REQUESTS = 0.05, 200  # the next refusal is so far away: it costs less than a hundredth of the requests
RECENT, RECENT_S = 30, 2.0  # accepted requests of which the rate is measured, and those of so many seconds, if they are more
FEWEST, LEAST_S, CUT = 10, 1.0, 0.2  # of fewer, or within less, it is not measured: the rate is cut by a fifth
FEW, MANY = 0.05, 20  # share of refused requests that may be chance; so many are none
VAIN_CUTS, PASSED_REQUESTS = 3, 1_000  # cuts that a refusal follows soon; accepted requests for which refusals are then let pass
SHUT_REFUSALS, LONGEST_LOOK_S = 4, 8.0  # refusals with nothing accepted between; seconds between two looks


@dataclass
class Taken:
    """An amount that was taken at a time; what it came to is corrected where it stands."""

    at: float
    amount: float


@dataclass
class Bucket:
    """A sliding minute: never more than ``per_minute`` in any 60 seconds, and from the second second on as even as a rate.

    >>> bucket = Bucket(per_minute=60)
    >>> taken = bucket.take(1, now=0.0)
    >>> bucket.wait(1, now=0.25)
    0.75
    """

    per_minute: float
    _next: float = field(init=False, default=-math.inf)  # when an even rate would have the next amount go
    _sum: float = field(init=False, default=0.0)
    _log: deque[Taken] = field(init=False, default_factory=deque)

    def wait(self, amount: float, now: float) -> float:
        """Seconds until ``amount`` may be taken; 0 if now. More than a minute's may go once nothing else has for a minute."""
        self._forget(now)
        rate, over = self.per_minute / MINUTE_S, self._sum + min(amount, self.per_minute) - self.per_minute
        burst = max(0.0, BURST_S - amount / rate)  # of single requests, or one that fills the burst, the spacing alone counts
        wait = max(0.0, self._next - burst - now)
        for taken in self._log:
            if over <= 1e-9:
                break
            over, wait = over - taken.amount, max(wait, taken.at + MINUTE_S - now)
        return wait if wait > 1e-9 else 0.0

    def take(self, amount: float, now: float) -> Taken:
        self._forget(now)
        taken = Taken(now, amount)
        self._log.append(taken)
        self._sum += amount
        self._next = max(self._next, now) + amount * MINUTE_S / self.per_minute
        return taken

    def correct(self, taken: Taken, amount: float, now: float) -> None:
        """What was taken came to another amount."""
        self._forget(now)
        if taken.at > now - MINUTE_S:
            self._sum += amount - taken.amount
        self._next += (amount - taken.amount) * MINUTE_S / self.per_minute
        taken.amount = amount

    def _forget(self, now: float) -> None:
        while self._log and self._log[0].at <= now - MINUTE_S:
            self._sum -= self._log.popleft().amount


@dataclass(frozen=True)
class Told:
    """What a server's headers tell of one limit. limit: in its period, mostly a minute; left: of it now; reset_s: seconds until all is left again."""

    limit: float
    left: float | None = None
    reset_s: float | None = None

    @property
    def per_minute(self) -> float:
        """The limit a minute. Where all is left again only later (a limit a day, as some free tiers have) no more than what is left till then;
        a reset beyond a week is a date, not a duration, and says nothing."""
        if self.left is None or self.reset_s is None or not MINUTE_S < self.reset_s <= LONGEST_RESET_S:
            return self.limit
        return min(self.limit, max(1.0, self.left * MINUTE_S / self.reset_s))


@dataclass(frozen=True)
class Rates:
    """The limits that a reply tells of; None of what it says nothing."""

    requests: Told | None = None
    tokens: Told | None = None


def told_rates(headers: Mapping[str, str]) -> Rates | None:
    """The limits in the headers of a reply: ``x-ratelimit-limit-requests`` and its like, as OpenAI and many others send them.

    >>> told_rates({"x-ratelimit-limit-requests": "600", "x-ratelimit-remaining-requests": "590", "x-ratelimit-reset-requests": "1s"})
    Rates(requests=Told(limit=600.0, left=590.0, reset_s=1.0), tokens=None)
    >>> told_rates({"content-type": "application/json"})
    """
    requests, tokens = _told(headers, "requests"), _told(headers, "tokens")
    return Rates(requests, tokens) if requests or tokens else None


def _told(headers: Mapping[str, str], of: str) -> Told | None:
    limit = _number(headers.get(f"x-ratelimit-limit-{of}"))
    if limit is None or limit < 1:
        return None
    return Told(limit, _number(headers.get(f"x-ratelimit-remaining-{of}")), duration(headers.get(f"x-ratelimit-reset-{of}") or ""))


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text is not None else math.nan
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None


def duration(text: str) -> float | None:
    """Seconds in a duration as servers write it; None for what is none.

    >>> duration("6m0s"), duration("12ms"), duration("1.5"), duration("soon")
    (360.0, 0.012, 1.5, None)
    """
    parts = DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    return sum(float(number) * UNITS_S[unit or "s"] for number, unit in parts)


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


@dataclass(frozen=True)
class Ticket:
    """What a request took of the rates. sent: when; requests, tokens: of the buckets, where there are limits."""

    sent: float
    requests: Taken | None = None
    tokens: Taken | None = None


class RateLimiter:
    """Requests and tokens a minute, together; a pause that a server asked for; the run's last requests and last moment."""

    def __init__(
        self, limits: LimitsConfig, requests_left: int | None = None, spent: int = 0, closes: float = math.inf, now: float = 0.0
    ) -> None:
        """requests_left: HTTP requests that the budget still allows; spent: requests made just before ``now``, to be counted in;
        closes: the time after which none may go."""
        self._given = {"requests": limits.requests_per_minute, "tokens": limits.tokens_per_minute}
        self._buckets = {name: Bucket(float(limit)) for name, limit in self._given.items() if limit}
        self._learnt, self._token_share = LearntRate(), 1.0
        self._left, self._not_before, self._closes = requests_left, 0.0, closes
        for _ in range(spent if "requests" in self._buckets else 0):
            self._buckets["requests"].take(1, now)

    @property
    def per_s(self) -> float:
        """Requests a second that may go, as far as is known; infinity without a limit."""
        told = self._buckets["requests"].per_minute / MINUTE_S if "requests" in self._buckets else math.inf
        return min(told, self._learnt.per_s)

    def reserve(self, tokens: int, now: float) -> float | str | Ticket:
        """A ticket when the request may go now (it is then counted), else the seconds to wait, or the key of the limit that it would break.

        tokens: that it may take; of these so many are set aside as the requests before have used."""
        if self._left is not None and self._left <= 0:
            return "limits.max_requests"
        amounts = {"requests": 1.0, "tokens": tokens * self._token_share}
        waits = [bucket.wait(amounts[name], now) for name, bucket in self._buckets.items()]
        wait = max(0.0, self._not_before - now, self._learnt.wait(now), *waits)
        if now + wait >= self._closes:
            return "limits.max_minutes"
        if wait > 0:
            return wait
        if self._left is not None:
            self._left -= 1
        self._learnt.took(now)
        return Ticket(now, **{name: bucket.take(amounts[name], now) for name, bucket in self._buckets.items()})

    def settle(self, ticket: Ticket, reserved: int, used: int, now: float) -> None:
        """Puts what a request really used where its reservation stands."""
        if reserved and used:
            self._token_share += (min(1.0, used / reserved) - self._token_share) / 20
        if ticket.tokens is not None and "tokens" in self._buckets:
            self._buckets["tokens"].correct(ticket.tokens, used, now)

    def answered(self, ticket: Ticket, accepted: bool | None, rates: Rates | None, now: float) -> None:
        """What a reply says of the rate. accepted: False for a 429, None for a fault that says nothing of it; rates: that its headers tell."""
        if accepted:
            self._learnt.accepted(now)
        elif accepted is False:
            self._learnt.refused(ticket.sent, now)
        for name, told in (("requests", rates.requests), ("tokens", rates.tokens)) if rates else ():
            if told is not None:
                self._obey(name, told)

    def _obey(self, name: str, told: Told) -> None:
        """Keeps to the smaller one of the limits that the configuration and the server tell."""
        limit = min(USED_SHARE * told.per_minute, self._given[name] or math.inf)
        if name in self._buckets:
            self._buckets[name].per_minute = limit
        else:
            self._buckets[name] = Bucket(limit)

    def pause(self, until: float) -> None:
        """No request before ``until``: a server said so to one request, and it holds for all."""
        self._not_before = max(self._not_before, until)
