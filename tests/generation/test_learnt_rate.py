"""A limit that no server tells is found out, and refusals by chance are not taken for one; by a clock of our own."""

import heapq
import math
import random

import pytest

from synalign_spark.config import LimitsConfig
from synalign_spark.generation.learnt_rate import LearntRate
from synalign_spark.generation.rates import RateLimiter, Ticket


class Clocked:
    """A server that accepts ``rate`` requests a second, with room for those of ``burst_s``, answers after ``latency`` and refuses after
    ``refusal_s``."""

    def __init__(self, rate, burst_s=1.0, latency=0.05, refusal_s=0.05):
        self.rate, self.full, self.latency, self.refusal_s = rate, max(1.0, rate * burst_s), latency, refusal_s
        self.level, self.at = self.full, 0.0

    def accepts(self, now):
        self.level, self.at = min(self.full, self.level + (now - self.at) * self.rate), now
        good = self.level >= 1
        self.level -= good
        return good


def minutes_of(server, limiter, minutes, start=0.0, at_once=256):
    """(requests, accepted ones) of each minute."""
    now, flying, counts = start, [], [[0, 0] for _ in range(minutes)]
    while now < start + 60.0 * minutes:
        while flying and flying[0][0] <= now:
            _, _, refused, ticket = heapq.heappop(flying)
            limiter.answered(ticket, not refused, None, now)
        found = limiter.reserve(1, now) if len(flying) < at_once else flying[0][0] - now
        if isinstance(found, Ticket):
            good = server.accepts(now)
            heapq.heappush(flying, (now + (server.latency if good else server.refusal_s), found.number, not good, found))
            counts[int((now - start) // 60)][0] += 1
            counts[int((now - start) // 60)][1] += good
        else:
            now = min(now + max(found, 1e-4), flying[0][0] if flying else math.inf)
    return counts


@pytest.mark.parametrize(
    ("server", "used"),
    [(Clocked(2), 0.9), (Clocked(20), 0.97), (Clocked(100), 0.97), (Clocked(20, burst_s=60), 0.97), (Clocked(20, latency=3.0), 0.95)],
)
def test_an_untold_limit_is_found_and_hardly_ever_overstepped(server, used):
    counts = minutes_of(server, RateLimiter(LimitsConfig()), 5)
    asked, accepted = (sum(count[place] for count in counts[1:]) for place in (0, 1))
    assert 1 - accepted / asked <= 0.01
    assert accepted >= used * 4 * 60 * server.rate


class ByTheMinute(Clocked):
    """Of each minute of its clock it accepts the first requests, at any rate."""

    def accepts(self, now):
        minute = int((now + 17.0) // 60)
        if minute != self.at:
            self.at, self.level = minute, 0
        self.level += 1
        return self.level <= 60 * self.rate


@pytest.mark.parametrize(("rate", "latency"), [(10, 0.05), (10, 2.0), (10, 5.0), (50, 2.0), (100, 2.0)])
def test_the_limit_of_a_minute_is_found_however_long_answers_take(rate, latency):
    """Refusals come at once, and the last answers of a minute long after them."""
    counts = minutes_of(ByTheMinute(rate, latency=latency), RateLimiter(LimitsConfig()), 9)
    asked, accepted = (sum(count[place] for count in counts[1:]) for place in (0, 1))
    assert 1 - accepted / asked <= 0.01
    assert accepted >= 0.85 * 8 * 60 * rate
    assert min(accepted for _, accepted in counts[1:]) >= 0.6 * 60 * rate


class ByChance(Clocked):
    """A server that refuses a share of requests at any rate, beside those above its limit."""

    def __init__(self, share, rate=math.inf, latency=0.05, seed=0):
        super().__init__(rate if math.isfinite(rate) else 1e9, latency=latency)
        self.share, self.random = share, random.Random(seed)

    def accepts(self, now):
        return self.random.random() >= self.share and super().accepts(now)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("share", [0.001, 0.003, 0.01, 0.03])
@pytest.mark.parametrize(("at_once", "latency", "minutes"), [(16, 0.06, 3), (8, 1.0, 8)])
def test_refusals_by_chance_do_not_slow_it_down(share, at_once, latency, minutes, seed):
    counts = minutes_of(ByChance(share, latency=latency, seed=seed), RateLimiter(LimitsConfig()), minutes, at_once=at_once)
    asked, accepted = (sum(count[place] for count in counts[1:]) for place in (0, 1))
    assert accepted >= 0.93 * 60 * (minutes - 1) * at_once / latency
    assert 1 - accepted / asked <= 1.5 * share + 0.001


@pytest.mark.parametrize(("limit", "share"), [(20, 0.01), (100, 0.01), (100, 0.03)])
def test_a_limit_is_found_beneath_refusals_by_chance(limit, share):
    counts = minutes_of(ByChance(share, limit), RateLimiter(LimitsConfig()), 5)
    asked, accepted = (sum(count[place] for count in counts[1:]) for place in (0, 1))
    assert accepted >= 0.95 * 4 * 60 * limit
    assert 1 - accepted / asked <= share + 0.05


@pytest.mark.parametrize("limit", [152, 155, 158])
def test_a_limit_just_below_what_goes_anyway_is_no_chance(limit):
    counts = minutes_of(Clocked(limit), RateLimiter(LimitsConfig()), 4, at_once=8)  # 160 a second by the latency
    asked, accepted = (sum(count[place] for count in counts[1:]) for place in (0, 1))
    assert 1 - accepted / asked <= 0.01
    assert accepted >= 0.95 * 3 * 60 * limit


def test_a_limit_that_falls_is_found_again():
    server, limiter = Clocked(50), RateLimiter(LimitsConfig())
    minutes_of(server, limiter, 2)
    server.rate = server.full = 10
    counts = minutes_of(server, limiter, 4, start=120.0)
    assert 1 - sum(count[1] for count in counts[1:]) / sum(count[0] for count in counts[1:]) <= 0.01


def test_a_minute_that_is_used_up_is_waited_for():
    counts = minutes_of(ByTheMinute(5), RateLimiter(LimitsConfig()), 6)
    assert all(accepted >= 0.6 * 300 for _, accepted in counts)


@pytest.mark.parametrize("accepted_first", [0, 1, 5])
def test_a_server_that_is_shut_at_the_beginning_is_found_open_soon(accepted_first):
    class Shut(Clocked):
        def accepts(self, now):
            self.seen = getattr(self, "seen", 0) + 1
            return super().accepts(now) if now > 45.0 else self.seen <= accepted_first

    counts = minutes_of(Shut(50), RateLimiter(LimitsConfig()), 4)
    assert counts[2][1] > 0.5 * 60 * 50
    assert counts[3][1] > 0.9 * 60 * 50


def test_a_thousand_refusals_in_a_row_are_no_error():
    rate = LearntRate()
    for i in range(2_000):
        rate.refused(rate.took(float(i)), float(i))
    assert 0 < rate.wait(2_000.0) <= 8.0


def known():
    """Ten a second have been accepted for two."""
    rate = LearntRate()
    for i in range(20):
        rate.accepted(rate.took(i / 10), i / 10 + 0.05)
    return rate


def test_a_refusal_of_what_went_before_a_cut_says_nothing():
    rate = known()
    *_, last, of_before = (rate.took(2.0) for _ in range(100))
    rate.refused(last, 3.0)
    before = rate.per_s
    rate.refused(of_before, 3.1)
    assert rate.per_s == before
    rate.refused(rate.took(3.1), 3.2)
    assert rate.per_s < before


@pytest.mark.parametrize(("refused", "slower"), [([0, 1], False), ([0, 5, 9], False), (range(3), True), (range(2, 20), True)])
def test_before_there_are_answers_a_few_refusals_are_chance(refused, slower):
    """Of twenty that go at once, answered after seconds."""
    rate = LearntRate()
    numbers = [rate.took(0.0) for _ in range(20)]
    for i in refused:
        rate.refused(numbers[i], 0.05 + i / 1_000)
    assert math.isfinite(rate.per_s) == slower


def test_answers_to_what_went_before_it_was_shut_do_not_open_it():
    rate = known()
    early = [rate.took(2.0 + i / 20) for i in range(50)]
    for i in range(8):
        rate.refused(rate.took(5.0 + i), 5.05 + i)
    shut = rate.per_s
    assert shut <= 1.0
    for number in early:
        rate.accepted(number, 13.5)
    assert rate.per_s == shut
    rate.accepted(rate.took(14.0), 14.5)
    assert rate.per_s > 2.0  # 71 in 14.5 s
