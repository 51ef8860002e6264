"""Vectors between Arrow list columns and numpy matrices, without a loop over rows.

An Arrow list array holds its numbers in one flat buffer beside the offsets of the rows, so a matrix
is a reshape of that buffer once every row is known to be present and of one width.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from synalign_spark.compat import VECTORS, arrow_udf
from synalign_spark.errors import DataError

Float32Array = npt.NDArray[np.float32]
MAX_LIST_VALUES = 2**31 - 1  # offsets of an Arrow list array are int32


def to_matrix(array: pa.Array | pa.ChunkedArray) -> Float32Array:
    """The vectors of an Arrow list column as one matrix.

    array: n lists of numbers (list, large list or fixed-size list; slices and chunks are fine).
    Returns (n, d) float32, read-only where it shares Arrow's memory; (0, 0) for no rows.
    Raises DataError for a null row or number, rows of different widths, NaN or infinity.

    >>> to_matrix(pa.array([[1.0, 2.0], [3.0, 4.0]])).tolist()
    [[1.0, 2.0], [3.0, 4.0]]
    """
    flat = _one_chunk(array)
    if not len(flat):
        width = flat.type.list_size if pa.types.is_fixed_size_list(flat.type) else 0
        return np.empty((0, width), dtype=np.float32)
    if flat.null_count:
        raise DataError(f"embedding: {flat.null_count} of {len(flat)} rows are null; embed those rows again or filter them out")
    widths = pc.list_value_length(flat).to_numpy(zero_copy_only=False)  # (n,)
    narrow, wide = int(widths.min()), int(widths.max())
    if narrow != wide:
        raise DataError(f"embedding: vectors of width {narrow} and {wide} in one column; embed all rows with one model")
    x = _values(flat).reshape(len(flat), wide)  # (n, d)
    bad = int((~np.isfinite(x).all(axis=1)).sum())
    if bad:
        raise DataError(f"embedding: {bad} of {len(flat)} vectors hold NaN or infinity; embed those rows again or filter them out")
    return x


def from_matrix(x: npt.NDArray[Any], value_type: pa.DataType | None = None) -> pa.ListArray:
    """The rows of a matrix as an Arrow list array.

    x: (n, d), any number type; value_type: type of the numbers, float32 by default.
    Returns n lists of d numbers; shares the memory of x where type and layout allow.
    Raises ValueError if x is not a matrix or holds 2^31 numbers or more (split it into batches).

    >>> from_matrix(np.eye(2)).to_pylist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    if x.ndim != 2:
        raise ValueError(f"x must be a matrix (n, d), got shape {x.shape}; reshape it to one row a vector")
    n, d = x.shape
    if n * d > MAX_LIST_VALUES:
        raise ValueError(f"x holds {n * d} numbers, more than one Arrow list array can; convert it in batches of rows")
    dtype = (value_type or pa.float32()).to_pandas_dtype()
    values = pa.array(np.ascontiguousarray(x, dtype=dtype).ravel())
    offsets = pa.array(np.arange(0, (n + 1) * d, d, dtype=np.int32) if d else np.zeros(n + 1, dtype=np.int32))
    return pa.ListArray.from_arrays(offsets, values)


def vector_widths(array: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Width of each vector of an Arrow list column, or -1 for a row that cannot be used.

    array: n lists of numbers. Returns n int32: the length of the list; -1 where the row is null or
    holds a null, NaN or infinite number. Never raises on data: it is for finding what is wrong.

    >>> vector_widths(pa.array([[1.0, 2.0], [float("nan")], None])).to_pylist()
    [2, -1, -1]
    """
    flat = _one_chunk(array)
    widths = pc.fill_null(pc.list_value_length(flat), 0).to_numpy(zero_copy_only=False).astype(np.int64)  # (n,)
    finite = np.isfinite(_values(flat))  # (sum of widths,)
    bad_before = np.concatenate([[0], np.cumsum(~finite)])  # bad numbers before each position
    ends = np.cumsum(widths)
    usable = bad_before[ends] == bad_before[ends - widths]
    usable &= pc.is_valid(flat).to_numpy(zero_copy_only=False)
    return pa.array(np.where(usable, widths, -1).astype(np.int32))


def _one_chunk(array: pa.Array | pa.ChunkedArray) -> pa.Array:
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
        if isinstance(array, pa.ChunkedArray):  # some pyarrow versions keep the wrapper
            array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], type=array.type)
    kind = array.type
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)):
        raise DataError(f"embedding: an array of numbers is wanted, got {kind}; cast the column to array<float>")
    return array


def _values(array: pa.Array) -> Float32Array:
    """All numbers of the list array, row by row, nulls as NaN; flatten() minds the slice's offset."""
    values = array.flatten()
    if not pa.types.is_float32(values.type):
        values = values.cast(pa.float32(), safe=False)
    result: Float32Array = values.to_numpy(zero_copy_only=False)
    return result


def widths_udf() -> Callable[..., Any]:
    """:func:`vector_widths` as a column function: one int a row."""
    from pyspark.sql.types import IntegerType  # late, so that vectors become matrices where there is no Spark

    return arrow_udf(vector_widths, IntegerType(), VECTORS)
