"""Whom keys, accounts and prompts go to, by which proxy, and that no answer and no message holds a secret."""

import pytest
from aiohttp import web
from transport_calls import SAID, both, serving

from synalign_spark.config import EmbedConfig, LlmConfig
from synalign_spark.errors import ConfigError, EndpointDownError, EndpointError
from synalign_spark.generation import embedding
from synalign_spark.generation.dialects import Terms
from synalign_spark.generation.endpoint import require_usable
from synalign_spark.generation.target import proxy_of, target_of


@pytest.mark.parametrize("user", ["", "ann:s%20cret@"])
def test_key_user_and_query_stand_where_the_sdk_puts_them(user, monkeypatch):
    seen = []

    async def handler(request):
        seen.append(
            (request.path, dict(request.query), request.headers.get("Authorization"), request.headers.get("X-Team"), await request.json())
        )
        return web.json_response(SAID)

    monkeypatch.setenv("OPENAI_API_KEY", "k-123456")
    monkeypatch.setenv("TEAM", "blue")
    with serving(handler) as address:
        both(address.replace("http://", f"http://{user}") + "/v1/?api-version=2", {"headers": {"X-Team": "TEAM"}})
    assert seen[0] == seen[1]
    assert seen[0][:2] == ("/v1/chat/completions", {"api-version": "2"})
    assert seen[0][2].startswith("Basic" if user else "Bearer k-123456")


def test_a_secret_that_a_server_says_back_is_in_no_answer(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "k-very-secret")

    async def handler(request):
        said = {
            "role": "assistant",
            "content": f"you sent {request.headers['Authorization']}",
            "refusal": f"not for {request.headers['Authorization']}",
        }
        return web.json_response({"choices": [{"message": said, "finish_reason": "stop"}]})

    with serving(handler) as address:
        for found in both(address):
            assert "k-very-secret" not in str(found)
            assert "[hidden]" in found[0]
            assert "[hidden]" in found[2]


def test_key_and_prompt_go_to_nobody_that_a_redirection_names(monkeypatch):
    seen = []

    async def other(request):
        seen.append(request.headers)
        return web.json_response(SAID)

    async def handler(request):
        return web.Response(status=307, headers={"Location": f"{elsewhere.replace('//', '//user:word@')}/v1/chat/completions?key=x"})

    with serving(other) as elsewhere, serving(handler) as address:
        faults = both(address)
    assert {(fault.status, fault.message) for fault in faults} == {
        ("fatal", f"the address redirects (HTTP 307) to {elsewhere}/v1/chat/completions; set generate.llm.base_url to where the API is")
    }
    assert seen == []


def test_account_and_key_are_the_same_for_both_and_no_other_file_gives_one(monkeypatch, tmp_path):
    seen = []

    async def handler(request):
        seen.append({name: request.headers.get(name) for name in ("Authorization", "OpenAI-Organization", "OpenAI-Project")})
        return web.json_response(SAID, headers={"X-Long": "x" * 20_000})

    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login ann password other\n")
    (tmp_path / ".netrc").chmod(0o600)
    for name, value in {
        "HOME": str(tmp_path),
        "OPENAI_ORG_ID": "org-1",
        "OPENAI_PROJECT_ID": "proj-1",
        "OPENAI_API_KEY": "k-123456",
    }.items():
        monkeypatch.setenv(name, value)
    with serving(handler) as address:
        assert all(isinstance(found, tuple) for found in both(address))
        monkeypatch.delenv("OPENAI_API_KEY")
        both(address)
    assert seen[0] == seen[1] == {"Authorization": "Bearer k-123456", "OpenAI-Organization": "org-1", "OpenAI-Project": "proj-1"}
    assert seen[2]["Authorization"] is seen[3]["Authorization"] is None


@pytest.mark.parametrize(
    ("environment", "proxy"),
    [
        ({"ALL_PROXY": "http://proxy:3128"}, "http://proxy:3128"),
        ({"HTTPS_PROXY": "proxy:3128"}, "http://proxy:3128"),
        ({"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "llm.example"}, None),
        ({"HTTP_PROXY": "http://proxy:3128"}, None),
        ({}, None),
    ],
)
def test_proxies_are_those_of_the_environment(environment, proxy, monkeypatch):
    for name in ("ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert proxy_of("https://llm.example/v1") == proxy
    assert proxy_of("https://127.0.0.1/v1") is None


@pytest.fixture
def proxy_with_password(monkeypatch):
    """A proxy that nobody answers for."""
    for name in ("NO_PROXY", "no_proxy", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTP_PROXY", "http://ann:s-cret@127.0.0.1:9")
    monkeypatch.setenv("OPENAI_API_KEY", "k-123456")


def test_a_proxy_that_does_not_answer_is_named_without_its_password(proxy_with_password):
    with pytest.raises(EndpointDownError, match=r"by the proxy http://127\.0\.0\.1:9 that the environment names") as raised:
        require_usable([LlmConfig(provider="openai", base_url="http://llm.example/v1", model="m")])
    assert "s-cret" not in str(raised.value)


def test_the_proxy_of_an_embedding_endpoint_is_named_too(proxy_with_password):
    endpoint = {"base_url": "http://llm.example/v1", "max_attempts": 1}
    with pytest.raises(EndpointError, match=r"by the proxy http://127\.0\.0\.1:9 that the environment names") as raised:
        embedding.describe(EmbedConfig(model="m", endpoint=endpoint))
    assert "s-cret" not in str(raised.value)


@pytest.mark.parametrize("password", ["1/s-cret", "a/s-cret", "a#s-cret", "a?s-cret", "1?s-cret"])
def test_a_proxy_with_an_unescaped_password_is_an_error_that_tells_no_part_of_it(password, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", f"http://zoe:{password}@127.0.0.1:9")
    monkeypatch.setenv("OPENAI_API_KEY", "k-123456")
    for ask in (
        lambda: require_usable([LlmConfig(provider="openai", base_url="http://llm.example/v1", model="m")]),
        lambda: embedding.require_usable(EmbedConfig(model="m", endpoint={"base_url": "http://llm.example/v1"})),
    ):
        with pytest.raises(ConfigError, match=r"HTTP_PROXY or ALL_PROXY\) cannot be read; .* %2F") as raised:
            ask()
        assert "s-cret" not in str(raised.value)
        assert "zoe" not in str(raised.value)


def test_a_secret_in_the_address_is_hidden_however_an_error_writes_it():
    llm = LlmConfig(provider="openai", base_url="http://h/v1?key=a%2Bb/c%3D%3DSECRET", model="m")
    target = target_of(llm, None, Terms())
    for said in ("a+b/c==SECRET", "a%2Bb%2Fc%3D%3DSECRET", "a%2Bb/c%3D%3DSECRET"):
        assert "SECRET" not in target.scrub(f"cannot connect to http://h/v1?key={said} now")
