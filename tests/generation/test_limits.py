"""Rates and budgets, by a clock of our own."""

from bisect import bisect_left

from hypothesis import given, settings
from hypothesis import strategies as st

from synalign_spark.config import LimitsConfig, LlmConfig
from synalign_spark.generation.calls import Answer, make_request
from synalign_spark.generation.limits import Bucket, Budget, RateLimiter
from synalign_spark.generation.prompts import Prompt


def grants(limiter, n, tokens=1, used=None):
    """Times at which n requests in a row may go, each settled at once."""
    now, times = 0.0, []
    for _ in range(n):
        while wait := limiter.reserve(tokens, now):
            now += wait
        times.append(now)
        if used is not None:
            limiter.settle(tokens, used)
    return times


def most_in_a_minute(times, amount=1):
    return max(amount * (bisect_left(times, start + 60 - 1e-6) - i) for i, start in enumerate(times))


@settings(max_examples=40)
@given(st.integers(1, 3000))
def test_no_minute_sees_more_requests_than_allowed_and_most_are_used(per_minute):
    times = grants(RateLimiter(LimitsConfig(requests_per_minute=per_minute)), min(3 * per_minute, 2000))
    assert most_in_a_minute(times) <= per_minute
    if len(times) == 3 * per_minute:
        assert times[-1] <= 60 * 3 * 1.04 + 1


@settings(max_examples=40)
@given(st.integers(1000, 100_000), st.integers(1, 3000))
def test_no_minute_sees_more_tokens_than_allowed(per_minute, tokens):
    times = grants(RateLimiter(LimitsConfig(tokens_per_minute=per_minute)), 200, tokens)
    # One request larger than the bucket may go when the bucket is full, so one of them can be on top.
    assert most_in_a_minute(times, tokens) <= per_minute + max(0, tokens - per_minute / 10)


def test_unused_tokens_come_back():
    limits = LimitsConfig(tokens_per_minute=6000)
    assert grants(RateLimiter(limits), 100, 500, used=50)[-1] < 0.2 * grants(RateLimiter(limits), 100, 500)[-1]


def test_pause_holds_for_all_and_the_last_requests_are_counted():
    limiter = RateLimiter(LimitsConfig(), requests_left=2)
    limiter.pause(5.0)
    assert limiter.reserve(1, 1.0) == 4.0
    assert limiter.reserve(1, 5.0) == 0
    assert limiter.reserve(1, 5.0) == 0
    assert limiter.reserve(1, 5.0) == "limits.max_requests"


def test_nothing_goes_after_the_last_moment_and_nobody_waits_beyond_it():
    limiter = RateLimiter(LimitsConfig(requests_per_minute=60), closes=10.0)
    assert limiter.reserve(1, 9.0) == 0
    assert limiter.reserve(1, 9.5) == "limits.max_minutes"  # its turn would come at 10
    assert RateLimiter(LimitsConfig(), closes=10.0).reserve(1, 9.99) == 0
    assert RateLimiter(LimitsConfig(), closes=10.0).reserve(1, 10.0) == "limits.max_minutes"


def test_bucket_by_hand():
    bucket = Bucket(per_minute=120, burst=2)  # 118 a minute beyond the burst
    bucket.take(2)
    assert abs(bucket.wait(1, 0.0) - 60 / 118) < 1e-9
    assert bucket.wait(1, 60 / 118) == 0


def test_probes_made_before_count():
    assert grants(RateLimiter(LimitsConfig(requests_per_minute=60), spent=3), 1)[0] >= 2.9


def test_budget_reserves_and_gives_back():
    llm = LlmConfig(price_input_usd=1.0, price_output_usd=2.0, max_output_tokens=100)
    prompt = Prompt(({"role": "user", "content": "x" * 300},), {"type": "object"}, "rows")
    first, second = (make_request("rows", None, prompt, llm, sample) for sample in "ab")
    budget = Budget(LimitsConfig(max_tokens=250, max_cost_usd=1.0), llm)
    assert budget.admit(first) is None
    assert budget.admit(second) == "limits.max_tokens"
    budget.spend(Answer(first.request_id, "answered", 1, prompt_tokens=20, completion_tokens=10))
    assert (budget.tokens, budget.requests, budget.cost_usd) == (30, 1, 40e-6)
    assert budget.admit(second) is None
    assert Budget(LimitsConfig(max_cost_usd=1e-9), llm).admit(first) == "limits.max_cost_usd"
    assert Budget(LimitsConfig(max_requests=1), llm).admit(first) is None
    now = iter([100.0, 159.0, 160.0])
    timed = Budget(LimitsConfig(max_minutes=1.0), llm, lambda: next(now))
    assert timed.admit(first) is None
    assert timed.admit(second) == "limits.max_minutes"
    assert Budget(LimitsConfig(), llm).seconds_left == float("inf")
