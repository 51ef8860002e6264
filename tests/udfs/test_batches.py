"""Each text is in one forward pass, fixed shapes depend on the text alone, and what is wasted is counted."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synalign_spark.udfs.batches import batches, fixed_widths, slots

LENGTHS = st.lists(st.integers(0, 300), max_size=60).map(lambda values: np.array(values, dtype=np.int64))


@given(LENGTHS, st.integers(1, 9), st.booleans())
def test_each_text_is_in_one_pass_that_is_wide_enough(lengths, size, fixed):
    passes = list(batches(lengths, size, fixed))
    assert sorted(i for batch in passes for i in batch.texts) == list(range(len(lengths)))
    for batch in passes:
        assert len(batch.texts) <= batch.rows <= size
        assert batch.width >= max(1, lengths[batch.texts].max())
        if fixed:
            assert batch.rows == size
            assert (fixed_widths(lengths[batch.texts]) == batch.width).all()


@given(LENGTHS, st.integers(1, 9), st.booleans(), st.integers(1, 1_000))
def test_a_pass_has_no_more_slots_than_are_allowed_but_for_one_row(lengths, size, fixed, most):
    passes = list(batches(lengths, size, fixed, most))
    assert sorted(i for batch in passes for i in batch.texts) == list(range(len(lengths)))
    assert all(len(batch.texts) <= batch.rows <= size and (batch.rows == 1 or batch.rows * batch.width <= most) for batch in passes)
    if fixed:
        assert len({(batch.rows, batch.width) for batch in passes}) == len({batch.width for batch in passes})  # the width tells the rows


@given(st.integers(0, 10_000))
def test_a_fixed_width_wastes_few_tokens_of_a_short_text_and_a_quarter_of_a_long_one(length):
    width = int(fixed_widths(np.array([length]))[0])
    assert 0 <= width - length < max(9, 0.25 * length)


def test_slots_against_a_count_by_hand():
    lengths = np.array([3, 9, 10, 4])
    assert slots(lengths, 2, fixed=False) == 2 * 4 + 2 * 10
    assert slots(lengths, 2, fixed=True) == 2 * 8 + 2 * 16
    assert slots(lengths, 3, fixed=False) == 3 * 9 + 10


@pytest.mark.parametrize("fixed", [False, True])
def test_no_texts_no_passes(fixed):
    assert list(batches(np.array([], dtype=np.int64), 4, fixed)) == []
