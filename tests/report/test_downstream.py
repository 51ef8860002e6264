"""Projection and downstream check: answers known by construction."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synalign_spark.report.downstream import LabelledRows, downstream_check, reason_to_skip
from synalign_spark.report.projection import principal_plane


def rows(n, rng, wrong=0.0, weight=None):
    """Two clouds on a line; a share ``wrong`` of the labels is turned around."""
    y = rng.integers(0, 2, n)
    x = rng.normal(scale=0.5, size=(n, 4)) + np.where(y, 1.0, -1.0)[:, None] * np.array([1.0, 0, 0, 0])
    turned = rng.random(n) < wrong
    return LabelledRows(x, np.where(y ^ turned, "b", "a"), np.where(turned, 1e-9, 1.0) if weight is None else weight)


def test_weights_that_silence_wrong_labels_are_seen_to_help():
    rng = np.random.default_rng(0)
    found = downstream_check(rows(400, rng), rows(500, rng), rows(600, rng, wrong=0.55), 600.0)
    uniform, weighted, real, both = (score.accuracy for score in found.scores)
    assert uniform < 0.5 < 0.9 < weighted
    assert min(real, both) > 0.9
    assert found.gain.accuracy == pytest.approx(weighted - uniform)
    assert found.gain_beside_real.accuracy == pytest.approx(both - real)
    assert 0 < found.gain.error < 0.05
    assert found.scores[0].standard_error == pytest.approx(np.sqrt(uniform * (1 - uniform) / 500))


def test_equal_weights_of_any_scale_change_nothing():
    rng = np.random.default_rng(1)
    fit, holdout, synthetic = rows(100, rng), rows(100, rng), rows(200, rng, weight=np.full(200, 1e-6))
    found = downstream_check(fit, holdout, synthetic, 300.0)
    assert (found.gain.accuracy, found.gain.error) == (0.0, 0.0)


def test_synthetic_rows_count_beside_real_ones_as_the_mixing_weight_says():
    rng = np.random.default_rng(4)
    fit, holdout, synthetic = rows(300, rng), rows(500, rng), rows(3000, rng, wrong=0.8, weight=np.ones(3000))
    accuracy = {
        mixing_weight: downstream_check(fit, holdout, synthetic, mixing_weight).scores[3].accuracy for mixing_weight in (0.0, 30.0, 3_000.0)
    }
    assert accuracy[0.0] == downstream_check(fit, holdout, synthetic, 300.0).scores[2].accuracy  # real rows alone
    assert accuracy[30.0] > 0.9 > 0.4 > accuracy[3_000.0]


def test_the_check_says_why_it_cannot_be_made():
    rng = np.random.default_rng(2)
    good = rows(50, rng)
    one = LabelledRows(good.x, np.full(50, "a"), good.weight)
    assert reason_to_skip(good, good, good) == ""
    assert "fewer than two labels" in reason_to_skip(one, good, good)
    assert "the held-out real rows have" in reason_to_skip(good, one, good)
    assert "only 0 held-out" in reason_to_skip(good, LabelledRows(good.x[:0], good.y[:0], good.weight[:0]), good)
    assert "only 5 held-out" in reason_to_skip(good, LabelledRows(good.x[:5], np.array(list("ababa")), good.weight[:5]), good)
    assert "synthetic rows" in reason_to_skip(good, good, one)
    silent = LabelledRows(good.x, good.y, np.where(good.y == "a", 1.0, 0.0))
    assert "synthetic rows" in reason_to_skip(good, good, silent)


def test_plane_is_that_of_the_singular_vectors():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(60, 5)) * np.array([5.0, 3.0, 1.0, 1.0, 1.0])
    xy, other, explained = principal_plane(x, x[:7])
    _, s, vt = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
    expected = (x - x.mean(axis=0)) @ vt[:2].T
    np.testing.assert_allclose(np.abs(xy), np.abs(expected), atol=1e-9)
    np.testing.assert_allclose(other, xy[:7], atol=1e-12)
    np.testing.assert_allclose(explained, s[:2] ** 2 / (s**2).sum(), atol=1e-12)


@given(st.integers(1, 6), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_plane_exists_for_few_rows_and_narrow_vectors(n, d, seed):
    x = np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)
    xy, other, explained = principal_plane(x, -x)
    assert xy.shape == other.shape == (n, 2)
    assert np.isfinite(xy).all()
    assert 0 <= explained.sum() <= 1 + 1e-9


def test_plane_needs_real_rows_of_the_same_width():
    with pytest.raises(ValueError, match="real rows"):
        principal_plane(np.empty((0, 3)), np.ones((1, 3)))
    with pytest.raises(ValueError, match="one embedding width"):
        principal_plane(np.ones((2, 3)), np.ones((2, 4)))
