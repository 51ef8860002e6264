import hashlib

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import functions as F

from synalign_spark.config import ClusterConfig
from synalign_spark.core.holdout import held_out
from synalign_spark.core.sampling.neighbours import nearest
from synalign_spark.errors import DataError
from synalign_spark.spark.cluster import cluster
from synalign_spark.spark.keys import unit
from synalign_spark.storage import tables
from synalign_spark.udfs.arrow import from_matrix

N, WIDTH = 240, 6
CONFIG = ClusterConfig(k=9, batch_rows=64, sample_rows=150)


def vectors(n=N):
    rng = np.random.default_rng(7)
    centres = 2 * rng.normal(size=(5, WIDTH))
    return (centres[rng.integers(5, size=n)] + 0.3 * rng.normal(size=(n, WIDTH))).astype(np.float32)


def frame(spark, x, labels=None):
    ids = [hashlib.sha256(str(i).encode()).hexdigest() for i in range(len(x))]
    column = x if isinstance(x, pa.Array) else from_matrix(x)
    return spark.createDataFrame(
        pa.table({"doc_id": ids, "label": pa.array(labels or [None] * len(x), type=pa.string()), "embedding": column})
    )


def results(df, cfg=CONFIG, seed=0, holdout=0.0):
    with cluster(df, cfg, seed, holdout) as (centroids, clusters):
        return centroids.orderBy("cluster_id").toArrow(), clusters.orderBy("doc_id").toArrow()


@pytest.fixture(scope="module")
def labelled(spark):
    return frame(spark, vectors(), ["even" if i % 2 == 0 else "odd" for i in range(N)])


@pytest.fixture(scope="module")
def clustered(labelled):
    return results(labelled)


def test_every_row_is_at_its_nearest_centroid(labelled, clustered):
    centroids, clusters = clustered
    rows = labelled.orderBy("doc_id").toArrow()
    x = np.array(rows["embedding"].to_pylist(), dtype=np.float32)
    ids, sq_dist = nearest(x, np.array(centroids["centroid"].to_pylist()))
    assert clusters["doc_id"].to_pylist() == rows["doc_id"].to_pylist()
    assert clusters["label"].to_pylist() == rows["label"].to_pylist()
    np.testing.assert_array_equal(clusters["cluster_id"].to_numpy(), ids)
    np.testing.assert_array_equal(clusters["sq_distance"].to_numpy(), sq_dist)


def test_centroid_rows_add_up(clustered):
    centroids, clusters = clustered
    n_rows = centroids["n_rows"].to_numpy()
    assert centroids["cluster_id"].to_pylist() == list(range(9))
    assert (np.diff(n_rows) <= 0).all()
    np.testing.assert_array_equal(np.bincount(clusters["cluster_id"].to_numpy()), n_rows)
    np.testing.assert_allclose(centroids["share"].to_numpy(), n_rows / N)
    assert centroids["inertia"].to_numpy().sum() == pytest.approx(clusters["sq_distance"].to_numpy().sum())
    for cluster_id, counts in enumerate(centroids["label_counts"].to_pylist()):
        at = [row["label"] for row in clusters.to_pylist() if row["cluster_id"] == cluster_id]
        assert dict(counts) == {label: at.count(label) for label in set(at)}


def test_held_out_rows_have_a_cluster_and_shape_none(spark):
    x, cfg = vectors(), ClusterConfig(sample_rows=150)
    held = held_out(0, [hashlib.sha256(str(i).encode()).hexdigest() for i in range(N)], 0.25)
    centroids, clusters = results(frame(spark, x), cfg, holdout=0.25)
    assert sum(centroids["n_rows"].to_pylist()) == (~held).sum()
    assert len(clusters) == N
    changed = x.copy()
    changed[held] = 7.0
    again, moved = results(frame(spark, changed), cfg, holdout=0.25)
    assert again == centroids
    assert [row for row in moved.to_pylist() if row in clusters.to_pylist()] == [
        row for row in clusters.to_pylist() if not held_out(0, [row["doc_id"]], 0.25)[0]
    ]
    with pytest.raises(DataError, match=r"all 1 real rows are held out; add rows, or lower align\.holdout"):
        results(
            frame(spark, x).where(
                F.col("doc_id") == next(row["doc_id"] for row in clusters.to_pylist() if held_out(0, [row["doc_id"]], 0.25)[0])
            ),
            holdout=0.25,
        )


def test_types_are_those_of_the_contracts(labelled, spark):
    with cluster(labelled, CONFIG, 0) as pair:
        for df, contract in zip(pair, (tables.CENTROIDS, tables.CLUSTERS), strict=True):
            wanted = spark.createDataFrame([], contract.ddl).schema
            assert [(f.name, f.dataType.simpleString()) for f in df.schema] == [(f.name, f.dataType.simpleString()) for f in wanted]


@pytest.mark.parametrize("n_partitions", [1, 7])
def test_partitioning_changes_nothing(spark, labelled, clustered, n_partitions):
    spread = labelled.repartition(n_partitions).union(labelled.where(F.lit(False)))
    centroids, clusters = results(spread)
    assert clusters == clustered[1]
    assert centroids.drop(["inertia"]) == clustered[0].drop(["inertia"])
    np.testing.assert_allclose(centroids["inertia"].to_numpy(), clustered[0]["inertia"].to_numpy(), rtol=1e-12)


def test_the_kept_assignment_is_released(labelled):
    def is_kept(df):
        return "InMemoryRelation" in df.select("doc_id")._jdf.queryExecution().withCachedData().toString()

    with cluster(labelled, CONFIG, 0) as (_, clusters):
        assert is_kept(clusters)
    assert not is_kept(clusters)


def test_the_fit_sees_the_rows_of_smallest_hash_number(labelled):
    keyed = labelled.select(unit(3, "cluster.sample", "doc_id").alias("key"), "doc_id", "embedding").toArrow().to_pylist()
    smallest = sorted(keyed, key=lambda row: (row["key"], row["doc_id"]))[:20]
    centroids, _ = results(labelled, ClusterConfig(k=20, sample_rows=20), seed=3)  # each of them becomes a centroid
    assert sorted(centroids["centroid"].to_pylist()) == sorted(row["embedding"] for row in smallest)


def test_without_labels_the_counts_are_empty(spark):
    centroids, clusters = results(frame(spark, vectors(60)), ClusterConfig(k=3))
    assert centroids["label_counts"].to_pylist() == [[], [], []]
    assert clusters["label"].null_count == 60


def test_more_clusters_than_rows(labelled):
    with (
        pytest.raises(DataError, match=r"cluster.k is 250 but the corpus has 240 rows; set it to at most 240"),
        cluster(labelled, ClusterConfig(k=250), 0),
    ):
        pass
    cfg = ClusterConfig(k=50, sample_rows=20)
    with pytest.raises(DataError, match=r"fitted on 20 rows; raise sample_rows"), cluster(labelled, cfg, 0):
        pass


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "no real rows"),
        ([[1.0, 2.0], [float("nan"), 1.0], [0.0, 0.0]], "1 of 3 embeddings are null, empty or hold NaN"),
        ([[1.0, 2.0], None, [0.0, float("inf")]], "2 of 3 embeddings"),
        ([[1.0, 2.0], [1.0], [0.0, 1.0]], "width 1 and 2 in one table"),
    ],
)
def test_unusable_embeddings_are_named(spark, rows, message):
    df = frame(spark, pa.array(rows, type=pa.list_(pa.float32())))
    with pytest.raises(DataError, match=message), cluster(df, CONFIG, 0):
        pass
