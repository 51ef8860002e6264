"""The limiter of a pool: what a request takes it gets back, and what a reply says of limits is kept to."""

import asyncio
import time

import pytest

from synalign_spark.config import LimitsConfig
from synalign_spark.generation.backends.limiter import Leave, Limiter
from synalign_spark.generation.backends.sender import Outcome
from synalign_spark.generation.calls import Answer
from synalign_spark.generation.faults import Fault
from synalign_spark.generation.limits import Allowance, Share, Take
from synalign_spark.generation.rates import Rates, Told
from synalign_spark.generation.window import Refusal

ANSWERED = Outcome(Answer("r", "answered", 1), None, (5, 5), None, 0.1)


def failed(status, retry_after=None):
    return Outcome(None, Fault(status, "", retry_after), (0, 0), None, 0.1)


def run(scenario, limits=None, **allowance):
    async def go():
        return await scenario(Limiter(Allowance((Share(LimitsConfig(**(limits or {})), 4),), **allowance)))

    return asyncio.run(asyncio.wait_for(go(), 10))


@pytest.mark.parametrize("budget", [{"tokens_left": 100.0}, {"usd_left": 1.0}])
def test_what_was_not_used_is_there_again(budget):
    async def scenario(limiter):
        first = await limiter.acquire([Take(80, 0.8)])
        limiter.settle(first, ANSWERED, Take(10, 0.1), 0.1)
        second = await limiter.acquire([Take(80, 0.8)])
        limiter.settle(second, ANSWERED, Take(80, 0.8), 0.1)
        return second, await limiter.acquire([Take(80, 0.8)])

    second, third = run(scenario, **budget)
    assert isinstance(second, Leave)
    assert isinstance(third, Refusal)
    assert third.error in ("limits.max_tokens", "limits.max_cost_usd")


@pytest.mark.parametrize(("sent", "kind"), [(True, Refusal), (False, Leave)])
def test_a_lost_request_counts_as_paid_for_where_it_was_sent(sent, kind):
    async def scenario(limiter):
        limiter.lost(await limiter.acquire([Take(80)]), sent)
        return await limiter.acquire([Take(80)])

    assert isinstance(run(scenario, tokens_left=100.0), kind)


def test_a_request_that_waits_for_its_turn_takes_nothing_of_the_budget():
    async def scenario(limiter):
        await limiter.acquire([Take(40)])
        waiting = asyncio.ensure_future(limiter.acquire([Take(40)]))  # a minute for the next one
        await asyncio.sleep(0.05)
        waiting.cancel()
        return limiter._purse.take(Take(60))

    assert run(scenario, {"requests_per_minute": 1}, tokens_left=100.0) is None


def test_tokens_of_the_rate_come_back_with_the_answer():
    async def scenario(limiter):
        for _ in range(3):
            limiter.settle(await limiter.acquire([Take(600)]), ANSWERED, Take(1), 0.1)
        return time.monotonic()

    started = time.monotonic()
    assert run(scenario, {"tokens_per_minute": 700}) - started < 5


def test_a_pause_that_a_server_asks_for_holds_for_all():
    async def scenario(limiter):
        first, second = await limiter.acquire([Take()]), await limiter.acquire([Take()])
        limiter.settle(first, failed("overloaded", 0.3), Take(), 0.1)
        limiter.settle(second, ANSWERED, Take(), 0.1)
        started = time.monotonic()
        await limiter.acquire([Take()])
        return time.monotonic() - started

    assert run(scenario) >= 0.29


@pytest.mark.parametrize(("outcome", "learnt"), [(failed("rate_limited"), True), (failed("server_error"), False), (ANSWERED, False)])
def test_only_refusals_for_the_rate_lower_it(outcome, learnt):
    async def scenario(limiter):
        for _ in range(3):  # one or two may come by chance
            limiter.settle(await limiter.acquire([Take()]), outcome, Take(), 0.1)
        return limiter.pressures()[0].per_s

    assert (run(scenario) is not None) == learnt


def test_limits_of_headers_reach_the_rate():
    async def scenario(limiter):
        told = Outcome(ANSWERED.answer, None, (5, 5), Rates(Told(120.0)), 0.1)
        limiter.settle(await limiter.acquire([Take()]), told, Take(), 0.1)
        return limiter.pressures()[0].per_s

    assert run(scenario) == pytest.approx(0.99 * 2)


def test_an_endpoint_is_known_to_answer_once_it_has():
    async def scenario(limiter):
        found = []
        for outcome in (failed("fatal"), failed("bad_request"), ANSWERED, failed("fatal")):
            limiter.settle(await limiter.acquire([Take(1)]), outcome, Take(1), 0.1)
            found.append(limiter.has_answered(0))
        return found

    assert run(scenario) == [False, False, True, True]


def test_a_rest_ends_when_the_limiter_closes():
    async def scenario(limiter):
        asyncio.get_running_loop().call_later(0.05, limiter.close, "interrupted")
        started = time.monotonic()
        await limiter.rest(30.0)
        return time.monotonic() - started

    assert run(scenario) < 5
