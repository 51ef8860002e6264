"""The witness function: values by hand and against the exact kernel, exact sums, and examples in one order."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synalign_spark.core.evaluation.witness import VALUE_STEPS, Cell, MeanDifference, mean_value, merge, ranks, tally, witness_values
from synalign_spark.core.features import draw_feature_map, mixture_kernel


def unit(n, d, seed):
    x = np.random.default_rng(seed).standard_normal((n, d))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def ids(n):
    return np.array([f"id{i:04d}" for i in range(n)], dtype=object)


def test_values_by_hand():
    """Real mean (3/4, 0, 1/4), weighted mean (1/4, 1/2, 1/4), base mean (0, 1, 0)."""
    difference = MeanDifference.of(np.array([0.75, 0.0, 0.25]), np.array([0.25, 0.5, 0.25]), np.array([0.0, 1.0, 0.0]))
    np.testing.assert_array_equal(witness_values(np.eye(3, dtype=np.float32), difference), [[0.5, 0.75], [-0.5, -1.0], [0.0, 0.25]])


def test_without_synthetic_rows_the_witness_is_that_of_the_real_mean():
    mean = np.array([0.6, 0.8])
    values = witness_values(np.array([[0.6, 0.8]], dtype=np.float32), MeanDifference.of(mean))
    np.testing.assert_allclose(values, [[1.0, 1.0]], atol=5e-8)


@pytest.fixture(scope="module")
def both_sides():
    """x (real), s, w, features and the mean difference. The synthetic rows leave out half of the sphere."""
    x, s = unit(300, 6, 0), unit(400, 6, 1)
    s = s[s[:, 0] < 0]
    w = np.random.default_rng(2).dirichlet(np.ones(len(s)))
    features = draw_feature_map(6, 16_384, [0.9, 0.45], 3)
    phi_x, phi_s = (features(rows).astype(np.float64) for rows in (x, s))
    return x, s, w, features, MeanDifference.of(phi_x.mean(axis=0), w @ phi_s, phi_s.mean(axis=0))


def test_many_features_give_the_witness_of_the_exact_kernel(both_sides):
    x, s, w, features, difference = both_sides
    to_x, to_s = (mixture_kernel(x, rows, features.bandwidths).astype(np.float64) for rows in (x, s))
    exact = np.stack([to_x.mean(axis=1) - to_s @ w, to_x.mean(axis=1) - to_s.mean(axis=1)], axis=1)
    values = witness_values(features(x), difference)
    assert np.abs(exact).max() > 0.08
    assert np.abs(values - exact).max() < 0.005
    assert values[x[:, 0] > 0.5].mean() > 0.05 > -0.01 > values[x[:, 0] < -0.5].mean()


def test_the_witness_adds_up_to_mmd2(both_sides):
    """Mean over the real rows minus weighted mean over the synthetic rows is the squared MMD (Gretton et al. 2012)."""
    x, s, w, features, difference = both_sides
    over_real, over_synthetic = witness_values(features(x), difference)[:, 0].mean(), w @ witness_values(features(s), difference)[:, 0]
    assert over_real - over_synthetic == pytest.approx(float(difference.after @ difference.after), abs=1e-7)


def test_a_row_has_the_same_bits_in_any_company(both_sides):
    x, _, _, features, difference = both_sides
    phi = features(x)
    whole = witness_values(phi, difference)
    exact = np.stack([phi.astype(np.float64) @ difference.after, phi.astype(np.float64) @ difference.before], axis=1)
    np.testing.assert_allclose(whole, exact, atol=2e-8)
    for part in np.array_split(np.random.default_rng(4).permutation(len(x)), 13):
        np.testing.assert_array_equal(witness_values(phi[part], difference), whole[part])
    mixed = np.random.default_rng(5).permutation(phi.shape[1])  # another order of the sum
    np.testing.assert_array_equal(witness_values(phi[:, mixed], MeanDifference(difference.after[mixed], difference.before[mixed])), whole)


def test_bad_gaps_are_named():
    phi = np.eye(3, dtype=np.float32)
    with pytest.raises(ValueError, match=r"phi must have shape \(n, 2\).*got \(3, 3\)"):
        witness_values(phi, MeanDifference(np.zeros(2), np.zeros(2)))
    for wrong in (np.full(3, 2.0), np.full(3, np.nan)):
        with pytest.raises(ValueError, match=r"norm 2 at most, got norm (3.46|nan)"):
            witness_values(phi, MeanDifference(np.zeros(3), wrong))


def test_tally_by_hand():
    values = np.array([[0.25, 0.5], [0.5, 0.0], [0.25, 0.0], [-1.0, 1.0]])
    found = tally(np.array([7, 7, 7, 2], dtype=np.int32), np.array(["c", "b", "a", "z"], dtype=object), values, top=2)
    step = int(VALUE_STEPS)
    assert found == {
        2: Cell(1, -step, step, ((-step, "z"),)),
        7: Cell(3, step, step // 2, ((step // 2, "b"), (step // 4, "a"))),  # the tie goes to the smaller id
    }
    assert mean_value(found[7].after, found[7].rows) == pytest.approx(1 / 3)
    assert tally(np.zeros(0, dtype=np.int32), ids(0), np.zeros((0, 2)), 3) == {}


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from([-0.5, 0.0, 0.1, 0.7])), max_size=40), st.integers(1, 5), st.randoms())
def test_merged_parts_are_the_whole_in_any_order(rows, n_parts, random):
    clusters = np.array([cluster for cluster, _ in rows], dtype=np.int32)
    values = np.array([[value, -value] for _, value in rows]).reshape(-1, 2)
    keys, part = ids(len(rows)), np.array([random.randrange(n_parts) for _ in rows])
    parts = [tally(clusters[part == i], keys[part == i], values[part == i], 3) for i in range(n_parts)]
    random.shuffle(parts)
    whole = tally(clusters, keys, values, 3)
    for cluster in whole:
        held = [found[cluster] for found in parts if cluster in found]
        assert merge(held, 3) == whole[cluster]
        assert merge([merge(held[:1], 3), merge(held[1:], 3)], 3) == whole[cluster]


def test_ranks_are_by_falling_total_ties_to_the_earlier():
    assert ranks([5, 9, -3, 9]) == [3, 1, 4, 2]
    assert ranks([]) == []
