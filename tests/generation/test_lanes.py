"""Several endpoints under one limiter: turns go by weight, budgets are of all together, one that is down is left."""

import asyncio
from collections import Counter

from synalign_spark.config import LimitsConfig
from synalign_spark.generation.backends.limiter import Limiter
from synalign_spark.generation.backends.sender import Outcome
from synalign_spark.generation.calls import Answer
from synalign_spark.generation.faults import Fault
from synalign_spark.generation.limits import Allowance, Share, Take
from synalign_spark.generation.window import Refusal

ANSWERED = Outcome(Answer("r", "answered", 1), None, (5, 5), None, 0.1)


def granted(shares, n=40, settle=False, **budget):
    """How many of n leaves each endpoint gets."""

    async def go():
        limiter, found = Limiter(Allowance(tuple(shares), **budget)), Counter()
        for _ in range(n):
            leave = await limiter.acquire([Take(10, 1.0) for _ in shares])
            if isinstance(leave, Refusal):
                found[leave.error] += 1
                continue
            found[leave.place] += 1
            if settle:
                limiter.settle(leave, ANSWERED, leave.reserved, 0.1)
        return dict(found)

    return asyncio.run(asyncio.wait_for(go(), 10))


def test_turns_go_by_weight_and_those_of_a_limited_one_to_the_others():
    free = LimitsConfig()
    assert granted([Share(free, 100), Share(free, 100, weight=3.0)]) == {0: 10, 1: 30}
    assert granted([Share(free, 5, weight=9.0), Share(free, 100)]) == {0: 5, 1: 35}
    limited = granted([Share(LimitsConfig(requests_per_minute=60), 100), Share(free, 100)], settle=True)
    assert limited[0] <= 2


def test_one_that_had_to_wait_makes_nothing_up():
    async def go():
        limiter = Limiter(Allowance((Share(LimitsConfig(), 1), Share(LimitsConfig(), 100))))
        takes = [Take(), Take()]
        first = await limiter.acquire(takes)
        others = [await limiter.acquire(takes) for _ in range(20)]
        limiter.settle(first, ANSWERED, Take(), 0.1)
        after = []
        for _ in range(10):
            leave = await limiter.acquire(takes)
            after.append(leave.place)
            limiter.settle(leave, ANSWERED, Take(), 0.1)
        return first.place, {leave.place for leave in others}, Counter(after)

    first, others, after = asyncio.run(go())
    assert (first, others) == (0, {1})
    assert after[0] in (5, 6)


def test_budgets_are_of_all_together():
    shares = [Share(LimitsConfig(), 100), Share(LimitsConfig(), 100)]
    assert granted(shares, 12, settle=True, requests_left=10) == {0: 5, 1: 5, "limits.max_requests": 2}
    assert granted(shares, 12, settle=True, usd_left=7.0)["limits.max_cost_usd"] == 5


def test_one_that_is_down_is_left_to_the_others(monkeypatch):
    async def go():
        limiter = Limiter(Allowance((Share(LimitsConfig(max_outage_minutes=1e-9), 9), Share(LimitsConfig(), 100))))
        for _ in range(40):
            leave = await limiter.acquire([Take(), Take()])
            fails = Outcome(None, Fault("server_error", ""), (0, 0), None, 0.1)
            limiter.settle(leave, ANSWERED if leave.place else fails, Take(), 0.1)
        return limiter.left

    assert "it has been down" in asyncio.run(go())[0]
