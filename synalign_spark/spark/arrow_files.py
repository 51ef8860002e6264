"""Arrow files and streams, which Spark has no reader for: each is read by one task."""

from collections.abc import Iterator, Sequence

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StringType, StructField, StructType

from synalign_spark.spark.source_files import open_arrow
from synalign_spark.spark.source_layout import Layout
from synalign_spark.storage.paths import filesystem, scheme

MOST_TASKS = 1_000


def read_arrow(spark: SparkSession, layout: Layout, schema: StructType, file_column: str) -> DataFrame:
    """The columns of ``schema`` of all files, and the file's address in ``file_column``."""
    path, names = layout.path, schema.names
    files = spark.createDataFrame([(info.path,) for info in layout.data or ()], "file string").repartition(
        min(len(layout.data or ()), MOST_TASKS)
    )

    def rows(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for file in batch.column("file").to_pylist():
                yield from _rows_of(path, file, names, file_column)

    return files.mapInArrow(rows, StructType([*schema.fields, StructField(file_column, StringType())]))


def _rows_of(path: str, file: str, names: Sequence[str], file_column: str) -> Iterator[pa.RecordBatch]:
    files, _ = filesystem(path)
    address = f"file://{file}" if scheme(path) == "file" else file
    with files.open_input_file(file) as opened, open_arrow(opened) as reader:
        parts = (reader.get_batch(i) for i in range(reader.num_record_batches)) if hasattr(reader, "get_batch") else reader
        for part in parts:
            columns = {name: _plain(part.column(name)) for name in names}
            yield pa.record_batch({**columns, file_column: pa.array([address] * part.num_rows, pa.string())})


def _plain(column: pa.Array) -> pa.Array:
    """A column as Spark takes it: no dictionary, no large or viewed text."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    return column.cast(pa.string()) if pa.types.is_large_string(column.type) or pa.types.is_string_view(column.type) else column
