"""Servers that begin to fail at one form of answer alone, in the middle of a run."""

import pytest
from loopback import Behaviour, loopback, statuses

from synalign_spark.errors import EndpointError
from synalign_spark.generation import client, window
from synalign_spark.generation.history import UNSERVED_IN_A_ROW


def form_of(body):
    return body.get("response_format", {}).get("type")


@pytest.fixture
def at_once(fast, monkeypatch):
    monkeypatch.setattr(client, "backoff", lambda key, attempt: 0.0)
    monkeypatch.setattr(window, "FIRST_PAUSE_S", 0.05)


def test_a_form_that_the_server_begins_to_fail_at_is_left_for_the_next(run, at_once):
    def fault(request_id, body, n):
        return (500, {}, "") if form_of(body) == "json_schema" and len(server.finished) >= 5 else None

    with loopback(Behaviour(fault=fault)) as server:
        result = run(server, {"max_attempts": 2, "concurrency": 2}, target_rows=80)
        probes = server.seen[""]
        again = run(server, {"max_attempts": 2}, target_rows=80)
    assert result.summary["accepted"] == again.summary["accepted"] == 80
    assert result.summary["renegotiations"] == 1
    assert result.summary["calls"]["server_error"] >= UNSERVED_IN_A_ROW - 1  # the last of them was sent again
    assert set(result.calls["dialect"].to_pylist()) == {"json_schema", "json_object"}
    assert server.seen[""] == probes  # the form is remembered


def test_calls_that_fail_between_others_change_nothing(run, at_once):
    """Of four calls one after another three fail, and never four in a row: nothing is asked of the endpoint."""
    failing = lambda i: list(server.seen).index(i) % 4 in (1, 2, 3)  # noqa: E731
    with loopback(Behaviour(fault=lambda i, body, n: (500, {}, "") if i and failing(i) else None)) as server:
        result = run(server, {"max_attempts": 1, "concurrency": 1}, target_rows=24)
        probes = server.seen[""]
    assert statuses(result) == {"ok", "server_error"}
    assert result.summary["accepted"] == 24
    assert result.summary["renegotiations"] == 0
    assert probes == 1  # the one before the first call
    assert set(result.calls["dialect"].to_pylist()) == {"json_schema"}


def test_a_fault_at_all_forms_is_no_fault_of_the_form(run, at_once):
    """For a while the server fails at every call of the run and takes the probes: the form is taken, and stays."""
    fault = lambda i, body, n: (500, {}, "") if i and 6 <= len(set(server.seen)) < 12 else None  # noqa: E731
    with loopback(Behaviour(fault=fault)) as server:
        result = run(server, {"max_attempts": 1, "concurrency": 1}, target_rows=80)
    assert result.summary["calls"]["server_error"] == 6
    assert result.summary["renegotiations"] == 0
    assert set(result.calls["dialect"].to_pylist()) == {"json_schema"}


def test_an_endpoint_that_fails_at_everything_ends_the_run(run, at_once):
    fault = lambda i, body, n: (500, {}, "") if len(server.finished) >= 3 else None  # noqa: E731
    with loopback(Behaviour(fault=fault)) as server, pytest.raises(EndpointError, match="it has been down for"):
        run(server, {"max_attempts": 1, "concurrency": 1}, target_rows=400, limits={"max_outage_minutes": 0.02})
