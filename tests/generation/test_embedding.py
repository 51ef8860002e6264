"""Vectors by an endpoint, against a loopback server: what is sent, what is stored, what is wrong, and that nothing is paid twice."""

import io
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from embedding_server import WIDTH, Embeddings, vector
from rich.console import Console

from synalign_spark.config import EmbedConfig
from synalign_spark.core.packed_vectors import unpack
from synalign_spark.errors import EndpointError
from synalign_spark.generation import client, embedding
from synalign_spark.generation.ledger import read_lines
from synalign_spark.generation.probing import BudgetSpentError
from synalign_spark.progress import Progress

TEXTS = [(f"key{i}", f"text number {i}") for i in range(23)]
BAD = [1.0] * (WIDTH - 1)


@pytest.fixture(autouse=True)
def no_waits(monkeypatch):
    monkeypatch.setattr(client, "backoff", lambda request_id, n: 0.01)


def config(address, embed=None, **endpoint):
    given = {"texts_per_request": 5, "concurrency": 2, "max_attempts": 3} | endpoint
    return EmbedConfig.model_validate({"model": "m", "endpoint": given | {"base_url": f"{address}/v1"}} | (embed or {}))


def embed(cfg, folder, texts=TEXTS, width=0):
    return embedding.embed_texts(iter(texts), len(TEXTS), cfg, str(folder), width, Progress(Console(file=io.StringIO()), live=False))


def stored(folder):
    """key to vector, from the ledger."""
    found = {}
    for line in read_lines(str(folder)):
        if (answer := line.answer()) and answer.answer:
            found |= dict(zip(*unpack(answer.answer), strict=True))
    return found


def unit(text, width=WIDTH):
    x = np.array(vector(text, width))
    return x / np.linalg.norm(x)


def refused(server, folder, match, **keys):
    with server.serving() as address, pytest.raises(EndpointError, match=match) as err:
        embed(config(address, **keys), folder)
    assert "embed." in str(err.value)
    assert "generate." not in str(err.value)
    return str(err.value)


def test_every_text_gets_its_unit_vector_in_requests_of_the_configured_size(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-0123456789abcdef")
    server = Embeddings(shape=lambda data: data[::-1])  # index says which is whose
    with server.serving() as address:
        took = embed(config(address, price_input_usd=1.0), tmp_path)
    found = stored(tmp_path)
    assert found.keys() == {key for key, _ in TEXTS}
    for key, text in TEXTS:
        np.testing.assert_allclose(found[key], unit(text), atol=1e-7)
    assert sorted(len(body["input"]) for body in server.bodies) == [3, 5, 5, 5, 5]
    assert all(set(body) == {"model", "input", "encoding_format"} and body["encoding_format"] == "float" for body in server.bodies)
    assert {headers["Authorization"] for headers in server.headers} == {"Bearer sk-0123456789abcdef"}
    assert set(server.paths) == {"/v1/embeddings"}
    assert took == {"requests": 5, "tokens": 69, "cost_usd": 0.000069, "width": WIDTH}


def test_dimensions_prompt_and_cut_are_sent(tmp_path):
    server = Embeddings()
    with server.serving() as address:
        took = embed(config(address, {"prompt": "query: "}, dimensions=4, max_chars=6), tmp_path, [("a", "long text"), ("b", "short")])
    assert server.bodies[0] | {"model": ""} == {
        "model": "",
        "input": ["query: long t", "query: short"],
        "encoding_format": "float",
        "dimensions": 4,
    }
    assert took["width"] == 4
    np.testing.assert_allclose(stored(tmp_path)["a"], unit("query: long t", 4), atol=1e-7)


def test_long_texts_share_no_request(tmp_path):
    server = Embeddings()
    with server.serving() as address:
        embed(config(address), tmp_path, [(str(i), "x" * 200_000) for i in range(3)])
    assert [len(body["input"]) for body in server.bodies] == [1, 1, 1]


@pytest.mark.parametrize(
    ("fault", "tries"),
    [
        ((429, {"Retry-After": "0"}, {"error": {"message": "slow down"}}), 2),
        ((500, {}, {"error": {"message": "oops"}}), 2),
        ((503, {}, "upstream connect error"), 2),
        ((200, {}, {"error": {"message": "overloaded", "code": 503}}), 2),
        ((200, {}, {"object": "list", "data": []}), 2),  # fewer vectors than texts
        ((200, {}, {"data": [{"index": 0, "embedding": [1.0] * WIDTH}] * 2}), 2),  # more, and one index twice
        ((200, {}, "<html>Sign in</html>"), 2),
        ((200, {}, {"data": [{"index": 0, "embedding": []}]}), 2),
    ],
)
def test_what_another_attempt_may_mend_is_tried_again(tmp_path, fault, tries):
    server = Embeddings(fault=lambda texts, n: fault if n == 1 else None)
    with server.serving() as address:
        embed(config(address), tmp_path, TEXTS[:1])
    assert len(server.bodies) == tries
    assert stored(tmp_path).keys() == {"key0"}


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        (
            lambda data: [one | {"embedding": BAD if one["index"] == 1 else one["embedding"]} for one in data],
            "vectors of 5 numbers, and 6 are expected",
        ),
        (lambda data: [one | {"embedding": [float("nan")] * WIDTH} for one in data], "5 of 5 texts a zero, NaN or infinite vector"),
        (lambda data: [one | {"embedding": [None] + [1.0] * 5} for one in data], "zero, NaN or infinite vector"),
        (lambda data: [one | {"embedding": [float("inf")] + [1.0] * 5} for one in data], "zero, NaN or infinite vector"),
        (lambda data: [one | {"embedding": [0.0] * WIDTH} for one in data], "zero, NaN or infinite vector, first 'text number"),
        (lambda data: [one | {"embedding": ["1.0"] * WIDTH} for one in data], "holds what is no number"),
        (lambda data: [one | {"embedding": "AACAPwAAgD8="} for one in data], "in base64, and encoding_format 'float' was asked for"),
    ],
)
def test_vectors_that_are_none_are_an_error_and_not_asked_for_again(tmp_path, shape, words):
    server = Embeddings(shape=shape)
    refused(server, tmp_path, words, concurrency=1)
    assert len(server.bodies) == 1
    assert not stored(tmp_path)


def test_another_width_than_that_of_stored_vectors_or_of_dimensions_is_an_error(tmp_path):
    expected = r"vectors of 6 numbers, and 7 are expected; set embed\.endpoint\.dimensions"
    with Embeddings().serving() as address, pytest.raises(EndpointError, match=expected):
        embed(config(address), tmp_path, width=7)
    ignores = Embeddings(shape=lambda data: [one | {"embedding": [1.0] * WIDTH} for one in data])
    refused(ignores, tmp_path, "vectors of 6 numbers, and 4 are expected", dimensions=4)


@pytest.mark.parametrize(
    ("fault", "words", "requests"),
    [
        ((401, {}, {"error": {"message": "Incorrect API key provided"}}), "Incorrect API key", 1),
        ((403, {}, {"error": {"message": "not for you"}}), "not for you", 1),
        ((404, {}, {"error": {"message": "no model m"}}), "no model m", 1),
        ((400, {}, {"error": {"message": "dimensions is not supported"}}), "dimensions is not supported", 1),
        ((400, {}, {"error": {"message": "flagged by the content filter"}}), "content filter", 1),
        ((429, {}, {"error": {"message": "no money", "code": "insufficient_quota"}}), "no money", 1),
        ((307, {"Location": "http://elsewhere/v1"}, ""), r"redirects .* set embed\.endpoint\.base_url", 1),
        ((500, {}, {"error": {"message": "oops"}}), "server_error after 3 requests: .*oops", 3),
        ((200, {}, "<html>Sign in</html>"), r"web page \(HTML\).* embed\.endpoint\.base_url is to be the API's address", 3),
        ((200, {}, {"error": {"message": "wrong key", "code": 401}}), "wrong key", 1),
    ],
)
def test_faults_that_stay_end_the_stage_with_the_fix(tmp_path, fault, words, requests):
    server = Embeddings(fault=lambda texts, n: fault)
    message = refused(server, tmp_path, words, concurrency=1)
    assert len(server.bodies) == requests
    assert "stored, start the run again" in message


def test_a_text_beyond_the_models_context_names_the_fix(tmp_path):
    server = Embeddings(context=100)
    with (
        server.serving() as address,
        pytest.raises(EndpointError, match=r"has 400 characters: set embed\.endpoint\.max_chars \(now null\)"),
    ):
        embed(config(address), tmp_path, [("a", "short"), ("b", "x" * 400)])
    with server.serving() as address:
        embed(config(address, max_chars=100), tmp_path, [("b", "x" * 400)])
    assert stored(tmp_path).keys() == {"b"}


def test_secrets_of_key_headers_and_address_are_in_no_message_and_no_ledger(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "hush-key-123")
    monkeypatch.setenv("OTHER", "hush-header-456")
    server = Embeddings(
        fault=lambda texts, n: (400, {}, {"error": {"message": "no: hush-key-123 hush-header-456 hush-query-789"}}) if n > 1 else None
    )
    with server.serving() as address, pytest.raises(EndpointError) as err:
        embed(config(f"{address}/v1?sig=hush-query-789#", headers={"X-Other": "OTHER"}, concurrency=1), tmp_path)
    assert "[hidden]" in str(err.value)
    kept = "".join(file.read_text() for file in tmp_path.iterdir())
    assert stored(tmp_path)
    assert "hush" not in str(err.value) + kept
    assert server.headers[0]["X-Other"] == "hush-header-456"


def test_a_key_that_must_be_there_is_asked_for_before_anything_is_sent(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(EndpointError, match=r"^embed\.endpoint\.api_key_env: OPENAI_API_KEY is not set"):
        embedding.require_usable(EmbedConfig.model_validate({"model": "m", "endpoint": {}}))


@pytest.mark.parametrize(
    ("limits", "most"), [({"max_requests": 2}, 2), ({"max_tokens": 95}, 6), ({"max_cost_usd": 0.000095}, 6), ({"max_minutes": 1e-9}, 0)]
)
def test_a_budget_ends_it_and_counts_earlier_starts(tmp_path, limits, most):
    """A request of five texts takes 15 tokens of a dollar a million."""
    server, sent, key = Embeddings(), [], next(iter(limits))
    texts = [(f"k{i}", f"text number {i}") for i in range(100)]
    for _ in range(2):
        with server.serving() as address, pytest.raises(BudgetSpentError, match=rf"embed\.endpoint\.limits\.{key} ended the embedding"):
            embed(config(address, limits=limits, price_input_usd=1.0), tmp_path, texts)
        sent.append(len(server.bodies))
    assert 0 < sent[0] <= most or sent[0] == most == 0
    assert sent[1] == sent[0]  # what the first start used is used


def test_requests_keep_to_the_rate(tmp_path):
    server, started = Embeddings(), time.monotonic()
    with server.serving() as address:
        embed(config(address, limits={"requests_per_minute": 240}), tmp_path)
    assert len(server.bodies) == 5  # of four a second four go at once, and the fifth a quarter of a second later
    assert time.monotonic() - started > 0.2


def test_what_is_in_flight_when_a_call_fails_is_stored(tmp_path):
    def fault(texts, n):
        return (401, {}, {"error": {"message": "expired"}}) if "text number 0" in texts else None

    server = Embeddings(fault=fault, delay_s=0.5)
    refused(server, tmp_path, "expired", concurrency=5)
    assert server.answered.total() == 18
    assert stored(tmp_path).keys() == {key for key, text in TEXTS if server.answered[text]}


def test_the_doctor_asks_for_one_word_and_says_the_width(tmp_path):
    server = Embeddings()
    with server.serving() as address:
        said = embedding.describe(config(address))
    assert f"m at {address}/v1 answers in" in said
    assert said.endswith("6 dimensions")
    assert [body["input"] for body in server.bodies] == [["hello"]]
    with (
        Embeddings(fault=lambda texts, n: (404, {}, "nothing here")).serving() as address,
        pytest.raises(EndpointError, match="nothing here"),
    ):
        embedding.describe(config(address))


def test_texts_are_taken_as_they_are_needed(tmp_path):
    """Of a million texts only some requests are held."""
    server, taken = Embeddings(fault=lambda texts, n: (401, {}, {})), []

    def texts():
        for i in range(1_000_000):
            taken.append(i)
            yield str(i), f"text {i}"

    with server.serving() as address, pytest.raises(EndpointError):
        embed(config(address), tmp_path, texts())
    assert len(taken) < 1_000


def test_tokens_are_estimated_where_the_server_tells_none(tmp_path):
    with Embeddings(usage=False).serving() as address:
        took = embed(config(address), tmp_path, [("a", "x" * 300)])
    assert took["tokens"] == 102
    assert json.loads(next(read_lines(str(tmp_path))).raw)["tokens_estimated"] is True


def test_answers_of_a_process_that_is_killed_are_stored(tmp_path):
    """The fourth request kills its sender: three are answered, and in the ledger."""
    child = []

    def kill(texts, n):
        if n == 4:
            os.kill(child[0].pid, signal.SIGKILL)

    server = Embeddings(fault=kill)
    code = (
        "import sys; from synalign_spark.config import EmbedConfig; from synalign_spark.generation.embedding import embed_texts;"
        "from synalign_spark.progress import Progress; sys.stdin.readline();"
        "cfg = EmbedConfig.model_validate({'model': 'm', 'endpoint': {'base_url': sys.argv[1], 'texts_per_request': 5, 'concurrency': 1}});"
        "embed_texts(((f'key{i}', f'text number {i}') for i in range(23)), 23, cfg, sys.argv[2], 0, Progress())"
    )
    with server.serving() as address:
        child.append(subprocess.Popen([sys.executable, "-c", code, f"{address}/v1", str(tmp_path)], stdin=subprocess.PIPE))
        child[0].communicate(b"go\n", timeout=120)
    assert child[0].returncode == -signal.SIGKILL
    assert stored(tmp_path).keys() == {f"key{i}" for i in range(15)}
