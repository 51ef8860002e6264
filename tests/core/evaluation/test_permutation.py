"""The test keeps its level for weights, and finds what it says it finds."""

import numpy as np
import pytest

from synalign_spark.core.evaluation.mmd import Stratified
from synalign_spark.core.evaluation.permutation import drawable, holm, permutation_test
from tests.bench.support import certificate_cases as cases


@pytest.mark.parametrize("kind", ["uniform", "uneven"])
def test_the_level_is_kept(kind):
    assert cases.rejection(kind, 300, 100, 60) < 0.05 + 3.5 * np.sqrt(0.05 * 0.95 / 300)


def test_rows_that_come_several_times_would_be_rejected_too_often():
    """The level is kept by drawing each row once: with copies of heavy rows the same test finds them."""
    rng, rejected = np.random.default_rng(0), 0
    for i in range(60):
        x, y = cases.normal(rng, 100), cases.normal(rng, 60)
        weight = cases.weights_of("uneven", rng, x)
        copies = rng.choice(100, 60, p=weight)
        rejected += permutation_test(Stratified.of(x[copies]), Stratified.of(y), cases.BANDWIDTHS, 99, [i]).p_value <= 0.05
    assert rejected / 60 > 0.3


def test_labels_in_other_shares_on_the_two_sides_are_no_difference():
    """Labels lie far apart; rows permute within them."""
    rng, rejected = np.random.default_rng(1), []
    for i in range(60):
        strata = [rng.choice(2, n, p=p) for n, p in ((60, (0.8, 0.2)), (60, (0.3, 0.7)))]
        sides = [Stratified(cases.normal(rng, 60) + np.float32(5.0) * s[:, None], s) for s in strata]
        rejected.append(permutation_test(*sides, cases.BANDWIDTHS, 99, [i], [0.5, 0.5]).p_value <= 0.05)
    assert np.mean(rejected) < 0.15


def test_a_p_value_is_never_0_and_has_the_error_of_its_permutations():
    rng = np.random.default_rng(2)
    far = permutation_test(Stratified.of(cases.normal(rng, 40, 2.0)), Stratified.of(cases.normal(rng, 40)), cases.BANDWIDTHS, 99, [0])
    near = permutation_test(Stratified.of(cases.normal(rng, 40)), Stratified.of(cases.normal(rng, 40)), cases.BANDWIDTHS, 99, [0])
    assert far.p_value == pytest.approx(0.01)
    assert near.p_value_error == pytest.approx(np.sqrt(near.p_value * (1 - near.p_value) / 99))
    assert (near.rows, near.real_rows, near.permutations) == (40, 40, 99)


def test_labels_of_one_point_each_have_no_noise():
    """The eigenvalue solver cannot start from a matrix of zeros."""
    points = np.repeat(np.eye(2, dtype=np.float32), 8, axis=0)
    side = Stratified(points, np.repeat(np.arange(2), 8))
    found = permutation_test(side, side, [1.0], 99, [0], [0.5, 0.5])
    assert found.p_value > 0.05
    assert found.detectable < 1e-20


def test_too_few_rows_give_no_test():
    rng = np.random.default_rng(3)
    few, many = Stratified.of(cases.normal(rng, 4)), Stratified.of(cases.normal(rng, 50))
    assert permutation_test(few, many, [1.0], 9, [0]) is None
    assert permutation_test(many, few, [1.0], 9, [0]) is None
    assert permutation_test(many, many, [1.0], 9, [0], [0.5, 0.5]) is None, "a stratum without rows"


def test_the_detectable_difference_is_found_in_four_of_five_cases():
    assert cases.power_at_detectable(150, 120, 80) == pytest.approx(0.8, abs=0.13)


def test_no_row_is_drawn_twice():
    assert drawable([0.5], 1_000) == 2.0
    assert drawable([0.001, 0.0005], 100) == 100.0


def test_holm_is_that_of_his_paper():
    """And at least the plain p-value, at most Bonferroni's."""
    p = np.random.default_rng(0).random(7)
    adjusted = np.array(holm(list(p)))
    order = np.argsort(p)
    for place, i in enumerate(order):
        want = max(min(1.0, (7 - j) * p[order[j]]) for j in range(place + 1))
        assert adjusted[i] == pytest.approx(want)
    assert holm([]) == []
