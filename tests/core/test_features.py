"""Random features: the kernel that they approximate, unit norm, and independence of row blocks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics.pairwise import rbf_kernel

from synalign_spark.core.features import BLOCK_ROWS, draw_feature_map, median_distance, mixture_kernel


@pytest.fixture(scope="module")
def x():
    rows = np.random.default_rng(0).standard_normal((BLOCK_ROWS + 37, 24))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_rows_have_unit_norm(x):
    phi = draw_feature_map(24, 96, [1.0, 0.5, 2.0], 0)(x)
    assert phi.dtype == np.float32
    assert phi.shape == (len(x), 96)
    np.testing.assert_allclose(np.linalg.norm(phi, axis=1), 1.0, atol=1e-6)


def test_mixture_kernel_is_the_mean_of_rbf_kernels(x):
    want = (rbf_kernel(x, x[:9], gamma=0.5) + rbf_kernel(x, x[:9], gamma=0.5 / 0.25)) / 2
    np.testing.assert_allclose(mixture_kernel(x, x[:9], [1.0, 0.5]), want, atol=2e-6)


@pytest.mark.parametrize("length", [2.0**100, 2.0**-100])
def test_the_unit_of_length_changes_no_digit_of_a_kernel(x, length):
    scaled = x * np.float32(length)
    np.testing.assert_array_equal(mixture_kernel(scaled, scaled, [0.7 * length, length]), mixture_kernel(x, x, [0.7, 1.0]))


@pytest.mark.parametrize("n_features", [512, 4096])
def test_inner_products_approximate_the_kernel_at_the_known_rate(x, n_features):
    """The error of m independent frequencies has variance below 1 / (2 m) + ...; orthogonal ones are no worse."""
    phi = draw_feature_map(24, n_features, [0.8], 3)(x[:200]).astype(np.float64)
    error = phi @ phi.T - mixture_kernel(x[:200], x[:200], [0.8])
    assert np.sqrt(np.mean(error**2)) < 1.0 / np.sqrt(n_features)
    assert np.abs(error).max() < 6.0 / np.sqrt(n_features)


def test_orthogonal_features_beat_independent_ones(x):
    """Yu et al. 2016, theorem 2: smaller variance than Gaussian frequencies, here over 30 draws."""
    rows, kernel = x[:100].astype(np.float64), mixture_kernel(x[:100], x[:100], [1.0])
    rng, errors = np.random.default_rng(1), np.zeros(2)
    for seed in range(30):
        phi = draw_feature_map(24, 48, [1.0], seed)(x[:100])
        angles = rows @ rng.standard_normal((24, 24))
        plain = np.concatenate([np.cos(angles), np.sin(angles)], axis=1) / np.sqrt(24)
        errors += [np.mean((phi @ phi.T - kernel) ** 2), np.mean((plain @ plain.T - kernel) ** 2)]
    assert errors[0] < 0.8 * errors[1]


def test_a_row_has_the_same_bits_in_any_batch(x):
    features = draw_feature_map(24, 64, [1.0, 0.5], 0)
    whole = features(x)
    order = np.random.default_rng(2).permutation(len(x))
    for part in np.array_split(order, 7):
        np.testing.assert_array_equal(features(x[part]), whole[part])
    assert features(x[:0]).shape == (0, 64)


def test_the_seed_alone_decides_the_draw():
    first, again, other = (draw_feature_map(8, 16, [1.0], seed).frequencies for seed in (5, 5, 6))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize(("n_features", "bandwidths"), [(7, [1.0]), (6, [1.0, 0.5]), (0, [1.0]), (8, []), (8, [0.0]), (8, [float("nan")])])
def test_impossible_draws_are_refused(n_features, bandwidths):
    with pytest.raises(ValueError, match=r"n_features must be|bandwidths must be"):
        draw_feature_map(4, n_features, bandwidths, 0)


def test_another_width_is_refused(x):
    with pytest.raises(ValueError, match=r"shape \(n, 5\)"):
        draw_feature_map(5, 8, [1.0], 0)(x)


def test_median_distance_by_hand():
    assert median_distance(np.array([[0.0], [1.0], [3.0]])) == pytest.approx(2.0)  # distances 1, 2, 3
    assert median_distance(np.array([[0.0], [0.0], [0.0], [4.0]])) == pytest.approx(4.0)  # half of the pairs coincide
    assert median_distance(np.ones((5, 3))) == 1.0
    assert median_distance(np.ones((1, 3))) == 1.0


@given(st.integers(0, 100), st.floats(-5, 5), st.floats(0.1, 10))
def test_median_distance_shifts_and_scales(seed, shift, scale):
    rows = np.random.default_rng(seed).standard_normal((20, 3))
    assert median_distance(rows * scale + shift) == pytest.approx(scale * median_distance(rows), rel=1e-6)
