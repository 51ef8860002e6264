"""The generate job on the lake: both ways to get synthetic rows."""

import gzip
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from synalign_spark.config import Config
from synalign_spark.errors import ConfigError
from synalign_spark.pipeline.context import Deadline
from synalign_spark.pipeline.stages import generate as job
from synalign_spark.progress import Progress
from synalign_spark.storage import tables
from synalign_spark.storage.lake import Lake

sys.path.insert(0, str(Path(__file__).parents[1] / "generation"))
from loopback import loopback


@pytest.fixture
def make_context(spark, tmp_path):
    """A context on a Parquet lake with a corpus of four rows in two labels."""

    def make(generate):
        cfg = Config.model_validate(
            {"source": {"path": "unused"}, "lake": {"path": str(tmp_path / "lake"), "format": "parquet"}, "generate": generate}
        )
        lake = Lake(spark, cfg.lake.path, cfg.lake.format, cfg.run.id)
        rows = [(f"{i:064x}", text, label, None, len(text), None) for i, (text, label) in enumerate(CORPUS)]
        lake.write(tables.CORPUS, spark.createDataFrame(rows, tables.CORPUS.ddl))
        return SimpleNamespace(
            cfg=cfg, spark=spark, lake=lake, progress=Progress(Console(quiet=True), live=False), log=None, deadline=Deadline.after(None)
        )

    return make


CORPUS = [("a fine film", "good"), ("a fair film", "good"), ("a dull film", "bad"), ("a sad film", "bad")]
IMPORTED = [
    {"text": "what a fine film", "label": "1", "w": 0.5},
    {"text": "what  a fine film ", "label": "1", "w": 2.0},
    {"text": "never again", "label": "0", "w": 1.0},
    {"text": "who knows", "label": "2", "w": 1.0},
    {"text": None, "label": "1", "w": 1.0},
]


def test_imported_set_goes_through_ingest(make_context, tmp_path):
    path = tmp_path / "set.jsonl.gz"
    with gzip.open(path, "wt") as file:
        file.writelines(json.dumps(row) + "\n" for row in IMPORTED)
    imported = {"path": str(path), "label_column": "label", "weight_column": "w", "rename_labels": {"0": "bad", "1": "good"}}
    ctx = make_context({"strategy": "imported", "imported": imported})
    summary = job.run(ctx)
    rows = {row["text"]: row for row in ctx.lake.read(tables.SYNTHETIC).toArrow().to_pylist()}
    assert set(rows) == {"what a fine film", "never again"}
    assert rows["never again"]["label"] == "bad"
    assert rows["never again"]["strategy"] == "imported"
    assert rows["never again"]["prior_weight"] == 1.0
    assert summary["accepted"] == 2
    assert summary["rejected"] == {"duplicate": 1, "null_text": 1, "unknown_label": 1}
    assert ctx.lake.read(tables.REJECTS, origin="synthetic").count() == 3
    assert ctx.lake.read(tables.CALLS).isEmpty()
    json.dumps(summary)


def test_imported_set_without_labels_for_a_corpus_with_labels(make_context):
    ctx = make_context({"strategy": "imported", "imported": {"path": "anywhere.jsonl"}})
    with pytest.raises(ConfigError, match="label_column"):
        job.run(ctx)


def test_shares_that_the_alignment_cannot_meet_are_refused_before_a_row_is_asked_for(make_context):
    ctx = make_context({})
    ctx.cfg = ctx.cfg.model_copy(update={"align": ctx.cfg.align.model_copy(update={"label_shares": {"good": 0.5, "mid": 0.5}})})
    with pytest.raises(ConfigError, match=r"align.label_shares names mid, of which there are no real rows; labels are: bad, good"):
        job.run(ctx)


def test_llm_strategy_writes_all_tables(make_context, spark):
    with loopback() as server:
        llm = {"provider": "openai", "base_url": server.base_url, "model": "loopback", "backend": "in_process"}
        ctx = make_context({"target_rows": 8, "rows_per_request": 2, "llm": llm})
        demos = [(0, label, 0, 3, i, f"{i:064x}", text, 1.0, 2, 4, 8, 20) for i, (text, label) in enumerate(CORPUS)]
        ctx.lake.write(tables.DEMONSTRATIONS, spark.createDataFrame(demos, tables.DEMONSTRATIONS.ddl))
        summary = job.run(ctx)
    synthetic = ctx.lake.read(tables.SYNTHETIC)
    assert summary["accepted_by_label"] == {"bad": 4, "good": 4}
    assert synthetic.count() == 8
    lineage = synthetic.join(ctx.lake.read(tables.ATTRIBUTES).select("attribute_set_id", "demo_ids"), "attribute_set_id")
    assert lineage.count() == 8
    assert ctx.lake.read(tables.CALLS).count() == sum(summary["calls"].values())
    calls = ctx.lake.read(tables.CALLS).select("prompt_hash").distinct()
    prompts = ctx.lake.read(tables.PROMPTS)
    assert prompts.count() == calls.count() == prompts.join(calls, "prompt_hash").count()
    asked = prompts.where("step = 'rows'").select("messages").first()["messages"]
    assert [message["role"] for message in asked] == ["system", "user"]
    assert "2 to 4 words long" in asked[1]["content"]
    assert list((Path(ctx.cfg.lake.path) / "_synalign" / ctx.cfg.run.id / "ledger").glob("*.jsonl"))


def test_held_out_rows_shape_no_gate_and_may_not_be_copied(make_context, spark):
    ctx = make_context({"strategy": "fewshot"})
    texts = [f"the film number {i} is about a family that lives by the sea" for i in range(300)]
    rows = [(f"{i:064x}", text, "good", None, len(text), None) for i, text in enumerate(texts)]
    ctx.lake.write(tables.CORPUS, spark.createDataFrame(rows, tables.CORPUS.ddl))
    real = job.real_profile(ctx, len(rows))
    held_out = ctx.cfg.align.holdout
    assert (1 - held_out) * 300 - 40 < len(real.rows) < (1 - held_out) * 300 + 40
    assert {text for text, _ in real.rows} < set(texts)
    assert real.copies.overlaps(texts) == [1.0] * 300
