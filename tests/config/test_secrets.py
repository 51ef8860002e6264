"""Secrets stay out of messages, wherever a user put them by mistake."""

import pytest

from synalign_spark.config.files import validate
from synalign_spark.config.secrets import public_address, shown_value
from synalign_spark.errors import ConfigError, DataError, SynalignError
from synalign_spark.pipeline.settings import settings_of
from synalign_spark.pipeline.steps import STEPS
from synalign_spark.scrubbing import scrub
from synalign_spark.spark.source_layout import layout_of


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


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("'https://h/c/x.csv?sv=1&sig=SECRET'; mend it", "'https://h/c/x.csv?[hidden]'; mend it"),
        ("wasbs://c@h/x?sig=SECRET", "wasbs://c@h/x?[hidden]"),
        ("http://h/v1?api-version=2&key=SECRET no", "http://h/v1?api-version=2&[hidden] no"),
        ("s3a://b/part-?.csv, lake/a?b=c", "s3a://b/part-?.csv, lake/a?b=c"),
    ],
)
def test_what_stands_in_the_query_of_an_address_is_in_no_message_and_no_log(said, shown):
    assert str(DataError(said)) == scrub(said) == shown
    assert "SECRET" not in repr(DataError(said))


def test_the_signature_of_an_address_stays_out_of_manifest_and_command(tmp_path):
    address = "https://h/c/x.csv?sig=SECRET"
    cfg = validate({"source": {"path": address}, "lake": {"path": str(tmp_path)}})
    assert all("SECRET" not in str(settings_of(step, cfg)) for step in STEPS)
    with pytest.raises(SynalignError) as caught:
        layout_of(cfg.source)
    assert "SECRET" not in str(caught.value)


def test_a_key_in_the_place_of_its_variable_is_not_repeated():
    with pytest.raises(ConfigError) as caught:
        validate({"source": {"path": "x"}, "generate": {"llm": {"api_key_env": "sk-SECRET", "base_url": 7}}})
    assert "SECRET" not in str(caught.value)
    assert "api_key_env" in str(caught.value)
