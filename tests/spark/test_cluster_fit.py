"""k-means in a barrier stage and in this process: the same clusters, and a sample where rows have no room."""

import hashlib

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import functions as F

from synalign_spark.config import ClusterConfig
from synalign_spark.core.sampling.clusters import SAMPLE_KEY
from synalign_spark.errors import DataError
from synalign_spark.spark import cluster_fit
from synalign_spark.spark.cluster_fit import fit_clusters
from synalign_spark.spark.keys import unit
from synalign_spark.udfs.arrow import from_matrix

N, WIDTH = 400, 5
CONFIG = ClusterConfig(k=8, batch_rows=64)


@pytest.fixture(scope="module")
def x():
    rng = np.random.default_rng(3)
    return (2 * rng.normal(size=(6, WIDTH))[rng.integers(6, size=N)] + 0.4 * rng.normal(size=(N, WIDTH))).astype(np.float32)


@pytest.fixture(scope="module")
def rows(spark, x):
    ids = [hashlib.sha256(str(i).encode()).hexdigest() for i in range(N)]
    return spark.createDataFrame(pa.table({"doc_id": ids, "embedding": from_matrix(x)}))


@pytest.fixture
def no_room(monkeypatch):
    """The driver takes the vectors of 100 rows."""
    monkeypatch.setattr(cluster_fit, "LOCAL_BYTES", 100 * 4 * WIDTH)


def fitted(rows, cfg=CONFIG, seed=0):
    said = []
    return fit_clusters(rows, cfg, seed, N, WIDTH, said.append), *said


def test_a_barrier_stage_finds_what_one_process_finds(rows, no_room, monkeypatch):
    far, said_far = fitted(rows)
    assert said_far.startswith("k-means of 8 clusters on 400 of 400 rows, in a barrier stage of 2 tasks (master local[2]")
    monkeypatch.undo()
    here, said = fitted(rows)
    assert said == "k-means of 8 clusters on 400 of 400 rows, in the driver's memory"
    np.testing.assert_array_equal(far.counts, here.counts)
    np.testing.assert_allclose(far.centroids, here.centroids, atol=1e-9)
    assert far.inertia == pytest.approx(here.inertia, rel=1e-9)
    assert far.passes == here.passes


@pytest.mark.parametrize("n_partitions", [1, 7])
def test_partitioning_changes_nothing_in_a_barrier_stage(rows, no_room, n_partitions):
    want, _ = fitted(rows)
    got, _ = fitted(rows.repartition(n_partitions).union(rows.where(F.lit(False))))
    np.testing.assert_array_equal(got.centroids, want.centroids)


def sample_of(rows, x, seed, n):
    keyed = rows.select(unit(seed, SAMPLE_KEY, "doc_id").alias("key"), "embedding").toArrow().to_pylist()
    return [row["embedding"] for row in sorted(keyed, key=lambda row: row["key"])[:n]]


def test_without_a_barrier_stage_the_driver_takes_a_sample(rows, x, no_room, monkeypatch):
    monkeypatch.setattr(cluster_fit, "barrier_slots", lambda spark: (None, "spark.dynamicAllocation.enabled is true"))
    found, said = fitted(rows, ClusterConfig(k=100))
    assert said == (
        "k-means of 100 clusters on 100 of 400 rows, on a sample in the driver's memory: "
        "no barrier stage can run (spark.dynamicAllocation.enabled is true)"
    )
    assert sorted(found.centroids.tolist()) == sorted(sample_of(rows, x, 0, 100))


def test_a_task_takes_what_memory_allows(rows, no_room):
    allowed = 150 * 2 * 4 * WIDTH / 2 / 2**30  # gigabytes of 150 vectors in two tasks, each held twice while it is loaded
    found, said = fitted(rows, CONFIG.model_copy(update={"memory_gb": allowed}))
    assert "on 150 of 400 rows, in a barrier stage of 2 tasks" in said
    assert 110 < found.counts.sum() < 190  # those of smallest hash number, about
    _, said = fitted(rows, CONFIG.model_copy(update={"memory_gb": allowed / 2}))
    assert "on 100 of 400 rows, on a sample in the driver's memory: 2 tasks of cluster.memory_gb=" in said


def test_a_configured_sample_is_taken_wherever_it_fits(rows, no_room):
    _, said = fitted(rows, ClusterConfig(k=8, sample_rows=90))
    assert "on 90 of 400 rows, in the driver's memory" in said
    found, said = fitted(rows, ClusterConfig(k=8, sample_rows=200))
    assert "on 200 of 400 rows, in a barrier stage" in said
    assert 150 < found.counts.sum() < 250


def test_fewer_distinct_rows_than_clusters_give_as_many_clusters(spark, no_room):
    x = np.repeat(np.eye(3, WIDTH, dtype=np.float32), [200, 150, 50], axis=0)
    rows = spark.createDataFrame(pa.table({"doc_id": [str(i) for i in range(N)], "embedding": from_matrix(x)}))
    found, _ = fitted(rows)
    assert found.counts.tolist() == [200, 150, 50]
    np.testing.assert_allclose(found.centroids, np.eye(3, WIDTH))
    assert found.inertia < 1e-12


def test_too_many_centroids_are_refused_before_the_fit(rows, monkeypatch):
    monkeypatch.setattr(cluster_fit, "MAX_CENTROID_BYTES", 20 * 8 * WIDTH)
    with pytest.raises(
        DataError, match=r"cluster.k is 21, and so many centroids of 5 numbers are too many for a task; set it to at most 20"
    ):
        fitted(rows, ClusterConfig(k=21))
    assert len(fitted(rows, ClusterConfig(k=20))[0].counts) == 20
