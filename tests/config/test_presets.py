"""Presets fill what is not given, and nothing else."""

import pytest
from pydantic import ValidationError

from synalign_spark.config import GenerateConfig, SelectConfig
from synalign_spark.config.presets import GENERATE, SELECT
from synalign_spark.errors import ConfigError
from synalign_spark.generation.plan import DemonstrationSet, Planner


def test_a_preset_fills_what_is_not_given():
    select = SelectConfig(preset="paper")
    assert {key: getattr(select, key) for key in SELECT["paper"]} == SELECT["paper"]
    assert SelectConfig(preset="paper", rows_per_set=5).rows_per_set == 5
    for name, values in GENERATE.items():
        assert {key: getattr(GenerateConfig(preset=name), key) for key in values} == values
    assert GenerateConfig(preset="paper-amazon", attributes=["tone"]).attributes == ["tone"]
    assert GenerateConfig.model_validate(GenerateConfig(preset="paper-sst2").model_dump()) == GenerateConfig(preset="paper-sst2")


@pytest.mark.parametrize(
    "values", [{"preset": "papr"}, {"preset": ["paper"]}, {"preset": "paper", "choice": "hash"}, {"preset": "paper", "alpha": 0.5}]
)
def test_a_preset_that_is_none_and_keys_that_do_not_go_with_it_are_refused(values):
    with pytest.raises(ValidationError, match=r"preset|choice|alpha"):
        SelectConfig(**values)


def test_spark_says_that_it_picks_among_clusters():
    with pytest.raises(ConfigError, match="candidates"):
        SelectConfig(preset="paper").refuse_rows()
    SelectConfig().refuse_rows()


@pytest.mark.parametrize(("first", "there"), [(1, [True, False]), (None, [True, True])])
def test_step_one_is_shown_the_first_demonstrations_alone(first, there):
    cfg = GenerateConfig(attributes_from=first)
    shown = DemonstrationSet("good", 0, 0, 0, ("a", "b"), ("the first text", "the second text"))
    said = Planner(cfg, 0, {"good": [shown]}, ["good"]).attributes_request(shown).prompt.said
    assert [text in said for text in shown.texts] == there
