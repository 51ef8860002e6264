"""The weighted U-statistic against its definition, its error against deleted rows, its intervals against the truth."""

import numpy as np
import pytest

from synalign_spark.core.evaluation.mmd import Estimate, Stratified, closed_share, compare, measurable, mmd2
from synalign_spark.core.evaluation.optimism import optimism
from synalign_spark.core.features import mixture_kernel, nearly_equal
from tests.bench.support import certificate_cases as cases

BANDWIDTHS = [2.0, 1.0]


def rows(seed, n, shift=0.0, strata=1):
    rng = np.random.default_rng(seed)
    return Stratified((rng.standard_normal((n, 4)) + shift).astype(np.float32), np.arange(n) % strata)


def by_definition(x, w, y, v, shares):
    """The sum over pairs of strata, pair by pair of rows."""

    def mean(a, wa, b, wb, one_side):
        pairs = np.outer(wa, wb) - (np.diag(wa * wb) if one_side else 0.0)
        return (pairs * mixture_kernel(a, b, BANDWIDTHS)).sum() / pairs.sum()

    total = 0.0
    for g, of_g in enumerate(shares):
        for h, of_h in enumerate(shares):
            (xg, wg), (xh, wh) = ((x.x[x.stratum == s], w[x.stratum == s]) for s in (g, h))
            (yg, vg), (yh, vh) = ((y.x[y.stratum == s], v[y.stratum == s]) for s in (g, h))
            inside = mean(xg, wg, xh, wh, g == h) + mean(yg, vg, yh, vh, g == h)
            total += of_g * of_h * (inside - mean(xg, wg, yh, vh, False) - mean(yg, vg, xh, wh, False))
    return total


def test_the_distance_and_its_error_are_those_of_the_definition():
    """The error by leaving out every row in turn."""
    x, y, shares, rng = rows(0, 15, 0.4, 2), rows(1, 18, 0.0, 2), [0.3, 0.7], np.random.default_rng(2)
    w, v = rng.random(15) + 0.1, rng.random(18) + 0.1
    found = compare(x, np.ones(15), w, y, v, BANDWIDTHS, shares)
    want = by_definition(x, w, y, v, shares)
    without = [by_definition(x.take(np.arange(15) != i), np.delete(w, i), y, v, shares) for i in range(15)]
    without += [by_definition(x, w, y.take(np.arange(18) != i), np.delete(v, i), shares) for i in range(18)]
    assert found.after.mmd2 == pytest.approx(want, abs=1e-7)
    assert found.after.error == pytest.approx(np.sqrt(np.sum((np.array(without) - want) ** 2)), rel=1e-5)
    half = np.arange(18) // 2 % 2 == 1  # every second row of a stratum
    assert found.floor.mmd2 == pytest.approx(by_definition(y.take(~half), v[~half], y.take(half), v[half], shares), abs=1e-7)
    assert found.before.mmd2 == pytest.approx(by_definition(x, np.ones(15), y, v, shares), abs=1e-7)


def test_label_shares_of_neither_side_move_the_distance():
    """The same rows within labels, three of four with the first label on one side and one of four on the other."""
    x, y = rows(0, 400), rows(1, 400)
    first_x, first_y = np.arange(400) % 4 > 0, np.arange(400) % 4 == 0
    labelled = [
        Stratified(side.x + np.float32(3.0) * first[:, None], first.astype(np.int64)) for side, first in ((x, first_x), (y, first_y))
    ]
    ones = np.ones(400)
    found = compare(labelled[0], ones, ones, labelled[1], ones, BANDWIDTHS, [0.5, 0.5])
    low, high = found.before.interval
    assert (low, high > 0) == (0.0, True)
    assert mmd2(labelled[0].x, labelled[1].x, BANDWIDTHS).interval[0] > 0.05, "without strata the label mix is what differs"


def test_halves_of_the_same_rows_are_at_no_distance_on_average():
    y = rows(3, 8)
    ones = np.ones(8)
    rng = np.random.default_rng(0)
    floors = [compare(y, ones, ones, y.take(rng.permutation(8)), ones, BANDWIDTHS).floor.mmd2 for _ in range(1500)]
    assert abs(np.mean(floors)) < 4 * np.std(floors) / np.sqrt(1500)


@pytest.mark.parametrize(("shift", "tilt"), [(0.0, 0.0), (0.3, 0.2), (0.8, 0.4)])
def test_intervals_hold_the_truth(shift, tilt):
    for name, share in cases.coverage(shift, tilt, 120, 120, 80).items():
        assert share >= 0.88, name  # 95% less 3.5 binomial errors


def test_a_ratio_has_its_interval_only_where_there_is_something_to_close():
    assert closed_share(0.01, 0.001, np.diag([0.006**2] * 2)) is None
    assert closed_share(-0.01, 0.001, np.diag([1e-8] * 2)) is None
    exact = closed_share(0.04, 0.06, np.diag([1e-12] * 2))
    assert (exact.share, exact.low, exact.high) == pytest.approx((-0.5, -0.5, -0.5), abs=1e-3)
    assert closed_share(0.04, -0.01, np.diag([1e-6] * 2)).share == 1.0
    correlated = closed_share(0.04, 0.02, np.full((2, 2), 1e-6) + np.diag([1e-9, 1e-9]))
    apart = closed_share(0.04, 0.02, np.diag([1e-6] * 2))
    assert correlated.high - correlated.low < apart.high - apart.low


def test_what_cannot_be_measured_is_none():
    y, one = rows(1, 50), np.ones(50)
    assert mmd2(rows(0, 4).x, y.x, BANDWIDTHS) is None
    heavy = np.array([100.0, *np.ones(49)])
    assert not measurable(y.stratum, heavy, 1)
    assert compare(y, one, heavy, y, one, BANDWIDTHS) is None
    few = compare(y, one, one, rows(2, 5), np.ones(5), BANDWIDTHS)
    assert few.floor is None, "a half of two rows has no error"
    assert np.isfinite(few.before.error)
    assert Estimate(-0.02, 0.005).interval == (0.0, 0.0)


def test_fitted_weights_look_nearer_on_their_own_rows_by_the_optimism():
    """Against the mean of fresh rows at the same theta, both compared with the whole real distribution in random features."""
    rng, seen, said = np.random.default_rng(0), [], []
    for _ in range(40):
        x = cases.normal(rng, 150)
        theta = cases.fitted_theta(rng, x)
        phi = cases.FEATURES(x).astype(np.float64)
        weight = np.exp(phi @ theta)
        weight /= weight.sum()
        mean, squares = weight @ phi, float(np.sum(weight**2))
        u_statistic = (mean @ mean - squares) / (1 - squares) - 2 * mean @ cases.REAL_MEAN + cases.REAL_MEAN @ cases.REAL_MEAN
        seen.append(cases.fitted_truth(rng, theta, 0.0) - u_statistic)
        said.append(optimism(x, weight, cases.BANDWIDTHS, cases.FITTED_LAMBDA, 1 / squares))
    error = np.std(seen, ddof=1) / np.sqrt(40)
    assert np.mean(seen) > 3 * error
    assert 0.7 * np.mean(seen) < np.mean(said) < np.mean(seen) + 3 * error, "nearly all of it, and not more"


def test_constant_and_almost_constant_vectors_are_recognised():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((100, 8))
    assert not nearly_equal(x)
    assert nearly_equal(1.0 + 1e-5 * x)
    mostly = np.where(np.arange(100)[:, None] % 5 == 0, x, 1.0)  # four of five rows are one
    assert nearly_equal(mostly[rng.permutation(100)])
    assert not nearly_equal(np.where(np.arange(100)[:, None] % 5 == 0, 1.0, x))


def test_rows_that_no_others_resemble_leave_no_optimism():
    """In 300 dimensions no weight of other rows can undo the noise of one; a spectrum with the row itself in it would say so."""
    x = np.random.default_rng(0).standard_normal((60, 300)).astype(np.float32)
    assert optimism(x, np.ones(60), [24.0], cases.FITTED_LAMBDA, 60.0) < 0.1 * 2 * 0.5 / 60, "a tenth of 2 tr C / ess"
