"""What ``synalign doctor`` looks at: only what the run of this configuration needs."""

import pytest

from synalign_spark.cli import doctor
from synalign_spark.config import Config

ALWAYS = ["java", "lake", "embedder", "spark and tables"]


@pytest.mark.parametrize(
    ("generate", "names"),
    [
        ({}, [*ALWAYS, "ray", "language model"]),
        ({"llm": {"backend": "in_process"}}, [*ALWAYS, "language model"]),
        (
            {"llm": {"provider": "openai", "backend": "in_process"}, "llms": [{}, {"model": "other"}]},
            [*ALWAYS, "language model 1", "language model 2"],
        ),
        ({"strategy": "imported", "imported": {"path": "rows.jsonl"}}, ALWAYS),
    ],
)
def test_only_what_the_run_needs_is_examined(monkeypatch, generate, names):
    for check in ("_java", "_lake", "_embedder", "_spark", "_ray", "_endpoint"):
        monkeypatch.setattr(doctor, check, lambda cfg, **of: "there")
    found = doctor.examine(Config.model_validate({"source": {"path": "unused"}, "generate": generate}))
    assert [finding["name"] for finding in found] == names


def test_a_check_that_fails_stops_no_other(monkeypatch):
    def broken(cfg):
        raise OSError("no such thing")

    for check in ("_lake", "_embedder", "_spark", "_ray", "_endpoint"):
        monkeypatch.setattr(doctor, check, lambda cfg, **of: "there")
    monkeypatch.setattr(doctor, "_java", broken)
    found = doctor.examine(Config.model_validate({"source": {"path": "unused"}}))
    assert [finding["ok"] for finding in found] == [False, True, True, True, True, True]
    assert found[0]["detail"] == "OSError: no such thing"
