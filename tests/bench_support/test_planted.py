"""Faults that are planted are those that they are said to be."""

import numpy as np
import pytest

from tests.bench.support.planted import flipped, in_other_letters, kept, shuffled

LABELS = np.array(["a"] * 300 + ["b"] * 100)


def test_shuffled_labels_keep_their_shares_and_most_rows():
    found = shuffled(LABELS, 0.4, 0)
    assert sorted(found) == sorted(LABELS)
    assert 0.05 < (found != LABELS).mean() <= 0.4  # 0.4 * 2 * 3/4 * 1/4 = 0.15 in the mean
    np.testing.assert_array_equal(found, shuffled(LABELS, 0.4, 0))
    assert (found != shuffled(LABELS, 0.4, 1)).any()


def test_flipped_labels_are_wrong_and_known():
    found, wrong = flipped(np.array(["a", "b", "c"] * 100), 0.15, 0)
    np.testing.assert_array_equal(found != np.array(["a", "b", "c"] * 100), wrong)
    assert wrong.sum() == 45
    assert set(found[wrong]) == {"a", "b", "c"}


def test_rows_are_kept_by_their_probability():
    probability = np.repeat([0.9, 0.1], 2_000)
    rows = kept(probability, 0)
    assert (rows < 2_000).sum() == pytest.approx(1_800, abs=60)
    assert (rows >= 2_000).sum() == pytest.approx(200, abs=60)


def test_other_letters_share_no_word():
    text = "The quick brown fox jumps over the lazy dog"
    found = in_other_letters(text)
    assert not set(text.lower().split()) & set(found.lower().split())
    assert [len(word) for word in found.split()] == [len(word) for word in text.split()]
