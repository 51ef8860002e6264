"""Weights of which some rows may not have more than they came with."""

import numpy as np
import pytest

from synalign_spark.core.defaults import MOST_GROWTH
from synalign_spark.core.solver.moments import row_moments
from synalign_spark.core.weight_caps import NO_CAP, CapSums, find_cap, from_sums, weighted_moments


def rows(seed, n=60):
    rng = np.random.default_rng(seed)
    w, b = rng.dirichlet(np.full(n, 0.3)), rng.dirichlet(np.full(n, 5.0))
    return w, b, rng.random(n) < rng.choice([0.05, 0.5, 0.95])


@pytest.mark.parametrize("seed", range(60))
def test_no_flagged_row_gains_and_all_sums_to_one(seed):
    w, b, flagged = rows(seed)
    cap = find_cap(CapSums.of(w, b, flagged))
    v = cap.apply(w, b, flagged)
    assert v.sum() == pytest.approx(1.0)
    assert (v[flagged] <= b[flagged] * (1 + 1e-12)).all()
    assert (v[~flagged] <= np.maximum(MOST_GROWTH * w, MOST_GROWTH * w + b)[~flagged]).all()
    if cap.back == 0.0:  # by hand: what was cut goes to the others, in proportion
        excess = np.maximum(w - b, 0.0)[flagged].sum()
        np.testing.assert_allclose(v[~flagged], w[~flagged] * (1 + excess / w[~flagged].sum()))
        np.testing.assert_allclose(v[flagged], np.minimum(w, b)[flagged])


@pytest.mark.parametrize("seed", range(20))
def test_the_largest_weight_allowed_holds_where_the_base_weights_keep_it(seed):
    w, b, flagged = rows(seed, 400)
    allowed = max(b.max(), w.max()) * 1.001
    v = find_cap(CapSums.of(w, b, flagged), allowed * len(w)).apply(w, b, flagged)
    assert v.max() <= allowed * (1 + 1e-9)
    assert (v[flagged] <= b[flagged] * (1 + 1e-12)).all()


def test_where_nothing_may_gain_the_base_weights_stay_and_without_outliers_everything():
    w, b, _ = rows(3)
    everything = np.ones(len(w), dtype=bool)
    np.testing.assert_allclose(find_cap(CapSums.of(w, b, everything)).apply(w, b, everything), b)
    assert find_cap(CapSums.of(w, b, ~everything)) == NO_CAP
    assert find_cap(CapSums.of(b, b, everything)) == NO_CAP, "nothing gained"


def test_sums_of_parts_are_those_of_the_whole_in_any_order():
    w, b, flagged = rows(5)
    whole = CapSums.of(w, b, flagged)
    parts = [CapSums.of(w[part], b[part], flagged[part]) for part in np.array_split(np.arange(len(w)), 7)]
    assert CapSums.joined(parts) == CapSums.joined(parts[::-1])
    assert find_cap(CapSums.joined(parts)).kappa == pytest.approx(find_cap(whole).kappa)
    assert CapSums.joined(parts).cut == whole.cut


def test_moments_of_weights_are_those_of_a_pass_with_such_weights():
    rng = np.random.default_rng(0)
    phi, w = rng.standard_normal((40, 6)).astype(np.float32), rng.dirichlet(np.ones(40))
    want, got = row_moments(phi, np.log(w), np.zeros(6)), weighted_moments(w, w @ phi, 2.5)
    np.testing.assert_allclose(got.mean, want.mean, rtol=1e-5)
    assert (got.ess, got.max_weight, got.rows) == pytest.approx((want.ess, want.max_weight, want.rows))
    assert got.log_partition == pytest.approx(2.5), "that of the solve"
    again = from_sums(1.0, float(w @ w), float(w.max()), w @ phi, 40, 2.5)
    assert again.ess == pytest.approx(want.ess)
