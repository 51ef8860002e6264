"""Secrets stay out of messages, wherever a user put them by mistake."""

import pytest

from synalign_spark.config.files import validate
from synalign_spark.config.secrets import public_address, shown_value
from synalign_spark.errors import ConfigError


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("http://user:SECRET@localhost:1/v1?key=SECRET", "http://localhost:1/v1"),
        ("https://[::1]:8000/v1#SECRET", "https://[::1]:8000/v1"),
        ("http://host:port/SECRET", "an address that cannot be read"),
    ],
)
def test_an_address_is_shown_without_what_it_may_hold(address, shown):
    assert public_address(address) == shown


@pytest.mark.parametrize("name", ["api_key", "headers", "Authorization", "token", "api_key_env"])
def test_values_of_keys_that_may_hold_a_secret_are_hidden(name):
    assert "SECRET" not in shown_value(name, {"x": "SECRET"})


def test_a_key_in_the_place_of_its_variable_is_not_repeated():
    with pytest.raises(ConfigError) as caught:
        validate({"source": {"path": "x"}, "generate": {"llm": {"api_key_env": "sk-SECRET", "base_url": 7}}})
    assert "SECRET" not in str(caught.value)
    assert "api_key_env" in str(caught.value)
