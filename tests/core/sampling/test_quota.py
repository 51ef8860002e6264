import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synalign_spark.core.sampling.quota import interleaved, largest_remainder, quotas


@pytest.mark.parametrize(
    ("weights", "total", "caps", "want"),
    [
        ([47, 16, 16, 16, 5], 100, [100] * 5, [47, 16, 16, 16, 5]),
        ([1, 1, 1], 10, [10] * 3, [4, 3, 3]),  # equal remainders go to the earlier
        ([47_000, 16_000, 15_900, 12_000, 6_000, 3_100], 10, [10] * 6, [4, 2, 1, 1, 1, 1]),
        ([1000, 1, 1], 10, [10] * 3, [8, 1, 1]),  # floors first
        ([1000, 1, 1], 10, [4, 9, 9], [4, 3, 3]),  # caps passed on
        ([5, 5], 10, [2, 3], [2, 3]),  # no more than there is
    ],
)
def test_by_hand(weights, total, caps, want):
    assert largest_remainder(weights, total, caps).tolist() == want


@given(st.lists(st.tuples(st.integers(1, 10**6), st.integers(1, 40)), min_size=1, max_size=8), st.integers(0, 100))
def test_sums_to_the_total_within_floors_and_caps(entries, extra):
    weights, caps = np.array(entries).T
    total = len(weights) + extra
    got = largest_remainder(weights, total, caps)
    assert got.sum() == min(total, caps.sum())
    assert (got >= 1).all()
    assert (got <= caps).all()
    # In proportion: among entries at no limit, none is a whole row from its share of what those entries got.
    free = (got > 1) & (got < caps)
    if free.any():
        share = weights[free] / weights[free].sum() * got[free].sum()
        assert (np.abs(got[free] - share) < 2).all()


def test_impossible_requests_are_refused():
    with pytest.raises(ValueError, match="total must be at least 3"):
        largest_remainder([1, 1, 1], 2, [5, 5, 5])
    with pytest.raises(ValueError, match="every cap at least 1"):
        largest_remainder([1, 1], 2, [0, 5])


def test_quotas_of_labels_by_hand():
    assert quotas({"good": 0.75, "bad": 0.25}, 24) == {"good": 18, "bad": 6}
    assert quotas({"b": 0.5, "a": 0.5}, 3) == {"a": 2, "b": 1}  # equal remainders go by name
    assert list(quotas({"b": 0.5, "a": 0.5}, 3)) == ["b", "a"]
    assert quotas({None: 1.0}, 5) == {None: 5}
    assert quotas({"a": 1.0, "b": 0.0}, 5) == {"a": 5, "b": 0}


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=9), st.integers(1, 60))
def test_turns_keep_every_share_within_one_turn(targets, most):
    order = interleaved([0] * len(targets), targets, [5] * len(targets), [most] * len(targets), most)
    held, share = np.zeros(len(targets)), np.array(targets) / sum(targets)
    assert len(order) == most
    for turn in order:
        held[turn] += 5
        assert (abs(held - share * held.sum()) < 5 + 1e-6).all()


@given(st.lists(st.tuples(st.integers(1, 1000), st.sampled_from([1.0, 2.5, 5.0])), min_size=2, max_size=9), st.integers(1, 60))
def test_turns_that_bring_unlike_much_keep_shares_within_the_largest(entries, most):
    targets, gain = np.array(entries).T
    held, share = np.zeros(len(targets)), targets / targets.sum()
    for turn in interleaved(held, targets, gain, [most] * len(targets), most):
        held[turn] += gain[turn]
        assert (held - share * held.sum() < 5 + 1e-6).all()
        assert (share * held.sum() - held < 2 * 5 + 1e-6).all()


def test_who_is_behind_comes_first_and_who_has_no_turn_left_is_passed_over():
    assert interleaved([10, 0], [1, 1], [5, 5], [4, 4], 4) == [1, 1, 0, 1]
    assert interleaved([0, 0], [1, 1], [5, 5], [1, 4], 9) == [0, 1, 1, 1, 1]
    assert interleaved([0], [1], [1], [0], 5) == []
