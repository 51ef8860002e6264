"""Draws by weight: exact counts, expected copies, and the same copies however rows fall into buckets."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synalign_spark.core.sampling.resample import (
    TICKS,
    bucket_draws,
    bucket_starts,
    certain,
    coarse,
    multinomial_copies,
    prefix_digits,
    quotas,
    systematic_copies,
    to_ticks,
)

weights = st.lists(st.floats(0, 1), min_size=1, max_size=60).filter(lambda w: sum(w) > 1e-3).map(lambda w: np.array(w) / sum(w))


@given(weights, st.integers(0, 500), st.floats(0, 1, exclude_max=True), st.lists(st.integers(0, 60), max_size=5))
def test_systematic_draws_are_exact_close_and_the_same_in_buckets(w, draws, u, cuts):
    ticks = to_ticks(w)
    total = int(ticks.sum())
    copies = systematic_copies(ticks, 0, total, draws, u)
    assert copies.sum() == draws
    assert np.abs(copies - draws * ticks / total).max() < 1 + 1e-6
    assert (copies[ticks == 0] == 0).all()
    edges = [0, *sorted(min(cut, len(w)) for cut in cuts), len(w)]
    parts = [systematic_copies(ticks[a:b], int(ticks[:a].sum()), total, draws, u) for a, b in itertools.pairwise(edges)]
    np.testing.assert_array_equal(np.concatenate(parts), copies)


def test_systematic_by_hand():
    assert systematic_copies(np.array([5, 3, 2]), 0, 10, 4, 0.5).tolist() == [2, 1, 1]  # marks at 1.25, 3.75, 6.25, 8.75 of 10


def test_systematic_copies_average_to_the_weights():
    w = np.random.default_rng(0).dirichlet(np.ones(30))
    ticks, us = to_ticks(w), (np.arange(2000) + 0.5) / 2000
    mean = np.mean([systematic_copies(ticks, 0, int(ticks.sum()), 7, u) for u in us], axis=0)
    np.testing.assert_allclose(mean, 7 * w, atol=1e-3)


@given(weights, st.integers(0, 500), st.integers(0, 99))
def test_multinomial_draws_are_exact_and_repeatable(w, draws, seed):
    ticks = to_ticks(w)
    copies = multinomial_copies(ticks, draws, [seed])
    assert copies.sum() == draws
    assert (copies[ticks == 0] == 0).all()
    np.testing.assert_array_equal(copies, multinomial_copies(ticks, draws, [seed]))


def test_multinomial_copies_have_the_right_mean_and_variance_through_buckets():
    w = np.random.default_rng(1).dirichlet(np.ones(12))
    ticks, halves = to_ticks(w), [slice(0, 5), slice(5, 12)]
    runs = []
    for seed in range(1500):
        counts = bucket_draws([int(ticks[half].sum()) for half in halves], 40, [seed])
        runs.append(
            np.concatenate([multinomial_copies(ticks[h], int(n), [seed, i]) for i, (h, n) in enumerate(zip(halves, counts, strict=True))])
        )
    np.testing.assert_allclose(np.mean(runs, axis=0), 40 * w, atol=0.3)
    np.testing.assert_allclose(np.var(runs, axis=0), 40 * w * (1 - w), rtol=0.2)


@given(st.dictionaries(st.integers(1, 2**50), st.integers(1, 9), min_size=1), st.data())
def test_what_is_taken_for_sure_leaves_draws_that_no_row_can_have_two_of(rows, data):
    draws = data.draw(st.integers(1, sum(rows.values())))
    edge, rest = certain(rows, draws)
    left = {size: n for size, n in rows.items() if size < edge}
    assert sum(n for size, n in rows.items() if size >= edge) + rest == draws
    if rest:
        assert max(left) * rest < sum(size * n for size, n in left.items())
    if taken := sorted(size for size in rows if size >= edge):  # the lightest of these would have one draw among the rest
        draws_with, among = rest + rows[taken[0]], {**left, taken[0]: rows[taken[0]]}
        assert taken[0] * draws_with >= sum(size * n for size, n in among.items()) * (1 - 1e-6)


def test_certain_rows_by_hand():
    assert certain({1: 10}, 3) == (float("inf"), 3)
    assert certain({1: 10}, 10) == (1, 0)
    assert certain({6: 1, 2: 2, 1: 2}, 3) == (6, 2)
    assert certain({100: 1, 10: 1, 1: 10}, 4) == (10, 2)  # 100 is more than one draw of four; then 10 of 20 is one and a half of three


def test_more_draws_than_rows_are_refused():
    with pytest.raises(ValueError, match="only 5 have a weight"):
        certain({2: 2, 3: 3}, 6)


@given(st.integers(1, 2**50))
def test_coarse_sizes_are_close_and_few(ticks):
    assert 0 <= ticks - coarse(ticks) <= ticks / 256
    assert coarse(ticks) == coarse(coarse(ticks))
    assert int(coarse(ticks)).bit_length() == ticks.bit_length()


def test_inclusion_without_replacement_is_in_proportion_to_the_weights():
    """Against the fixed point: probabilities min(1, c w) that sum to the draws, found by bisection."""
    w = np.random.default_rng(3).lognormal(0, 1.2, size=200)
    w, draws = w / w.sum(), 70
    low, high = 0.0, 1e6
    for _ in range(200):
        c = (low + high) / 2
        low, high = (c, high) if np.minimum(1, c * w).sum() < draws else (low, c)
    sizes = np.array([coarse(int(t)) for t in to_ticks(w)])
    edge, rest = certain(dict(zip(*(part.tolist() for part in np.unique(sizes, return_counts=True)), strict=True)), draws)
    lighter = np.where(sizes < edge, sizes, 0)
    us = (np.arange(4000) + 0.5) / 4000
    runs = [(sizes >= edge) + systematic_copies(lighter, 0, int(lighter.sum()), rest, u) for u in us]
    assert {int(run.sum()) for run in runs} == {draws}
    assert {int(run.max()) for run in runs} == {1}
    np.testing.assert_allclose(np.mean(runs, axis=0), np.minimum(1, c * w), rtol=0.006, atol=5e-4)
    assert 5 < (sizes >= edge).sum() < draws


@given(
    st.dictionaries(st.sampled_from("abcdef"), st.floats(0, 100), min_size=1).filter(lambda s: sum(s.values()) > 1e-3), st.integers(0, 999)
)
def test_quotas_sum_and_stay_within_one_row(shares, rows):
    got, total = quotas(shares, rows), sum(shares.values())
    assert sum(got.values()) == rows
    assert set(got) == set(shares)
    for name, share in shares.items():
        assert abs(got[name] - rows * share / total) < 1 + 1e-6


def test_quotas_by_hand_and_without_shares():
    assert quotas({"a": 5, "b": 3, "c": 2}, 7) == {"a": 4, "b": 2, "c": 1}  # 3.5, 2.1, 1.4
    with pytest.raises(ValueError, match="positive sum"):
        quotas({"a": 0.0}, 3)


def test_buckets():
    assert bucket_starts({"b": 3, "a": 5, "c": 1}) == {"a": 0, "b": 5, "c": 8}
    assert [prefix_digits(n) for n in (0, 4096, 4097, 65536, 65537, 10**12)] == [0, 0, 1, 1, 2, 6]
    assert to_ticks(np.array([0.5, 0.5])).sum() == TICKS
