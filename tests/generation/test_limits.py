"""Rates and budgets, by a clock of our own."""

import math
from bisect import bisect_left
from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synalign_spark.config import LimitsConfig, LlmConfig
from synalign_spark.generation.calls import Answer, make_request
from synalign_spark.generation.limits import Budget, Purse, Take
from synalign_spark.generation.prices import Prices
from synalign_spark.generation.prompts import Prompt
from synalign_spark.generation.rates import Bucket, RateLimiter, Rates, Ticket, Told, told_rates


def grants(limiter, n, tokens=1, used=None):
    """Times at which n requests in a row may go, each settled at once."""
    now, times = 0.0, []
    for _ in range(n):
        while not isinstance(found := limiter.reserve(tokens, now), Ticket):
            now += found
        times.append(now)
        if used is not None:
            limiter.settle(found, tokens, used, now)
    return times


def most_in_a_minute(times, amount=1):
    return max(amount * (bisect_left(times, start + 60 - 1e-6) - i) for i, start in enumerate(times))


@settings(max_examples=40)
@given(st.integers(1, 3000))
def test_no_minute_sees_more_requests_than_allowed_and_most_are_used(per_minute):
    times = grants(RateLimiter(LimitsConfig(requests_per_minute=per_minute)), min(3 * per_minute, 2000))
    assert most_in_a_minute(times) <= per_minute
    if len(times) == 3 * per_minute:
        assert times[-1] <= 60 * 3  # all of it is used


@settings(max_examples=40)
@given(st.integers(1000, 100_000), st.integers(1, 3000))
def test_no_minute_sees_more_tokens_than_allowed(per_minute, tokens):
    times = grants(RateLimiter(LimitsConfig(tokens_per_minute=per_minute)), 200, tokens)
    # A request larger than a minute's tokens goes when nothing else has for a minute.
    assert most_in_a_minute(times, tokens) <= max(per_minute, tokens)


def test_unused_tokens_come_back():
    limits = LimitsConfig(tokens_per_minute=6000)
    assert grants(RateLimiter(limits), 100, 500, used=50)[-1] < 0.2 * grants(RateLimiter(limits), 100, 500)[-1]


def test_pause_holds_for_all_and_the_last_requests_are_counted():
    limiter, purse = RateLimiter(LimitsConfig()), Purse(tokens=100, usd=1.0, requests=2)
    limiter.pause(5.0)
    assert limiter.reserve(1, 1.0) == 4.0
    assert isinstance(limiter.reserve(1, 5.0), Ticket)
    assert purse.take(Take(1)) is None
    purse.give_back(Take(1), Take(1))  # it went
    assert purse.take(Take(1)) is None
    assert purse.take(Take(1)) == "limits.max_requests"
    purse.put_back(Take(1))  # it did not
    assert purse.take(Take(1)) is None


def test_nothing_goes_after_the_last_moment_and_nobody_waits_beyond_it():
    limiter = RateLimiter(LimitsConfig(requests_per_minute=60), closes=10.0)
    assert isinstance(limiter.reserve(1, 9.0), Ticket)
    assert limiter.reserve(1, 9.5) == "limits.max_minutes"  # its turn would come at 10
    assert isinstance(RateLimiter(LimitsConfig(), closes=10.0).reserve(1, 9.99), Ticket)
    assert RateLimiter(LimitsConfig(), closes=10.0).reserve(1, 10.0) == "limits.max_minutes"


def test_bucket_by_hand():
    bucket = Bucket(per_minute=120)  # two at once, then two a second, until a minute has seen all
    for _ in range(2):
        assert bucket.wait(1, 0.0) == 0
        bucket.take(1, 0.0)
    assert bucket.wait(1, 0.0) == 0.5
    times = [0.5 * place for place in range(1, 119)]
    assert all(bucket.wait(1, at) == 0 and bucket.take(1, at) for at in times)
    assert bucket.wait(1, 59.5) == 0.5  # the first two leave the minute at 60


def test_what_a_request_really_took_stands_at_its_time():
    bucket = Bucket(per_minute=600)
    first = bucket.take(500, 0.0)
    bucket.take(90, 55.0)
    assert bucket.wait(100, 56.0) == 8.0  # at ten a second the 90 have gone by 64
    bucket.correct(first, 20, 56.0)
    assert bucket.wait(100, 64.0) == 0
    assert bucket.wait(491, 64.0) == 0
    assert bucket.wait(511, 64.0) == 51.0  # the 90 leave the minute at 115


def test_probes_made_before_count():
    assert grants(RateLimiter(LimitsConfig(requests_per_minute=60), spent=3), 1)[0] >= 2.9


def test_budget_reserves_and_gives_back():
    llm = LlmConfig(price_input_usd=1.0, price_output_usd=2.0, max_output_tokens=100)
    prices = Prices([llm])
    prompt = Prompt(({"role": "user", "content": "x" * 300},), {"type": "object"}, "rows")
    first, second = (make_request("rows", None, prompt, llm, sample) for sample in "ab")
    budget = Budget(LimitsConfig(max_tokens=250, max_cost_usd=1.0), prices)
    assert budget.admit(first) is None
    assert budget.admit(second) == "limits.max_tokens"
    budget.spend(Answer(first.request_id, "answered", 1, prompt_tokens=20, completion_tokens=10))
    assert (budget.tokens, budget.requests, budget.cost_usd) == (30, 1, 40e-6)
    assert budget.admit(second) is None
    assert Budget(LimitsConfig(max_cost_usd=1e-9), prices).admit(first) == "limits.max_cost_usd"
    assert Budget(LimitsConfig(max_requests=1), prices).admit(first) is None
    now = iter([100.0, 159.0, 160.0])
    timed = Budget(LimitsConfig(max_minutes=1.0), prices, lambda: next(now))
    assert timed.admit(first) is None
    assert timed.admit(second) == "limits.max_minutes"
    assert Budget(LimitsConfig(), prices).seconds_left == float("inf")


def test_tokens_are_set_aside_as_requests_before_have_used_them():
    limiter = RateLimiter(LimitsConfig(tokens_per_minute=60_000))
    now, used, flying = 0.0, 0, deque()
    while now < 300.0:
        while flying and flying[0][0] <= now:
            limiter.settle(flying.popleft()[1], 1_000, 100, now)
            used += 100 * (now >= 60.0)
        found = limiter.reserve(1_000, now)
        if isinstance(found, Ticket):
            flying.append((now + 20.0, found))
        else:
            now = min(now + found, flying[0][0] if flying else math.inf)
    assert 0.95 * 60_000 <= used / 4 <= 1.02 * 60_000  # with whole reservations it would be a fifth


def test_limits_that_headers_tell_are_kept():
    limiter = RateLimiter(LimitsConfig(requests_per_minute=6_000))
    first = limiter.reserve(1, 0.0)
    limiter.answered(first, True, Rates(Told(120.0, 119.0, 0.5), Told(1e6, None, None)), 0.0)
    times = [0.0, *grants(limiter, 300)]
    assert 0.98 * 120 <= most_in_a_minute(times) <= 120


def test_a_server_that_allows_more_than_was_asked_for_changes_nothing():
    limiter = RateLimiter(LimitsConfig(requests_per_minute=60))
    limiter.answered(limiter.reserve(1, 0.0), True, Rates(Told(1e9)), 0.0)
    assert most_in_a_minute([0.0, *grants(limiter, 200)]) <= 60


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ({"x-ratelimit-limit-tokens": "9000", "x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "6m0s"}, None),
        ({"x-ratelimit-limit-requests": "lots"}, None),
        ({"x-ratelimit-limit-requests": "0"}, None),
        ({"x-ratelimit-limit-requests": "nan", "x-ratelimit-limit-tokens": "-1"}, None),
        ({"x-ratelimit-limit-requests": "60", "x-ratelimit-reset-requests": "tomorrow"}, Rates(Told(60.0, None, None))),
    ],
)
def test_headers_are_read_or_left_alone(headers, found):
    told = told_rates(headers)
    assert told == found if found or told is None else told.tokens == Told(9000.0, 0.0, 360.0)


@pytest.mark.parametrize(
    ("told", "per_minute"),
    [
        (Told(500.0, 499.0, 0.12), 500.0),  # a bucket that is full again soon
        (Told(600.0, 599.0, 59.0), 600.0),  # a minute that has just begun
        (Told(600.0, 599.0, 1_764_144_000.0), 600.0),  # a clock's time
        (Told(500.0), 500.0),
        (Told(14_400.0, 7_200.0, 43_200.0), 10.0),  # of a day
        (Told(14_400.0, 0.0, 3_600.0), 1.0),
    ],
)
def test_a_limit_is_one_a_minute_unless_all_is_left_again_only_later(told, per_minute):
    assert told.per_minute == per_minute
