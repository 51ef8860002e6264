"""Answers that are cut off at their token limit: calls learn to ask for fewer rows, the same whenever the run is resumed."""

import contextlib
from collections import Counter

import pytest
from loopback import Behaviour, loopback

from synalign_spark.generation.call_size import CallSize, fewer_rows
from synalign_spark.generation.engine import generate
from synalign_spark.generation.probing import BudgetSpentError
from tests.generation.test_wave import asked_of, rows_asked, sets_of


def cut_above(most, label=None):
    """A server whose answers of more rows are cut off, as far as a label goes."""

    def fault(request_id, body, n):
        asked = asked_of(body)
        if request_id and '"rows"' in asked and rows_asked(body) > most and (label is None or f'label "{label}"' in asked):
            return (200, {}, "truncated")
        return None

    return Behaviour(fault=fault)


def test_a_size_that_is_mostly_cut_is_halved_down_to_one_row():
    size, sizes = CallSize(8), []
    for cut in [True, True, True, True] + [False] * 3 + [True] * 4 + [True] * 40:
        size.taken(size.rows, cut)
        sizes.append(size.rows)
    assert sizes[:4] == [8, 8, 8, 4]
    assert sizes[4:11] == [4] * 6 + [2]  # four of seven are over one half, three of six are not
    assert sizes[-1] == 1


@pytest.mark.parametrize("every", [2, 3, 1_000])
def test_a_size_of_which_half_comes_whole_stays(every):
    size = CallSize(4)
    for i in range(100):
        size.taken(4, cut=i % every == 1)
    assert size.rows == 4


@pytest.mark.parametrize("strategy", ["synalign", "fewshot", "simprompt", "attrprompt"])
def test_calls_that_are_always_cut_ask_for_fewer_rows_and_reach_the_target(strategy, make_config, quiet, tmp_path):
    with loopback(cut_above(1)) as server:
        cfg = make_config(server.base_url, strategy=strategy, target_rows=60, rows_per_request=8)
        result = generate(sets_of(["a", "b"], 12, rows=4), {"a": 1, "b": 1}, cfg, 0, str(tmp_path), quiet)
    asked = Counter(rows_asked(body) for body in server.bodies if '"rows"' in asked_of(body))
    assert result.summary["accepted"] == 60
    assert result.summary["rows_a_call"] == {"a": 1, "b": 1}
    assert asked[1] >= 60
    assert asked.total() - asked[1] <= 60  # of two labels: what it took to learn, and what the waves had planned by then


def test_rows_that_were_lost_in_learning_do_not_use_up_the_candidates(make_config, quiet, tmp_path):
    with loopback(cut_above(2)) as server:
        cfg = make_config(server.base_url, strategy="simprompt", target_rows=40, rows_per_request=10)  # 200 candidates: 20 calls of 10
        result = generate(sets_of(["a", "b"], 1), {"a": 1, "b": 1}, cfg, 0, str(tmp_path), quiet)
    assert (result.summary["accepted"], result.summary["stopped_by"]) == (40, "target")


def test_a_label_learns_for_itself(make_config, quiet, tmp_path):
    with loopback(cut_above(2, label="a")) as server:
        cfg = make_config(server.base_url, strategy="simprompt", target_rows=120, rows_per_request=4)
        result = generate(sets_of(["a", "b"], 1), {"a": 1, "b": 1}, cfg, 0, str(tmp_path), quiet)
    assert result.summary["rows_a_call"] == {"a": 2}
    assert result.summary["accepted_by_label"] == {"a": 60, "b": 60}
    assert max(rows_asked(body) for body in server.bodies[-5:] if 'label "a"' in asked_of(body)) <= 2


@pytest.mark.parametrize("reasks", [0, 1])
@pytest.mark.parametrize("stop_after", [7, 25, 47])
def test_a_run_that_was_stopped_asks_what_an_undisturbed_one_asks(reasks, stop_after, make_config, quiet, tmp_path):
    table, counts = sets_of(["a", "b"], 12, rows=4), {"a": 1, "b": 1}
    with loopback(cut_above(2)) as server:
        cfg = make_config(server.base_url, strategy="fewshot", target_rows=60, rows_per_request=8, max_reasks=reasks)
        whole = generate(table, counts, cfg, 0, str(tmp_path / "whole"), quiet)
        n_calls = len(server.bodies)
        few = cfg.model_copy(update={"limits": cfg.limits.model_copy(update={"max_requests": stop_after})})
        with contextlib.suppress(BudgetSpentError):  # before the first row
            generate(table, counts, few, 0, str(tmp_path / "parts"), quiet)
        resumed = generate(table, counts, cfg, 0, str(tmp_path / "parts"), quiet)
    assert resumed.calls["request_id"].to_pylist() == whole.calls["request_id"].to_pylist()
    assert resumed.synthetic["text"].to_pylist() == whole.synthetic["text"].to_pylist()
    assert len(server.bodies) == 2 * n_calls
    assert whole.summary["rows_a_call"] == {"a": 2, "b": 2}


def test_calls_that_are_cut_at_one_row_too_end_with_a_reason(make_config, quiet, tmp_path):
    """Bounded: some 20 calls at each size at most, each asked again once."""
    with loopback(cut_above(0)) as server:
        cfg = make_config(server.base_url, strategy="simprompt", target_rows=2_000, rows_per_request=8)
        with pytest.raises(Exception, match="of its first 20 calls gave nothing usable.*max_output_tokens"):
            generate(sets_of(["a"], 1), {"a": 1}, cfg, 0, str(tmp_path), quiet)
    assert len(server.bodies) <= 2 * 20 * 4


def test_what_is_said_of_it(make_config):
    size = CallSize(10)
    for _ in range(4):
        size.taken(10, cut=True)
    cfg = make_config("http://127.0.0.1:9/v1", rows_per_request=10)
    assert fewer_rows({"a": size, None: CallSize(10)}, cfg) == [
        "answers for the label 'a' were mostly cut off: calls asked for 5 of 10 rows in the end; raise generate.llm.max_output_tokens (400) or lower generate.rows_per_request"
    ]
