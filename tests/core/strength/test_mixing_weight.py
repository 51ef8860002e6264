"""The mass of synthetic rows beside real ones: weights by hand, and the choice among masses."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synalign_spark.core.strength.mixing_weight import Beside, best_mass, masses, sample_weights, usual_mass


def test_weights_by_hand():
    assert sample_weights(300, 5_000, 1_000.0) == pytest.approx((5_300 / 1_300, 5_300 / 1_300 / 5))
    assert sample_weights(300, 5_000, None) == (1.0, 1.0)
    assert sample_weights(300, 5_000, 0.0) == (1.0, 0.0)  # of mean 1 over the rows that are left
    assert sample_weights(300, 0, 1_000.0) == (1.0, 1.0)
    assert sample_weights(0, 300, 1_000.0) == (1.0, 1.0)


def test_no_synthetic_row_counts_more_than_a_real_one_unasked():
    assert masses(24_000) == [0.0, 500.0, 1_500.0, 5_000.0]
    assert masses(700) == [0.0, 500.0, 700.0]
    assert masses(400) == [0.0, 400.0]
    assert (usual_mass(24_000), usual_mass(400)) == (1_500.0, 400.0)


@given(st.integers(1, 10**9), st.integers(1, 10**9), st.floats(1e-3, 1e9))
def test_both_sides_have_their_mass_and_the_mean_is_one(real, synthetic, mass):
    own, other = sample_weights(real, synthetic, mass)
    np.testing.assert_allclose(other * synthetic / (own * real), mass / real, rtol=1e-9)
    np.testing.assert_allclose((own * real + other * synthetic) / (real + synthetic), 1.0, rtol=1e-9)


def test_the_best_mass_harms_no_student_and_near_ties_go_by_the_log_loss():
    alone = Beside(0.0, (0.80, 0.70), 0.5)
    harmful, helpful, as_good = Beside(500.0, (0.76, 0.90), 0.4), Beside(1_500.0, (0.81, 0.74), 0.45), Beside(5_000.0, (0.81, 0.741), 0.47)
    assert best_mass([alone, harmful, helpful, as_good], judges=5_000) == helpful
    assert best_mass([alone, harmful, helpful, as_good], judges=10) == harmful  # by so few nobody can tell
    assert best_mass([alone, Beside(500.0, (0.70, 0.60), 0.1)], judges=5_000) == alone
