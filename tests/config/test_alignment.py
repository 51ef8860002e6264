"""The configuration of the weights: numbers that are none, and settings that nothing would look at."""

import math

import pytest

from synalign_spark.config import Config
from synalign_spark.config.files import validate
from synalign_spark.errors import ConfigError


def faults(settings: dict) -> str:
    with pytest.raises(ConfigError) as caught:
        validate({"source": {"path": "x"}, "align": settings})
    return str(caught.value)


@pytest.mark.parametrize("value", [math.inf, math.nan])
@pytest.mark.parametrize(
    "name",
    ["mixing_weight", "label_confidence", "density_ratio", "embedding_ratio", "bandwidth", "ess_floor", "max_weight", "holdout", "validation",
     "tolerance", "memory_gb", "peer_timeout_s"],
)  # fmt: skip
def test_every_number_is_finite(name, value):
    assert f"align.{name}: got {value}" in faults({name: value})
    assert "Default: " in faults({name: value})


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"bandwidth_scales": [1.0, math.inf]}, "align.bandwidth_scales.1: got inf"),
        ({"label_shares": {"a": math.inf}}, "align.label_shares.a: got inf; input should be a finite number"),
        ({"tolerance": 1}, "align.tolerance: got 1; input should be less than or equal to 0.01"),
        ({"permutations": 18}, "align.permutations: got 18; input should be greater than or equal to 99"),
        ({"permutations": 0}, "align.permutations: got 0; input should be greater than or equal to 99"),
        ({"mixing_weight": True}, "align.mixing_weight is True, but it is no switch; give it a value such as its default, auto"),
        ({"ess_floor": False}, "align.ess_floor is False, but it is no switch"),
        ({"max_passes": True}, "align.max_passes is True, but it is no switch; give it a value such as its default, 500"),
        ({"bandwidth_scales": [True]}, "align.bandwidth_scales is [True], but it is no switch"),
        ({"label_shares": {"a": True}}, "align.label_shares is {'a': True}, but it is no switch"),
    ],
)
def test_a_number_that_is_none_is_refused_with_key_value_and_fix(settings, words):
    assert words in faults(settings)


@pytest.mark.parametrize("regularization", [0.1, math.inf, "plain", "mmd_rule"])
@pytest.mark.parametrize("method", ["dsir", "density_ratio", "imp", "uniform"])
def test_a_method_without_lambda_takes_no_regularization(method, regularization):
    words = faults({"method": method, "regularization": regularization})
    assert f"align.regularization is {regularization}, but the method {method} has no lambda; remove it or set method to" in words


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"method": "mmd"}, "the method mmd does not look at it"),
        ({"method": "density_ratio"}, "the method density_ratio does not look at it"),
        ({"regularization": "plain"}, "regularization plain does not look at it"),
        ({"regularization": 0.01}, "regularization 0.01 does not look at it"),
        ({"regularization": math.inf}, "regularization inf does not look at it"),
    ],
)
def test_a_floor_that_no_rule_looks_at_is_refused(settings, words):
    assert f"align.ess_floor is 0.3, but {words}; remove it or" in faults(settings | {"ess_floor": 0.3})


@pytest.mark.parametrize("method", ["mmd", "dsir", "density_ratio", "imp", "uniform"])
def test_the_weights_of_another_method_take_no_caps(method):
    assert f"align.cap_outliers is true, but the weights of the method {method} stay" in faults({"method": method, "cap_outliers": True})
    kept = validate({"source": {"path": "x"}, "align": {"method": method, "cap_outliers": False}})
    assert not kept.align.caps_outliers


@pytest.mark.parametrize(
    "settings",
    [
        {"regularization": math.inf, "label_confidence": 3},
        {"method": "mmd", "regularization": 0.1},
        {"method": "mmd", "regularization": "mmd_rule", "ess_floor": 0.3},
        {"ess_floor": 0.0},
        {"cap_outliers": True, "ess_floor": 0.3},
    ],
)
def test_settings_that_something_looks_at_are_taken_and_survive_a_dump(settings):
    found = validate({"source": {"path": "x"}, "align": settings})
    assert Config.model_validate(found.model_dump(by_alias=True)) == found
    assert Config.model_validate_json(found.model_dump_json(by_alias=True)) == found
