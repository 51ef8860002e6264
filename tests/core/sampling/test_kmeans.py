import gzip
import json
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from threadpoolctl import threadpool_limits

from synalign_spark.core.communicator import LocalCommunicator
from synalign_spark.core.sampling import kmeans
from synalign_spark.core.sampling.kmeans import by_size
from synalign_spark.core.sampling.neighbours import nearest
from synalign_spark.core.sampling.relocation import relocated
from synalign_spark.core.sampling.row_sequence import RowSequence

LOCAL = LocalCommunicator()


def keys_of(x):
    return np.random.default_rng(len(x)).random(len(x))


def fit(x, k, comm=LOCAL, keys=None, **options):
    return kmeans.fit(x, keys_of(x) if keys is None else keys, k, comm, **options)


class ThreadCommunicator:
    """Ranks are threads of this process; arrays meet in a shared list."""

    def __init__(self, rank, size, slots, barrier):
        self.rank, self.size, self._slots, self._barrier = rank, size, slots, barrier

    def _all(self, values):
        self._slots[self.rank] = np.array(values)
        self._barrier.wait()
        gathered = list(self._slots)
        self._barrier.wait()
        return gathered

    def all_reduce(self, values):
        return np.sum(self._all(values), axis=0)

    def all_reduce_max(self, values):
        return np.max(self._all(values), axis=0)

    def broadcast(self, values, root=0):
        return self._all(values)[root]


def fit_in_threads(shards, keys, k, **options):
    size = len(shards)
    slots, barrier = [None] * size, threading.Barrier(size, timeout=60)

    def one(rank):
        return fit(shards[rank], k, ThreadCommunicator(rank, size, slots, barrier), keys[rank], **options)

    with ThreadPoolExecutor(size) as pool:
        return list(pool.map(one, range(size)))


def blobs(n, k, d, seed=0, spread=0.05):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(k, d))
    which = rng.integers(k, size=n)
    return (centres[which] + spread * rng.normal(size=(n, d))).astype(np.float32), centres


@pytest.fixture(scope="module")
def text_vectors(real_data):
    """2,500 real sentences as 64 latent semantic dimensions, unit norm."""
    with gzip.open(real_data / "sst2" / "train_sentences.jsonl.gz", "rt", encoding="utf-8") as lines:
        texts = [json.loads(next(lines))["text"] for _ in range(2_500)]
    x = TruncatedSVD(64, random_state=0).fit_transform(TfidfVectorizer(sublinear_tf=True).fit_transform(texts))
    return (x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-9)).astype(np.float32)


def test_one_dimension_by_hand():
    x = np.array([[0.0], [1.0], [2.0], [10.0], [11.0]])
    got = fit(x, 2, LOCAL, seed=0)
    np.testing.assert_allclose(got.centroids, [[1.0], [10.5]])
    assert got.counts.tolist() == [3, 2]
    assert got.inertia == pytest.approx(2.5)
    assert got.converged


def test_recovers_known_centres():
    x, centres = blobs(6_000, 20, 8)
    got = fit(x, 20, LOCAL, seed=3, batch_rows=512)
    _, off = nearest(centres, got.centroids)
    assert np.sqrt(off).max() < 0.02
    assert got.counts.sum() == len(x)
    assert (np.diff(got.counts) <= 0).all()


def test_inertia_is_that_of_the_returned_centroids():
    x, _ = blobs(2_000, 5, 3, spread=1.0)
    got = fit(x, 7, LOCAL, seed=0, batch_rows=256, max_epochs=3)
    ids, sq_dist = nearest(x, got.centroids)
    assert got.inertia == pytest.approx(sq_dist.sum(), rel=1e-12)
    np.testing.assert_array_equal(np.bincount(ids, minlength=7), got.counts)


@pytest.mark.parametrize("k", [10, 60])
def test_inertia_on_real_text_is_within_two_percent_of_sklearn(text_vectors, k):
    ours = fit(text_vectors, k, LOCAL, seed=0, batch_rows=512).inertia
    theirs = KMeans(k, n_init=1, random_state=0).fit(text_vectors).inertia_
    assert ours < 1.02 * theirs


@pytest.mark.parametrize("cuts", [[700], [0], [100, 1900], [1, 2, 3]])
def test_shards_do_not_change_the_result(cuts):
    x, _ = blobs(2_000, 12, 6, spread=0.4)
    options = {"seed": 5, "batch_rows": 256, "max_epochs": 8}
    want = fit(x, 12, LOCAL, **options)
    order = np.random.default_rng(1).permutation(len(x))
    for got in fit_in_threads(np.split(x[order], cuts), np.split(keys_of(x)[order], cuts), 12, **options):
        np.testing.assert_allclose(got.centroids, want.centroids, atol=1e-9)
        np.testing.assert_array_equal(got.counts, want.counts)
        assert got.passes == want.passes


def test_threads_of_the_matrix_product_do_not_change_the_result():
    x, _ = blobs(3_000, 12, 48, spread=0.6)
    with threadpool_limits(1):
        one = fit(x, 40, LOCAL, seed=0, batch_rows=512)
    with threadpool_limits(2):
        two = fit(x, 40, LOCAL, seed=0, batch_rows=512)
    np.testing.assert_array_equal(one.centroids, two.centroids)


def test_empty_clusters_move_to_far_rows(monkeypatch):
    # Bad seeds on purpose: all three on the first two points, so that one cluster starts empty.
    x = np.array([[0.0], [0.1], [5.0], [5.1], [9.0], [9.1]])
    monkeypatch.setattr("synalign_spark.core.sampling.kmeans._plus_plus", lambda rows, k, rng: np.array([[0.0], [0.0], [0.1]]))
    got = fit(x, 3, LOCAL, seed=0)
    np.testing.assert_allclose(np.sort(got.centroids.ravel()), [0.05, 5.05, 9.05])


def test_duplicate_centroids_move_too():
    """The rows that seeds are drawn from are all equal; nine tenths of the rows, and their two groups, are elsewhere."""
    x = np.concatenate([np.zeros((30, 1)), np.full((200, 1), 5.0), np.full((100, 1), 9.0)])
    keys = np.concatenate([np.linspace(0.0001, 0.001, 30), np.linspace(0.1, 0.9, 300)])
    got = fit(x, 3, keys=keys, seed=0, batch_rows=20, max_epochs=8)
    assert got.centroids.ravel().tolist() == [5.0, 9.0, 0.0]
    assert got.counts.tolist() == [200, 100, 30]


def rare_topics(n=6_000, rare=12, common=28, d=48):
    """Unit vectors about 40 directions, 12 of them of 8 rows each. Returns rows, topics (the rare ones first)."""
    rng = np.random.default_rng(4)
    centres = rng.normal(size=(rare + common, d))
    topic = np.concatenate([np.repeat(np.arange(rare), 8), rng.integers(rare, rare + common, size=n - 8 * rare)])
    x = centres / np.linalg.norm(centres, axis=1, keepdims=True)
    noise = rng.normal(size=(n, d))
    x = x[topic] + noise / np.linalg.norm(noise, axis=1, keepdims=True)
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32), topic


@pytest.mark.parametrize("seed", [0, 1])
def test_rare_topics_get_a_centroid(seed):
    x, topic = rare_topics()
    got = fit(x, 40, seed=seed, batch_rows=512)
    ids, _ = nearest(x, got.centroids)
    mostly = [np.bincount(topic[ids == i]).argmax() for i in range(40)]
    assert len(set(range(12)) & set(mostly)) >= 11  # by chance k-means starts with one or two of them
    own = np.array([x[topic == t].mean(axis=0) for t in range(40)], dtype=np.float64)
    assert got.inertia < 1.002 * nearest(x, own)[1].sum()


def test_rows_that_are_drawn_and_batches_are_those_of_the_keys():
    x = np.arange(400.0)[:, None]
    keys = np.random.default_rng(0).random(400)
    rows = RowSequence.of(x, keys, LOCAL)
    by_key = x[np.argsort(keys)]
    np.testing.assert_array_equal(rows.first(30), by_key[:30])
    np.testing.assert_array_equal(rows.first(1_000), by_key)
    batches = rows.batches(64)
    assert len(batches) == 7
    np.testing.assert_array_equal(np.concatenate([rows.x[batch] for batch in batches]), by_key)


@pytest.mark.parametrize("of_first", [400, 200])
def test_the_largest_values_are_found(of_first):
    rng = np.random.default_rng(0)
    x, keys = np.arange(400.0)[:, None], rng.random(400)
    rows = RowSequence.of(x, keys, LOCAL)
    values = np.maximum(rng.normal(size=400), 0.0)
    found, each = rows.largest(values, 20, of_first)
    looked = np.arange(400) if of_first == 400 else np.flatnonzero(rows.keys < rows.last_key / 2)
    assert each == 400 / len(looked)
    assert 15 <= len(found) <= 20
    largest = looked[np.argsort(-values[looked])][: len(found)]
    assert sorted(found.ravel()) == sorted(rows.x[largest].ravel())
    ties, _ = rows.largest(np.ones(400), 20, 400)
    assert 10 <= len(ties) <= 30  # those of smallest key
    np.testing.assert_array_equal(ties, x[np.argsort(keys)][: len(ties)])
    assert len(rows.largest(np.zeros(400), 20, 400)[0]) == 0


def inertia(x, centroids):
    return nearest(x, centroids)[1].sum()


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 12), st.integers(1, 40))
@example(9, 9, 11)  # what a move costs is what it gains, but for rounding
def test_a_move_lowers_the_inertia(seed, k, n):
    rng = np.random.default_rng(seed)
    x = rng.integers(-4, 5, size=(n, 2)) * 1.0 if seed % 2 else rng.normal(size=(n, 2))
    means = x[rng.integers(n, size=k)] + rng.choice([0.0, 0.3]) * rng.normal(size=(k, 2))
    for _ in range(n):  # until each row is nearest to the mean of its cluster
        ids, sq_dist = nearest(x, means)
        counts = np.bincount(ids, minlength=k)
        means = np.array([x[ids == i].mean(axis=0) if counts[i] else means[i] for i in range(k)])
    far = x[np.argsort(-sq_dist)[: max(1, n // 2)]]
    moved, number = relocated(means, counts.astype(float), far, 1.0, sq_dist.mean())
    assert (number > 0) == (not np.array_equal(moved, means))
    if number:
        assert inertia(x, moved) <= np.square(x - means[ids]).sum() * (1 + 1e-12)
    if (counts == 0).any() and (nearest(far, means[counts > 0])[1] > 1e-9).any():
        assert number


def test_fewer_distinct_rows_than_clusters():
    x = np.repeat(np.array([[0.0, 1.0], [1.0, 0.0]]), 10, axis=0)
    got = fit(x, 5, LOCAL, seed=0)
    assert got.counts.tolist() == [10, 10]
    assert got.inertia == 0
    np.testing.assert_allclose(got.centroids, [[0.0, 1.0], [1.0, 0.0]])


def test_as_many_clusters_as_rows():
    x, _ = blobs(30, 3, 4)
    got = fit(x, 30, LOCAL, seed=0)
    assert len(got.centroids) == 30
    assert got.inertia == pytest.approx(0, abs=1e-12)


def test_the_seed_decides():
    x, _ = blobs(500, 10, 3, spread=1.0)
    first, again, other = (fit(x, 20, LOCAL, seed=s).centroids for s in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_order_is_by_size_then_coordinates():
    centroids = np.array([[2.0, 0.0], [1.0, 5.0], [1.0, 4.0], [0.0, 0.0]])
    assert by_size(np.array([3, 3, 3, 9]), centroids).tolist() == [3, 2, 1, 0]


@pytest.mark.parametrize(
    ("x", "k", "message"),
    [
        (np.zeros((3, 2)), 4, "between 1 and the number of rows, 3; got 4"),
        (np.zeros((3, 2)), 0, "got 0"),
        (np.full((3, 2), np.nan), 2, "finite"),
        (np.zeros(3), 2, "matrix"),
        (np.zeros((0, 2)), 1, "number of rows, 0"),
    ],
)
def test_bad_input_is_refused(x, k, message):
    with pytest.raises(ValueError, match=message):
        fit(x, k, LOCAL, seed=0)


def test_ranks_of_different_widths_are_refused():
    with pytest.raises(ValueError, match="same width on every rank"):
        fit_in_threads([np.zeros((3, 2)), np.zeros((3, 4))], [np.full(3, 0.5)] * 2, 2, seed=0)
