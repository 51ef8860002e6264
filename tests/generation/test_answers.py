"""Answers of real servers (the first table of the cases), each through the whole engine: what is read of them, and what they cost."""

import socket
import threading

import loopback_answers
import pytest
from loopback import HTML, Behaviour, loopback, only_calls, statuses
from loopback_answers import write_text

from synalign_spark.errors import EndpointError
from synalign_spark.generation import endpoint
from synalign_spark.generation.backends.pool import open_pool
from synalign_spark.generation.calls import make_request
from synalign_spark.generation.limits import Budget
from synalign_spark.generation.prices import Prices
from synalign_spark.generation.prompts import Prompter
from synalign_spark.generation.waiting import Waiting

DRAFT = "a draft of a row"


@pytest.mark.parametrize("kind", ["thinking", "parts", "fenced", "older call", "parallel calls"])
def test_the_answer_is_found_and_nothing_else(kind, run):
    """Reasoning in marks, content as a list of parts, JSON in a fence, one function call or one a row: the rows are those of the plain answer."""
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


@pytest.mark.parametrize("strategy", ["simprompt", "synalign"])
def test_a_refusal_in_words_is_a_refusal_and_not_asked_again(strategy, run):
    with loopback(Behaviour(fault=lambda i, body, n: (200, {}, "declines") if i and int(i[:4], 16) % 3 == 0 else None)) as server:
        result = run(server, strategy=strategy)
    declined = [row for row in result.calls.to_pylist() if row["status"] != "ok"]
    whole = {row["request_id"]: row for row in result.refusals.to_pylist() if row["row_index"] == -1}
    assert declined
    assert {row["status"] for row in declined} == {"refused"}
    assert {row["reason"] for row in whole.values()} == {"meta"}
    assert whole.keys() == {row["request_id"] for row in declined if row["step"] == "rows"}
    assert all("the model refuses" in row["error"] for row in declined)
    assert result.summary["reasks"] == result.summary["renegotiations"] == 0
    assert result.summary["accepted"] == 24


@pytest.mark.parametrize("shape", ["reasoning_content", "reasoning beside nothing"])
def test_answers_in_reasoning_content_where_the_endpoint_is_known_to_put_them_there(shape, run):
    with loopback(Behaviour(shape=shape)) as server:
        result = run(server)
    assert statuses(result) == {"ok"}
    assert result.summary["accepted"] == 24


@pytest.mark.parametrize("kind", ["reasoning_content", "reasoning beside nothing"])
def test_answers_in_reasoning_content_are_not_read_where_the_probe_found_them_elsewhere(kind, run):
    with loopback(only_calls(kind)) as server, pytest.raises(EndpointError, match="answers do not stand there"):
        run(server, target_rows=200)


@pytest.mark.parametrize("silent", [{"usage": False}, {"nothing_used": True}])
def test_without_usage_tokens_are_estimated_and_budgets_hold(silent, run):
    """Estimates are on the high side, so what is really sent and written stays within the budget too. No prompt has 0 tokens."""
    with loopback(Behaviour(**silent)) as server:
        result = run(server, target_rows=400, limits={"max_tokens": 12_000})
    assert result.summary["stopped_by"] == "limits.max_tokens"
    calls = result.calls.to_pylist()
    assert all(call["tokens_estimated"] for call in calls)
    total = sum(call["prompt_tokens"] + call["completion_tokens"] for call in calls)
    assert 9_000 < total <= 12_000
    assert sum(len(message["content"]) for body in server.bodies for message in body["messages"]) / 4 < total
    with loopback(Behaviour(**silent)) as server:
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
    usage = request.prompt_tokens + request.max_output_tokens if counted else 0
    once = 0 if status == 400 else 10
    assert answer.tokens >= usage + once
    assert answer.tokens < usage + 400 if once else answer.tokens == 0
    assert answer.tokens_estimated == counted


def test_a_timeout_counts_what_it_may_have_cost(make_config, tmp_path):
    with loopback() as server:
        server.behaviour.fault = lambda i, body, n: setattr(server.behaviour, "delay_s", 1.0)
        answer, request = ask_one(make_config(server.base_url, {"timeout_s": 0.3, "max_attempts": 2}), tmp_path)
    assert (answer.status, answer.attempts, answer.tokens) == ("timeout", 2, 2 * (request.prompt_tokens + request.max_output_tokens))
    assert answer.tokens_estimated


def ask_one(cfg, tmp_path):
    """One call through a pool."""
    prompt = Prompter(cfg, ["good"]).rows("good", n_rows=2)
    request = make_request("rows", "good", prompt, cfg.llm, "one")
    with open_pool(cfg, str(tmp_path)) as pool:
        (answer,) = pool.run(Waiting([request]), Budget(cfg.limits, Prices([cfg.llm])), lambda: None)
    return answer, request


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
        for look in (lambda llm: endpoint.require_usable([llm]), endpoint.check):
            with pytest.raises(EndpointError, match="a web page .HTML. where an answer should be; generate.llm.base_url") as err:
                look(llm)
    assert HTML[:60] in str(err.value)


@pytest.mark.parametrize("kind", ["", "arguments as an object"])
def test_a_function_call_is_the_answer_as_a_text_or_an_object(kind, run):
    with loopback(Behaviour(dialects=("tool",), shape=kind)) as server:
        result = run(server)
    assert set(result.calls["dialect"].to_pylist()) == {"tool"}
    assert statuses(result) == {"ok"}


def test_a_key_that_may_not_list_models_may_do_for_calls(run, make_config):
    """As keys that are made for calls alone."""
    with loopback(Behaviour(list_status=403)) as server:
        endpoint.require_usable([make_config(server.base_url).llm])
        assert "no list of models" in str(endpoint.check(make_config(server.base_url).llm))
        assert statuses(run(server)) == {"ok"}
    refusing = Behaviour(list_status=403, fault=lambda i, body, n: (403, {}, ""))
    with loopback(refusing) as server, pytest.raises(EndpointError, match="cannot be used: .*injected 403"):
        endpoint.require_usable([make_config(server.base_url).llm])


def test_a_model_that_is_served_though_not_listed_works_and_that_is_said(run, make_config):
    with loopback(Behaviour(models=("loopback",), listed=("another",))) as server:
        endpoint.require_usable([make_config(server.base_url).llm])
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


@pytest.mark.parametrize(
    "extra", [{}, {"fields": [{"name": "title", "description": "a title"}, {"name": "body", "description": "a text"}]}]
)
def test_half_a_character_in_an_answer_ends_no_run(extra, run, monkeypatch):
    """JSON can carry half a surrogate pair, and neither a prompt nor a table can: attributes are repaired, rows of text refused."""
    monkeypatch.setattr(loopback_answers, "write_text", lambda rng, n=12: write_text(rng, n) + rng.choice(["", " \ud83d x"]))
    with loopback() as server:
        result = run(server, strategy="synalign", **extra)
    assert result.summary["accepted"] == 24
    assert statuses(result) == {"ok"}
    values = [value for row in result.attributes.to_pylist() for _, value in row["attributes"]]
    assert any(value.endswith("? x") for value in values)
    texts = result.synthetic["text"].to_pylist()
    assert not any("\ufffd" in text or "? x" in text for text in texts)
    assert "the character U+FFFD" in {row["detail"] for row in result.refusals.to_pylist()}


def test_a_model_that_numbers_its_rows_gives_clean_ones(run, monkeypatch):
    """Whatever the numbers are, and from the first answer on: none is refused for them."""
    monkeypatch.setattr(loopback_answers, "write_text", lambda rng, n=12: f"{rng.randint(1, 5)}. {write_text(rng, n)}")
    with loopback() as server:
        result = run(server)
    assert result.summary["accepted"] == 24
    assert "form" not in result.summary["refused"]
    assert result.summary["packaging_taken_off"]["list_number"] >= 24
    assert not any(text[0].isdigit() for text in result.synthetic["text"].to_pylist())


FIELDS = [{"name": "title", "description": "a title"}, {"name": "body", "description": "a text"}]


@pytest.mark.parametrize(("extra", "words"), [({}, "null, not a text"), ({"fields": FIELDS}, "lacks body")])
def test_one_bad_row_an_answer_costs_that_row_alone(extra, words, run, monkeypatch):
    def spoilt(schema, rng, fill=loopback_answers.fill):
        found = fill(schema, rng)
        if schema["type"] == "array":
            found[1] = found[1] | {"body": None} if isinstance(found[1], dict) else None
        return found

    monkeypatch.setattr(loopback_answers, "fill", spoilt)
    with loopback() as server:
        result = run(server, target_rows=120, **extra)
    assert (result.summary["accepted"], result.summary["labels_given_up"], result.summary["reasks"]) == (120, {}, 0)
    assert statuses(result) == {"ok"}
    bad = [row for row in result.refusals.to_pylist() if row["reason"] == "unparsable"]
    assert {(row["row_index"], row["detail"]) for row in bad} == {(1, words)}
    assert {row["row_index"] for row in result.synthetic.to_pylist()} == {0, 2, 3}


def test_rows_as_a_map_of_numbers_are_rows(run, monkeypatch):
    def numbered(schema, rng, fill=loopback_answers.fill):
        found = fill(schema, rng)
        return {str(i): row for i, row in enumerate(found)} if schema["type"] == "array" else found

    monkeypatch.setattr(loopback_answers, "fill", numbered)
    with loopback() as server:
        assert run(server).summary["accepted"] == 24


def test_a_field_that_the_text_leaves_out_is_looked_at_too(run, monkeypatch):
    def spoilt(schema, rng, fill=loopback_answers.fill):
        found = fill(schema, rng)
        if schema["type"] == "array" and isinstance(found[0], dict) and "title" in found[0] and len(found) > 1:
            found[1] = found[1] | {"title": "Write to jane@example.org"}
        return found

    monkeypatch.setattr(loopback_answers, "fill", spoilt)
    with loopback() as server:
        result = run(server, target_rows=120, fields=FIELDS, text_template="{body}")
    assert result.summary["accepted"] == 120
    refused = {(row["row_index"], row["reason"], row["detail"]) for row in result.refusals.to_pylist() if row["reason"] != "surplus"}
    assert refused == {(1, "pii", "personal data (email) (in the field 'title')")}
    assert {row["row_index"] for row in result.synthetic.to_pylist()} == {0, 2, 3}
