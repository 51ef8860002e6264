"""How far the pool may go: budgets for the whole run. How fast it may, see ``rates``."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from synalign_spark.config import LimitsConfig
from synalign_spark.generation.calls import PROBED, Answer, Request
from synalign_spark.generation.learnt_rate import MINUTE_S
from synalign_spark.generation.prices import Prices


@dataclass(frozen=True)
class Take:
    """What a request takes, or may take: tokens of prompt and answer, and their price in usd."""

    tokens: int = 0
    usd: float = 0.0


@dataclass(frozen=True)
class Share:
    """What may go to one endpoint: ``concurrency`` requests at once, at the rates of ``limits``.

    spent: requests made just before, which count against the rate; weight: of its turns beside those of others."""

    limits: LimitsConfig
    concurrency: int
    spent: int = 0
    weight: float = 1.0


@dataclass(frozen=True)
class Allowance:
    """What the limiter of a pool may let go: to each endpoint its share, to all together what was left of the budget at the start.

    requests_left: HTTP requests, None without a limit; tokens_left, usd_left: infinity without a limit."""

    shares: tuple[Share, ...]
    requests_left: int | None = None
    seconds_left: float = math.inf
    tokens_left: float = math.inf
    usd_left: float = math.inf


class Purse:
    """What is left of the budgets of requests, tokens and money, attempts that failed included: they may have cost, and another one costs again.

    >>> purse = Purse(tokens=100, usd=1.0)
    >>> purse.take(Take(80)), purse.take(Take(80)), purse.give_back(Take(80), used=Take(10)), purse.take(Take(80))
    (None, 'limits.max_tokens', None, None)
    """

    def __init__(self, tokens: float, usd: float, requests: float = math.inf) -> None:
        self._tokens, self._usd, self._requests = tokens, usd, requests

    def take(self, reserved: Take) -> str | None:
        """None where it is taken, for one request, else the key of the limit that it would break."""
        if self._requests < 1:
            return "limits.max_requests"
        if reserved.tokens > self._tokens:
            return "limits.max_tokens"
        if reserved.usd > self._usd:
            return "limits.max_cost_usd"
        self._tokens, self._usd, self._requests = self._tokens - reserved.tokens, self._usd - reserved.usd, self._requests - 1
        return None

    def charge(self, used: Take, requests: int) -> None:
        """Takes what was used beside the requests that were let go."""
        self._tokens, self._usd, self._requests = self._tokens - used.tokens, self._usd - used.usd, self._requests - requests

    def put_back(self, reserved: Take) -> None:
        """Puts back what was taken for a request that did not go."""
        self.give_back(reserved, Take())
        self._requests += 1

    def give_back(self, reserved: Take, used: Take) -> None:
        """Puts back what a request has not used."""
        self._tokens, self._usd = self._tokens + reserved.tokens - used.tokens, self._usd + reserved.usd - used.usd


class Budget:
    """Requests, tokens and money of the whole run, earlier processes included; and the time since this process began to generate.
    Calls in flight count as what they may take, and a call for attributes as one for rows besides: without it there is no use for them."""

    def __init__(self, limits: LimitsConfig, prices: Prices, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits, self._prices, self._clock = limits, prices, clock
        self._closes = math.inf if limits.max_minutes is None else clock() + limits.max_minutes * MINUTE_S
        self.requests, self.tokens, self.cost_usd = 0, 0, 0.0
        self._flying: dict[str, tuple[int, int, int]] = {}  # requests, prompt and answer tokens that calls may take
        self._reserved = (0, 0, 0)  # by all of them
        self.probe_requests, self.probe_tokens, self.probe_usd = 0, 0, 0.0  # of all, those of probes

    @property
    def priced(self) -> bool:
        """Whether prices are configured, so that a cost is known."""
        return self._prices.known

    @property
    def probed(self) -> dict[str, int | float | None]:
        """What the probes took: the tiny calls that find out how the endpoint is asked, those of earlier starts too."""
        usd = round(self.probe_usd, 6) if self.priced else None
        return {"requests": self.probe_requests, "tokens": self.probe_tokens, "cost_usd": usd}

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
        self._reserve(self._flying.pop(answer.request_id, (0, 0, 0)), -1)
        usd = self._prices.usd(answer) or 0.0
        self.requests, self.tokens, self.cost_usd = self.requests + answer.attempts, self.tokens + answer.tokens, self.cost_usd + usd
        if answer.status == PROBED:
            self.probe_requests, self.probe_tokens = self.probe_requests + answer.attempts, self.probe_tokens + answer.tokens
            self.probe_usd += usd

    def admit(self, request: Request) -> str | None:
        """None and a reservation where the request fits, else the key of the limit that it would break."""
        calls = 2 if request.step == "attributes" else 1
        wanted = (calls, calls * request.prompt_tokens, calls * request.most_tokens)
        broken = self.broken_by(*wanted)
        if broken is None:
            self._flying[request.request_id] = wanted
            self._reserve(wanted, 1)
        return broken

    def broken_by(self, requests: int, prompt_tokens: int, output_tokens: int, prices: tuple[float, float] | None = None) -> str | None:
        """The key of the limit that so much would break, beside what is reserved; None where it fits. prices: of a million tokens of prompt and
        answer where it goes, None for the cheapest endpoint: where it does go, the limiter looks at the price there."""
        n, prompt, output = (one + more for one, more in zip(self._reserved, (requests, prompt_tokens, output_tokens), strict=True))
        limits = self._limits
        if limits.max_requests is not None and self.requests + n > limits.max_requests:
            return "limits.max_requests"
        if limits.max_tokens is not None and self.tokens + prompt + output > limits.max_tokens:
            return "limits.max_tokens"
        lowest = self._prices.lowest
        of_prompt, of_output = prices or lowest
        cost = self.cost_usd + (self._reserved[1] * lowest[0] + self._reserved[2] * lowest[1]) / 1e6
        cost += (prompt_tokens * of_prompt + output_tokens * of_output) / 1e6
        if limits.max_cost_usd is not None and cost > limits.max_cost_usd:
            return "limits.max_cost_usd"
        if self.seconds_left <= 0:
            return "limits.max_minutes"
        return None

    def _reserve(self, amounts: tuple[int, int, int], sign: int) -> None:
        first, second, third = (one + sign * other for one, other in zip(self._reserved, amounts, strict=True))
        self._reserved = (first, second, third)
