"""Where calls go: secrets that stay hidden, and addresses that keep their query."""

import base64

import pytest

from synalign_spark.config import LlmConfig
from synalign_spark.config.files import validate
from synalign_spark.errors import ConfigError, EndpointError
from synalign_spark.generation.dialects import Terms
from synalign_spark.generation.target import Target, on_loopback, sync_client, target_of

HEX_KEY = "abcdef0123456789abcdef0123456789"


@pytest.fixture
def target(monkeypatch):
    monkeypatch.setenv("MY_KEY", "sk-key-secret")
    monkeypatch.setenv("MY_HEADER", "ab cd efg")
    monkeypatch.setenv("MY_TOKEN", "Bearer token-secret")
    llm = LlmConfig(
        provider="openai",
        base_url="http://user-secret:pass%2Dsecret@host/v1?api-version=2024-06-01&key=query-secret",
        api_key_env="MY_KEY",
        headers={"x-one": "MY_HEADER", "Authorization": "MY_TOKEN"},
    )
    return target_of(llm, None, Terms())


@pytest.mark.parametrize(
    "said",
    [
        "sk-key-secret",
        "ab cd efg",
        "token-secret",
        "Bearer token-secret",
        "user-secret",
        "pass-secret",
        "query-secret",
        "?key=query-secret",
    ],
)
def test_what_is_secret_is_cut_out_of_errors(said, target):
    scrubbed = target.scrub(f"the server repeats {said} and api-version 2024-06-01")
    assert "secret" not in scrubbed
    assert "ab cd" not in scrubbed
    assert "[hidden]" in scrubbed
    assert "2024-06-01" in scrubbed


def test_a_query_without_a_value_is_cut_out_too():
    target = Target("http://host/v1?api-version=2024-06-01&sk-bare-key", "m", Terms(), 1.0, 1, "")
    assert target.scrub("no route for /v1/models?api-version=2024-06-01&sk-bare-key=") == (
        "no route for /v1/models?api-version=2024-06-01&[hidden]="
    )


def test_secrets_are_not_in_the_representation(target):
    assert "secret" not in repr(target)
    assert "efg" not in repr(target)


@pytest.mark.parametrize("key", ["sk-live-secret\nsecond-line", "“sk-live-secret”"])
def test_a_key_that_cannot_be_sent_is_an_error_that_does_not_show_it(key, monkeypatch):
    monkeypatch.setenv("MY_KEY", key)
    with pytest.raises(EndpointError, match=r"the key in \$MY_KEY cannot be sent; it must be one line of ASCII") as err:
        target_of(LlmConfig(provider="openai", base_url="http://host/v1", api_key_env="MY_KEY"), None, Terms())
    assert "secret" not in str(err.value)


def test_a_user_in_the_address_is_sent_as_http_says_and_never_shown(monkeypatch):
    monkeypatch.setenv("MY_KEY", "sk-of-another-service")
    llm = LlmConfig(provider="openai", base_url="http://me:pass%2Dword@127.0.0.1:1/v1", api_key_env="MY_KEY")
    target, words = target_of(llm, None, Terms()), base64.b64encode(b"me:pass-word").decode()
    assert target.request_headers["Authorization"] == f"Basic {words}"
    assert "pass" not in str(sync_client(target).base_url)
    assert target.scrub(f"Authorization: Basic {words}") == "Authorization: Basic [hidden]"


@pytest.mark.parametrize("value", ["", "  ", "two\nlines", "ümlaut"])
def test_a_header_without_a_value_that_can_be_sent_is_an_error(value, monkeypatch):
    monkeypatch.setenv("MY_HEADER", value)
    with pytest.raises(EndpointError, match="generate.llm.headers: .*x-one.*environment variable") as err:
        target_of(LlmConfig(provider="openai", headers={"x-one": "MY_HEADER"}), None, Terms())
    assert not value.strip() or value not in str(err.value)
    assert "MY_HEADER" not in str(err.value)  # it may be a key, in the place of its variable's name


@pytest.mark.parametrize(
    ("address", "own"),
    [
        ("http://127.0.0.1:8000/v1", True),
        ("http://127.9.9.9/v1", True),
        ("http://[::1]:8000/v1", True),
        ("http://localhost/v1", True),
        ("http://10.0.0.1/v1", False),
        ("https://localhost.example.com/v1", False),
    ],
)
def test_addresses_of_this_machine(address, own):
    assert on_loopback(address) == own


@pytest.mark.parametrize(
    ("llm", "message"),
    [
        ({"extra_body": {"top_k": 1, "top_p": 0.5}}, "generate.llm.extra_body.top_p is not for extra_body: set generate.llm.top_p"),
        ({"extra_body": {"stream": True}}, "generate.llm.extra_body.stream is not for extra_body: one whole answer a call is read"),
        ({"headers": {"api key": "KEY"}}, "generate.llm.headers.api key is no name of a header"),
        ({"headers": {"api-key": "sk-SECRET-1"}}, "generate.llm.headers.api-key: got a hidden value"),
        ({"headers": {"api-key": HEX_KEY}}, "generate.llm.headers.api-key is to name an environment variable"),
        ({"headers": {"api-key": "SECRET" * 11}}, "generate.llm.headers.api-key is to name an environment variable"),
        ({"api_key_env": HEX_KEY}, "generate.llm.api_key_env is to name an environment variable"),
        ({"extra_body": {"api_key": "sk-SECRET-1"}}, "generate.llm.extra_body.api_key looks like a secret"),
        ({"extra_body": {"x": [{"Access-Token": "sk-SECRET-1"}]}}, "generate.llm.extra_body.Access-Token looks like a secret"),
        ({"api": "completion", "structured_output": "tool"}, "generate.llm.structured_output 'tool' needs messages"),
        (
            {"mode": "batch", "base_url": "https://me:SECRET@x.openai.azure.com/openai/deployments/mini/?key=SECRET"},
            "has /deployments/mini in it, .* set base_url to https://x.openai.azure.com/openai/v1 and model to 'mini', or mode to 'calls'",
        ),
        ({"token_parameter": "tokens"}, "generate.llm.token_parameter: got 'tokens'"),
    ],
)
def test_settings_that_cannot_be_meant(llm, message):
    with pytest.raises(ConfigError, match=message) as err:
        validate({"source": {"path": "x"}, "generate": {"llm": llm}})
    with pytest.raises(ValueError, match=r"^1 validation error") as raw:  # as Python users see it
        LlmConfig.model_validate(llm)
    for said in (str(err.value), str(raw.value)):
        assert "SECRET" not in said
        assert HEX_KEY not in said


@pytest.mark.parametrize(
    "llm",
    [
        {"provider": "openai", "headers": {"api-key": "AZURE_KEY_2"}},
        {"extra_body": {"stop_token_ids": [1], "min_tokens": 2, "x": {"k": 1}}},
    ],
)
def test_names_of_variables_and_of_parameters_are_no_secrets(llm):
    assert LlmConfig.model_validate(llm)
