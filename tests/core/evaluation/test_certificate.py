"""Exact MMD against its definition, the level and power of the test, and the words."""

import numpy as np
import pytest

from synalign_spark.core.evaluation.certificate import Findings, compare, copies_by_weight, draw_size, verdict
from synalign_spark.core.features import mixture_kernel


def normal(seed, n, shift=0.0):
    return (np.random.default_rng(seed).standard_normal((n, 5)) + shift).astype(np.float32)


def test_mmd_is_the_u_statistic_of_its_definition():
    x, y, bandwidths = normal(0, 23), normal(1, 31, 0.4), [2.0, 1.0]
    kxx, kyy, kxy = (mixture_kernel(a, b, bandwidths).astype(np.float64) for a, b in ((x, x), (y, y), (x, y)))
    want = (kxx.sum() - np.trace(kxx)) / (23 * 22) + (kyy.sum() - np.trace(kyy)) / (31 * 30) - 2 * kxy.mean()
    assert compare(x, y, bandwidths, 10, [0]).mmd2 == pytest.approx(want, abs=1e-6)


def test_p_values_keep_their_level_and_see_a_difference():
    null = [compare(normal(2 * i, 20), normal(2 * i + 1, 25), [2.0], 39, [i]).p_value for i in range(100)]
    assert np.mean(np.array(null) <= 0.05) < 0.13  # at the 5% level, 100 tests: 0.13 is 3.7 standard deviations away
    assert 0.3 < np.mean(null) < 0.7
    assert min(null) >= 1 / 40
    assert compare(normal(1, 60), normal(2, 60, 0.8), [2.0], 99, [0]).p_value == pytest.approx(0.01)


def test_too_few_rows_give_no_check():
    assert compare(normal(0, 4), normal(1, 50), [1.0], 10, [0]) is None
    assert compare(normal(0, 50), normal(1, 0), [1.0], 10, [0]) is None


def test_copies_are_expected_in_proportion_and_repeat_no_light_row():
    rng = np.random.default_rng(0)
    w = rng.dirichlet(np.ones(50))
    copies = np.mean([copies_by_weight(w, 20, rng.random(50)) for _ in range(4000)], axis=0)
    np.testing.assert_allclose(copies, 20 * w, atol=0.035)
    assert copies_by_weight(np.full(50, 1 / 50), 49, rng.random(50)).max() == 1
    assert copies_by_weight(np.zeros(3), 100, np.array([0.1, 0.5, 0.999])).tolist() == [0, 0, 0]
    assert draw_size(100.0, 2000) == 50
    assert draw_size(1e6, 2000) == 2000


def found(**changes):
    return Findings(**({"rule": "mmd_rule", "lam": 0.01, "holdout_before": 0.04, "holdout_after": 0.01, "p_before": 0.01, "p_after": 0.4,
                        "tested_rows": 500, "ess_share": 0.3, "converged": True} | changes))  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "the weighted rows cannot be told from the real ones at the 5% level"),
        ({}, "25% of the held-out MMD^2 is left"),
        ({"p_after": 0.01}, "can still be told from the real ones"),
        ({"p_after": None}, "no test"),
        ({"lam": float("inf")}, "uniform could not be beaten"),
        ({"rule": "uniform", "lam": float("inf")}, "too few real rows"),
        ({"rule": "fixed", "lam": float("inf")}, "base weights kept, as configured"),
        ({"converged": False}, "the duality gap was not reached"),
        ({"holdout_after": -0.001}, "0% of the held-out MMD^2 is left"),
    ],
)
def test_the_verdict_says_what_was_found(changes, words):
    assert words in verdict(found(**changes))


def test_the_standard_error_is_the_spread_of_the_statistic():
    """Against the standard deviation over 200 samples from two distributions that differ."""
    rng, found = np.random.default_rng(11), []
    for _ in range(200):
        x, y = rng.standard_normal((80, 4)), rng.standard_normal((60, 4)) + 0.8
        found.append(compare(x.astype(np.float32), y.astype(np.float32), [1.5], 5, [0]))
    spread = np.std([check.mmd2 for check in found], ddof=1)
    assert np.mean([check.mmd2_error for check in found]) == pytest.approx(spread, rel=0.15)


def test_the_error_of_a_p_value_is_that_of_its_permutations():
    x, y = (np.random.default_rng(seed).standard_normal((40, 3)).astype(np.float32) for seed in (1, 2))
    check = compare(x, y, [1.0], 99, [0])
    assert check.p_value_error == pytest.approx(np.sqrt(check.p_value * (1 - check.p_value) / 99))
