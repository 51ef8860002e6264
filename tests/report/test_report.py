"""Measures, lineage, sampling and the report job on a small lake."""

import logging
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import functions as F

from synalign_spark.alignment.spark_side import real_side
from synalign_spark.cli.show import show
from synalign_spark.config import Config
from synalign_spark.pipeline.context import Context
from synalign_spark.pipeline.stages import report
from synalign_spark.progress import Progress
from synalign_spark.report import measures
from synalign_spark.report.findings import Generation
from synalign_spark.report.gather import checked_downstream, gather, labels_with_holdout, shown_config, spark_fetch
from synalign_spark.report.lineage import with_lineage
from synalign_spark.report.metrics import metric_rows
from synalign_spark.report.page import render
from synalign_spark.report.projection import principal_plane
from synalign_spark.spark.holdout import held_out
from synalign_spark.storage import tables
from tests.report.conftest import HOSTILE


def shuffled(df, partitions):
    return df.repartition(partitions) if partitions else df.coalesce(1).union(df.limit(0))


@pytest.fixture(scope="module")
def done(spark, lake, cfg):
    """(summary, page) of one run of the job."""
    summary = report.run(Context(cfg, spark, lake, Progress(live=False), logging.getLogger("test")))
    return summary, Path(summary["report"]).read_text()


def test_job_writes_page_and_metrics(done, lake, cfg):
    summary, page = done
    assert summary["report"] == f"{cfg.lake.path}/reports/sample.html"
    assert lake.read(tables.METRICS).count() == summary["metrics"]
    assert "<script>alert" not in page
    assert "&lt;script&gt;" in page, "the heaviest row is an attack, and is shown"
    assert "s0" in page, "lineage ends at the row's id in the source"
    assert 0.5 < summary["classifier_accuracy_uniform"] <= 1


def test_show_reads_what_the_lake_wrote(done, lake, cfg):
    found = show(cfg.lake.path, "parquet", "sample", 3)
    assert found["tables"]["synthetic"] == 120
    assert found["tables"]["embeddings"] == 320
    assert found["tables"]["metrics"] == done[0]["metrics"]
    heaviest = with_lineage(measures.heaviest(lake.read(tables.WEIGHTS), 3), spark_fetch(lake))
    assert [{key: row[key] for key in heaviest[0]} for row in found["rows"]] == heaviest


@pytest.fixture(scope="module")
def again(lake, cfg):
    """The findings of tables in other partitions."""

    class Repartitioned:
        def has_table(self, table):
            return lake.has_table(table)

        def read(self, table, **scope):
            return lake.read(table, **scope).repartition(7)

    return gather(Repartitioned(), cfg, {})


def test_findings_do_not_depend_on_partitioning(done, lake, again):
    stored = [row.asDict() for row in lake.read(tables.METRICS).collect()]
    assert sorted(stored, key=str) == sorted(metric_rows(again), key=str)
    assert render(again) == done[1], "the same bytes"


@pytest.mark.parametrize("partitions", [1, 7, 0])
def test_weight_spread_agrees_with_numpy(spark, sample, partitions):
    w = sample.rows["weights"]["weight"].to_numpy()
    spread = measures.weight_spread(shuffled(sample.frame(spark, tables.WEIGHTS), partitions))
    assert spread.rows == 120
    assert spread.zeros == 1
    assert spread.ess == pytest.approx(1 / (w**2).sum(), rel=1e-9)
    assert spread.largest == pytest.approx(120 * w.max())
    assert sum(spread.counts) == 119
    assert sum(spread.weight_shares) == pytest.approx(1.0)
    places = np.round(np.log10(w[w > 0] * 120) * 4)
    np.testing.assert_array_equal(spread.counts, np.bincount((places - places.min()).astype(int)))


def test_uniform_weights_fall_in_one_bin_around_one(spark):
    rows = spark.createDataFrame([(f"d{i}", 1 / 49) for i in range(49)], "doc_id string, weight double")  # 49 * (1 / 49) < 1
    spread = measures.weight_spread(rows)
    assert (spread.centres, spread.counts) == ([1.0], [49])
    assert spread.ess == pytest.approx(49.0)
    assert measures.weight_spread(rows.limit(0)) is None


def test_generation_counts_calls_tokens_cost_and_refusals(spark, sample):
    generated = measures.generation(sample.frame(spark, tables.CALLS), sample.frame(spark, tables.REFUSALS), 120)
    assert generated.calls == {("attributes", "ok"): 1, ("rows", "ok"): 4, ("rows", "timeout"): 1}
    assert (generated.attempts, generated.prompt_tokens, generated.completion_tokens) == (9, 500, 300)
    assert generated.cost_usd == pytest.approx(0.6, abs=1e-12)
    assert generated.refused == {"copied": 29, "empty": 1}
    assert generated.acceptance == 120 / 150
    assert {reason: len(rows) for reason, rows in generated.examples.items()} == {"copied": 2, "empty": 1}
    assert generated.examples["copied"][0] == {"text": HOSTILE, "detail": None}
    private = measures.generation(None, sample.frame(spark, tables.REFUSALS).withColumn("reason", F.lit("pii")), 120)
    assert (private.refused, private.examples) == ({"pii": 30}, {})
    assert measures.generation(None, None, 0).acceptance is None


@pytest.mark.parametrize(("gates", "shown"), [(["form", "pii"], "Write to <EMAIL>"), (["form"], "Write to jane@example.org")])
def test_personal_data_in_a_row_that_another_gate_refused_is_masked(gates, shown):
    found = Generation(refused={"form": 1}, examples={"form": [{"text": "Write to jane@example.org,", "detail": None}]})
    cfg = Config.model_validate({"source": {"path": "x"}, "generate": {"gates": gates}})
    assert report.without_personal_data(found, cfg).examples == {"form": [{"text": f"{shown},", "detail": None}]}


@pytest.mark.parametrize("partitions", [1, 7])
def test_hash_sample_is_the_same_rows_and_of_the_asked_size(spark, partitions):
    ids = spark.range(2_000).selectExpr("cast(id as string) as doc_id")
    wanted = [row.doc_id for row in measures.hash_sample(ids, 50, 2_000, 1, "t").collect()]
    got = [row.doc_id for row in measures.hash_sample(ids.repartition(partitions), 50, 2_000, 1, "t").collect()]
    assert got == wanted
    assert len(wanted) == 50
    everything = [row.doc_id for row in measures.hash_sample(ids, 3_000, 2_000, 1, "t").collect()]
    assert everything[:50] == wanted, "a smaller sample is the start of a larger one"
    assert len(everything) == 2_000


def test_lineage_ends_at_corpus_rows(lake, sample):
    heaviest = measures.heaviest(lake.read(tables.WEIGHTS), 1)
    row = with_lineage(heaviest, spark_fetch(lake))[0]
    assert row["attributes"]["tone"] == "warm"
    assert row["prompt_hash"] == "hash1"
    assert [real["source_id"] for real in row["demonstrations"]] == ["s0", "s4"]
    assert {real["cluster_id"] for real in row["demonstrations"]} == {0}
    last = with_lineage(measures.lightest(lake.read(tables.WEIGHTS), 1), spark_fetch(lake))[0]
    assert last["weight"] == 0.0
    assert (last["attributes"], last["demonstrations"]) == ({}, []), "a row without an attribute set has neither"


@pytest.mark.parametrize("partitions", [1, 7, 0])
def test_missing_shares_are_summed_by_label_and_the_largest_clusters_come_first(spark, sample, partitions):
    found = measures.missing(shuffled(sample.frame(spark, tables.WITNESS), partitions), 7)
    # 0.05 + 0.05 + 0.03 + 0.02 + 0.01 after, seven times 0.1 - 0.06 before
    assert [row["label"] for row in found.totals] == ["negative", "positive"]
    for row in found.totals:
        assert row["after"] == pytest.approx(0.16, abs=1e-12)
        assert row["before"] == pytest.approx(0.28, abs=1e-12)
    places = [(row["cluster_id"], row["label"]) for row in found.clusters]
    assert places == [(0, "negative"), (0, "positive"), (1, "negative"), (1, "positive"), (2, "negative"), (2, "positive"), (3, "negative")]
    everything = measures.missing(sample.frame(spark, tables.WITNESS), 100)
    assert len(everything.clusters) == 10, "where nothing is missing, a cluster is left out"
    assert measures.missing(sample.frame(spark, tables.WITNESS).limit(0), 7) is None


def test_report_and_show_tell_what_is_missing(done, lake, cfg):
    stored = {(row.name, row.label): row.value for row in lake.read(tables.METRICS).where("name like 'missing%'").collect()}
    assert stored == pytest.approx(
        {(f"missing.{key}", label): value for key, value in (("before", 0.28), ("after", 0.16)) for label in ("negative", "positive")}
    )
    section = done[1][done[1].index('<section id="missing">') : done[1].index('<section id="generation">')]
    assert section.count('<th scope="row">') == 10
    assert [(row["cluster_id"], row["label"]) for row in show(cfg.lake.path, "parquet", "sample", 0)["missing"]] == [
        (0, "negative"),
        (0, "positive"),
        (1, "negative"),
    ]


def test_the_rows_of_the_map_have_their_texts_and_lineage(sample, lake, cfg, again):
    points = again.points
    texts = {row["doc_id"]: row["text"] for name in ("corpus", "synthetic") for row in sample.rows[name].to_pylist()}
    assert (len(points.real_rows), len(points.synthetic_rows)) == (80, 80)
    assert all(row["text"] == texts[row["doc_id"]] for row in [*points.real_rows, *points.synthetic_rows])
    assert set(points.sets) == {"set1"}
    assert points.sets["set1"]["attributes"]["tone"] == "warm"
    corpus = sample.rows["corpus"].to_pylist()
    assert points.shown_texts == {corpus[i]["doc_id"]: corpus[i]["text"] for i in (0, 4)}
    assert [cluster for cluster, _ in points.lacking] == [0, 1, 2, 3, 4], "those of the table of missing clusters"
    vectors = {i: np.eye(8)[i] for i in range(5)}
    real = lake.read(tables.EMBEDDINGS, origin="real").select("doc_id", "embedding").collect()
    by_id = {row.doc_id: np.array(row.embedding) for row in real}
    plane = principal_plane(np.array([by_id[row["doc_id"]] for row in points.real_rows]), np.array(list(vectors.values())))[1]
    np.testing.assert_allclose([xy for _, xy in points.lacking], plane, atol=1e-5)
    silent = cfg.model_copy(update={"report": cfg.report.model_copy(update={"map_texts": False})})
    assert gather(lake, silent, {}).points.real_rows == []


def test_report_before_alignment_says_so(spark, lake, cfg):
    class Early:
        def has_table(self, table):
            return table.name in ("corpus", "synthetic", "embeddings")

        def read(self, table, **scope):
            return lake.read(table, **scope)

    findings = gather(Early(), cfg, {})
    assert findings.weights is None
    assert findings.downstream_skipped == "there are no weights yet"
    assert set(findings.points.relative) == {1.0}
    assert findings.missing is None


def test_shown_configuration_hides_what_looks_like_a_secret(cfg):
    conf = {"spark.hadoop.fs.s3a.secret.key": "abc123", "spark.hadoop.fs.s3a.access.key": "abc124", "spark.executor.cores": "7"}
    llm = {"provider": "openai", "base_url": "http://me:abc125@host/v1?key=abc126#abc127", "model": "m"}
    source = {"path": "https://me:abc128@host/x.csv?sig=abc129"}
    text = shown_config(Config.model_validate({"source": source, "spark": {"conf": conf}, "generate": {"llm": llm}}))
    assert "abc12" not in text
    assert "base_url: http://host/v1\n" in text
    assert "path: https://(hidden)@host/x.csv?(hidden)\n" in text
    assert "spark.executor.cores: '7'" in text


def test_held_out_rows_are_those_of_the_alignment(lake, cfg):
    real = lake.read(tables.EMBEDDINGS, origin="real")
    expected = {
        row.doc_id
        for row in real_side(
            real, None, None, cfg.align.per_label, cfg.run.seed, holdout=cfg.align.holdout, validation=cfg.align.validation
        )
        .frame.where("split = 'holdout'")
        .select("doc_id")
        .collect()
    }
    found = {row.doc_id for row in real.where(held_out(cfg.run.seed, cfg.align.holdout)).select("doc_id").collect()}
    assert found == expected
    assert 20 < len(found) < 100


def test_labels_without_held_out_rows_have_none_in_the_downstream_check():
    rows = [{"label": "a", "n_real_holdout": 0}, {"label": "b", "n_real_holdout": 9}, {"label": None, "n_real_holdout": 9}]
    assert labels_with_holdout(rows) == {"b"}
    assert labels_with_holdout(rows[2:]) == {None}, "without labels all rows are one group"


def test_downstream_check_can_be_turned_off(cfg):
    off = cfg.model_copy(update={"report": cfg.report.model_copy(update={"downstream": False})})
    assert checked_downstream(off, pa.table({}), pa.table({}), []) == (None, "report.downstream is off")
    assert checked_downstream(cfg, pa.table({}), pa.table({}), []) == (None, "there are no weights yet")
