"""The first table of ../shared/cases/README.md: answers and refusals of real servers, each through the whole engine."""

import json
import socket
import threading

import loopback as loopback_server
import pytest
from loopback import HTML, Behaviour, loopback, write_text

from synalign_spark.errors import EndpointError
from synalign_spark.generation import endpoint, negotiation
from synalign_spark.generation.backends.pool import open_pool
from synalign_spark.generation.calls import make_request
from synalign_spark.generation.engine import generate
from synalign_spark.generation.history import History
from synalign_spark.generation.limits import Budget
from synalign_spark.generation.prompts import Prompter
from synalign_spark.generation.waiting import Waiting

COUNTS = {"good": 75, "bad": 25}
SIMPLE = {"strategy": "simprompt"}
DRAFT = "a draft of a row"


@pytest.fixture
def run(demonstrations, make_config, quiet, tmp_path):
    """Runs the engine against a loopback server; runs with the same ledger share their answers."""

    def run(server, llm=None, ledger="ledger", **changes):
        cfg = make_config(server.base_url, {"concurrency": 4} | (llm or {}), **SIMPLE | changes)
        return generate(demonstrations, COUNTS, cfg, 0, str(tmp_path / ledger), quiet)

    return run


@pytest.fixture
def fast(monkeypatch):
    monkeypatch.setattr(negotiation, "backoff", lambda key, attempt: 0.0)


def statuses(result):
    return set(result.calls["status"].to_pylist())


def only_calls(kind):
    """The kind for calls of the run; probes are answered soundly."""
    return Behaviour(fault=lambda request_id, body, n: (200, {}, kind) if request_id else None)


@pytest.mark.parametrize("kind", ["thinking", "parts", "fenced"])
def test_the_answer_is_found_and_nothing_else(kind, run):
    """Reasoning in marks, content as a list of parts, JSON in a fence: the rows are those of the plain answer."""
    with loopback() as server:
        plain = run(server)
    with loopback(only_calls(kind)) as server:
        found = run(server, ledger="another")
    texts = found.synthetic["text"].to_pylist()
    assert texts == plain.synthetic["text"].to_pylist()
    assert found.summary["refused"] == plain.summary["refused"]
    assert DRAFT not in texts
    assert statuses(found) == {"ok"}


@pytest.mark.parametrize(
    ("kind", "status"), [("endless", "truncated"), ("half", "truncated"), ("images", "unparsable"), ("still reasoning", "unparsable")]
)
def test_an_answer_that_is_none_is_a_row_with_a_reason(kind, status, run):
    """One call in two is sound, so that the run goes on."""
    sound = Behaviour(fault=lambda i, body, n: (200, {}, kind) if i and int(i[:4], 16) % 2 else None)
    with loopback(sound) as server:
        result = run(server)
    assert statuses(result) == {"ok", status}
    assert result.summary["accepted"] == 24
    bad = [row for row in result.calls.to_pylist() if row["status"] == status]
    assert all(row["error"] for row in bad)
    if kind == "still reasoning":
        assert all("reasoning_content has" in row["error"] and row["answer"] is None for row in bad)
    if kind == "images":
        assert all(row["answer"] is None and "content is of type list" in row["error"] for row in bad)
    assert DRAFT not in result.synthetic["text"].to_pylist()


def test_answers_in_reasoning_content_where_the_endpoint_is_known_to_put_them_there(run):
    with loopback(Behaviour(shape="reasoning_content")) as server:
        result = run(server)
    assert statuses(result) == {"ok"}
    assert result.summary["accepted"] == 24


def test_answers_in_reasoning_content_are_not_read_where_the_probe_found_them_elsewhere(run):
    with loopback(only_calls("reasoning_content")) as server, pytest.raises(EndpointError, match="answers do not stand there"):
        run(server, target_rows=200)


def test_without_usage_tokens_are_estimated_and_budgets_hold(run):
    """Estimates are on the high side, so what is really sent and written stays within the budget too."""
    with loopback(Behaviour(usage=False)) as server:
        result = run(server, target_rows=400, limits={"max_tokens": 12_000})
    assert result.summary["stopped_by"] == "limits.max_tokens"
    calls = result.calls.to_pylist()
    assert all(call["tokens_estimated"] for call in calls)
    total = sum(call["prompt_tokens"] + call["completion_tokens"] for call in calls)
    assert 9_000 < total <= 12_000
    assert sum(len(message["content"]) for body in server.bodies for message in body["messages"]) / 4 < total
    with loopback(Behaviour(usage=False)) as server:
        prices = {"price_input_usd": 1.0, "price_output_usd": 1.0}
        priced = run(server, prices, "another", target_rows=400, limits={"max_cost_usd": 0.006})
    assert priced.summary["stopped_by"] == "limits.max_cost_usd"
    assert 0.004 < priced.summary["cost_usd"] <= 0.006


@pytest.mark.parametrize("limits", [{"max_tokens": 12_000}, {"max_cost_usd": 0.012}])
def test_budgets_hold_over_attempts_that_fail(limits, run):
    """Every second call fails twice after the model may have written: its attempts count, and none goes beyond the budget."""
    failing = Behaviour(fault=lambda i, body, n: (500, {}, "") if i and int(i[:4], 16) % 2 and n < 3 else None)
    with loopback(failing) as server:
        result = run(server, {"price_input_usd": 1.0, "price_output_usd": 1.0, "concurrency": 8}, target_rows=4_000, limits=limits)
    assert result.summary["stopped_by"] == f"limits.{next(iter(limits))}"
    calls = result.calls.to_pylist()
    total = sum((call["prompt_tokens"] or 0) + (call["completion_tokens"] or 0) for call in calls)
    tries = sum(n for i, n in server.seen.items() if i)
    assert 8_000 < total <= 12_000
    assert tries > len(calls)
    assert any(call["tokens_estimated"] for call in calls)


def test_reported_usage_is_not_called_an_estimate(run):
    with loopback() as server:
        result = run(server)
    assert not any(result.calls["tokens_estimated"].to_pylist())


@pytest.mark.parametrize(
    ("status", "kind", "counted"),
    [(500, "", True), (200, "html", True), (504, "", True), (503, "", False), (429, "", False), (400, "", False)],
)
def test_failed_attempts_count_what_they_may_have_cost(status, kind, counted, make_config, tmp_path):
    """One attempt that fails: the prompt and the longest answer where the model may have run, nothing where it cannot have."""
    failing = Behaviour(fault=lambda i, body, n: (status, {}, kind) if i and (n == 1 or status == 400) else None)
    with loopback(failing) as server:
        answer, request = ask_one(make_config(server.base_url), tmp_path)
    usage = request.reserved_tokens if counted else 0
    once = 0 if status == 400 else 10
    assert answer.tokens >= usage + once
    assert answer.tokens < usage + 400 if once else answer.tokens == 0
    assert answer.tokens_estimated == counted


def test_a_timeout_counts_what_it_may_have_cost(make_config, tmp_path):
    with loopback() as server:
        server.behaviour.fault = lambda i, body, n: setattr(server.behaviour, "delay_s", 1.0)
        answer, request = ask_one(make_config(server.base_url, {"timeout_s": 0.3, "max_attempts": 2}), tmp_path)
    assert (answer.status, answer.attempts, answer.tokens) == ("timeout", 2, 2 * request.reserved_tokens)
    assert answer.tokens_estimated


def ask_one(cfg, tmp_path):
    """One call through a pool."""
    prompt = Prompter(cfg, ["good"]).rows("good", n_rows=2)
    request = make_request("rows", "good", prompt, cfg.llm, "one")
    with open_pool(cfg, str(tmp_path)) as pool:
        (answer,) = pool.run(Waiting([request]), Budget(cfg.limits, cfg.llm), lambda: None)
    return answer, request


@pytest.mark.parametrize(
    ("refuses", "together", "dropped"),
    [(("top_p",), (), ("top_p",)), (("temperature", "seed"), (), ("temperature", "seed")), ((), ("temperature", "top_p"), ("top_p",))],
)
def test_a_parameter_that_is_refused_by_name_is_dropped_once_and_remembered(refuses, together, dropped, run, make_config, tmp_path):
    with loopback(Behaviour(refuses=refuses, together=together)) as server:
        report = endpoint.check(make_config(server.base_url).llm)
        result = run(server)
        probes = server.seen[""]
        again = run(server, target_rows=40)
    assert set(report.terms.dropped) == set(dropped)
    assert "left out, since the server refuses it: " + ", ".join(report.terms.dropped) in str(report)
    assert report.dialect == "json_schema"
    assert statuses(result) == statuses(again) == {"ok"}
    assert server.seen[""] == probes  # remembered: the second run asks nothing
    assert all(name not in body for body in server.bodies for name in dropped)
    assert {"temperature", "top_p", "seed"} - set(dropped) <= set(server.bodies[0])


def test_a_parameter_that_is_refused_without_its_name_is_found_and_said(make_config, run):
    with loopback(Behaviour(refuses=("top_p",), unnamed=True)) as server:
        with pytest.raises(EndpointError, match="it answers without top_p: set generate.llm.top_p to null"):
            endpoint.check(make_config(server.base_url).llm)
        assert statuses(run(server, {"top_p": None})) == {"ok"}


def test_parameters_that_are_null_are_not_sent(run):
    own = {"temperature": None, "top_p": None, "send_seed": False, "extra_body": {"top_k": 7, "deep": {"er": [1]}}}
    with loopback(Behaviour(refuses=("temperature", "top_p", "seed"), unnamed=True)) as server:
        run(server, own)
    assert all((entry["body"]["top_k"], entry["body"]["deep"]) == (7, {"er": [1]}) for entry in server.log)


def test_an_extra_parameter_that_is_refused_is_named_with_its_key(make_config):
    message = "it answers without top_k: remove top_k from generate.llm.extra_body"
    with loopback(Behaviour(refuses=("top_k",))) as server, pytest.raises(EndpointError, match=message):
        endpoint.check(make_config(server.base_url, {"extra_body": {"top_k": 7, "min_p": 0.1}}).llm)


@pytest.mark.parametrize(
    ("given", "refuses", "sent"),
    [
        ("auto", (), "max_tokens"),
        ("auto", ("max_tokens",), "max_completion_tokens"),
        ("max_completion_tokens", (), "max_completion_tokens"),
    ],
)
def test_the_length_goes_under_the_name_that_the_server_takes(given, refuses, sent, run):
    with loopback(Behaviour(refuses=refuses)) as server:
        run(server, {"token_parameter": given})
    names = {"max_tokens", "max_completion_tokens"}
    assert all(names & set(body) == {sent} and body[sent] == 400 for body in server.bodies)


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


@pytest.mark.parametrize("status", [500, 404, 400])
def test_a_fault_of_json_schema_only_is_of_the_dialect(status, run, fast):
    def only_schema(request_id, body, n):
        return (status, {}, "") if body.get("response_format", {}).get("type") == "json_schema" else None

    with loopback(Behaviour(fault=only_schema)) as server:
        result = run(server)
    assert set(result.calls["dialect"].to_pylist()) == {"json_object"}
    assert statuses(result) == {"ok"}


def test_the_query_of_an_azure_address_stays_behind_the_path_and_headers_come_from_the_environment(run, make_config, monkeypatch):
    monkeypatch.setenv("AZURE_KEY", "azure-secret-1")
    behaviour = Behaviour(query={"api-version": "2024-06-01"}, header=("api-key", "azure-secret-1"))
    with loopback(behaviour, "/openai/deployments/d") as server:
        assert server.base_url.endswith("/openai/deployments/d?api-version=2024-06-01")
        result = run(server, {"headers": {"api-key": "AZURE_KEY"}})
        report = str(endpoint.check(make_config(server.base_url, {"headers": {"api-key": "AZURE_KEY"}}).llm))
        assert all("Authorization" not in entry["headers"] for entry in server.log)
        monkeypatch.setenv("AZURE_KEY", "azure-secret-2")
        with pytest.raises(EndpointError, match="wrong header api-key") as err:
            endpoint.check(make_config(server.base_url, {"headers": {"api-key": "AZURE_KEY"}}).llm)
        monkeypatch.delenv("AZURE_KEY")
        with pytest.raises(
            EndpointError,
            match="generate.llm.headers: api-key is to come from an environment variable, and the one that is named there is not set",
        ):
            endpoint.check(make_config(server.base_url, {"headers": {"api-key": "AZURE_KEY"}}).llm)
    assert statuses(result) == {"ok"}
    assert "azure-secret" not in report + str(err.value)
    assert "[hidden]" in str(err.value)


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_loopback_never_goes_to_a_proxy(name, run, monkeypatch):
    for variable in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(variable, raising=False)
    asked = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        threading.Thread(target=lambda: (proxy.accept(), asked.set()), daemon=True).start()
        monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.getsockname()[1]}")
        with loopback() as server:
            assert statuses(run(server)) == {"ok"}
        assert not asked.is_set()


def test_a_web_page_is_a_clear_error_before_any_work(make_config, fast):
    with loopback(Behaviour(web_page=True)) as server:
        llm = make_config(server.base_url).llm
        for look in (endpoint.require_usable, endpoint.check):
            with pytest.raises(EndpointError, match="a web page .HTML. where a completion should be; generate.llm.base_url") as err:
                look(llm)
    assert HTML[:60] in str(err.value)


def test_a_model_that_is_served_though_not_listed_works_and_that_is_said(run, make_config):
    with loopback(Behaviour(models=("loopback",), listed=("another",))) as server:
        endpoint.require_usable(make_config(server.base_url).llm)
        report = endpoint.check(make_config(server.base_url).llm)
        assert statuses(run(server)) == {"ok"}
    assert "not in the server's list, and answers all the same" in str(report)


def test_a_prompt_beyond_the_context_is_a_row_and_the_run_goes_on(run):
    said = "This model's maximum context length is 9 tokens"
    with loopback(Behaviour(fault=lambda i, body, n: (400, {}, said) if i and int(i[:4], 16) % 4 == 0 else None)) as server:
        result = run(server)
    assert statuses(result) == {"ok", "prompt_too_long"}
    assert result.summary["accepted"] == 24
    long = [row for row in result.calls.to_pylist() if row["status"] == "prompt_too_long"]
    assert all(said in row["error"] and row["attempts"] == 1 for row in long)
    with loopback(Behaviour(context_tokens=60)) as server, pytest.raises(EndpointError, match="prompt_too_long.*context length is 60"):
        run(server, ledger="another", target_rows=400)


def test_one_malformed_answer_to_the_probe_does_not_lower_the_dialect(make_config, fast):
    with loopback(Behaviour(fault=lambda i, body, n: (200, {}, "prose") if n <= 2 else None)) as server:
        report = endpoint.check(make_config(server.base_url).llm)
    assert (report.dialect, report.probes) == ("json_schema", 3)
    seeds = [entry["body"]["seed"] for entry in server.log]
    assert len(set(seeds)) == 3  # each try samples anew


def test_a_dialect_that_three_answers_do_not_keep_is_given_up(make_config):
    with loopback(Behaviour(dialects=("ignored",), shape="prose")) as server:
        report = endpoint.check(make_config(server.base_url).llm)
    assert (report.dialect, report.probes) == ("text", 3 * 5 + 1)


def test_a_tool_call_where_nothing_else_is_taken(run):
    with loopback(Behaviour(dialects=("tool",))) as server:
        result = run(server, strategy="synalign")
    assert set(result.calls["dialect"].to_pylist()) == {"tool"}
    assert statuses(result) == {"ok"}
    assert result.summary["accepted"] == 24
    choice = server.bodies[0]["tool_choice"]
    assert choice == {"type": "function", "function": {"name": server.bodies[0]["tools"][0]["function"]["name"]}}


@pytest.mark.parametrize("backend", ["in_process", pytest.param("ray", marks=pytest.mark.slow)])
def test_a_dialect_that_the_server_refuses_later_is_renegotiated(backend, request, run):
    if backend == "ray":
        request.getfixturevalue("ray_runtime")

    def changes(request_id, body, n):
        if len(server.finished) >= 6:
            server.behaviour.dialects = ("json_object", "text")

    with loopback() as server:
        server.behaviour.fault = changes
        result = run(server, {"backend": backend, "concurrency": 3}, target_rows=80)
    assert result.summary["accepted"] == 80
    assert result.summary["renegotiations"] == 1
    assert statuses(result) == {"ok"}
    assert set(result.calls["dialect"].to_pylist()) == {"json_schema", "json_object"}


def test_a_dialect_that_brings_no_json_any_more_is_renegotiated_and_that_is_bounded(run):
    def prose(request_id, body, n):
        formed = body.get("response_format", {}).get("type") == "json_schema"
        return (200, {}, "prose") if request_id and formed and len(server.finished) >= 4 else None

    with loopback() as server:
        server.behaviour.fault = prose
        result = run(server, {"concurrency": 1}, target_rows=120)
    assert result.summary["accepted"] == 120
    assert set(result.calls["dialect"].to_pylist()) == {"json_schema", "json_object"}
    assert result.summary["renegotiations"] == 2  # the schema without limits passes its probe, and brings prose too
    assert result.summary["calls"]["unparsable"] == 16


def test_what_is_found_is_remembered_without_the_address(run, tmp_path):
    with loopback() as server:
        run(server)
    stored = json.loads((tmp_path / "ledger" / "endpoint.json").read_text())
    assert stored["terms"]["dialect"] == "json_schema"
    assert "127.0.0.1" not in str(stored)


@pytest.mark.parametrize(
    "extra", [{}, {"fields": [{"name": "title", "description": "a title"}, {"name": "body", "description": "a text"}]}]
)
def test_half_a_character_in_an_answer_ends_no_run(extra, run, monkeypatch):
    """JSON can carry half a surrogate pair, and neither a prompt nor a table can."""
    monkeypatch.setattr(loopback_server, "write_text", lambda rng, n=12: f"{write_text(rng, n)} \ud83d x")
    with loopback() as server:
        result = run(server, strategy="synalign", **extra)
    assert result.summary["accepted"] == 24
    assert statuses(result) == {"ok"}
    values = [value for row in result.attributes.to_pylist() for _, value in row["attributes"]]
    assert values
    assert all(value.endswith("? x") for value in values)


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
    assert {path: text for path, text in after.items() if text} == {path: text for path, text in before.items() if text}


def test_a_key_that_fits_no_more_ends_the_run_and_stores_no_refusals(run, tmp_path):
    """Else every prompt of the rest of the run would count as refused for good."""
    with loopback() as server:
        server.behaviour.fault = lambda i, body, n: (403, {}, "") if len(server.finished) >= 8 else None
        with pytest.raises(EndpointError, match="cannot be used: .*injected 403"):
            run(server, target_rows=400)
        assert len(server.bodies) <= 8 + 24 + 4
        server.behaviour.fault = lambda i, body, n: None
        assert statuses(run(server, target_rows=120)) == {"ok"}


@pytest.mark.parametrize("most", [1, 6])
def test_403_of_the_key_under_a_small_budget_is_said_to_be_the_key(most, run):
    with loopback(Behaviour(fault=lambda i, body, n: (403, {}, "") if i else None)) as server:
        with pytest.raises(EndpointError, match="cannot be used: .*injected 403"):
            run(server, limits={"max_requests": most})
        assert len(server.bodies) == most


def test_a_refusal_that_speaks_of_the_prompts_schema_is_no_fault_of_the_form(run, tmp_path):
    """The look at the dialect is one tiny call, however many prompts are refused so."""
    said = "the prompt asks about a database schema which is not permitted"
    with loopback(Behaviour(fault=lambda i, body, n: (400, {}, said) if i and int(i[:4], 16) % 7 == 0 else None)) as server:
        result = run(server, target_rows=120)
        looks = sum(not entry["request_id"] for entry in server.log)
    assert result.summary["accepted"] == 120
    assert result.summary["calls"]["bad_request"] >= 3
    assert result.summary["renegotiations"] == 0
    assert set(result.calls["dialect"].to_pylist()) == {"json_schema"}
    assert json.loads((tmp_path / "ledger" / "endpoint.json").read_text())["terms"]["dialect"] == "json_schema"
    assert looks == 2  # that of the start, and one


def test_a_form_that_only_the_calls_of_the_run_do_not_get_is_given_up_too(run):
    """The probe's schema is small, and a server may refuse larger ones alone: eight calls in a row tell."""
    refused = Behaviour(fault=lambda i, body, n: (400, {}, "schema too large") if i and "json_schema" in str(body) else None)
    with loopback(refused) as server:
        result = run(server, {"concurrency": 1}, target_rows=40)
    assert result.summary["accepted"] == 40
    assert result.summary["calls"]["bad_request"] == 7 + 7  # of either kind of schema, and the eighth is asked again


def test_tries_that_find_no_other_dialect_are_no_renegotiations_and_are_bounded(run):
    def changes(request_id, body, n):
        if len(server.finished) >= 4:
            server.behaviour.dialects = ("text",)

    with loopback() as server:
        server.behaviour.fault = changes
        with pytest.raises(EndpointError, match="response_format type json_schema is not supported"):
            run(server, {"structured_output": "json_schema"}, target_rows=400)
        probes = sum(not entry["request_id"] for entry in server.log)
    assert probes <= 1 + 3 * 6  # a look, the other kind of schema, and what might be left out


def test_only_a_dialect_that_was_found_counts_as_renegotiation():
    history = History(continues=False)
    for found in (False, True, False):
        assert history.may_renegotiate
        history.tried(found)
    assert (history.renegotiations, history.may_renegotiate) == (1, False)
