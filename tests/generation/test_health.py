"""When a label is given up: counts by hand."""

from collections import Counter

import pytest

from synalign_spark.generation.calls import Answer
from synalign_spark.generation.health import Fault, LabelHealth
from synalign_spark.generation.reading import Parsed

PROSE, SOUND = Parsed("unparsable", "no JSON in the answer"), Parsed("ok", rows=("a row",))


def label_after(slots, *parsed):
    """Health of a label after so many slots, each of a first call and of those that ask again."""
    health = LabelHealth()
    for slot in range(slots):
        for number, found in enumerate(parsed):
            health.taken(Answer(f"{slot}-{number}", "answered"), found, again=number > 0)
    return health


@pytest.mark.parametrize("reasks", [0, 1, 2])
def test_a_label_is_judged_by_twenty_calls_however_often_they_were_asked_again(reasks):
    failing = [PROSE] * (1 + reasks)
    assert label_after(19, *failing).hopeless(0, Counter()) is None
    assert label_after(19, *failing).calls_on_trial(0) == 1
    reason = label_after(20, *failing).hopeless(0, Counter())
    assert reason.startswith("20 of its first 20 calls gave nothing usable")
    assert f"no JSON in the answer ({20 * (1 + reasks)} calls)" in reason


def test_a_call_that_was_of_use_when_asked_again_was_of_use():
    health = label_after(40, PROSE, SOUND)
    assert (health.calls, health.useless) == (40, 0)
    assert health.hopeless(12, Counter()) is None
    assert health.hopeless(0, Counter()).startswith("no row of its first 40 calls was accepted")


def test_faults_that_quote_what_the_model_wrote_are_not_all_remembered():
    health = LabelHealth()
    for number in range(3_000):
        words = "".join(chr(ord("a") + int(digit)) for digit in str(number))
        health.taken(Answer(str(number), "answered"), Parsed("unparsable", f"expected {{'rows': [strings]}}, got {words}"))
        if number % 10 == 0:
            health.taken(Answer(str(number), "answered"), PROSE)
    assert len(health.errors) <= 200
    assert "no JSON in the answer (300 calls)" in health.hopeless(0, Counter())


def test_faults_are_counted_by_what_they_share_and_shown_by_an_example():
    health = LabelHealth()
    for number in range(30):
        health.taken(Answer(str(number), "server_error", error=f"HTTP 500: request req_{number:032x} failed after {number} ms"), None)
    for _ in range(5):
        health.taken(Answer("x", "timeout", error="no answer in time"), None)
    assert "server_error: HTTP 500: request req_00000000000000000000000000000000 failed after 0 ms (30 calls)" in health.hopeless(
        0, Counter()
    )
    assert sorted(health.errors.values()) == [5, 30]
    assert Fault.of("a 1b2c") == Fault.of("a deadbeef") != Fault.of("b 1b2c")
