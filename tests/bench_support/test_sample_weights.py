"""Sample weights of the other methods beside real rows, by hand and by what they must keep."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bench.support.training import sample_weights


def test_weights_by_hand():
    assert sample_weights(300, 5_000, 1_000.0) == pytest.approx((5_300 / 1_300, 5_300 / 1_300 / 5))
    assert sample_weights(300, 5_000, None) == (1.0, 1.0)
    assert sample_weights(300, 5_000, 0.0) == (1.0, 0.0)  # of mean 1 over the rows that are left
    assert sample_weights(300, 0, 1_000.0) == (1.0, 1.0)
    assert sample_weights(0, 300, 1_000.0) == (1.0, 1.0)


@given(st.integers(1, 10**9), st.integers(1, 10**9), st.floats(1e-3, 1e9))
def test_both_sides_have_their_mass_and_the_mean_is_one(real, synthetic, mixing_weight):
    own, other = sample_weights(real, synthetic, mixing_weight)
    np.testing.assert_allclose(other * synthetic / (own * real), mixing_weight / real, rtol=1e-9)
    np.testing.assert_allclose((own * real + other * synthetic) / (real + synthetic), 1.0, rtol=1e-9)
