"""Answers of no use are asked for again: with the fault said, fewer rows or more tokens, and not for ever."""

from collections import Counter

import pytest
from loopback import Behaviour, loopback

from synalign_spark.generation.engine import generate
from tests.generation.test_wave import AGAIN, asked_of, rows_asked, sets_of


@pytest.mark.parametrize(("kind", "said", "share"), [("prose", "no JSON in the answer", 1), ("truncated", "was cut off", 2)])
def test_an_answer_of_no_use_is_asked_again_once_with_the_fault_said(kind, said, share, demonstrations, make_config, quiet, tmp_path):
    behaviour = Behaviour(fault=lambda i, body, n: (200, {}, kind) if i and AGAIN not in asked_of(body) else None)
    with loopback(behaviour) as server:
        cfg = make_config(server.base_url)
        result = generate(demonstrations, {"good": 75, "bad": 25}, cfg, 0, str(tmp_path), quiet)
        again = generate(demonstrations, {"good": 75, "bad": 25}, cfg, 0, str(tmp_path), quiet)
    calls = {row["request_id"]: row for row in result.calls.to_pylist()}
    repeated = [row for row in calls.values() if row["reask_of"]]
    assert result.summary["accepted"] == 24
    assert result.summary["reasks"] == result.summary["reasks_usable"] == len(repeated) == len(calls) / 2
    assert {row["status"] for row in repeated} == {"ok"}
    assert {calls[row["reask_of"]]["status"] for row in repeated} == {"unparsable" if kind == "prose" else "truncated"}
    assert again.calls["request_id"].to_pylist() == result.calls["request_id"].to_pylist()
    assert max(server.finished[i] for i in server.seen if i) == 1
    bodies = {entry["request_id"]: entry["body"] for entry in server.log}
    for row in repeated:
        first, second = bodies[row["reask_of"]], bodies[row["request_id"]]
        assert said in asked_of(second)
        assert [message["role"] for message in second["messages"]] == [message["role"] for message in first["messages"]]
        if row["step"] == "rows":
            assert rows_asked(second) == max(1, rows_asked(first) // share)
            single = kind == "truncated" and rows_asked(first) == 1  # as calls ask for in the end, where all are cut
            assert second["max_tokens"] == first["max_tokens"] * (2 if single else 1)
        else:
            assert second["max_tokens"] == first["max_tokens"] * (2 if kind == "truncated" else 1)


def test_asking_again_is_bounded(make_config, quiet, tmp_path):
    behaviour = Behaviour(fault=lambda i, body, n: (200, {}, "prose") if i and 'label "good"' in asked_of(body) else None)
    for reasks in (0, 1, 2):
        with loopback(behaviour) as server:
            cfg = make_config(server.base_url, strategy="simprompt", target_rows=8, max_candidates=8, max_reasks=reasks)
            result = generate(sets_of(["good"], 1), {"good": 1, "bad": 1}, cfg, 0, str(tmp_path / str(reasks)), quiet)
        assert Counter(result.calls["label"].to_pylist()) == {"bad": 1, "good": 1 + reasks}
        assert result.summary["reasks"] == reasks
        assert result.summary["reasks_usable"] == 0


def test_a_single_row_that_was_cut_off_gets_more_tokens(make_config, quiet, tmp_path):
    behaviour = Behaviour(fault=lambda i, body, n: (200, {}, "truncated") if i and body["max_tokens"] == 400 else None)
    with loopback(behaviour) as server:
        cfg = make_config(server.base_url, strategy="simprompt", target_rows=2, rows_per_request=1)
        result = generate(sets_of(["good"], 1), {"good": 1}, cfg, 0, str(tmp_path), quiet)
    assert result.summary["accepted"] == 2
    assert Counter(entry["body"]["max_tokens"] for entry in server.log if entry["request_id"]) == {400: 2, 800: 2}
