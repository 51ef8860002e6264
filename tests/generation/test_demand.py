"""No label is asked for more rows than it lacks, by what became of its rows so far."""

import json

import pytest
from loopback import Behaviour, loopback

from synalign_spark.generation.demand import Demand, next_calls
from synalign_spark.generation.engine import generate
from synalign_spark.generation.plan import Planner, demonstration_sets_of
from tests.generation.test_wave import asked_of, rows_asked, sets_of

LABELS = [f"label {i:02}" for i in range(24)]


@pytest.mark.parametrize("strategy", ["synalign", "fewshot", "simprompt", "attrprompt"])
def test_labels_that_lack_a_row_each_are_asked_for_a_row_each(strategy, make_config, quiet, tmp_path):
    with loopback() as server:
        cfg = make_config(server.base_url, strategy=strategy, target_rows=24, rows_per_request=5)
        summary = generate(sets_of(LABELS, 2), dict.fromkeys(LABELS, 1), cfg, 0, str(tmp_path), quiet).summary
    asked = [rows_asked(body) for body in server.bodies if '"rows"' in asked_of(body)]
    assert summary["accepted"] == 24
    assert asked == [1] * 24


def test_the_last_call_of_a_label_asks_for_the_rest_and_what_was_refused_is_asked_for_again(make_config, quiet, tmp_path):
    """Twelve rows by calls of 5, 5 and 2. The first answer has one row that is too short: eleven of twelve were accepted, so the one that
    lacks is asked for by two."""
    rows = ["x", *(f"a sentence of its own about {word}" for word in ("trains", "bread", "winter", "chess"))]
    short = json.dumps({"rows": rows})
    with loopback(Behaviour(fault=lambda i, body, n: (200, {}, short) if i and len(server.bodies) == 1 else None)) as server:
        cfg = make_config(server.base_url, {"concurrency": 1}, strategy="fewshot", target_rows=12, rows_per_request=5, gates=[])
        summary = generate(sets_of(["a"], 9), {"a": 1}, cfg, 0, str(tmp_path), quiet).summary
    assert [rows_asked(body) for body in server.bodies] == [5, 5, 2, 2]
    assert summary["accepted"] == 12
    assert summary["refused"] == {"surplus": 1, "too_short": 1}


def test_the_limit_on_candidates_holds_to_the_row(make_config, quiet, tmp_path):
    with loopback(Behaviour(shape='{"rows": ["x", "x", "x", "a sentence of its own"]}')) as server:
        cfg = make_config(server.base_url, strategy="simprompt", target_rows=12, rows_per_request=4, max_candidates=18, max_reasks=0)
        summary = generate(sets_of(["a"], 9), {"a": 1}, cfg, 0, str(tmp_path), quiet).summary
    assert sum(map(rows_asked, server.bodies)) == 18
    assert summary["stopped_by"] == "max_candidates"


def test_a_set_brings_its_rows_whatever_the_size_of_its_calls(make_config):
    """Small calls take their rows off a set, not the rows of a whole call each; the last one asks for what is left."""
    cfg = make_config("http://127.0.0.1:9/v1", strategy="fewshot", rows_per_request=5, max_rows_per_set=10)
    planner = Planner(cfg, 0, demonstration_sets_of(sets_of(["a"], 1, rows=5)), ["a"])
    sizes = []
    while planner.calls_left("a"):
        sizes += [planned.n_rows for planned in planner.next_sets("a", [1 if len(sizes) < 3 else 5], 1.0)]
    assert sizes == [1, 1, 1, 5, 2]


def test_a_label_that_few_rows_are_accepted_of_is_asked_for_five_times_what_it_lacks_at_most():
    unlucky = Demand("a", quota=4, accepted=1, asked=100, rows_a_call=5)
    assert sum(n for _, n in next_calls([unlucky], most_calls=20, most_rows=100)) == 15
    assert next_calls([unlucky], most_calls=20, most_rows=7) == [("a", 5), ("a", 2)]
    assert next_calls([unlucky], most_calls=1, most_rows=100) == [("a", 5)]
