"""The rule that holds rows out: the share asked for, the same for both engines, independent of the order."""

import numpy as np
import pytest

from synalign_spark.core.holdout import held_out, lost_labels, splits

IDS = [f"row {i}" for i in range(4_000)]


@pytest.mark.parametrize("holdout", [0.0, 0.2, 0.45])
def test_the_share_asked_for_is_held_out_whatever_the_order(holdout):
    held = held_out(7, IDS, holdout)
    assert held.mean() == pytest.approx(holdout, abs=4 * np.sqrt(holdout * (1 - holdout) / len(IDS)))
    np.testing.assert_array_equal(held_out(7, IDS[::-1], holdout), held[::-1])
    if holdout:
        assert (held != held_out(8, IDS, holdout)).any(), "another seed holds others out"


def test_a_larger_share_holds_the_same_rows_out_and_more():
    assert (held_out(0, IDS, 0.2) <= held_out(0, IDS, 0.3)).all()


def test_splits_are_told_by_the_same_number():
    found = splits(3, IDS, 0.2, 0.4)
    np.testing.assert_array_equal(found == "holdout", held_out(3, IDS, 0.2))
    assert {name: round(float((found == name).mean()), 1) for name in ("fit", "validation", "holdout")} == {
        "fit": 0.4, "validation": 0.4, "holdout": 0.2,
    }  # fmt: skip


def test_labels_without_a_row_to_show_are_counted():
    assert lost_labels({"b": (2, 2), "a": (1, 1), "c": (3, 2), None: (1, 1)}) == {"a": 1, "b": 2}
