"""Arrow columns of any nesting as Spark takes them: the same values, but for the parts that Spark has no type for."""

import datetime

import pyarrow as pa
import pyarrow.compute as pc
from hypothesis import given, settings
from hypothesis import strategies as st
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import StructField, StructType

from synalign_spark.spark.arrow_files import as_type
from synalign_spark.spark.source_types import spark_type

HOUR = st.integers(0, 10**6).map(lambda n: datetime.datetime(2020, 1, 1) + datetime.timedelta(hours=n))
LEAVES = {
    pa.uint8(): st.integers(0, 255),
    pa.uint32(): st.integers(0, 2**32 - 1),
    pa.uint64(): st.integers(0, 2**64 - 1),
    pa.int64(): st.integers(-(2**63), 2**63 - 1),
    pa.large_string(): st.text(max_size=5),
    pa.string_view(): st.text(max_size=5),
    pa.timestamp("ms"): HOUR,
    pa.bool_(): st.booleans(),
    pa.duration("s"): st.integers(0, 10**6).map(lambda n: datetime.timedelta(seconds=n)),  # Spark has no such type
}


@st.composite
def columns(draw, depth=2):
    """(type, strategy of its values, the same value without what Spark does not read)."""
    kind = draw(st.sampled_from(["leaf", "list", "struct"] if depth else ["leaf"]))
    if kind == "leaf":
        found = draw(st.sampled_from(list(LEAVES)))
        return found, st.none() | LEAVES[found], lambda value: value
    if kind == "list":
        inner, values, kept = draw(columns(depth - 1))
        return (
            draw(st.sampled_from([pa.list_, pa.large_list]))(inner),
            st.none() | st.lists(values, max_size=3),
            lambda value: None if value is None else [kept(one) for one in value],
        )
    parts = {name: draw(columns(depth - 1)) for name in "abc"[: draw(st.integers(1, 3))]}
    read = {name: kept for name, (inner, _, kept) in parts.items() if spark_type(inner) is not None}
    values = st.none() | st.fixed_dictionaries({name: values for name, (_, values, _) in parts.items()})
    return (
        pa.struct([(name, inner) for name, (inner, _, _) in parts.items()]),
        values,
        lambda value: None if value is None else {name: kept(value[name]) for name, kept in read.items()},
    )


@settings(max_examples=150, database=None)
@given(st.data())
def test_values_stay_what_they_were(data):
    found, values, kept = data.draw(columns())
    rows = data.draw(st.lists(values, max_size=6))
    start = data.draw(st.integers(0, len(rows)))
    kind = spark_type(found)
    if kind is None or (isinstance(kind, StructType) and not kind.fields):
        return
    wanted = to_arrow_schema(StructType([StructField("x", kind)])).field("x").type
    column = pa.array(rows, found).slice(start)
    got = as_type(column, wanted)
    got.validate(full=True)
    assert got.type == wanted
    assert pc.equal(got.is_null(), column.is_null()).to_pylist() == [True] * len(column)
    assert [_naive(value) for value in got.to_pylist()] == [kept(row) for row in rows[start:]]


def _naive(value):
    """Decimals as whole numbers, as they were written."""
    if isinstance(value, list):
        return [_naive(one) for one in value]
    if isinstance(value, dict):
        return {name: _naive(one) for name, one in value.items()}
    return int(value) if type(value).__name__ == "Decimal" else value
