"""Rows as several answers to one prompt (``n``): what is sent, what comes of whole, cut and missing ones, and who cannot give them."""

import openai
import pytest
from loopback import Behaviour, loopback
from pydantic import ValidationError

from synalign_spark.config import GenerateConfig, LlmConfig
from synalign_spark.errors import EndpointError
from synalign_spark.generation import embedded, endpoint
from synalign_spark.generation.bodies import path_and_body
from synalign_spark.generation.calls import make_request
from synalign_spark.generation.dialects import Terms
from synalign_spark.generation.parsing import parse_answer
from synalign_spark.generation.prompts import Prompt
from synalign_spark.generation.replies import answer_of
from synalign_spark.generation.target import target_of

APART = {"api": "completion", "rows_as_choices": True}


def rows_calls(server):
    return [body for body in server.bodies if "json_schema" not in body and "response_format" not in body]


@pytest.mark.parametrize("strategy", ["simprompt", "fewshot", "synalign"])
def test_a_call_for_four_rows_asks_for_four_answers_of_a_line(strategy, run):
    with loopback() as server:
        result = run(server, APART, strategy=strategy, target_rows=16)
    assert result.summary["accepted"] == 16
    calls = rows_calls(server)
    assert {(body["n"], body["max_tokens"], *body["stop"]) for body in calls} == {(4, 400, "\n")}
    assert all(body["prompt"].endswith("-") for body in calls)
    rows = result.synthetic.to_pylist()
    assert {row["row_index"] for row in rows} == {0, 1, 2, 3}
    assert len({row["text"] for row in rows}) == 16
    assert not any("\n" in row["text"] or row["text"].startswith("-") for row in rows)


def test_one_row_is_asked_for_as_ever(run):
    """Of four rows one has the label of a quarter of the corpus."""
    with loopback() as server:
        run(server, APART, target_rows=4)
    assert {body.get("n") for body in rows_calls(server)} == {3, None}


def test_cut_filtered_and_empty_answers_are_lost_and_the_whole_ones_are_rows(run):
    """By hand: of four answers the first is whole."""
    with loopback(Behaviour(shape="mixed")) as server:
        result = run(server, APART, target_rows=16, gates=[], max_candidates=32)
    assert result.summary["accepted"] == 8
    assert {row["row_index"] for row in result.synthetic.to_pylist()} == {0}
    assert {(row["status"], row["finish_reason"]) for row in result.calls.to_pylist()} == {("ok", "length")}


def test_answers_that_are_all_cut_are_asked_for_again_with_more_tokens(run):
    with loopback(Behaviour(fault=lambda i, body, n: (200, {}, "truncated") if i and body["max_tokens"] < 800 else None)) as server:
        result = run(server, APART, target_rows=16)
    assert result.summary["accepted"] == 16
    assert {(body["n"], body["max_tokens"]) for body in rows_calls(server)} >= {(4, 400), (4, 800)}


@pytest.mark.parametrize(
    ("behaviour", "words"), [(Behaviour(one_choice=True), "the server gives one"), (Behaviour(refuses=("n",)), "the server refuses it: ")]
)
def test_a_server_that_cannot_is_found_out_before_the_first_call(behaviour, words, make_config):
    with loopback(behaviour) as server:
        with pytest.raises(EndpointError, match=rf"two answers to one prompt \(n\), {words}.*rows_as_choices to false"):
            endpoint.check(make_config(server.base_url, APART).llm)
        endpoint.check(make_config(server.base_url, {"api": "completion"}).llm)
    assert not server.bodies


def test_answers_without_text_are_no_sign_that_a_server_gives_one(make_config):
    """At first both have none, as a small model's may."""
    asked = []

    def fault(request_id, body, n):
        asked.extend(["n"] if "n" in body else [])
        return (200, {}, "filtered") if len(asked) == 1 else None

    with loopback(Behaviour(fault=fault)) as server:
        endpoint.check(make_config(server.base_url, APART).llm)
    assert len(asked) == 2


def test_tokens_are_estimated_where_a_server_counts_the_first_answer_alone(run):
    """The loopback server counts those of the first, 12 words or more of some 50."""
    with loopback() as server:
        calls = run(server, APART, target_rows=16).calls.to_pylist()
    assert all(call["tokens_estimated"] for call in calls)
    assert all(call["completion_tokens"] >= len(call["answer"].split()) for call in calls)


def test_fewer_answers_than_asked_for_later_on_are_said(run):
    with loopback() as server:
        server.behaviour.fault = lambda i, body, n: setattr(server.behaviour, "one_choice", bool(i)) if i else None
        calls = run(server, APART, target_rows=16, max_candidates=40).calls.to_pylist()
    assert "1 of 4 answers to the prompt came" in {call["error"] for call in calls}


def test_the_number_of_answers_is_part_of_what_was_asked():
    one, two = (Prompt((), {}, "rows", "Words:\n-", ("\n",), choices) for choices in (1, 2))
    assert one.digest != two.digest
    requests = [make_request("rows", None, prompt, LlmConfig(max_output_tokens=90), "s") for prompt in (one, two)]
    assert requests[0].request_id != requests[1].request_id
    assert [request.most_tokens for request in requests] == [90, 180]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"llm": {"rows_as_choices": True, "base_url": "http://h/v1"}}, "set api to 'completion'"),
        ({"llm": {"rows_as_choices": True}, "rows_per_request": 1}, "rows_per_request is 1, which is one answer"),
        ({"llm": {"rows_as_choices": True}, "rows_per_request": 9}, "write 8 answers to a prompt at most; lower it"),
        ({"llm": {"rows_as_choices": True, "temperature": 0}}, "at which all answers to a prompt are the same; raise temperature"),
        ({"llm": {"extra_body": {"n": 4}}}, "set generate.llm.rows_as_choices, and remove it here"),
    ],
)
def test_what_cannot_be_is_refused(changes, words):
    with pytest.raises(ValidationError, match=words):
        GenerateConfig.model_validate(changes)


def test_the_embedded_model_writes_answers_apart(tmp_path):
    prompt = Prompt((), {}, "rows", "Names of towns:\n- Leeds\n- Lille\n- Porto\n-", ("\n",), choices=4)
    llm = LlmConfig(max_output_tokens=20, backend="in_process", model="SmolLM2-135M-Instruct", rows_as_choices=True)
    with embedded.serve(llm.model, str(tmp_path)) as url:
        body = path_and_body(make_request("rows", None, prompt, llm, "s"), target_of(llm, None, Terms()))[1]
        reply = openai.OpenAI(base_url=url, api_key="none").completions.create(**body)
    answer = answer_of(reply, make_request("rows", None, prompt, llm, "s"), target_of(llm, None, Terms()), 1, 0.0)
    rows = parse_answer(prompt, answer, 4).rows
    assert len(reply.choices) == 4
    assert 1 < len(rows) <= 4
    assert len(set(rows)) > 1


def test_the_embedded_model_does_so_by_itself_and_an_endpoint_where_it_is_asked_to():
    def apart(**changes):
        return GenerateConfig.model_validate({"rows_per_request": 4} | changes).rows_apart

    assert apart()
    assert not apart(llm={"rows_as_choices": False})
    assert not apart(llm={"temperature": 0})
    assert not apart(llm={"api": "chat"})
    assert not apart(llm={"base_url": "http://h/v1", "api": "completion"})
    assert apart(llm={"base_url": "http://h/v1", "api": "completion", "rows_as_choices": True})
