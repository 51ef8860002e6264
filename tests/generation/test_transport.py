"""Calls over a transport of our own: what the SDK's client would make of the same replies, and of connections that fail."""

import asyncio
import gzip
import json
import resource
import socket
import ssl
import subprocess

import pytest
from aiohttp import web
from transport_calls import SAID, both, serving

from synalign_spark.errors import ConfigError
from synalign_spark.generation import transport
from synalign_spark.generation.backends.pool import open_pool
from synalign_spark.generation.faults import named
from synalign_spark.generation.target import trusted
from synalign_spark.generation.transport import make_room


@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [
        (400, {}, {"error": {"message": "temperature is not supported", "code": None}}),
        (400, {}, {"detail": [{"loc": ["body", "seed"], "msg": "extra inputs"}]}),
        (401, {}, {"error": {"message": "Incorrect API key"}}),
        (403, {}, "<html>Forbidden</html>"),
        (404, {}, ""),
        (413, {}, "too large"),
        (422, {}, ["not", "an", "object"]),
        (429, {"Retry-After": "7"}, {"error": {"message": "Rate limit reached"}}),
        (429, {"retry-after-ms": "250"}, {"error": "slow down"}),
        (429, {}, {"error": {"message": "You exceeded your quota", "code": "insufficient_quota"}}),
        (500, {}, {"error": {"message": "The server had an error"}}),
        (503, {"Retry-After": "soon"}, "upstream connect error"),
        (504, {}, None),
    ],
)
def test_errors_are_those_of_the_sdk(status, headers, body):
    async def handler(request):
        text = body if isinstance(body, str) else json.dumps(body)
        return web.Response(status=status, headers=headers, text=text, content_type="application/json")

    with serving(handler) as address:
        by_sdk, by_transport = both(address)
    assert by_sdk == by_transport
    assert by_sdk.code == status


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (json.dumps(SAID), "application/json"),
        (json.dumps(SAID | {"usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}}), "application/json"),
        (json.dumps({"choices": [{"message": {"content": None, "refusal": "no", "tool_calls": []}}]}), "application/json"),
        (json.dumps({"choices": [{"message": {"tool_calls": [{"function": {"arguments": "{}"}}]}}]}), "application/json"),
        (json.dumps({"choices": []}), "application/json"),
        (json.dumps({"error": {"message": "overloaded"}}), "application/json"),
        ("<!DOCTYPE html><html></html>", "text/html"),
    ],
)
def test_replies_are_read_as_those_of_the_sdk(body, kind):
    async def handler(request):
        return web.Response(text=body, content_type=kind)

    with serving(handler) as address:
        by_sdk, by_transport = both(address)
    assert by_sdk == by_transport


def test_a_connection_that_is_refused_was_not_paid_for_and_one_that_breaks_may_have_been():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        refused = both(f"http://127.0.0.1:{taken.getsockname()[1]}")
    assert [(fault.status, fault.ran) for fault in refused] == [("server_error", False)] * 2

    async def breaks(request):
        await request.read()
        request.transport.close()
        return web.Response()

    with serving(breaks) as address:
        broken = both(address)
    assert [(fault.status, fault.ran) for fault in broken] == [("server_error", True)] * 2


def test_an_answer_that_does_not_come_is_a_timeout():
    async def hangs(request):
        await asyncio.sleep(10)
        return web.Response()

    with serving(hangs) as address:
        assert [fault.status for fault in both(address, timeout_s=0.3)] == ["timeout"] * 2


def test_a_certificate_of_ones_own_is_refused_with_the_remedy_and_taken_with_it(tmp_path, monkeypatch):
    pem = tmp_path / "own.pem"
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout", pem, "-out", tmp_path / "c", *subject],
                   check=True, capture_output=True)  # fmt: skip
    pem.write_bytes(pem.read_bytes() + (tmp_path / "c").read_bytes())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)

    async def handler(request):
        return web.json_response(SAID)

    with serving(handler, context) as address:
        faults = both(address)
        assert all("SSL_CERT_FILE" in fault.message for fault in faults)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "c"))
        taken = both(address)
        assert [found[:2] for found in taken] == [('{"rows": ["ein Film"]}', "stop")] * 2


@pytest.mark.parametrize("content", [None, b"", b"no certificate"])
def test_a_file_of_certificates_that_holds_none_is_named(tmp_path, monkeypatch, content):
    file = tmp_path / "own.pem"
    if content is not None:
        file.write_bytes(content)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    with pytest.raises(ConfigError, match=r"SSL_CERT_FILE: '.*own.pem' cannot be read as a file of certificates \(.+\); name a PEM file"):
        trusted()


@pytest.mark.parametrize(("status", "kind"), [(401, "fatal"), (429, "rate_limited")])
def test_a_header_that_is_no_ascii_changes_nothing(status, kind):
    async def handler(request):
        return web.json_response({"error": {"message": "no"}}, status=status, headers={"X-Note": "f\u00fcr alle", "Retry-After": "7"})

    with serving(handler) as address:
        fault = both(address)[1]
    assert (fault.status, fault.ran) == (kind, False)
    assert fault.retry_after == (7.0 if status == 429 else None)


@pytest.mark.parametrize(
    ("limit", "connections", "raised"),
    [
        ((256, 4_096), 1_000, (1_200, 4_096)),
        ((2_048, 4_096), 1_000, None),
        ((256, resource.RLIM_INFINITY), 9_000, (9_200, resource.RLIM_INFINITY)),
    ],
)
def test_connections_may_be_as_many_as_the_system_lets_a_process_open(limit, connections, raised, monkeypatch):
    found = []
    monkeypatch.setattr(resource, "getrlimit", lambda of: limit)
    monkeypatch.setattr(resource, "setrlimit", lambda of, to: found.append(to))
    make_room(connections)
    assert found == ([raised] if raised else [])


def test_more_connections_than_a_process_may_open_are_refused_with_what_to_set(monkeypatch, make_config):
    monkeypatch.setattr(resource, "getrlimit", lambda of: (256, 4_096))
    with pytest.raises(ConfigError, match=r"5,000 connections at once are more than the 4,096 open files .* lower it to 3,896"):
        open_pool(make_config("http://127.0.0.1:1/v1", {"concurrency": 5_000}), "")


def test_a_reply_without_end_is_left(monkeypatch):
    monkeypatch.setattr(transport, "LONGEST_REPLY", 100_000)

    async def handler(request):
        return web.Response(body=gzip.compress(b" " * 200_000), headers={"Content-Encoding": "gzip", "Content-Type": "application/json"})

    with serving(handler) as address:
        assert "more than 0 MiB" in both(address)[1].message


@pytest.mark.parametrize("tokens", [10**30, -5, "7", True])
def test_a_number_of_tokens_that_can_be_none_is_not_told(tokens):
    async def handler(request):
        return web.json_response(SAID | {"usage": {"prompt_tokens": tokens, "completion_tokens": tokens}})

    with serving(handler) as address:
        (_, _, _, prompt, completion) = both(address)[1]
    assert 0 < prompt < 100
    assert 0 < completion < 100


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"error": {"message": "slow down", "code": 429}}, "rate_limited", "slow down"),
        ({"error": {"message": "no such key", "code": 401}}, "fatal", "no such key"),
        ({"error": {"message": "full", "code": 503}}, "overloaded", "full"),
        ({"error": {"message": "odd", "code": "429"}}, "server_error", "odd"),
        ('data: {"choices": []}\n\ndata: [DONE]', "server_error", "a stream of events, which was not asked for"),
    ],
)
def test_an_error_with_status_200_is_what_it_says(body, status, words):
    async def handler(request):
        return web.Response(text=body if isinstance(body, str) else json.dumps(body), content_type="application/json")

    with serving(handler) as address:
        fault = both(address)[1]
    assert (fault.status, words in fault.message) == (status, True)


def test_a_parameter_that_is_named_apart_is_in_the_words():
    async def handler(request):
        return web.json_response({"error": {"message": "Unsupported value", "param": "max_tokens"}}, status=400)

    with serving(handler) as address:
        by_sdk, by_transport = both(address)
    assert by_sdk == by_transport
    assert named(by_transport.message, ("seed", "max_tokens")) == "max_tokens"


def test_money_that_is_spent_is_told_from_a_rate():
    async def handler(request):
        return web.json_response({"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}}, status=429)

    with serving(handler) as address:
        assert [fault.status for fault in both(address)] == ["fatal"] * 2


def test_a_connection_that_takes_too_long_was_not_paid_for_and_names_no_address():
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        held = [socket.socket() for _ in range(4)]
        for one in held:  # the queue is full: nobody answers
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        faults = both(f"http://127.0.0.1:{full.getsockname()[1]}/v1?key=abcdefgh", timeout_s=0.5)
        for one in held:
            one.close()
    assert faults[1].ran is False or faults[1].status == "timeout"
    assert all("abcdefgh" not in fault.message for fault in faults)
