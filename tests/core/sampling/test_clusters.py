import numpy as np
import pytest

from synalign_spark.config import ClusterConfig, SelectConfig
from synalign_spark.core.keys import unit
from synalign_spark.core.sampling.clusters import cluster_rows, count_labels, demonstrations, n_clusters
from synalign_spark.core.sampling.neighbours import nearest
from synalign_spark.core.sampling.strata import demonstration_sets

N = 300
IDS = [f"row {i:03d}" for i in range(N)]
LABELS = [None if i % 10 == 9 else "good" if i % 3 else "bad" for i in range(N)]
CFG = ClusterConfig(k=7, sample_rows=200, batch_rows=64)


@pytest.fixture(scope="module")
def x():
    rng = np.random.default_rng(5)
    return (3 * rng.normal(size=(6, 4))[rng.integers(6, size=N)] + rng.normal(size=(N, 4))).astype(np.float32)


@pytest.fixture(scope="module")
def found(x):
    return cluster_rows(IDS, x, CFG, seed=2)


def test_every_row_is_at_its_nearest_centroid(x, found):
    ids, sq_distance = nearest(x, found.centroids)
    np.testing.assert_array_equal(found.cluster_ids, ids)
    np.testing.assert_array_equal(found.sq_distance, sq_distance)
    assert (np.diff(np.bincount(ids)) <= 0).all()


def test_the_order_of_the_rows_changes_nothing(x, found):
    order = np.random.default_rng(0).permutation(N)
    again = cluster_rows([IDS[i] for i in order], x[order], CFG, seed=2)
    np.testing.assert_array_equal(again.centroids, found.centroids)
    np.testing.assert_array_equal(again.cluster_ids, found.cluster_ids[order])


def test_the_fit_sees_the_rows_of_smallest_hash_number(x):
    smallest = np.argsort(unit(3, "cluster.sample", IDS))[:20]
    fitted = cluster_rows(IDS, x, ClusterConfig(k=20, sample_rows=20), seed=3)  # each of them becomes a centroid
    assert sorted(fitted.centroids.tolist()) == sorted(x[smallest].tolist())


def test_rows_are_counted_by_label(found):
    counted = count_labels(found, LABELS, np.full(N, 2.0))
    assert counted.labels() == ["bad", "good"]
    for label in counted.labels():
        inside = [LABELS[i] == label for i in range(N)]
        np.testing.assert_array_equal(counted.rows[label], np.bincount(found.cluster_ids[inside], minlength=7))
        np.testing.assert_array_equal(counted.weights[label], 2.0 * counted.rows[label])
    unlabelled = count_labels(found, [None] * N)
    assert unlabelled.labels() == [None]
    np.testing.assert_array_equal(unlabelled.rows[None], np.bincount(found.cluster_ids))


def test_a_set_shows_the_rows_at_its_places(found):
    sets = demonstration_sets(count_labels(found, LABELS), SelectConfig(rows_per_set=3), 60)
    shown = demonstrations(sets, found, IDS, LABELS, found.sq_distance)
    assert {one.round for one in sets} >= {0, 1, 2}
    assert len({(one.label, one.cluster_id, one.places) for one in sets}) == len(sets)
    for chosen in sets:
        inside = [i for i in range(N) if LABELS[i] == chosen.label and found.cluster_ids[i] == chosen.cluster_id]
        inside.sort(key=lambda i: (found.sq_distance[i], IDS[i]))
        assert [(rank, row) for one, rank, row in shown if one == chosen] == list(enumerate(inside[place] for place in chosen.places))


@pytest.mark.parametrize(("n_rows", "k"), [(3, 3), (30, 8), (8_530, 92), (10**9, 1_000)])
def test_automatic_number_of_clusters(n_rows, k):
    assert n_clusters(ClusterConfig(), n_rows, n_rows) == k


def test_more_clusters_than_rows():
    with pytest.raises(ValueError, match="k is 50 but the corpus has 12 rows; set it to at most 12"):
        n_clusters(ClusterConfig(k=50), 12, 12)
    with pytest.raises(ValueError, match="fitted on 20 rows; raise sample_rows"):
        n_clusters(ClusterConfig(k=50, sample_rows=20), 100, 20)
