"""Arrow files and streams, which Spark has no reader for: each is read by one task."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import StringType, StructField, StructType

from synalign_spark.errors import DataError
from synalign_spark.spark.source_files import open_arrow
from synalign_spark.spark.source_layout import Layout
from synalign_spark.spark_errors import carrier
from synalign_spark.storage.paths import STORE_FAULTS, filesystem, scheme

MOST_TASKS = 1_000


def read_arrow(spark: SparkSession, layout: Layout, schema: StructType, file_column: str) -> DataFrame:
    """The columns of ``schema`` of all files, and the file's address in ``file_column``."""
    path, columns = layout.path, to_arrow_schema(schema)
    files = spark.createDataFrame([(info.path,) for info in layout.data or ()], "file string").repartition(
        min(len(layout.data or ()), MOST_TASKS)
    )

    def rows(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for file in batch.column("file").to_pylist():
                yield from _rows_of(path, file, columns, file_column)

    return files.mapInArrow(rows, StructType([*schema.fields, StructField(file_column, StringType())]))


def _rows_of(path: str, file: str, columns: pa.Schema, file_column: str) -> Iterator[pa.RecordBatch]:
    try:
        yield from _batches(path, file, columns, file_column)
    except STORE_FAULTS as err:
        raise carrier(DataError(f"{file!r} cannot be read ({err}); is it whole? fetch or write it again, or take it out")) from err


def _batches(path: str, file: str, columns: pa.Schema, file_column: str) -> Iterator[pa.RecordBatch]:
    files, _ = filesystem(path)
    address = f"file://{file}" if scheme(path) == "file" else file
    with files.open_input_file(file) as opened, open_arrow(opened) as reader:
        parts = (reader.get_batch(i) for i in range(reader.num_record_batches)) if hasattr(reader, "get_batch") else reader
        for part in parts:
            found = {column.name: as_type(part.column(column.name), column.type) for column in columns}
            yield pa.record_batch({**found, file_column: pa.array([address] * part.num_rows, pa.string())})


def as_type(column: pa.Array, wanted: pa.DataType) -> pa.Array:
    """A column as Spark takes it: wider numbers for unsigned ones, microseconds for milliseconds, structs without the parts that it does not read.

    >>> as_type(pa.array([{"a": 1, "b": 2}, None]), pa.struct([("a", pa.int64())])).to_pylist()
    [{'a': 1}, None]
    """
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if column.type == wanted:
        return column
    if pa.types.is_struct(wanted):
        parts = [as_type(column.field(part.name), part.type) for part in wanted]
        return pa.StructArray.from_arrays(parts, fields=list(wanted), mask=column.is_null())
    if pa.types.is_list(wanted):
        lists = column.cast(pa.list_(column.type.value_type))  # whose offsets have 32 bits
        nulls = np.append(lists.is_null().to_numpy(zero_copy_only=False), False)  # an offset that is null begins a list that is
        offsets = pa.array(lists.offsets.to_numpy(), pa.int32(), mask=nulls)
        return pa.ListArray.from_arrays(offsets, as_type(lists.values, wanted.value_type), type=wanted)
    return column.cast(wanted)
