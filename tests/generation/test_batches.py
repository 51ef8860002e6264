"""Batch mode: the tables are those of calls, at the price of batches, and every end of a batch is dealt with."""

import json

import pytest
from ledgers import read_ledger
from loopback import Behaviour, loopback, misbehave, statuses
from loopback_batches import Batches, BatchHandler

from synalign_spark.errors import EndpointError
from synalign_spark.generation import endpoint
from synalign_spark.generation.backends import batch_callers

BATCH = {"mode": "batch"}
pytestmark = pytest.mark.usefixtures("no_pauses")


def content(result):
    calls = result.calls.drop_columns(["latency_s", "finished_at", "attempts", "error", "endpoint"])
    return [t.to_pylist() for t in (result.attributes, result.synthetic, result.refusals, calls)]


def unbilled(request_id, body, n):
    """Every fault there is but those of which nobody knows whether they cost: batches leave those out of the count, calls do not."""
    fault = misbehave(request_id, body, n)
    return None if fault and fault[2] == "html" else (503, {}, "") if fault and fault[0] == 500 else fault


@pytest.mark.parametrize("strategy", ["synalign", "simprompt"])
def test_batches_give_the_tables_of_calls(strategy, run, tmp_path):
    """Faults included: some calls answered badly, some refused, some with errors that the next batch mends."""
    with loopback(Behaviour(fault=unbilled)) as server:
        by_calls = run(server, strategy=strategy, target_rows=100)
    batches = Batches(torn=True)
    with loopback(Behaviour(fault=unbilled, batches=batches)) as server:
        by_batch = run(server, BATCH, ledger="batch", strategy=strategy, target_rows=100)
        single = [entry for entry in server.log if entry["path"] != "batch"]
        assert [entry["request_id"] for entry in single] == [""] * len(single)  # no call but the look at the endpoint
        assert max(server.finished[i] for i in server.seen if i) == 1
        made = len(batches.batches)
        again = run(server, BATCH, ledger="batch", strategy=strategy, target_rows=100)
    assert content(by_calls) == content(by_batch) == content(again)
    assert by_batch.summary["requests_failed"].keys() >= {"rate_limited", "overloaded"}
    asked_again = [row["attempts"] for row in by_batch.calls.to_pylist() if row["attempts"] > 1]
    assert asked_again == [2] * len(asked_again)
    assert asked_again
    assert len(batches.batches) - made <= 3  # what a 400 refused is asked anew by a new start, and nothing else
    assert not list((tmp_path / "batch").glob("batch-*"))


def test_a_batch_is_what_the_api_takes(run):
    batches = Batches()
    with loopback(Behaviour(batches=batches)) as server:
        run(server, BATCH)
    (first, *_) = batches.batches.values()
    assert (first["endpoint"], first["completion_window"]) == ("/v1/chat/completions", "24h")
    for call in batches.calls(1):
        assert call.keys() == {"custom_id", "method", "url", "body"}
        assert (call["method"], call["url"], call["body"]["model"]) == ("POST", "/v1/chat/completions", "loopback")
        assert len(call["custom_id"]) == 64
    with loopback(Behaviour(batches=(continued := Batches()))) as server:
        run(server, BATCH | {"api": "completion"}, ledger="continued")
    assert next(iter(continued.batches.values()))["endpoint"] == continued.calls(1)[0]["url"] == "/v1/completions"


def test_calls_of_an_expired_batch_go_in_the_next_one(run):
    batches = Batches(end=lambda n: "expired" if n == 1 else "completed", answered=lambda n: 0.5 if n == 1 else 1.0)
    with loopback(Behaviour(batches=batches)) as server:
        result = run(server, BATCH)
        assert max(server.finished[i] for i in server.seen if i) == 1
    assert result.summary["accepted"] == 24
    n_first = len(batches.calls(1))
    assert len(batches.calls(2)) == n_first - round(n_first / 2)


def test_batches_that_always_expire_end(run):
    batches = Batches(end=lambda n: "expired", answered=lambda n: 0.0)
    with (
        loopback(Behaviour(batches=batches)) as server,
        pytest.raises(EndpointError, match="'expired' without an answer to it: batch_expired"),
    ):
        run(server, BATCH | {"max_attempts": 2}, target_rows=200)
    assert len(batches.batches) == 2


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (("invalid_json_line", "This line is not parseable"), "line 1: invalid_json_line: This line is not parseable"),
        (
            ("token_limit_exceeded", "Enqueued token limit reached"),
            r"lower generate\.llm\.batch_requests \(now 50,000; the batch had \d+ calls\)",
        ),
    ],
)
def test_a_batch_that_is_not_taken_is_one_clear_error(error, advice, run, tmp_path):
    batches = Batches(end=lambda n: "failed" if n == 1 else "completed", error=error)
    with loopback(Behaviour(batches=batches)) as server:
        with pytest.raises(EndpointError, match=rf"did not take batch batch_1: .*{advice}"):
            run(server, BATCH)
        assert not list((tmp_path / "ledger").glob("batch-*"))
        assert run(server, BATCH).summary["accepted"] == 24  # the next start makes another one


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe", b"[" * 100_000])
def test_answers_that_a_batch_has_and_does_not_give_are_not_paid_for_again(content, run, monkeypatch, tmp_path):
    """No file named, or one that comes empty, as bytes of another encoding, or nested too deep."""
    batches, end = Batches(), BatchHandler.end

    def withhold(handler, batch):
        end(handler, batch)
        kept.append((batch["output_file_id"], batches.files[batch["output_file_id"]]))
        batches.files[batch["output_file_id"]] = content or b""
        batch["output_file_id"] = batch["output_file_id"] if content is not None else None

    kept = []
    monkeypatch.setattr(BatchHandler, "end", withhold)
    with loopback(Behaviour(batches=batches)) as server:
        for _ in range(2):
            with pytest.raises(
                EndpointError, match=r"batch batch_1: 7 of 7 calls done \(completed\), and 0 can be read .* remove .*batch-"
            ):
                run(server, BATCH)
        ((file_id, whole),) = kept
        batches.files[file_id] = whole
        batches.batches["batch_1"]["output_file_id"] = file_id
        monkeypatch.setattr(BatchHandler, "end", end)
        assert run(server, BATCH).summary["accepted"] == 24
        assert max(server.finished[i] for i in server.seen if i) == 1
    assert len(batches.batches) == 1
    assert not list((tmp_path / "ledger").glob("batch-*"))


def test_a_budget_of_requests_counts_those_that_failed(run):
    """Every call of the first batch fails; a budget of nine leaves so many for the second, less the probe."""
    with loopback(Behaviour(fault=lambda i, body, n: (429, {}, "") if i and n == 1 else None, batches=Batches())) as server:
        result = run(server, BATCH, limits={"max_requests": 9})
        assert sum(server.seen.values()) == 9
    assert result.summary["probes"]["requests"] == server.seen[""] == 1
    assert result.summary["stopped_by"] == "limits.max_requests"


def test_a_budget_of_money_is_kept_at_the_price_of_batches(run):
    priced = BATCH | {"price_input_usd": 1.0, "price_output_usd": 2.0, "batch_discount": 0.25}
    with loopback(Behaviour(batches=Batches())) as server:
        whole = run(server, priced, ledger="whole", target_rows=80).summary
        tokens = whole["prompt_tokens"] + 2 * whole["completion_tokens"]
        assert whole["cost_usd"] == pytest.approx(0.75e-6 * tokens, abs=1e-6)
        part = run(server, priced, target_rows=80, limits={"max_cost_usd": 0.6 * whole["cost_usd"]}).summary
        assert part["stopped_by"] == "limits.max_cost_usd"
        assert part["probes"]["cost_usd"] > 0
        assert 0 < part["cost_usd"] <= 0.6 * whole["cost_usd"] - part["probes"]["cost_usd"]
        # Answers by batch cost what they did, though the rest comes by calls.
        rest = run(server, priced | {"mode": "calls"}, target_rows=80).summary
    assert part["cost_usd"] < rest["cost_usd"]
    at_full = (rest["prompt_tokens"] + 2 * rest["completion_tokens"]) * 1e-6
    assert rest["cost_usd"] == pytest.approx(at_full - part["cost_usd"] / 0.75 * 0.25, abs=2e-6)


@pytest.mark.parametrize("status", [400, 403])
def test_prompts_that_a_moderation_refuses_are_refused_rows(status, run):
    said = "flagged by moderation" if status == 400 else ""
    fault = lambda i, body, n: (status, {}, said) if i and int(i[:4], 16) % 4 == 0 else None  # noqa: E731
    with loopback(Behaviour(fault=fault, batches=Batches())) as server:
        result = run(server, BATCH, target_rows=60)
        asked = len(server.bodies)
        run(server, BATCH, target_rows=60)
        assert len(server.bodies) == asked  # refusals are stored
    assert statuses(result) == {"ok", "refused"}
    assert result.summary["accepted"] == 60


def test_a_quota_that_ends_within_a_batch_is_the_endpoints_error_and_the_answers_are_kept(run, tmp_path):
    quota = lambda i, body, n: (429, {}, "insufficient_quota") if i and int(i[:4], 16) % 2 else None  # noqa: E731
    with loopback(Behaviour(fault=quota, batches=Batches())) as server:
        with pytest.raises(EndpointError, match="cannot be used: .*insufficient_quota"):
            run(server, BATCH)
        kept = read_ledger(str(tmp_path / "ledger"))
        assert kept
        server.behaviour.fault = lambda i, body, n: None
        assert run(server, BATCH).summary["accepted"] == 24
        assert all(server.finished[i] == 1 for i in kept)


def test_a_form_that_batches_refuse_is_given_up(run):
    """The tiny calls before the work are taken in a form that the batch's are not."""
    fault = lambda i, body, n: (400, {}, "response_format is not supported") if i and "json_schema" in json.dumps(body) else None  # noqa: E731
    with loopback(Behaviour(batches=Batches())) as server:
        server.behaviour.fault = lambda i, body, n: fault("x", body, n) if i or server.behaviour.batches.batches else None
        result = run(server, BATCH)
    assert set(result.calls["dialect"].to_pylist()) == {"json_object"}
    assert result.summary["renegotiations"] == 1


def test_calls_beyond_a_batch_go_in_the_next_one(run, monkeypatch):
    batches = Batches()
    with loopback(Behaviour(batches=batches)) as server:
        run(server, BATCH | {"batch_requests": 4})
        sizes = [len(batches.calls(number)) for number in range(1, len(batches.batches) + 1)]
        assert max(sizes) == 4
        monkeypatch.setattr(batch_callers, "MOST_BYTES", 3_000)
        run(server, BATCH, ledger="small")
        small = [batches.files[batch["input_file_id"]] for batch in list(batches.batches.values())[len(sizes) :]]
    assert max(map(len, small)) <= 3_000
    assert len(small) > 3


@pytest.mark.parametrize("behaviour", [Behaviour(), Behaviour(web_page=True)])
def test_an_endpoint_without_a_batch_api_is_said_before_any_call(behaviour, run):
    with loopback(behaviour) as server, pytest.raises(EndpointError, match="mode is 'batch', and .* has no Batch API .*to 'calls'"):
        run(server, BATCH)
    assert server.log == []


def test_secrets_do_not_leave_in_errors(run, monkeypatch):
    monkeypatch.setenv("LOOPBACK_KEY", "secret-key-123")
    error = ("bad_key", "the key secret-key-123 may not make batches")
    with (
        loopback(Behaviour(batches=Batches(end=lambda n: "failed", error=error))) as server,
        pytest.raises(EndpointError, match=r"the key \[hidden\] may not"),
    ):
        run(server, BATCH | {"api_key_env": "LOOPBACK_KEY"})


@pytest.mark.parametrize(
    ("llm", "message"),
    [
        ({"provider": "embedded", "base_url": None, "model": "gemma-3-270m"}, "mode 'batch' needs an endpoint with a Batch API"),
        ({"ray_address": "ray://head:10001", "backend": "ray"}, "ray_address is set but llm.mode is 'batch'"),
        ({"batch_requests": 50_001}, "less than or equal to 50000"),
        ({"batch_discount": 1.0}, "less than 1"),
    ],
)
def test_settings_that_do_not_fit_are_refused(llm, message, make_config):
    with pytest.raises(ValueError, match=message):
        make_config("http://127.0.0.1:1/v1", BATCH | llm)


def test_the_endpoint_is_looked_at_for_batches_before_any_work(make_config):
    with loopback(Behaviour(batches=Batches())) as server:
        llm = make_config(server.base_url, BATCH).llm
        endpoint.require_usable([llm])
        assert server.log == []
        assert endpoint.describe(llm).endswith("structured output: json_schema; it has a Batch API")
    with loopback() as server, pytest.raises(EndpointError, match="has no Batch API"):
        endpoint.require_usable([make_config(server.base_url, BATCH).llm])
