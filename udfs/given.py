"""Vectors that a source brings: each at length 1, or what is wrong with it."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from synalign_spark.udfs.arrow import from_matrix, to_matrix, vector_widths

NONE, NOT_FINITE, ZERO = "none", "not finite", "zero"  # what can be wrong with one vector
CHECKED = "doc_id string, label string, several boolean, embedding array<float>, width int, fault string"


def unit_vectors(array: pa.Array) -> tuple[pa.ListArray, pa.Array, pa.Array]:
    """n lists of float32 as (unit vectors, widths, faults), n rows each.

    A fault is NONE, NOT_FINITE or ZERO, and null for a vector that can be used; a null has no width. Rows with a fault, and those of another
    width than the first that is finite, have a null for their vector (of these zeros are not told). Never raises on data.

    >>> units, widths, faults = unit_vectors(pa.array([[3.0, 4.0], None, [float("nan"), 1.0], [0.0, 0.0]], pa.list_(pa.float32())))
    >>> [round(x, 6) for x in units[0].as_py()], widths.to_pylist(), faults.to_pylist()
    ([0.6, 0.8], [2, None, 2, 2], [None, 'none', 'not finite', 'zero'])
    """
    there = array.is_valid().to_numpy(zero_copy_only=False)  # (n,)
    finite = vector_widths(array).to_numpy() >= 0  # (n,)
    width = array.value_lengths()
    widths = width.fill_null(0).to_numpy()  # (n,)
    fault = np.where(there & (widths > 0), np.where(finite, "", NOT_FINITE), NONE)
    of_one = np.flatnonzero((fault == "") & (widths == next(iter(widths[fault == ""]), 0)))  # m rows
    x = to_matrix(array.take(pa.array(of_one))).astype(np.float64)  # (m, width)
    norms = np.sqrt(np.einsum("ij,ij->i", x, x))  # (m,)
    fault[of_one[norms == 0]] = ZERO
    places = np.full(len(array), -1, dtype=np.int64)
    places[of_one[norms > 0]] = np.arange((norms > 0).sum())
    units = from_matrix(x[norms > 0] / norms[norms > 0, None]).take(pa.array(places, mask=places < 0))
    return units, width, pa.array([one or None for one in fault.tolist()], pa.string())


def checked_batches(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """``unit_vectors`` of batches of doc_id, label, several and embedding: rows of CHECKED."""
    for batch in batches:
        units, widths, faults = unit_vectors(batch.column("embedding"))
        kept = {name: batch.column(name) for name in ("doc_id", "label", "several")}
        yield pa.record_batch({**kept, "embedding": units, "width": widths.cast(pa.int32()), "fault": faults})
