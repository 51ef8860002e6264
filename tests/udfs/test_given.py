"""Vectors that a source brings: at length 1, and what is wrong with the others."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synalign_spark.udfs.given import checked_batches, unit_vectors

FLOATS = pa.list_(pa.float32())
NUMBERS = st.one_of(st.none(), st.sampled_from([0.0, float("nan"), float("inf")]), st.floats(-1e6, 1e6, width=32))


def by_hand(vector):
    """The unit vector, or None, and the fault, one row at a time."""
    if not vector:
        return None, "none"
    if any(x is None or not np.isfinite(x) for x in vector):
        return None, "not finite"
    norm = np.linalg.norm(np.asarray(vector, dtype=np.float64))
    return (np.asarray(vector) / norm, None) if norm else (None, "zero")


@given(st.lists(st.one_of(st.none(), st.lists(NUMBERS, max_size=3)), max_size=12))
def test_any_column_is_as_by_hand(rows):
    units, widths, faults = unit_vectors(pa.array(rows, FLOATS))
    wanted = [by_hand(row) for row in rows]
    finite = [len(row) for row, (_, fault) in zip(rows, wanted, strict=True) if fault in (None, "zero")]
    of_one = [row is not None and len(row) == next(iter(finite), 0) for row in rows]
    told = [fault if fault != "zero" or same else None for (_, fault), same in zip(wanted, of_one, strict=True)]
    assert faults.to_pylist() == told
    assert widths.to_pylist() == [None if row is None else len(row) for row in rows]
    for row, unit, (expected, fault) in zip(rows, units.to_pylist(), wanted, strict=True):
        if fault or len(row) != finite[0]:
            assert unit is None
        else:
            np.testing.assert_allclose(unit, expected, atol=1e-6)


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_slices_give_the_same(cut):
    rows = pa.array([[3.0, 4.0], None, [0.0, 2.0], [0.0, 0.0]], FLOATS)
    parts = [unit_vectors(rows.slice(0, cut)), unit_vectors(rows.slice(cut))]
    whole = unit_vectors(rows)
    for i in range(3):
        assert parts[0][i].to_pylist() + parts[1][i].to_pylist() == whole[i].to_pylist()


def test_batches_keep_their_ids():
    batch = pa.record_batch(
        {"doc_id": ["a", "b"], "label": ["x", None], "several": [False, None], "embedding": pa.array([[0.0, 5.0], None], FLOATS)}
    )
    (found,) = checked_batches(iter([batch]))
    assert found.to_pylist() == [
        {"doc_id": "a", "label": "x", "several": False, "embedding": [0.0, 1.0], "width": 2, "fault": None},
        {"doc_id": "b", "label": None, "several": None, "embedding": None, "width": None, "fault": "none"},
    ]
