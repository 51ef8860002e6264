"""The mixing weight of synthetic rows beside real ones: weights by hand, and the choice among mixing weights."""

import numpy as np
import pytest

from synalign_spark.core.defaults import USUAL_MIXING_WEIGHT
from synalign_spark.core.strength.mixing_weight import mixing_weights, nearest_to_usual, safe_mixing_weight, usual_mixing_weight


def test_the_usual_one_is_a_constant_within_the_number_of_synthetic_rows():
    assert usual_mixing_weight(24_000) == USUAL_MIXING_WEIGHT
    assert usual_mixing_weight(700) == 700.0  # no synthetic row counts more than a real one
    assert mixing_weights(700.0, 700.0) == pytest.approx([0.0, 70.0, 700 / 3, 700.0])


TRIED = [0.0, 30.0, 100.0, 300.0]


def losses(means, noise, n=100):
    """(4, n) of these means, whose paired differences have a spread of ``noise``."""
    swing = np.where(np.arange(n) % 2, 1.0, -1.0)
    return np.array([mean + noise * k * swing for k, mean in enumerate(means)])


@pytest.mark.parametrize(
    ("means", "noise", "place"),
    [
        ([0.5, 0.5, 0.5, 0.5], 0.0, 3),  # nothing speaks against the usual one
        ([0.50, 0.51, 0.52, 0.53], 0.2, 3),  # 0.03 with a standard error of 0.06
        ([0.500, 0.505, 0.520, 0.600], 0.06, 1),  # 0.005 within 0.006 of the best, 0.02 not within 0.012
        ([0.50, 0.60, 0.70, 0.80], 0.05, 0),  # the synthetic rows harm
        ([0.60, 0.50, 0.50, 0.60], 0.01, 2),  # of two that are as good the nearer to the usual one
    ],
)
def test_the_usual_one_is_left_only_as_far_as_a_standard_error_asks(means, noise, place):
    found = losses(means, noise)
    best = int(np.argmin(found.mean(axis=1)))
    worse = found - found[best]
    within = worse.mean(axis=1) <= worse.std(axis=1) / 10  # of a mean over 100 rows
    assert place == max(np.flatnonzero(within))
    assert nearest_to_usual(TRIED, 300.0, found, np.ones(100)) == place


def test_rows_count_by_their_weight():
    rng = np.random.default_rng(0)
    found = 0.5 + 0.2 * rng.standard_normal((4, 60)) + np.array([0.0, 0.1, 0.2, 0.3])[:, None]
    weight = np.repeat([1.0, 3.0], 30)
    assert nearest_to_usual(TRIED, 300.0, found, weight) == nearest_to_usual(TRIED, 300.0, found, 7 * weight)
    ignored = np.concatenate([found, 50.0 * rng.standard_normal((4, 10))], axis=1)
    light = np.concatenate([weight, np.full(10, 1e-12)])
    assert nearest_to_usual(TRIED, 300.0, ignored, light) == nearest_to_usual(TRIED, 300.0, found, weight)


def test_where_few_rows_judge_the_mixing_weight_stays_by_their_number():
    assert [safe_mixing_weight(300.0, n) for n in (5, 10, 40, 54, 55, 5_000)] == [5.0, 10.0, 160.0, 291.6, 300.0, 300.0]
    grown = np.array([safe_mixing_weight(1_000.0, n) for n in range(1, 300)])
    assert (np.diff(grown) >= 0).all()
    assert np.diff(grown).max() < 20, "one row more is no leap"
    tried = mixing_weights(300.0, 12.0)
    noisy = 0.5 + 0.2 * np.random.default_rng(0).standard_normal((5, 12))
    assert tried[nearest_to_usual(tried, 12.0, noisy, np.ones(12))] == 12.0  # nothing is told
    clear = np.array([0.5, 0.45, 0.4, 0.3, 0.2])[:, None] + 0.001 * np.arange(12)
    assert tried[nearest_to_usual(tried, 12.0, clear, np.ones(12))] == 300.0  # they help so much that twelve rows can tell
