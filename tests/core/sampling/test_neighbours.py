import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from threadpoolctl import threadpool_limits

from synalign_spark.core.sampling import neighbours
from synalign_spark.core.sampling.neighbours import nearest


def by_hand(x, centroids):
    """All float64 differences; argmin takes the smaller id of equal distances."""
    sq_dist = np.square(x[:, None, :].astype(np.float64) - centroids[None]).sum(axis=2)
    return sq_dist.argmin(axis=1), sq_dist.min(axis=1)


# Small integers make many exact ties, large offsets many rounding errors.
GRID = st.integers(-3, 3).map(float)


@given(
    x=hnp.arrays(np.float32, (11, 3), elements=GRID),
    centroids=hnp.arrays(np.float64, st.tuples(st.integers(1, 9), st.just(3)), elements=GRID),
    offset=st.sampled_from([0.0, 1.0, 4096.0]),
)
def test_equals_the_differences_with_ties(x, centroids, offset):
    x, centroids = x + np.float32(offset), centroids + offset
    ids, sq_dist = nearest(x, centroids)
    want_ids, want = by_hand(x, centroids)
    np.testing.assert_array_equal(ids, want_ids)
    np.testing.assert_array_equal(sq_dist, want)


def test_centroids_closer_together_than_float32_can_tell():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 64)).astype(np.float32)
    centroids = x[:5].astype(np.float64).repeat(4, axis=0) + rng.normal(size=(20, 64)) * 1e-9
    ids, sq_dist = nearest(x, centroids)
    want_ids, want = by_hand(x, centroids)
    np.testing.assert_array_equal(ids, want_ids)
    np.testing.assert_allclose(sq_dist, want, rtol=1e-12)
    assert (sq_dist >= 0).all()


def test_neither_blocks_nor_threads_change_a_bit(monkeypatch):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(999, 96)).astype(np.float32)
    centroids = rng.normal(size=(37, 96))
    whole = nearest(x, centroids)
    monkeypatch.setattr(neighbours, "BLOCK_SCORES", 37 * 10)
    monkeypatch.setattr(neighbours, "BLOCK_NUMBERS", 96 * 7)
    with threadpool_limits(1):
        blocked = nearest(x, centroids)
    np.testing.assert_array_equal(whole[0], blocked[0])
    np.testing.assert_array_equal(whole[1], blocked[1])


def test_numbers_too_large_for_float32_squares():
    x = np.array([[1e30, 0.0], [-1e30, 0.0]], dtype=np.float32)
    ids, _ = nearest(x, np.array([[-9e29, 0.0], [9e29, 0.0]]))
    assert ids.tolist() == [1, 0]


def test_edges():
    ids, sq_dist = nearest(np.empty((0, 0), dtype=np.float32), np.zeros((2, 5)))
    assert len(ids) == len(sq_dist) == 0
    with pytest.raises(ValueError, match="one width"):
        nearest(np.zeros((1, 2)), np.zeros((1, 3)))
    with pytest.raises(ValueError, match="at least one"):
        nearest(np.zeros((1, 2)), np.zeros((0, 2)))
