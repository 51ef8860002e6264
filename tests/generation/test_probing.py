"""Probes are requests like others: they count against the budgets, in later starts too, and nobody waits for one in silence."""

import asyncio
from types import SimpleNamespace

import pytest
from loopback import Behaviour, loopback
from loopback_answers import prompt_tokens
from rich.console import Console

from synalign_spark.errors import EndpointError
from synalign_spark.generation import negotiation
from synalign_spark.generation.backends.limiter import Leave
from synalign_spark.generation.backends.sender import Outcome, with_spent
from synalign_spark.generation.calls import Answer, make_request
from synalign_spark.generation.client import ask
from synalign_spark.generation.dialects import Terms
from synalign_spark.generation.engine import generate
from synalign_spark.generation.limits import Take
from synalign_spark.generation.prompts import Prompt
from synalign_spark.generation.rates import Ticket
from synalign_spark.generation.target import target_of
from synalign_spark.generation.window import Turn
from synalign_spark.progress import Progress

COUNTS = {"good": 75, "bad": 25}
ONLY_TEXT = ("text",)  # nine probes find it: three forms are refused, of which two are asked for twice


def requests_of(result):
    return sum(result.calls["attempts"].to_pylist()) + result.summary["probes"]["requests"]


def test_a_summary_and_the_next_start_count_what_the_server_has_counted(run, tmp_path):
    with loopback(Behaviour(dialects=ONLY_TEXT)) as server:
        result = run(server, {"price_input_usd": 1e6, "price_output_usd": 0.0})
        probes = [entry for entry in server.log if not entry["request_id"]]
        answered = [entry for entry in probes if entry["status"] == 200]
        assert result.summary["probes"]["requests"] == len(probes) > len(answered) > 0
        assert result.summary["probes"]["cost_usd"] == sum(prompt_tokens(entry["body"]) for entry in answered)
        assert requests_of(result) == len(server.log)
        again = run(server, {"price_input_usd": 1e6, "price_output_usd": 0.0})
        assert again.summary["probes"] == result.summary["probes"]
        more = run(server, target_rows=400, limits={"max_requests": len(server.log) + 9})
        assert more.summary["stopped_by"] == "limits.max_requests"
        assert len(server.log) == requests_of(result) + 9


@pytest.mark.parametrize(
    "limits", [{"max_requests": 3}, {"max_tokens": 1_100}, {"max_cost_usd": 0.0011}], ids=["max_requests", "max_tokens", "max_cost_usd"]
)
def test_a_budget_that_the_probes_would_break_stops_them(limits, run):
    priced = {"price_input_usd": 1.0, "price_output_usd": 1.0, "max_output_tokens": 400}
    with loopback(Behaviour(fault=lambda i, body, n: (200, {}, "prose"), usage=False)) as server:
        (key,) = limits
        with pytest.raises(EndpointError, match=f"no row was accepted.*stopped by limits.{key}; raise generate.limits.{key}"):
            run(server, priced, strategy="simprompt", limits=limits)
        assert 1 <= len(server.log) <= 3
        assert not server.bodies  # none of a call


def test_probes_in_the_middle_of_a_run_are_taken_from_what_calls_may_take(run):
    """After ten calls the server takes another form alone: what is asked to find it counts too."""

    def refused(request_id, body, n):
        if len(server.bodies) > 10 and "response_format" in body:
            return (400, {}, "response_format is not supported")
        return (500, {}, "") if request_id and n == 1 else None  # another attempt, which the limiter alone lets go

    with loopback(Behaviour(fault=refused)) as server:
        result = run(server, {"concurrency": 4}, target_rows=400, strategy="simprompt", limits={"max_requests": 40})
        assert len(server.log) == 40
    assert result.summary["renegotiations"] == 1
    assert result.summary["probes"]["requests"] > 1
    assert result.summary["stopped_by"] == "limits.max_requests"


class AfterAnOutage:
    """A limiter whose first leave is for a probe."""

    def __init__(self):
        self.settled = []

    async def acquire(self, reserved):
        return Leave(Turn(0, probe=not self.settled), Ticket(1), reserved[0])

    def settle(self, leave, outcome, used, waited):
        self.settled.append((leave.turn.probe, used))


class Works:
    async def attempt(self, work):
        if not work.named:
            return Outcome(Answer("w", "answered", 1), None, (7, 3), None, 0.1)
        return Outcome(
            with_spent(Answer("r", "answered", work.number, prompt_tokens=10, completion_tokens=20), work.spent), None, (10, 20), None, 0.1
        )


def test_a_look_at_an_endpoint_that_was_down_is_a_request_of_the_call_that_waits(make_config):
    llm = make_config("http://127.0.0.1:1/v1", {"price_input_usd": 1e6, "price_output_usd": 0.0}).llm
    request, limiter = make_request("rows", None, Prompt(({"role": "user", "content": "x"},), {}, ""), llm, ""), AfterAnOutage()
    answer = asyncio.run(ask(request, [target_of(llm, None, Terms())], [Works()], limiter))
    assert (answer.attempts, answer.prompt_tokens, answer.completion_tokens) == (2, 17, 23)
    assert limiter.settled == [(True, Take(10, 7.0)), (False, Take(30, 10.0))]


def test_a_wait_that_a_server_asks_for_is_said(demonstrations, make_config, tmp_path, monkeypatch, capsys):
    waits = []
    monkeypatch.setattr("tenacity.nap.time", SimpleNamespace(sleep=waits.append))
    with loopback(Behaviour(fault=lambda i, body, n: (429, {"Retry-After": "7"}, "") if n == 1 and not i else None)) as server:
        generate(demonstrations, COUNTS, make_config(server.base_url), 0, str(tmp_path), Progress(Console(stderr=True), live=False))
    assert len(waits) == 1
    assert 7.0 < waits[0] < 8.0
    assert f"generate: loopback at {server.base_url}: the endpoint asks to wait 7 s before the next call" in capsys.readouterr().err


def test_a_wait_that_nobody_would_want_is_an_error_at_once(run, monkeypatch):
    monkeypatch.setattr("tenacity.nap.time", SimpleNamespace(sleep=lambda s: pytest.fail(f"slept {s} s")))
    with loopback(Behaviour(fault=lambda i, body, n: (429, {"Retry-After": "3600"}, ""))) as server:
        with pytest.raises(
            EndpointError, match=r"it asks to wait 3,600 s \(Retry-After\), and no more than 60 s are waited before the first call"
        ):
            run(server)
        assert len(server.log) == 1
    assert negotiation.LONGEST_WAIT_S == 60


def test_a_budget_that_went_to_refused_rows_alone_is_not_just_to_be_raised(make_config, demonstrations, quiet, tmp_path):
    with loopback() as server:
        few = {"strategy": "simprompt", "min_chars": 10_000, "max_chars": 20_000, "limits": {"max_requests": 5}}
        with pytest.raises(EndpointError, match=r"rows refused: too_short.*see generate.task and generate.gates, or raise generate.limits"):
            generate(demonstrations, {"good": 1, "bad": 1}, make_config(server.base_url, **few), 0, str(tmp_path), quiet)


def test_where_every_row_was_refused_the_error_names_the_gates(make_config, demonstrations, quiet, tmp_path):
    with loopback() as server:
        cfg = make_config(server.base_url, strategy="simprompt", min_chars=10_000, max_chars=20_000, max_candidates=1_000)
        with pytest.raises(EndpointError, match=r"too_short \d+\. label .* Stored answers are kept; see generate.task and generate.gates"):
            generate(demonstrations, {"good": 1, "bad": 1}, cfg, 0, str(tmp_path), quiet)


def test_where_no_answer_was_of_use_the_error_names_the_model(make_config, demonstrations, quiet, tmp_path):
    prose = Behaviour(fault=lambda request_id, body, n: (200, {}, "prose") if request_id else None)
    with loopback(prose) as server, pytest.raises(EndpointError, match="Stored answers are kept; see generate.llm and generate.task"):
        generate(demonstrations, {"good": 1}, make_config(server.base_url, strategy="simprompt"), 0, str(tmp_path), quiet)
