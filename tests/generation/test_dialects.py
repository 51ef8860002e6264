"""What an endpoint needs: the form that it takes, the parameters that it refuses, and how both are found again when they change."""

import json

import pytest
from loopback import Behaviour, loopback, statuses

from synalign_spark.errors import EndpointError
from synalign_spark.generation import endpoint
from synalign_spark.generation.history import History


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


@pytest.mark.parametrize(
    "said",
    [
        "System role not supported",  # Gemma's chat template
        "Conversation roles must alternate user/assistant/user/assistant/...",  # Mistral's
        "Unsupported value: 'messages[0].role' does not support 'system' with this model.",  # OpenAI's o1
        "Developer instruction is not enabled for models/gemma-3-27b-it",  # Google
    ],
)
def test_where_a_system_message_is_refused_the_user_says_what_it_says(said, run, make_config):
    with loopback(Behaviour(no_system=said)) as server:
        report = endpoint.check(make_config(server.base_url).llm)
        result = run(server)
    assert (report.dialect, report.probes) == ("json_schema", 2)
    assert "the system message" in str(report)
    assert statuses(result) == {"ok"}
    (only,) = server.bodies[0]["messages"]
    assert only["role"] == "user"
    assert only["content"].startswith("You help to write a data set")


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


@pytest.mark.parametrize("status", [500, 404, 400])
def test_a_fault_of_json_schema_only_is_of_the_dialect(status, run, fast):
    def only_schema(request_id, body, n):
        return (status, {}, "") if body.get("response_format", {}).get("type") == "json_schema" else None

    with loopback(Behaviour(fault=only_schema)) as server:
        result = run(server)
    assert set(result.calls["dialect"].to_pylist()) == {"json_object"}
    assert statuses(result) == {"ok"}


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


def test_a_parameter_that_is_refused_in_a_body_without_a_message_is_dropped_too(run):
    with loopback(Behaviour(refuses=("seed",), detail=True)) as server:
        result = run(server)
    assert statuses(result) == {"ok"}
    assert all("seed" not in body for body in server.bodies)


@pytest.mark.parametrize(
    ("kind", "said"),
    [("null", "none of 3 answers had any text"), ("refusal", "none of 3 answers had any text"),
     ("never begins", "none of 3 answers to a tiny question began within .* tokens: raise generate.llm.max_output_tokens")],
)  # fmt: skip
def test_an_endpoint_without_an_answer_is_refused_before_any_call_for_rows(kind, said, run):
    with loopback(Behaviour(dialects=("ignored",), shape=kind)) as server, pytest.raises(EndpointError, match=said):
        run(server)
    assert not server.bodies


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


@pytest.mark.parametrize("said", ["temperature is not supported by this model", "bad request"])
def test_a_parameter_that_the_server_refuses_later_is_left_out_from_then_on(said, run):
    """Named, after the first refusal; not named, after eight, by a dialect that the server takes."""
    unwanted = "temperature" if "temperature" in said else "response_format"
    with loopback(
        Behaviour(fault=lambda i, body, n: (400, {}, said) if len(server.finished) >= 6 and unwanted in body else None)
    ) as server:
        result = run(server, {"concurrency": 1, "temperature": 0.7}, target_rows=120)
    assert result.summary["accepted"] == 120
    assert result.summary["renegotiations"] == 1
    assert result.summary["calls"].get("bad_request", 0) == (0 if unwanted == "temperature" else 7)


def test_a_refusal_of_one_prompt_that_names_a_parameter_changes_nothing(run):
    said = "this prompt asks for a temperature that is not permitted"
    with loopback(Behaviour(fault=lambda i, body, n: (400, {}, said) if i and int(i[:4], 16) % 7 == 0 else None)) as server:
        result = run(server, {"temperature": 0.7}, target_rows=120)
    assert result.summary["accepted"] == 120
    assert result.summary["renegotiations"] == 0
    assert all("temperature" in body for body in server.bodies)


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
    (stored,) = json.loads((tmp_path / "ledger" / "endpoint.json").read_text()).values()
    assert stored["dialect"] == "json_schema"
    assert "127.0.0.1" not in str(stored)


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
    (stored,) = json.loads((tmp_path / "ledger" / "endpoint.json").read_text()).values()
    assert stored["dialect"] == "json_schema"
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
    assert probes <= 1 + 3 * 7  # a look, this schema, the other kind of schema, and what might be left out


def test_only_a_dialect_that_was_found_counts_as_renegotiation():
    history = History(continues=False)
    for found in (False, True, False):
        assert history.may_renegotiate
        history.tried(found)
    assert (history.renegotiations, history.may_renegotiate) == (1, False)
