"""A pool and a real server that bears few requests at once, or none for a while: nothing is lost."""

import time

import pytest
from loopback import Behaviour, loopback

from synalign_spark.errors import EndpointError
from synalign_spark.generation import window as window_module
from synalign_spark.generation.engine import generate

COUNTS = {"good": 75, "bad": 25}


@pytest.mark.parametrize(("status", "headers"), [(429, {"Retry-After": "0.05"}), pytest.param(503, {}, marks=pytest.mark.slow)])
def test_a_server_with_room_for_a_few_loses_no_call(status, headers, demonstrations, make_config, quiet, tmp_path):
    with loopback(Behaviour(delay_s=0.03)) as server:
        server.behaviour.fault = lambda i, body, n: (status, headers, "") if i and server.flying >= 4 else None
        cfg = make_config(server.base_url, {"concurrency": 24}, target_rows=320, strategy="simprompt")
        result = generate(demonstrations, COUNTS, cfg, 0, str(tmp_path), quiet)
    assert result.summary["accepted"] == 320
    assert set(result.summary["calls"]) == {"ok"}
    assert result.summary["fewest_at_once"] < 24
    assert sum(result.summary["requests_failed"].values()) < 0.7 * len(server.log)


@pytest.mark.slow
def test_an_outage_longer_than_all_attempts_loses_no_call(demonstrations, make_config, quiet, tmp_path, monkeypatch):
    """Two attempts a call are burnt in half a second; the server is away for five."""
    monkeypatch.setattr(window_module, "FIRST_PAUSE_S", 0.2)
    away = []

    def down(request_id, body, n):
        if request_id and not away and len(server.log) > 30:
            away.append(time.monotonic())
        return (502, {}, "") if away and time.monotonic() - away[0] < 5.0 else None

    with loopback(Behaviour(delay_s=0.02, fault=down)) as server:
        cfg = make_config(server.base_url, {"concurrency": 16, "max_attempts": 3}, target_rows=400, strategy="simprompt")
        result = generate(demonstrations, COUNTS, cfg, 0, str(tmp_path), quiet)
    assert result.summary["accepted"] == 400
    assert result.summary["outages"] >= 1
    assert set(result.summary["calls"]) == {"ok"}


def test_an_outage_beyond_its_limit_is_a_clear_error_and_a_later_start_goes_on(demonstrations, make_config, quiet, tmp_path, monkeypatch):
    with loopback(Behaviour(delay_s=0.02)) as server:
        server.behaviour.fault = lambda i, body, n: (503, {}, "k-very-secret") if sum(server.finished.values()) > 20 else None
        monkeypatch.setenv("OPENAI_API_KEY", "very-secret")
        changes = {"strategy": "simprompt", "target_rows": 200, "limits": {"max_outage_minutes": 2 / 60}}
        cfg = make_config(server.base_url, {"concurrency": 16}, **changes)
        with pytest.raises(
            EndpointError,
            match=r"it has been down for \d+ s, and generate.limits.max_outage_minutes.*overloaded \d+, the last by: .*injected 503: k-\[hidden\]",
        ) as err:
            generate(demonstrations, COUNTS, cfg, 0, str(tmp_path), quiet)
        assert "stored answers are kept" in str(err.value)
        server.behaviour.fault = lambda i, body, n: None
        result = generate(demonstrations, COUNTS, cfg, 0, str(tmp_path), quiet)
    assert result.summary["accepted"] == 200
    assert result.summary["answers_reused"] >= 20
    assert max(n for i, n in server.finished.items() if i) == 1


def test_one_call_that_never_succeeds_fails_alone(demonstrations, make_config, quiet, tmp_path):
    """The last one, when no other call is there to succeed."""
    poisoned = []

    def poison(request_id, body, n):
        if request_id and not poisoned and len(server.log) > 20:
            poisoned.append(request_id)
        return (500, {}, "") if request_id in poisoned else None

    with loopback(Behaviour(fault=poison)) as server:
        cfg = make_config(server.base_url, {"concurrency": 1, "max_attempts": 3}, target_rows=120, strategy="simprompt")
        result = generate(demonstrations, COUNTS, cfg, 0, str(tmp_path), quiet)
    assert result.summary["accepted"] == 120
    assert result.summary["calls"]["server_error"] == 1
    assert result.summary["outages"] == 0
