"""How fast and how far the pool may go: rates over time, and budgets for the whole run."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from synalign_spark.config import LimitsConfig, LlmConfig
from synalign_spark.generation.calls import Answer, Request

MINUTE_S = 60.0


@dataclass
class Bucket:
    """A token bucket: ``burst`` at most at once, never more than ``per_minute`` in any minute.

    A minute can see the full bucket plus a minute's refill, so the refill is slower than
    per_minute by the burst (except for single requests, where the spacing alone keeps the limit).

    >>> bucket = Bucket(per_minute=60, burst=1)
    >>> bucket.take(1)
    >>> bucket.wait(1, now=0.25)
    0.75
    """

    per_minute: float
    burst: float
    level: float = field(init=False)
    _at: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        self.level = self.burst

    @property
    def per_second(self) -> float:
        spare = self.per_minute - self.burst
        return (spare if self.burst > 1 and spare > 0 else self.per_minute) / MINUTE_S

    def _fill(self, now: float) -> None:
        self.level = min(self.burst, self.level + max(0.0, now - self._at) * self.per_second)
        self._at = max(now, self._at)

    def wait(self, amount: float, now: float) -> float:
        """Seconds until ``amount`` may be taken; 0 if now. More than a full bucket may go once the bucket is full."""
        self._fill(now)
        missing = min(amount, self.burst) - self.level
        return missing / self.per_second if missing > 1e-9 else 0.0

    def take(self, amount: float) -> None:
        self.level -= amount

    def give_back(self, amount: float) -> None:
        self.level = min(self.burst, self.level + amount)


@dataclass(frozen=True)
class Take:
    """What a request takes, or may take: tokens of prompt and answer, and their price in usd."""

    tokens: int = 0
    usd: float = 0.0


@dataclass(frozen=True)
class Allowance:
    """What the limiter of a pool may let go: ``concurrency`` requests at once, and what was left of the budget at the start.

    requests_left: HTTP requests, None without a limit; spent: requests made just before, which count against the rate;
    tokens_left, usd_left: infinity without a limit."""

    limits: LimitsConfig
    concurrency: int
    requests_left: int | None = None
    spent: int = 0
    seconds_left: float = math.inf
    tokens_left: float = math.inf
    usd_left: float = math.inf


class Purse:
    """What is left of the budgets of tokens and money, attempts that failed included: they may have cost, and another one costs again.

    >>> purse = Purse(tokens=100, usd=1.0)
    >>> purse.take(Take(80)), purse.take(Take(80)), purse.give_back(Take(80), used=Take(10)), purse.take(Take(80))
    (None, 'limits.max_tokens', None, None)
    """

    def __init__(self, tokens: float, usd: float) -> None:
        self._tokens, self._usd = tokens, usd

    def take(self, reserved: Take) -> str | None:
        """None where it is taken, else the key of the limit that it would break."""
        if reserved.tokens > self._tokens:
            return "limits.max_tokens"
        if reserved.usd > self._usd:
            return "limits.max_cost_usd"
        self._tokens, self._usd = self._tokens - reserved.tokens, self._usd - reserved.usd
        return None

    def give_back(self, reserved: Take, used: Take) -> None:
        """Puts back what was not used."""
        self._tokens, self._usd = self._tokens + reserved.tokens - used.tokens, self._usd + reserved.usd - used.usd


class RateLimiter:
    """Requests and tokens a minute, together; a pause that a server asked for; the run's last requests and last moment.

    The clock is the caller's: every method takes ``now``, in seconds."""

    def __init__(self, limits: LimitsConfig, requests_left: int | None = None, spent: int = 0, closes: float = math.inf) -> None:
        """requests_left: HTTP requests that the budget still allows; spent: requests made just before, to be counted in;
        closes: the time after which none may go."""
        per_minute, tokens = limits.requests_per_minute, limits.tokens_per_minute
        self._requests = Bucket(per_minute, max(1.0, per_minute / MINUTE_S)) if per_minute else None
        self._tokens = Bucket(tokens, max(1.0, tokens / 10)) if tokens else None
        self._left = requests_left
        self._not_before, self._closes = 0.0, closes
        if self._requests:
            self._requests.take(spent)

    def reserve(self, tokens: int, now: float) -> float | str:
        """0 when the request may go now (it is then counted), else the seconds to wait, or the key of the limit that it would break."""
        if self._left is not None and self._left <= 0:
            return "limits.max_requests"
        waits = [self._not_before - now]
        waits += [self._requests.wait(1, now)] if self._requests else []
        waits += [self._tokens.wait(tokens, now)] if self._tokens else []
        if now + max(0.0, *waits) >= self._closes:
            return "limits.max_minutes"
        if max(waits) > 0:
            return max(waits)
        if self._left is not None:
            self._left -= 1
        if self._requests:
            self._requests.take(1)
        if self._tokens:
            self._tokens.take(tokens)
        return 0.0

    def settle(self, reserved: int, used: int) -> None:
        """Gives back reserved tokens that were not used, or takes those used beyond."""
        if self._tokens:
            self._tokens.give_back(reserved - used)

    def pause(self, until: float) -> None:
        """No request before ``until``: a server said so to one caller, and it holds for all."""
        self._not_before = max(self._not_before, until)


class Budget:
    """Requests, tokens and money of the whole run, earlier processes included; and the time since this process began to generate.
    Calls in flight count as what they may take, and a call for attributes as one for rows besides: without it there is no use for them."""

    def __init__(self, limits: LimitsConfig, llm: LlmConfig, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits, self._llm, self._clock = limits, llm, clock
        self._closes = math.inf if limits.max_minutes is None else clock() + limits.max_minutes * MINUTE_S
        self.requests, self.tokens, self.cost_usd = 0, 0, 0.0
        self._flying: dict[str, Request] = {}

    @property
    def requests_left(self) -> int | None:
        """HTTP requests that may still be made; None without a limit."""
        return None if self._limits.max_requests is None else max(0, self._limits.max_requests - self.requests)

    @property
    def tokens_left(self) -> float:
        """Tokens of the budget that no call has taken; infinity without a limit."""
        return math.inf if self._limits.max_tokens is None else self._limits.max_tokens - self.tokens

    @property
    def usd_left(self) -> float:
        """Money of the budget that no call has taken; infinity without a limit."""
        return math.inf if self._limits.max_cost_usd is None else self._limits.max_cost_usd - self.cost_usd

    @property
    def seconds_left(self) -> float:
        """Until the last moment for a request; infinity without a limit."""
        return self._closes - self._clock()

    def spend(self, answer: Answer) -> None:
        """Counts what a call took, and ends its reservation."""
        self._flying.pop(answer.request_id, None)
        self.requests += answer.attempts
        self.tokens += answer.tokens
        self.cost_usd += answer.cost_usd(self._llm) or 0.0

    def admit(self, request: Request) -> str | None:
        """None and a reservation where the request fits, else the key of the limit that it would break."""
        flying = [one for one in (*self._flying.values(), request) for _ in range(2 if one.step == "attributes" else 1)]
        prompt, output = sum(r.prompt_tokens for r in flying), sum(r.max_output_tokens for r in flying)
        limits = self._limits
        if limits.max_requests is not None and self.requests + len(flying) > limits.max_requests:
            return "limits.max_requests"
        if limits.max_tokens is not None and self.tokens + prompt + output > limits.max_tokens:
            return "limits.max_tokens"
        cost = self.cost_usd + (prompt * (self._llm.price_input_usd or 0.0) + output * (self._llm.price_output_usd or 0.0)) / 1e6
        if limits.max_cost_usd is not None and cost > limits.max_cost_usd:
            return "limits.max_cost_usd"
        if self.seconds_left <= 0:
            return "limits.max_minutes"
        self._flying[request.request_id] = request
        return None
