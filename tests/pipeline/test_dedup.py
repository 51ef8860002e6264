"""The stage ``dedup`` in a run: what it marks, and what select and resample then leave out."""

import contextlib
import json
import shutil

import pyarrow.compute as pc
import pytest

from synalign_spark.cli.dedup import words
from synalign_spark.config.files import validate
from synalign_spark.errors import ConfigError, DataError
from synalign_spark.pipeline.runner import run_pipeline
from synalign_spark.storage import tables
from tests.pipeline.films import imported, parquet, quiet, write_jsonl


def ids(table, **values):
    for name, value in values.items():
        table = table.filter(pc.field(name) == value)
    return set(table["doc_id"].to_pylist())


@pytest.mark.slow  # four stages
def test_copies_of_evaluation_rows_are_marked_and_left_out(finished, corpora, spark, tmp_path):
    lake = tmp_path / "lake"
    shutil.copytree(finished[0], lake)
    session = {"session": lambda cfg: contextlib.nullcontext(spark)}
    shown = parquet(lake, tables.DEMONSTRATIONS).to_pylist()[:3]
    written = max(parquet(lake, tables.SYNTHETIC).to_pylist(), key=lambda row: len(row["text"]))
    texts = [row["text"].upper() + " !" for row in shown] + [written["text"] + " indeed", "nothing like any of them"]
    test = write_jsonl([{"question": text} for text in texts], tmp_path / "test.jsonl")
    sets = {"evaluation_sets": [{"path": str(test), "text_column": "question"}]}

    cfg = imported(corpora, lake, dedup=sets)
    manifest = run_pipeline(validate(cfg), quiet(), **session)
    assert manifest["generate"]["produced"] == finished[1]["generate"]["produced"], "nothing is paid again"
    marked = parquet(lake, tables.DUPLICATES)
    real, synthetic = (ids(marked, side=side, kind="contaminated") for side in ("real", "synthetic"))
    assert real >= {row["doc_id"] for row in shown}
    assert written["doc_id"] in synthetic
    assert ids(marked, dropped=True) == real | synthetic
    augmented = parquet(lake, tables.AUGMENTED)
    assert ids(augmented, origin="real") == ids(parquet(lake, tables.CORPUS)) - real
    assert not ids(augmented, origin="synthetic") & synthetic
    assert pc.mean(augmented["sample_weight"]).as_py() == pytest.approx(1.0)
    summary = manifest["dedup"]["summary"]
    assert (summary["contaminated"], summary["dropped"], summary["evaluation_rows"]) == (len(real), len(real), {str(test): len(texts)})
    said = words({"drop": "contaminated", "real": summary, "synthetic": manifest["dedup-synthetic"]["summary"]})
    assert said.endswith(f"left out by select and resample (dedup.drop: contaminated): {len(real | synthetic)} rows")

    again = imported(corpora, lake, dedup=sets, select={"rows_per_set": 2})
    run_pipeline(validate(again), quiet(), redo=True, only="select", **session)
    later = ids(parquet(lake, tables.DEMONSTRATIONS))
    assert later
    assert not later & real


def test_evaluation_sets_that_cannot_be_used_say_so(finished, corpora, spark, tmp_path):
    lake = tmp_path / "lake"
    shutil.copytree(finished[0], lake)
    test = write_jsonl([{"question": " "}], tmp_path / "test.jsonl")
    session = {"session": lambda cfg: contextlib.nullcontext(spark)}

    def dedup(**one):
        run_pipeline(validate(imported(corpora, lake, dedup={"evaluation_sets": [one]})), quiet(), only="dedup", **session)

    with pytest.raises(DataError, match=r"dedup.evaluation_sets\[0\].path: no file at '/nowhere/test.jsonl'"):
        dedup(path="/nowhere/test.jsonl")
    with pytest.raises(DataError, match=r"dedup.evaluation_sets\[0\].text_column: .*'text'"):
        dedup(path=str(test))
    with pytest.raises(DataError, match=r"dedup.evaluation_sets\[0\]: '.*test.jsonl' has no text in question; name its column"):
        dedup(path=str(test), text_column="question")
    with pytest.raises(ConfigError, match=r"evaluation_sets\[0\] names no rows: set its path, table, query or package"):
        dedup(text_column="question")
    with pytest.raises(ConfigError, match="min_jaccard"):
        validate(imported(corpora, lake, dedup={"min_jaccard": 0.3}))
    manifest = json.loads(next(lake.rglob("manifest.json")).read_text())
    assert "dedup" not in manifest
