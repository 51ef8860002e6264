"""Labels that differ: of one the model states little, one is abandoned, one has no sets left."""

from collections import Counter

import pyarrow as pa
import pytest
from loopback import Behaviour, loopback

from synalign_spark.generation.calls import Answer
from synalign_spark.generation.engine import generate
from synalign_spark.generation.plan import Planner, demonstration_sets_of
from synalign_spark.generation.wave import Wave
from tests.generation.test_wave import STEP_1, asked_of, assert_even, sets_of


def states_little_of_a(request_id, body, n):
    said = asked_of(body)
    return (200, {}, f'{{"topic": "trains of {request_id}"}}') if request_id and STEP_1 in said and "a text 0 of set" in said else None


def test_a_label_of_which_little_is_stated_does_not_fall_behind(make_config, quiet, tmp_path):
    """One attribute has one order, so one call a set: planned with as many as other labels have, most calls of it would fall away."""
    even = {"a": 1, "b": 1}
    with loopback(Behaviour(fault=states_little_of_a)) as server:
        cfg = make_config(
            server.base_url, target_rows=1000, rows_per_request=1, max_rows_per_set=None, gates=[], limits={"max_requests": 200}
        )
        result = generate(sets_of(["a", "b"], 300), even, cfg, 0, str(tmp_path), quiet)
    stated = Counter((row["label"], len(row["attributes"])) for row in result.attributes.to_pylist())
    assert {n for label, n in stated if label == "a"} == {1}
    assert result.summary["accepted"] >= 100
    assert_even(result.summary["accepted_by_label"], even, 5)


def test_an_abandoned_label_is_asked_nothing_again(make_config):
    cfg = make_config("http://127.0.0.1:9/v1", strategy="fewshot", rows_per_request=2)
    planner = Planner(cfg, 0, demonstration_sets_of(sets_of(["a", "b"], 2)), ["a", "b"])
    planned = [planner.next_sets(label, [2], None)[0] for label in ("a", "b")]
    wave = Wave(planned, planner, cfg, {})
    sent = {label: wave.waiting.take() for label in ("a", "b")}
    wave.abandon({"a"})
    for request in sent.values():
        wave.arrived(Answer(request.request_id, "answered", answer="no JSON here", finish_reason="stop"))
    assert len(wave.waiting) == 1
    assert wave.waiting.take().label == "b"


def test_rows_of_a_corpus_that_ran_dry_are_kept(make_config, quiet, tmp_path):
    fault = lambda i, body, n: (200, {}, '{"rows": ["the same words"]}') if i and len(server.seen) > 30 else None  # noqa: E731
    with loopback(Behaviour(fault=fault)) as server:
        cfg = make_config(server.base_url, strategy="fewshot", target_rows=2000, rows_per_request=5, max_reasks=0, gates=[])
        summary = generate(sets_of(["a"], 400), {"a": 1}, cfg, 0, str(tmp_path), quiet).summary
    assert summary["accepted"] > 50
    assert summary["stopped_by"] == "labels_given_up"


def test_labels_without_sets_and_labels_without_candidates_are_not_mixed_up(make_config, quiet, tmp_path):
    """The sets of a are used up; b, whose answers are all refused but one, stops at the limit on candidates with sets left."""

    def fault(request_id, body, n):
        return (200, {}, "prose") if request_id and "b text" in asked_of(body) and n % 4 else None

    few, many = sets_of(["a"], 2).to_pylist(), sets_of(["b"], 200).to_pylist()
    with loopback(Behaviour(fault=fault)) as server:
        cfg = make_config(
            server.base_url, strategy="fewshot", target_rows=60, rows_per_request=5, max_rows_per_set=5, max_reasks=0, max_candidates=100
        )
        summary = generate(pa.Table.from_pylist(few + many), {"a": 1, "b": 1}, cfg, 0, str(tmp_path), quiet).summary
    assert summary["missing_by_label"].keys() >= {"a"}
    assert summary["stopped_by"] == ("max_candidates" if "b" in summary["missing_by_label"] else "demonstration_sets")


@pytest.mark.parametrize(
    "said", ['{"rows": ["I am sorry, but I cannot help with that request."]}', "prose", '{"rows": ["always the same fine words"]}']
)
def test_a_label_that_runs_dry_is_left_in_the_middle_of_a_wave(said, make_config, quiet, tmp_path):
    """From some answer on the model refuses for one label, or repeats itself. It is paid for no longer, and the other label finishes."""
    fault = lambda i, body, n: (200, {}, said) if i and "b text" in asked_of(body) and len(server.seen) > 60 else None  # noqa: E731
    with loopback(Behaviour(fault=fault)) as server:
        cfg = make_config(
            server.base_url, strategy="fewshot", target_rows=2000, rows_per_request=5, max_rows_per_set=10, max_reasks=0, gates=["meta"]
        )
        summary = generate(sets_of(["a", "b"], 400), {"a": 1, "b": 1}, cfg, 0, str(tmp_path), quiet).summary
        paid = sum("b text" in asked_of(entry["body"]) for entry in server.log)
    assert summary["accepted_by_label"]["a"] == 1000
    assert 10 < summary["accepted_by_label"]["b"] < 1000
    assert summary["stopped_by"] == "labels_given_up"
    assert "rows was accepted" in summary["labels_given_up"]["b"]
    assert paid < 120
