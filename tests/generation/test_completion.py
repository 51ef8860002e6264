"""Models that continue a text (/v1/completions): asked by hand-made prompts, over the loopback server and the embedded model."""

import json
from dataclasses import replace

import pytest
from loopback import Behaviour, loopback

from synalign_spark.config import GenerateConfig, LlmConfig
from synalign_spark.errors import EndpointError
from synalign_spark.generation import endpoint
from synalign_spark.generation.backends.pool import open_pool
from synalign_spark.generation.bodies import path_and_body
from synalign_spark.generation.calls import make_request
from synalign_spark.generation.dialects import Terms
from synalign_spark.generation.limits import Budget
from synalign_spark.generation.parsing import parse_answer, parse_attributes
from synalign_spark.generation.prices import Prices
from synalign_spark.generation.prompts import Prompt
from synalign_spark.generation.target import target_of
from synalign_spark.generation.waiting import Waiting

LIST = Prompt(
    (),
    {},
    "rows",
    "Sentences from negative movie reviews:\n- the film is a bore .\n- a dull and lifeless script .\n- nobody laughs in this comedy .\n-",
    ("\n",),
)
TONES = {"type": "string", "enum": ["warm", "bitter"]}
CHOICE = Prompt(
    (),
    {"type": "object", "properties": {"tone": TONES}, "required": ["tone"]},
    "attributes",
    "A fine film, said with love. Its tone as JSON:",
)


def ask_all(cfg, folder, prompts, samples="abc"):
    """(prompt, answer) of every prompt and sample, through a pool."""
    requests = {
        request.request_id: request for prompt in prompts for request in (make_request("rows", None, prompt, cfg.llm, s) for s in samples)
    }
    with open_pool(cfg, str(folder), str(folder)) as pool:
        answers = list(pool.run(Waiting(requests.values()), Budget(cfg.limits, Prices([cfg.llm])), lambda: None))
    return [(requests[answer.request_id].prompt, answer) for answer in answers]


@pytest.mark.parametrize("backend", ["in_process", "ray"])
def test_a_continued_list_gives_its_rows(backend, request, make_config, tmp_path):
    if backend == "ray":
        request.getfixturevalue("ray_runtime")
    several = Prompt((), {}, "rows", "Sentences:\n- one\n-", ("\n\n",))
    with loopback() as server:
        found = ask_all(make_config(server.base_url, {"api": "completion", "backend": backend}), tmp_path, [LIST, several])
    rows = [(prompt.stop, parse_answer(prompt, answer, 4)) for prompt, answer in found]
    assert [parsed.status for _, parsed in rows] == ["ok"] * 6
    assert {(stop, len(parsed.rows)) for stop, parsed in rows} == {(("\n",), 1), (("\n\n",), 4)}
    assert not any(row.startswith(("-", " ")) for _, parsed in rows for row in parsed.rows)
    assert {answer.dialect for _, answer in found} == {"completion"}
    calls = [entry for entry in server.log if entry["request_id"]]
    assert {entry["path"] for entry in calls} == {"/v1/completions"}
    assert {tuple(entry["body"]["stop"]) for entry in calls} == {("\n",), ("\n\n",)}
    assert all(not {"messages", "response_format", "json_schema"} & set(entry["body"]) for entry in calls)
    assert all(entry["body"]["max_tokens"] == 400 for entry in calls)


@pytest.mark.parametrize(
    ("dialects", "field"),
    [(("continued",), "json_schema"), (("json_schema", "text"), "response_format"), (("text",), None), (("ignored",), None)],
)
def test_a_schema_goes_to_servers_that_take_one(dialects, field, make_config, tmp_path):
    """By the name that they have for it; a server that ignores it is found out by its answers."""
    with loopback(Behaviour(dialects=dialects)) as server:
        cfg = make_config(server.base_url, {"api": "completion"})
        report = endpoint.check(cfg.llm)
        found = ask_all(cfg, tmp_path, [CHOICE])
    assert "asked to continue a text" in str(report)
    assert all({"json_schema", "response_format"} & set(body) == ({field} if field else set()) for body in server.bodies)
    if field:
        assert {json.loads(answer.answer)["tone"] for _, answer in found} <= {"warm", "bitter"}
        assert all(parse_attributes(answer.answer, answer.finish_reason, ("tone",)).status == "ok" for _, answer in found)


def test_text_asks_for_no_form_and_probes_once(make_config):
    with loopback() as server:
        report = endpoint.check(make_config(server.base_url, {"api": "completion", "structured_output": "text"}).llm)
    assert (report.dialect, report.probes, report.terms.continuation) == ("completion", 1, "completion")


def test_a_server_without_chat_is_told_to_be_asked_by_completion(make_config):
    no_chat = Behaviour(fault=lambda i, body, n: (404, {}, "") if "messages" in body else None)
    with loopback(no_chat) as server:
        with pytest.raises(EndpointError, match="generate.llm.api: completion"):
            endpoint.check(make_config(server.base_url).llm)
        assert endpoint.check(make_config(server.base_url, {"api": "completion"}).llm).dialect == "completion/json_schema"


def test_what_is_sent_for_each_kind_of_prompt():
    """By hand: what of the terms goes into a body, and nothing of the other kind. A form ends by itself: a stop mark would cut it."""
    llm = LlmConfig(provider="openai", base_url="http://127.0.0.1:9/v1", model="m", extra_body={"top_k": 5}, top_p=None)
    terms = Terms("json_object", "completion/json_schema", "max_completion_tokens", ("seed",))
    target = target_of(llm, None, terms)
    choice = replace(CHOICE, stop=("\n\n",))
    listed, chosen = (path_and_body(make_request("rows", None, prompt, llm, "s"), target)[1] for prompt in (LIST, choice))
    unformed = path_and_body(make_request("rows", None, choice, llm, "s"), target_of(llm, None, Terms()))[1]
    common = {"model": "m", "max_tokens": 512, "temperature": 1.0, "top_k": 5}
    assert listed == common | {"prompt": LIST.text, "stop": ["\n"]}
    assert chosen == common | {"prompt": CHOICE.text, "json_schema": CHOICE.schema}
    assert unformed["stop"] == ["\n\n"]
    chat = Prompt(({"role": "user", "content": "x"},), CHOICE.schema, "attributes")
    assert path_and_body(make_request("rows", None, chat, llm, "s"), target)[1] == {
        "model": "m",
        "messages": [{"role": "user", "content": "x"}],
        "max_completion_tokens": 512,
        "temperature": 1.0,
        "top_k": 5,
        "response_format": {"type": "json_object"},
    }


def test_prompts_that_differ_in_text_or_stop_are_other_calls():
    llm = LlmConfig()
    prompts = [LIST, Prompt((), {}, "rows", LIST.text, ("\n\n",)), Prompt((), {}, "rows", LIST.text + " ", LIST.stop)]
    assert len({make_request("rows", None, prompt, llm, "s").request_id for prompt in prompts}) == 3
    assert len({prompt.digest for prompt in prompts}) == 3
    assert make_request("rows", None, LIST, llm, "s").prompt_tokens > len(LIST.text) / 4


def test_the_embedded_model_continues_a_list_and_chooses_by_a_schema(tmp_path, monkeypatch):
    """With a proxy in the environment that nobody answers for: the embedded model is never asked through one."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    cfg = GenerateConfig(llm={"max_output_tokens": 40, "backend": "in_process", "temperature": 0.7, "model": "SmolLM2-135M-Instruct"})
    assert cfg.llm.continues
    found = ask_all(cfg, tmp_path, [LIST, CHOICE])
    assert {answer.status for _, answer in found} == {"answered"}
    rows = [row for prompt, answer in found if prompt is LIST for row in parse_answer(prompt, answer, 1).rows]
    assert rows
    assert all(len(row.split()) > 2 and "\n" not in row for row in rows)
    chosen = [parse_attributes(answer.answer, answer.finish_reason, ("tone",)) for prompt, answer in found if prompt is CHOICE]
    parsed = [dict(parsed.attributes)["tone"] for parsed in chosen if parsed.status == "ok"]
    assert parsed
    assert set(parsed) <= {"warm", "bitter"}
    assert not any(answer.tokens_estimated for _, answer in found)
