"""How fast calls may go: limits that are told, by the configuration or by the server, and one that is found out: see ``learnt_rate``.

The clock is the caller's: methods take ``now``, in seconds.
"""

import math
import re
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from synalign_spark.config import LimitsConfig
from synalign_spark.generation.learnt_rate import MINUTE_S, LearntRate

USED_SHARE = 0.99  # of a told limit: the server's minute is not ours by the jitter of the network
BURST_S = 1.0  # of a rate, that may go at once
LONGEST_RESET_S = 7 * 86_400.0  # beyond it a reset is the time of a clock, which some servers send
UNITS_S = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhd])?")


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


@dataclass(frozen=True)
class Ticket:
    """What a request took of the rates. number: of the request; requests, tokens: of the buckets, where there are limits."""

    number: int
    requests: Taken | None = None
    tokens: Taken | None = None


class RateLimiter:
    """Requests and tokens a minute, together; a pause that a server asked for; the run's last moment."""

    def __init__(self, limits: LimitsConfig, spent: int = 0, closes: float = math.inf, now: float = 0.0) -> None:
        """spent: requests made just before ``now``, to be counted in; closes: the time after which none may go."""
        self._given = {"requests": limits.requests_per_minute, "tokens": limits.tokens_per_minute}
        self._buckets = {name: Bucket(float(limit)) for name, limit in self._given.items() if limit}
        self._learnt, self._token_share = LearntRate(), 1.0
        self._not_before, self._closes = 0.0, closes
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
        amounts = {"requests": 1.0, "tokens": tokens * self._token_share}
        waits = [bucket.wait(amounts[name], now) for name, bucket in self._buckets.items()]
        wait = max(0.0, self._not_before - now, self._learnt.wait(now), *waits)
        if now + wait >= self._closes:
            return "limits.max_minutes"
        if wait > 0:
            return wait
        return Ticket(self._learnt.took(now), **{name: bucket.take(amounts[name], now) for name, bucket in self._buckets.items()})

    def settle(self, ticket: Ticket, reserved: int, used: int, now: float) -> None:
        """Puts what a request really used where its reservation stands."""
        if reserved and used:
            self._token_share += (min(1.0, used / reserved) - self._token_share) / 20
        if ticket.tokens is not None and "tokens" in self._buckets:
            self._buckets["tokens"].correct(ticket.tokens, used, now)

    def answered(self, ticket: Ticket, accepted: bool | None, rates: Rates | None, now: float) -> None:
        """What a reply says of the rate. accepted: False for a 429, None for a fault that says nothing of it; rates: that its headers tell."""
        if accepted:
            self._learnt.accepted(ticket.number, now)
        elif accepted is False:
            self._learnt.refused(ticket.number, now)
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
