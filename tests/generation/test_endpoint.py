"""The endpoint before the work: what is tried again, and for how long."""

import time

import pytest
from loopback import Behaviour, loopback

from synalign_spark.errors import EndpointError
from synalign_spark.generation import endpoint, negotiation


def test_a_busy_server_is_asked_again_when_it_says(make_config):
    busy = Behaviour(fault=lambda i, body, n: (429, {"Retry-After": "0.4"}, "") if n <= 2 else None)
    with loopback(busy) as server:
        report = endpoint.check(make_config(server.base_url).llm)
    assert (report.dialect, report.model_listed, report.probes) == ("json_schema", True, 3)
    first, second, third = server.chat_times()
    assert min(second - first, third - second) >= 0.4


def test_a_server_that_stays_busy_is_an_error_after_four_probes(make_config, monkeypatch):
    monkeypatch.setattr(negotiation, "backoff", lambda key, attempt: 0.01)
    message = "the language model cannot be used.*injected 503"
    with loopback(Behaviour(fault=lambda i, body, n: (503, {}, ""))) as server, pytest.raises(EndpointError, match=message):
        endpoint.check(make_config(server.base_url).llm)
    assert len(server.log) == negotiation.PROBE_ATTEMPTS


def test_a_request_that_the_server_refuses_is_not_sent_twice(make_config):
    with loopback(Behaviour(dialects=("text",))) as server:
        report = endpoint.check(make_config(server.base_url).llm)
    assert (report.dialect, report.probes) == ("text", len(server.log))
    forms = {str((entry["body"].get("response_format"), "tools" in entry["body"])) for entry in server.log}
    assert len(forms) == len(server.log) == 6


def test_an_answer_that_is_no_completion_is_asked_for_again(make_config, monkeypatch):
    monkeypatch.setattr(negotiation, "backoff", lambda key, attempt: 0.01)
    with loopback(Behaviour(fault=lambda i, body, n: (200, {}, "html") if n == 1 else None)) as server:
        assert endpoint.check(make_config(server.base_url).llm).probes == 2


def test_a_server_that_is_down_is_tried_three_times(make_config, monkeypatch):
    tried = []
    monkeypatch.setattr(negotiation, "backoff", lambda key, attempt: tried.append((key, attempt)) or 0.01)
    with loopback() as server:
        llm = make_config(server.base_url).llm
    started = time.monotonic()
    with pytest.raises(EndpointError, match="no connection"):
        endpoint.require_usable([llm])
    assert tried == [("models", 1), ("models", 2), ("models", 3)]
    assert time.monotonic() - started < 10


@pytest.mark.parametrize(
    ("api", "said", "hint"),
    [
        ("chat", "The model x does not exist", None),
        ("chat", "Not Found", "nothing answers at /chat/completions below the address, which mostly ends in /v1; .*api: completion"),
        ("completion", "Not Found", "nothing answers at /completions below the address, which mostly ends in /v1; .*api: chat"),
        ("chat", "This is not a chat model", "a model without a chat form is asked with generate.llm.api: completion"),
    ],
)
def test_what_was_not_found_is_told_from_a_model_without_a_chat(api, said, hint, make_config, fast):
    with loopback(Behaviour(fault=lambda i, body, n: (404, {}, said))) as server, pytest.raises(EndpointError, match=hint or said) as err:
        endpoint.check(make_config(server.base_url, {"api": api}).llm)
    assert hint or "generate.llm.api" not in str(err.value)
