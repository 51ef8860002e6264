"""Rows drawn by weight: how often each comes, from which label, and that seeds differ."""

import numpy as np
import pytest

from tests.bench.support.draws import by_keys, by_weight

LABELS = np.array(["a"] * 6 + ["b"] * 4)
WEIGHTS = np.array([0.30, 0.06, 0.06, 0.06, 0.06, 0.06, 0.10, 0.10, 0.10, 0.10])  # a: 0.6, b: 0.4


def counts(places, n=10):
    return np.bincount(places, minlength=n)


def test_a_row_gets_floor_or_ceil_of_its_expected_copies():
    for seed in range(20):
        found = counts(by_weight(WEIGHTS, LABELS, 25, seed))
        assert found.sum() == 25
        assert (np.abs(found - 25 * WEIGHTS) < 1).all()
        assert found[:6].sum() == 15


def test_over_many_seeds_rows_come_in_proportion_to_their_weight():
    mean = np.mean([counts(by_weight(WEIGHTS, LABELS, 5, seed)) for seed in range(2_000)], axis=0)
    assert np.abs(mean - 5 * WEIGHTS).max() < 0.05  # four standard errors of a coin are 0.045


def test_seeds_give_different_samples_where_every_row_is_wanted_half_a_time():
    labels, weights = np.array(["a"] * 100), np.full(100, 0.01)
    samples = {tuple(np.sort(by_weight(weights, labels, 50, seed))) for seed in range(10)}
    assert len(samples) == 10
    assert np.array_equal(by_weight(weights, labels, 50, 3), by_weight(weights, labels, 50, 3))


def test_a_label_without_weight_gives_no_rows():
    weights = np.where(LABELS == "a", 1 / 6, 0.0)
    assert set(LABELS[by_weight(weights, LABELS, 12, 0)]) == {"a"}


def test_top_keys_are_drawn_without_replacement():
    places = by_keys(np.log(WEIGHTS), WEIGHTS, LABELS, 5, 0)
    assert len(set(places)) == 5
    assert (LABELS[places] == "a").sum() == 3


def test_the_first_of_the_top_keys_comes_in_proportion_to_its_weight():
    """One draw of Gumbel top-n is a draw by weight: row 0 holds half of its label. Huge logarithms change nothing."""
    log_weight = np.where(LABELS == "a", np.log(WEIGHTS) + 5_000.0, np.log(WEIGHTS))
    weights = np.where(LABELS == "a", WEIGHTS / 0.6, 0.0)
    first = [by_keys(log_weight, weights, LABELS, 1, seed)[0] for seed in range(2_000)]
    assert np.mean(np.array(first) == 0) == pytest.approx(0.5, abs=0.045)


def test_a_label_with_too_few_rows_gives_each_of_them_first():
    found = counts(by_keys(np.log(WEIGHTS), WEIGHTS, LABELS, 25, 0))
    assert found[:6].tolist().count(2) == 3  # 15 of 6 rows: all twice, three of them a third time
    assert found[:6].sum() == 15
    assert set(found[6:]) == {2, 3}
