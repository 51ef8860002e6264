"""Values that would count for others, and keys that another key disables."""

import json

import pytest

from synalign_spark.cli.main import _public_configuration
from synalign_spark.config.files import parse_setting, validate
from synalign_spark.errors import ConfigError


def faults(section, values) -> str:
    with pytest.raises(ConfigError) as caught:
        validate({"source": {"path": "x"}, section: values})
    return str(caught.value)


@pytest.mark.parametrize(
    ("section", "values", "words"),
    [
        ("run", {"seed": True}, "run.seed is True, but it is no switch; give it a value such as its default, 0"),
        ("generate", {"target_rows": True}, "generate.target_rows is True, but it is no switch"),
        ("generate", {"llm": {"temperature": False}}, "generate.llm.temperature is False, but it is no switch"),
        ("generate", {"limits": {"max_cost_usd": True}}, "generate.limits.max_cost_usd is True, but it is no switch"),
        ("generate", {"label_shares": {"a": True}}, "generate.label_shares is {'a': True}, but it is no switch"),
        ("cluster", {"k": True}, "cluster.k is True, but it is no switch; give it a value such as its default, auto"),
    ],
)
def test_a_switch_is_no_number(section, values, words):
    assert words in faults(section, values)


@pytest.mark.parametrize("strategy", ["fewshot", "simprompt"])
def test_values_of_attributes_need_a_strategy_that_has_attributes(strategy):
    values = {"attribute_values": {"topic": ["a"]}, "strategy": strategy}
    assert f"generate.attribute_values is set, and strategy '{strategy}' has no attributes" in faults("generate", values)
    validate({"source": {"path": "x"}, "generate": {**values, "attribute_values": None}})
    for other in ("synalign", "attrprompt"):
        validate({"source": {"path": "x"}, "generate": {**values, "strategy": other}})


def test_secrets_among_the_settings_of_spark_are_not_printed(capsys):
    conf = {"spark.hadoop.fs.s3a.secret.key": "SECRET", "spark.driver.extraJavaOptions": "-Dpassword=SECRET", "spark.ui.port": "4050"}
    printed = _public_configuration(validate({"source": {"path": "x"}, "spark": {"conf": conf}}))
    assert "SECRET" not in printed
    assert "4050" in printed
    assert "spark.conf are printed without" in capsys.readouterr().err


def test_what_is_printed_is_json_whatever_stands_in_a_condition():
    printed = _public_configuration(validate({"source": {"path": "x", "where": 'secret = "no" and a < 1'}}))
    assert json.loads(printed)["source"]["where"] == "secret = [hidden] and a < 1"


@pytest.mark.parametrize(("value", "number"), [("010", "8"), ("1:30", "90"), ("-1:30.5", "-90.5")])
def test_a_number_that_not_everybody_reads_alike_is_refused(tmp_path, value, number):
    with pytest.raises(ConfigError, match=f"'{value}' reads as {number}; write that, or put it in quotes"):
        parse_setting(f"generate.target_rows={value}")
    assert parse_setting("a.b=[0, 10, 0.5, 1e3, 0x1F, '010']") == {"a": {"b": [0, 10, 0.5, 1000.0, 31, "010"]}}


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"source": {"path": "x\udcff.csv"}}, "source.path"),
        ({"source": {"path": "x", "rename_labels": {"\ud800": "a"}}}, "source.rename_labels"),
        ({"source": {"path": "x", "labels": ["a", "\ud800"]}}, "source.labels.1"),
    ],
)
def test_half_a_character_is_said_with_its_key(values, key):
    with pytest.raises(ConfigError, match=f"^{key}: .* holds bytes that are not UTF-8"):
        validate(values)
