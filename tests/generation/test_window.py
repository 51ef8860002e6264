"""How many requests at once, by a clock of our own; and what a pool does with a real server that bears few, or none for a while."""

import asyncio
import heapq
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synalign_spark.config import LimitsConfig
from synalign_spark.generation.backends.limiter import Leave, Limiter
from synalign_spark.generation.limits import Allowance, Share, Take
from synalign_spark.generation.window import Refusal, Window


def ended(window, n, fault=None, now=0.0, waited=0.0):
    """Sends n requests at once, as far as the window goes, and ends them all: with a fault, or well. Returns their number."""
    turns = [window.enter() for _ in range(n) if window.wait(now) == 0]
    for turn in turns:
        window.pressed(turn, fault, now) if fault else window.succeeded(turn, waited)
    return len(turns)


def test_requests_that_went_before_a_cut_count_once():
    window = Window(128, 600.0)
    assert ended(window, 200, "rate_limited") == 128
    assert window.pressure(0.0).size == 64
    assert ended(window, 200, "rate_limited") == 64
    assert window.pressure(0.0).size == 32
    assert str(window.pressure(0.0)) == "slowed down to 32 of 128 requests at once (rate_limited 192)"


def test_a_success_adds_one_up_to_half_of_what_was_good_and_then_one_a_window():
    window = Window(16, 600.0)
    ended(window, 1)
    ended(window, 1, "timeout")  # 16 -> 8, and half of what was good is 8
    assert window.pressure(0.0).size == 8
    ended(window, 1, "timeout")  # 4
    ended(window, 4)
    assert window.pressure(0.0).size == 8
    ended(window, 8)
    assert 8.9 < 8 + sum(1 / (8 + i / 8) for i in range(8)) < 9.0
    assert window.pressure(0.0).size == 8
    ended(window, 2)
    assert window.pressure(0.0).size == 9
    ended(window, 500)
    for _ in range(100):
        ended(window, 16)
    assert window.pressure(0.0).size == 16
    assert str(window.pressure(0.0)) == ""


@pytest.mark.parametrize("share", [2, 10, 30])
def test_errors_of_the_server_and_lost_connections_say_nothing_of_the_number(share):
    window = Window(64, 600.0)
    for number in range(5_000):
        ended(window, 1, "server_error" if number % 100 < share and number % 3 else None)
    assert window.pressure(0.0).size == 64


def test_nothing_but_errors_is_a_sign_after_all_and_then_an_outage():
    window = Window(4, 600.0)
    ended(window, 1)
    for _ in range(40):
        ended(window, 4, "server_error")
    assert window.pressure(0.0).down_s == 0.0


def test_answers_that_take_nearly_as_long_as_is_waited_for_shrink_the_window_and_slow_ones_hold_it():
    window = Window(64, 600.0)
    ended(window, 64, waited=0.9)
    assert window.pressure(0.0).size == 32
    ended(window, 32, waited=0.6)
    assert window.pressure(0.0).size == 32
    for _ in range(2):
        ended(window, 32, waited=0.1)
    assert window.pressure(0.0).size > 32
    assert window.pressure(0.0).faults == {}


def test_rare_faults_are_of_the_requests():
    window = Window(100, 600.0)
    for _ in range(50):
        ended(window, 99)
        ended(window, 1, "server_error")
    assert window.pressure(0.0).size == 100
    assert window.pressure(0.0).faults == {"server_error": 50}


def served(faults, room=None, most=64, seconds=60.0):
    """(mean size of the window, share of requests that failed) at a server that answers in 50 ms, fails by chance, and has room for so many."""
    rng, window, now, flying, busy, n, bad, area = random.Random(0), Window(most, 600.0), 0.0, [], 0, 0, 0, 0.0
    while now < seconds:
        while window.wait(now) == 0:
            good = rng.random() >= faults and (room is None or busy < room)
            n, busy = n + 1, busy + good
            heapq.heappush(flying, (now + (0.05 * rng.uniform(0.8, 1.2) if good else 0.01), n, window.enter(), good))
        ends, _, turn, good = heapq.heappop(flying)
        area, now, busy, bad = area + (ends - now) * window.pressure(now).size, ends, busy - good, bad + (not good)
        window.succeeded(turn, 0.01) if good else window.pressed(turn, "overloaded", now)
    return area / now, bad / n


@pytest.mark.parametrize("faults", [0.02, 0.05, 0.1])
@pytest.mark.parametrize("most", [8, 64])
def test_refusals_by_chance_do_not_slow_it_down_for_ever(faults, most):
    """Where every one cuts it the window stays near the root of 2 / share: 10, 6 and 4."""
    assert served(faults, most=most)[0] > 0.5 * most


@pytest.mark.parametrize(("room", "refused"), [(4, 0.12), (8, 0.05), (32, 0.01)])
def test_a_number_that_a_server_has_room_for_is_kept_to_beside_refusals_by_chance(room, refused):
    assert served(0.0, room)[1] < refused
    mean, share = served(0.02, room)
    assert share < refused + 0.04
    assert 0.5 * room < mean < 1.1 * room


def test_the_circuit_opens_after_cuts_without_success_and_probes_go_ever_more_rarely():
    window = Window(8, 600.0)
    ended(window, 1)
    for _ in range(3):
        ended(window, 8, "server_error", now=10.0)
    assert window.pressure(10.0).down_s == 0.0
    assert window.wait(10.0) == 1.0
    assert window.pressure(10.0).faults == {"server_error": 14}
    for at, pause in [(11.0, 2.0), (13.0, 4.0), (17.0, 8.0)]:
        turn = window.enter()
        assert turn.probe
        assert math.isinf(window.wait(at))  # one at a time
        window.pressed(turn, "server_error", at)
        assert window.wait(at) == pause
    assert str(window.pressure(20.0)).startswith("the endpoint is down for 10 s (server_error 17), next try in 5 s")
    assert not window.given_up(609.9)
    assert window.given_up(610.0)
    window.succeeded(window.enter())
    assert window.wait(25.0) == 0
    assert window.pressure(25.0).outages == 1
    assert not window.enter().probe


def test_one_call_that_always_fails_opens_no_circuit():
    window = Window(1, 600.0)
    assert ended(window, 1) + sum(ended(window, 1, "timeout") for _ in range(5)) == 6
    assert window.pressure(0.0).down_s is None


def test_an_endpoint_that_never_answered_is_given_up_after_a_minute():
    window = Window(4, 600.0)
    for _ in range(5):
        ended(window, 4, "server_error")
    assert window.pressure(0.0).down_s == 0.0
    assert not window.given_up(59.0)
    assert window.given_up(60.0)


def test_requests_of_whose_end_nothing_is_known_leave_their_places():
    window = Window(2, 600.0)
    turns = [window.enter() for _ in range(2)]
    assert math.isinf(window.wait(0.0))
    window.lost(turns[0])
    assert window.wait(0.0) == 0
    assert window.flying == 1


def test_a_server_that_is_slow_and_refuses_the_rest_at_once_is_not_given_up():
    window = Window(16, 600.0)
    slow = [window.enter() for _ in range(2)]
    for _ in range(4):
        ended(window, 16, "rate_limited")
    assert window.pressure(0.0).down_s == 0.0
    assert not window.given_up(120.0)
    window.pressed(slow[0], "timeout", 120.0)
    window.pressed(slow[1], "timeout", 120.0)
    assert window.given_up(120.0)


@pytest.mark.timeout(30)
def test_who_waits_when_the_limiter_closes_is_refused():
    async def both():
        limiter = Limiter(Allowance((Share(LimitsConfig(), 1),)))
        leave = await limiter.acquire([Take(1)])
        waiting = asyncio.ensure_future(limiter.acquire([Take(1)]))
        await asyncio.sleep(0)
        limiter.close("interrupted")
        return leave, await waiting

    leave, refusal = asyncio.run(both())
    assert isinstance(leave, Leave)
    assert refusal == Refusal("not_asked", "interrupted")


@settings(max_examples=60)
@given(st.integers(1, 40), st.lists(st.tuples(st.sampled_from(["send", "good", "bad", "lost", "later"]), st.integers(0, 99)), max_size=200))
def test_the_window_stays_within_its_bounds_and_always_opens_again(most, steps):
    window, now, flying = Window(most, 1e9), 0.0, []
    for kind, number in steps:
        if kind == "later":
            now += number
        elif kind == "send" and window.wait(now) == 0:
            flying.append(window.enter())
        elif kind in ("good", "bad", "lost") and flying:
            turn = flying.pop(number % len(flying))
            if kind == "lost":
                window.lost(turn)
            else:
                window.succeeded(turn, number / 100) if kind == "good" else window.pressed(turn, "timeout", now)
        assert 1 <= window.pressure(now).smallest <= window.pressure(now).size <= most
        assert len(flying) == window.flying <= most
    for turn in flying:
        window.succeeded(turn)
    assert window.wait(now + 60.0) == 0
