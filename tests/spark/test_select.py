from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import functions as F

from synalign_spark.config import SelectConfig
from synalign_spark.core.sampling.gp import Tracker, median_length_scale
from synalign_spark.errors import ConfigError, DataError
from synalign_spark.spark.keys import unit
from synalign_spark.spark.select import missing_masses, select
from synalign_spark.storage import tables
from synalign_spark.udfs.arrow import from_matrix

CENTRES = np.array([[0.0, 0.0], [3.0, 0.0], [0.0, 3.0], [0.2, 0.1], [9.0, 9.0]])
# Rows of label a and of label b in each cluster; the last has none of a.
ROWS_A, ROWS_B = [8, 4, 3, 2, 0], [2, 1, 6, 0, 5]
CONFIG = SelectConfig(rows_per_set=2, alpha=0.5)
SETS = 7


def tables_of(spark, rows_a, rows_b=None):
    """centroids, clusters and corpus with the given rows a cluster; without rows_b there are no labels."""
    labels = [("a" if rows_b else None, rows_a)] + ([("b", rows_b)] if rows_b else [])
    rows = [(c, label, i) for label, counts in labels for c, n in enumerate(counts) for i in range(n)]
    ids = [f"{label}-{c}-{i:02d}" for c, label, i in rows]
    n_rows = np.array(rows_a) + np.array(rows_b or [0] * len(rows_a))
    counts = [{label: n[c] for label, n in labels if label and n[c]} for c in range(len(n_rows))]
    centroids = pa.table(
        {
            "cluster_id": pa.array(range(len(n_rows)), pa.int32()),
            "centroid": from_matrix(CENTRES[: len(n_rows)], pa.float64()),
            "n_rows": pa.array(n_rows),
            "label_counts": pa.array([list(count.items()) for count in counts], pa.map_(pa.string(), pa.int64())),
        }
    )
    clusters = pa.table(
        {
            "doc_id": ids,
            "label": pa.array([label for _, label, _ in rows], pa.string()),
            "cluster_id": pa.array([c for c, _, _ in rows], pa.int32()),
            # Falling with the id, in pairs: the nearest come last, and ties go to the smaller id.
            "sq_distance": [float(10 - i // 2) for _, _, i in rows],
        }
    )
    corpus = pa.table({"doc_id": ids, "text": [f"text of {i}" for i in ids], "label": clusters["label"]})
    return tuple(spark.createDataFrame(table) for table in (centroids, clusters, corpus))


def results(frames, cfg=CONFIG, n_sets=SETS, seed=0, **options):
    demonstrations, trace = select(*frames, cfg, seed, n_sets, **options)
    by_pick = ["label", "round", "set_rank"]
    return demonstrations.orderBy(*by_pick, "rank_in_set").toArrow().to_pylist(), trace.orderBy(*by_pick).toArrow().to_pylist()


@pytest.fixture(scope="module")
def labelled(spark):
    return tables_of(spark, ROWS_A, ROWS_B)


@pytest.fixture(scope="module")
def selected(labelled):
    return results(labelled)


def test_picks_per_label_are_those_of_the_tracker(selected):
    _, trace = selected
    for label, counts, quota in (("a", ROWS_A, 4), ("b", ROWS_B, 3)):  # 17 and 14 rows share 7 sets
        held = np.flatnonzero(np.array(counts) > 0)
        share = np.array(counts)[held] / sum(counts)
        tracker = Tracker(CENTRES[held], share, median_length_scale(CENTRES), CONFIG.noise, CONFIG.alpha)
        want = tracker.pick(quota)
        curve = tracker.trace(CONFIG.reach_sd)
        got = [row for row in trace if row["label"] == label]
        assert [row["set_rank"] for row in got] == list(range(quota))
        assert [row["cluster_id"] for row in got] == [int(held[candidate.position]) for candidate in want]
        assert [row["round"] for row in got] == [0] * quota
        np.testing.assert_allclose([row["cluster_share"] for row in got], [share[candidate.position] for candidate in want])
        np.testing.assert_allclose([row["posterior_sd"] for row in got], [candidate.posterior_sd for candidate in want])
        np.testing.assert_allclose([row["acquisition"] for row in got], [candidate.acquisition for candidate in want])
        np.testing.assert_allclose([row["mean_sd_after"] for row in got], curve.mean_sd)
        np.testing.assert_allclose([row["coverage_after"] for row in got], curve.coverage)


def test_demonstrations_are_the_nearest_rows_of_their_cluster(labelled, selected):
    demonstrations, trace = selected
    rows = labelled[1].toArrow().to_pylist()
    times = Counter()
    for chosen in trace:
        shown = [row for row in demonstrations if (row["label"], row["set_rank"]) == (chosen["label"], chosen["set_rank"])]
        inside = [row for row in rows if (row["label"], row["cluster_id"]) == (chosen["label"], chosen["cluster_id"])]
        first = 2 * times[chosen["label"], chosen["cluster_id"]]
        times[chosen["label"], chosen["cluster_id"]] += 1
        nearest = sorted(inside, key=lambda row: (row["sq_distance"], row["doc_id"]))[first : first + 2]
        assert [row["doc_id"] for row in shown] == [row["doc_id"] for row in nearest]
        assert [row["rank_in_set"] for row in shown] == list(range(len(nearest)))
        assert {row["posterior_sd"] for row in shown} == {chosen["posterior_sd"]}
        assert all(row["text"] == f"text of {row['doc_id']}" for row in shown)


def test_groups_are_cut_before_the_shuffle(labelled):
    plan = select(*labelled, CONFIG, 0, SETS)[0]._jdf.queryExecution().executedPlan().toString()
    assert "WindowGroupLimit" in plan


def test_types_are_those_of_the_contracts(spark, labelled):
    for df, contract in zip(select(*labelled, CONFIG, 0, SETS), (tables.DEMONSTRATIONS, tables.SELECTION_TRACE), strict=True):
        wanted = spark.createDataFrame([], contract.ddl).schema
        assert [(f.name, f.dataType.simpleString()) for f in df.schema] == [(f.name, f.dataType.simpleString()) for f in wanted]


@pytest.mark.parametrize("n_partitions", [1, 7])
def test_partitioning_changes_nothing(labelled, selected, n_partitions):
    spread = [df.repartition(n_partitions).union(df.where(F.lit(False))) for df in labelled]
    assert results(spread) == selected
    assert results(spread, n_sets=40) == results(labelled, n_sets=40)  # later rounds


def test_without_labels_cluster_shares_are_shares_of_all_rows(spark):
    demonstrations, trace = results(tables_of(spark, [6, 3, 1]), SelectConfig(rows_per_set=3), 3)
    assert sorted(row["cluster_id"] for row in trace) == [0, 1, 2]
    assert {row["cluster_id"]: row["cluster_share"] for row in trace} == pytest.approx({0: 0.6, 1: 0.3, 2: 0.1})
    assert {row["label"] for row in trace + demonstrations} == {None}
    assert len(demonstrations) == 3 + 3 + 1  # the last cluster has but one row


def test_a_cluster_picked_again_shows_its_next_rows_and_then_others(spark):
    demonstrations, trace = results(tables_of(spark, [5]), SelectConfig(rows_per_set=2), 20)
    assert [(row["round"], row["set_rank"], row["cluster_id"]) for row in trace] == [(number, 0, 0) for number in range(11)]
    shown = [tuple(row["doc_id"][-2:] for row in demonstrations if row["round"] == number) for number in range(11)]
    assert shown[:3] == [("04", "02"), ("03", "00"), ("01",)]  # nearest first, each row once
    pairs = {frozenset(pair) for pair in shown if len(pair) == 2}
    assert len(pairs) == 10  # all that there are of five rows, none twice
    assert (np.diff([row["posterior_sd"] for row in trace]) < 0).all()


def test_a_second_round_goes_on(spark, labelled):
    cfg = SelectConfig(rows_per_set=2, quota="equal")
    whole, _ = results(labelled, cfg, 10)
    _, first_trace = select(*labelled, cfg, 0, 4)
    first, _ = results(labelled, cfg, 4)
    second, trace = results(labelled, cfg, 6, earlier=first_trace)
    assert {row["round"] for row in second + trace} == {1}
    assert sorted(row["doc_id"] for row in first + second) == sorted(row["doc_id"] for row in whole)


def test_hash_choice_takes_the_smallest_hash_numbers(labelled):
    cfg = SelectConfig(rows_per_set=3, choice="hash")
    demonstrations, trace = results(labelled, cfg, 2, seed=5)
    key = unit(5, "select.demonstrations", "doc_id").alias("key")
    rows = labelled[1].select("doc_id", "label", "cluster_id", key).toArrow().to_pylist()
    for chosen in trace:
        inside = [row for row in rows if (row["label"], row["cluster_id"]) == (chosen["label"], chosen["cluster_id"])]
        want = [row["doc_id"] for row in sorted(inside, key=lambda row: row["key"])[:3]]
        assert [row["doc_id"] for row in demonstrations if row["label"] == chosen["label"]] == want


def test_impossible_requests_are_named(labelled):
    with pytest.raises(ConfigError, match=r"select.demonstration_sets is 1 but the corpus has 2 labels; set it to at least 2"):
        select(*labelled, SelectConfig(demonstration_sets=1), 0, 1)
    assert len(results(labelled, SelectConfig(), 1)[1]) == 2  # auto: each label has one
    other = select(*labelled, CONFIG, 0, 2)[1].withColumn("cluster_id", F.lit(77))
    with pytest.raises(DataError, match="earlier rounds picked cluster 77"):
        select(*labelled, CONFIG, 0, SETS, earlier=other)
    with pytest.raises(DataError, match="run `cluster` first"):
        select(labelled[0].where(F.lit(False)), *labelled[1:], CONFIG, 0, SETS)


def test_missing_masses_count_the_rows_that_may_be_shown(spark, labelled):
    """By hand: a has 17 rows and b 14 in these clusters; of a cluster that the witness does not name nothing is written."""
    held = [("a", 0, 0.2), ("a", 1, 4 / 17), ("b", 4, 0.9), ("gone", 0, 1.0)]
    found = missing_masses(labelled[0], spark.createDataFrame(held, "label string, cluster_id int, synthetic_share double"))
    assert found["a"].tolist() == pytest.approx([8 / 17 - 0.2, 0, 3 / 17, 2 / 17, 0])
    assert found["b"].tolist() == pytest.approx([2 / 14, 1 / 14, 6 / 14, 0, 0])


def test_a_later_round_picks_what_is_missing_or_nothing(labelled):
    missing = {"a": np.array([0.0, 0.0, 0.5, 0.0, 0.0]), "b": np.zeros(5)}
    demonstrations, trace = results(labelled, missing=missing, shares={"a": 0.5, "b": 0.0})
    assert {(row["label"], row["cluster_id"]) for row in trace} == {("a", 2)}
    assert {(row["label"], row["cluster_id"]) for row in demonstrations} == {("a", 2)}
    assert results(labelled, missing=dict.fromkeys("ab", np.zeros(5))) == ([], [])
