import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from synalign_spark.errors import DataError
from synalign_spark.udfs.arrow import from_matrix, to_matrix, vector_widths

FINITE = st.floats(-1e6, 1e6, width=32)
MATRICES = hnp.arrays(np.float32, st.tuples(st.integers(1, 9), st.integers(1, 7)), elements=FINITE)


@given(MATRICES, st.data())
def test_round_trip_of_slices_and_chunks(x, data):
    array = from_matrix(x)
    assert array.to_pylist() == x.tolist()
    start = data.draw(st.integers(0, len(x)))
    np.testing.assert_array_equal(to_matrix(array.slice(start)), x[start:] if start < len(x) else np.empty((0, 0)))
    np.testing.assert_array_equal(to_matrix(pa.chunked_array([array.slice(0, start), array.slice(start)])), x)


@pytest.mark.parametrize("kind", [pa.list_(pa.float64()), pa.large_list(pa.float32()), pa.list_(pa.float32(), 2), pa.list_(pa.int64())])
def test_other_list_types(kind):
    got = to_matrix(pa.array([[1, 2], [3, 4], [5, 6]], type=kind).slice(1))
    assert got.dtype == np.float32
    assert got.tolist() == [[3, 4], [5, 6]]


def test_matrix_shares_the_memory_of_the_column():
    x = np.arange(12, dtype=np.float32).reshape(4, 3)
    assert np.shares_memory(to_matrix(from_matrix(x)), x)


def test_empty_columns():
    assert to_matrix(pa.array([], type=pa.list_(pa.float32()))).shape == (0, 0)
    assert to_matrix(pa.chunked_array([], type=pa.list_(pa.float32()))).shape == (0, 0)
    assert to_matrix(pa.array([], type=pa.list_(pa.float32(), 5))).shape == (0, 5)
    assert from_matrix(np.empty((0, 4))).to_pylist() == []
    assert from_matrix(np.empty((2, 0))).to_pylist() == [[], []]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([[1.0, 2.0], None], "1 of 2 rows are null"),
        ([[1.0, 2.0], [1.0]], "width 1 and 2"),
        ([[1.0, 2.0], [float("nan"), 0.0]], "1 of 2 vectors hold NaN"),
        ([[1.0, 2.0], [float("inf"), 0.0]], "1 of 2 vectors hold NaN or infinity"),
        ([[1.0, 2.0], [None, 0.0]], "1 of 2 vectors hold NaN"),
    ],
)
def test_bad_rows_are_named(rows, message):
    with pytest.raises(DataError, match=message):
        to_matrix(pa.array(rows, type=pa.list_(pa.float32())))


def test_a_column_of_numbers_is_refused():
    with pytest.raises(DataError, match="cast the column"):
        to_matrix(pa.array([1.0, 2.0]))


def test_from_matrix_types():
    assert from_matrix(np.eye(2), pa.float64()).type == pa.list_(pa.float64())
    assert from_matrix(np.asfortranarray([[1, 2], [3, 4]])).to_pylist() == [[1, 2], [3, 4]]
    with pytest.raises(ValueError, match="matrix"):
        from_matrix(np.zeros(3))


def test_widths_and_unusable_rows():
    rows = [[1.0, 2.0], None, [], [float("nan"), 1.0, 2.0], [1.0, None], [3.0]]
    array = pa.array(rows, type=pa.list_(pa.float32()))
    assert vector_widths(array).to_pylist() == [2, -1, 0, -1, -1, 1]
    assert vector_widths(array.slice(2, 3)).to_pylist() == [0, -1, -1]
    fixed = pa.array([[1.0, 2.0], None, [3.0, float("inf")]], type=pa.list_(pa.float32(), 2))
    assert vector_widths(fixed).to_pylist() == [2, -1, -1]
