"""What a run tells while it goes on."""

import socket
import urllib.request

import pytest
from loopback import Behaviour, loopback

from synalign_spark.config import GenerateConfig
from synalign_spark.errors import ConfigError
from synalign_spark.generation.calls import Answer, make_request
from synalign_spark.generation.engine import generate
from synalign_spark.generation.limits import Budget
from synalign_spark.generation.prices import Prices
from synalign_spark.generation.prompts import Prompt
from synalign_spark.generation.results import Rows
from synalign_spark.generation.status import Status
from synalign_spark.generation.window import Pressure

PRICED = {"price_input_usd": 1.0, "price_output_usd": 2.0}


def status(target=100, accepted=0, refused=(), calls=0, llm=PRICED, limits=None):
    cfg = GenerateConfig.model_validate({"target_rows": target, "llm": llm, "limits": limits or {}})
    rows, budget = Rows(cfg), Budget(cfg.limits, Prices([cfg.llm]))
    prompt = Prompt(({"role": "user", "content": "x"},), {"type": "object"}, "rows")
    for i in range(calls):
        request = make_request("rows", None, prompt, cfg.llm, str(i))
        answer = Answer(request.request_id, "answered", 1, prompt_tokens=1_000, completion_tokens=500)
        rows.add_call(request, answer, None)
        budget.spend(answer)
    rows.accepted[None] += accepted
    rows.refused.update(refused)
    return Status(cfg, rows, budget)


def test_the_line_says_calls_rate_tokens_reasons_and_cost():
    line = status(accepted=25, refused=["form"] * 3 + ["duplicate"] * 5, calls=10, limits={"requests_per_minute": 1_200}).line(None)
    assert line == "10 calls (0.0/s of 20), 15,000 tokens, refused 8: duplicate 5, form 3, 0.0200 of about 0.0800 usd"
    assert status(calls=2, llm={}).line(None) == "2 calls (0.0/s), 3,000 tokens"
    assert "(0.0/s of 7.5)" in status(limits={"requests_per_minute": 1_200}).line(Pressure(4, 4, 4, per_s=7.5))
    assert status(accepted=19, calls=1).line(None).endswith("tokens, 0.0020 usd")  # too few rows to project from
    assert status().line(Pressure(2, 8, 2, {"timeout": 3})).endswith("slowed down to 2 of 8 requests at once (timeout 3)")


def test_calls_count_when_they_end_though_their_rows_wait_for_those_of_earlier_ones(
    make_config, demonstrations, quiet, tmp_path, monkeypatch
):
    """Rows are taken in the order of the plan: one slow call would make a busy run look as if it stood still."""
    seen, line = [], Status.line

    def look(self, pressure, ahead=0):
        seen.append((self._rows.statuses.total(), ahead))
        return line(self, pressure, ahead)

    monkeypatch.setattr(Status, "line", look)
    with loopback() as server:
        result = generate(demonstrations, {"good": 1, "bad": 1}, make_config(server.base_url, target_rows=40), 0, str(tmp_path), quiet)
    ended = [taken + ahead for taken, ahead in seen]
    assert ended == sorted(ended)
    assert max(ahead for _, ahead in seen) > 0
    assert seen[-1] == (result.calls.num_rows, 0)
    assert status(calls=2, llm={}).line(None, ahead=3) == "5 calls (0.0/s, 3 wait for an earlier one), 3,000 tokens"


def test_what_lacks_costs_what_was_paid_for_the_rest():
    assert status(100, accepted=50, calls=10).missing_usd() == pytest.approx(0.02)
    assert status(100, accepted=100, calls=10).missing_usd() == 0.0
    assert status(100, accepted=50, calls=10, llm={}).missing_usd() is None


def test_a_stop_says_what_the_rest_would_cost(make_config, demonstrations, quiet, tmp_path, capsys):
    with loopback() as server:
        cfg = make_config(server.base_url, PRICED, target_rows=200, strategy="simprompt", limits={"max_requests": 30})
        result = generate(demonstrations, {"good": 1, "bad": 1}, cfg, 0, str(tmp_path), quiet)
    assert result.summary["stopped_by"] == "limits.max_requests"
    share = (200 - result.summary["accepted"]) / result.summary["accepted"]
    assert result.summary["missing_usd"] == pytest.approx(result.summary["cost_usd"] * share, rel=1e-3)


def test_prometheus_finds_the_figures_while_it_runs_and_nothing_afterwards(make_config, demonstrations, quiet, tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    seen = []

    def look(request_id, body, n):
        if request_id and len(server.seen) >= 20 and not seen:
            seen.append(urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5).read().decode())

    with loopback(Behaviour(fault=look)) as server:
        cfg = make_config(server.base_url, PRICED, target_rows=160, strategy="simprompt", metrics_port=port)
        generate(demonstrations, {"good": 1, "bad": 1}, cfg, 0, str(tmp_path), quiet)
    assert 'synalign_rows_accepted{label="good"}' in seen[0]
    assert 'synalign_calls_total{status="ok"}' in seen[0]
    assert "synalign_rows_target 160.0" in seen[0]
    assert "synalign_cost_usd_total" in seen[0]
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5)


def test_a_port_that_is_taken_is_named(make_config, demonstrations, quiet, tmp_path):
    with loopback() as server, socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        cfg = make_config(server.base_url, strategy="simprompt", metrics_port=taken.getsockname()[1])
        with pytest.raises(ConfigError, match=r"generate.metrics_port: \d+ cannot be listened on"):
            generate(demonstrations, {"good": 1}, cfg, 0, str(tmp_path), quiet)
