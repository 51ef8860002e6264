"""The mixing weight of synthetic rows beside real ones: weights by hand, and the choice among mixing weights."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synalign_spark.core.strength.mixing_weight import Mixing, best_mixing_weight, default_mixing_weight, mixing_weights, sample_weights


def test_weights_by_hand():
    assert sample_weights(300, 5_000, 1_000.0) == pytest.approx((5_300 / 1_300, 5_300 / 1_300 / 5))
    assert sample_weights(300, 5_000, None) == (1.0, 1.0)
    assert sample_weights(300, 5_000, 0.0) == (1.0, 0.0)  # of mean 1 over the rows that are left
    assert sample_weights(300, 0, 1_000.0) == (1.0, 1.0)
    assert sample_weights(0, 300, 1_000.0) == (1.0, 1.0)


def test_no_synthetic_row_counts_more_than_a_real_one_unasked():
    assert mixing_weights(24_000) == [0.0, 500.0, 1_500.0, 5_000.0]
    assert mixing_weights(700) == [0.0, 500.0, 700.0]
    assert mixing_weights(400) == [0.0, 400.0]
    assert (default_mixing_weight(24_000), default_mixing_weight(400)) == (1_500.0, 400.0)


@given(st.integers(1, 10**9), st.integers(1, 10**9), st.floats(1e-3, 1e9))
def test_both_sides_have_their_mass_and_the_mean_is_one(real, synthetic, mixing_weight):
    own, other = sample_weights(real, synthetic, mixing_weight)
    np.testing.assert_allclose(other * synthetic / (own * real), mixing_weight / real, rtol=1e-9)
    np.testing.assert_allclose((own * real + other * synthetic) / (real + synthetic), 1.0, rtol=1e-9)


def test_the_best_mixing_weight_harms_no_classifier_and_near_ties_go_by_the_log_loss():
    alone = Mixing(0.0, (0.80, 0.70), 0.5)
    harmful, helpful, as_good = Mixing(500.0, (0.76, 0.90), 0.4), Mixing(1_500.0, (0.81, 0.74), 0.45), Mixing(5_000.0, (0.81, 0.741), 0.47)
    assert best_mixing_weight([alone, harmful, helpful, as_good], validation_rows=5_000) == helpful
    assert best_mixing_weight([alone, harmful, helpful, as_good], validation_rows=10) == harmful  # by so few nobody can tell
    assert best_mixing_weight([alone, Mixing(500.0, (0.70, 0.60), 0.1)], validation_rows=5_000) == alone
