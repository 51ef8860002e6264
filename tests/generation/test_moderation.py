"""A 403, or a 400 that tells of moderation: of one prompt it is a refused row, of all it is the key, and resumes know which."""

import json

import pytest
from loopback import Behaviour, loopback, statuses

from synalign_spark.errors import EndpointError


def test_403_for_one_prompt_in_seven_is_a_refused_row(run):
    with loopback(Behaviour(fault=lambda i, body, n: (403, {}, "") if i and int(i[:4], 16) % 7 == 0 else None)) as server:
        result = run(server, target_rows=120)
    assert result.summary["accepted"] == 120
    assert statuses(result) == {"ok", "refused"}
    refusals = [row for row in result.refusals.to_pylist() if row["reason"] == "content_filter"]
    assert refusals
    assert all("injected 403" in row["detail"] for row in refusals)


def test_403_before_the_first_answer_waits_for_one(run):
    """The first call that comes back is a refused one; the others tell that it was the prompt."""
    with loopback(Behaviour(fault=lambda i, body, n: (403, {}, "") if i and sum(bool(k) for k in server.seen) <= 3 else None)) as server:
        result = run(server, {"concurrency": 1})
    assert result.summary["calls"]["refused"] == 3
    assert result.summary["accepted"] == 24


def test_403_from_the_first_call_on_is_the_key(run):
    with loopback(Behaviour(fault=lambda i, body, n: (403, {}, ""))) as server, pytest.raises(EndpointError, match="injected 403"):
        run(server)
    with loopback(Behaviour(fault=lambda i, body, n: (403, {}, "") if i else None)) as server:
        with pytest.raises(EndpointError, match="cannot be used: .*injected 403"):
            run(server, ledger="another")
        assert len(server.bodies) <= 24  # 20 in a row, and what was in flight


@pytest.mark.parametrize("said", ["content_filter: Azure's content management policy", "Your input was flagged by moderation"])
def test_a_400_that_tells_of_moderation_is_a_refused_row(said, run):
    with loopback(Behaviour(fault=lambda i, body, n: (400, {}, said) if i and int(i[:4], 16) % 3 == 0 else None)) as server:
        result = run(server)
    assert statuses(result) == {"ok", "refused"}
    assert result.summary["accepted"] == 24


def moderated(request_id, body, n):
    """A moderation that refuses one prompt in seven."""
    return (403, {}, "") if request_id and int(request_id[:4], 16) % 7 == 0 else None


def refused_ids(result):
    return {row["request_id"] for row in result.calls.to_pylist() if row["status"] == "refused"}


def test_403_of_prompts_is_stored_and_not_asked_again(run):
    with loopback(Behaviour(fault=moderated)) as server:
        first = run(server, target_rows=120)
        sent = len(server.bodies)
        again = run(server, target_rows=120)
        assert len(server.bodies) == sent
    assert refused_ids(first) == refused_ids(again)
    assert len(refused_ids(first)) >= 3
    assert first.synthetic.to_pylist() == again.synthetic.to_pylist()


@pytest.mark.parametrize("most", range(8, 24, 3))
def test_403_of_prompts_and_a_stop_by_a_budget_can_be_resumed(most, run):
    with loopback(Behaviour(fault=moderated)) as server:
        assert run(server, target_rows=120, limits={"max_requests": most}).summary["stopped_by"] == "limits.max_requests"
        resumed = run(server, target_rows=120)
    assert resumed.summary["accepted"] == 120


@pytest.mark.parametrize("key_fits", [True, False])
def test_403_of_all_that_a_killed_run_still_lacks(key_fits, run, tmp_path):
    """What was refused just before a kill is not stored, so a start may ask for nothing else: only a look tells prompts from a key."""
    with loopback(Behaviour(fault=moderated)) as server:
        first = run(server, target_rows=120)
        for file in (tmp_path / "ledger").glob("*.jsonl"):
            kept = [line for line in file.read_text().splitlines() if not json.loads(line)["refusal"]]
            file.write_text("".join(line + "\n" for line in kept))
        server.behaviour.fault = moderated if key_fits else (lambda i, body, n: (403, {}, ""))
        if key_fits:
            resumed = run(server, target_rows=120)
            assert refused_ids(resumed) == refused_ids(first)
            assert resumed.synthetic.to_pylist() == first.synthetic.to_pylist()
            return
        before = {path: path.read_text() for path in (tmp_path / "ledger").glob("*.jsonl")}
        with pytest.raises(EndpointError, match="cannot be used: .*injected 403"):
            run(server, target_rows=120)
    after = {path: path.read_text() for path in (tmp_path / "ledger").glob("*.jsonl")}
    assert {path: text for path, text in after.items() if "answered" in text} == {
        path: text for path, text in before.items() if "answered" in text
    }


def test_a_key_that_fits_no_more_ends_the_run_and_stores_no_refusals(run, tmp_path):
    """Else every prompt of the rest of the run would count as refused for good."""
    with loopback() as server:
        server.behaviour.fault = lambda i, body, n: (403, {}, "") if len(server.finished) >= 8 else None
        with pytest.raises(EndpointError, match="cannot be used: .*injected 403"):
            run(server, target_rows=400)
        assert len(server.bodies) <= 8 + 24 + 4
        server.behaviour.fault = lambda i, body, n: None
        assert statuses(run(server, target_rows=120)) == {"ok"}


@pytest.mark.parametrize("most", [2, 7])
def test_403_of_the_key_under_a_small_budget_is_said_to_be_the_key(most, run):
    with loopback(Behaviour(fault=lambda i, body, n: (403, {}, "") if i else None)) as server:
        with pytest.raises(EndpointError, match="cannot be used: .*injected 403"):
            run(server, limits={"max_requests": most})
        assert len(server.log) == most
