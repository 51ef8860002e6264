"""The versions of Spark that run this project, 3.5 to 4.2, and where they differ. No other file asks for a version.

Newer forms are used where the running PySpark has them; what stands in for them gives the same results. Imports Spark late, so that
it is itself imported where there is none.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa

from synalign_spark.errors import ConfigError, InstallationError

if TYPE_CHECKING:
    import pandas as pd
    from pyspark.sql import Column, DataFrame, GroupedData, SparkSession
    from pyspark.sql.types import StructType

ArrowFunction = Callable[..., pa.Array]
VECTORS, TEXTS = pa.list_(pa.float32()), pa.string()  # what a column function takes


@dataclass(frozen=True)
class Release:
    """What goes with one version of Spark. delta: its artefact, and the version of Delta; hadoop: that PySpark carries, for s3a:// addresses."""

    delta: str
    hadoop: str

    @property
    def delta_package(self) -> str:
        """Delta's coordinate at Maven."""
        return f"io.delta:{self.delta}"


RELEASES = {
    (3, 5): Release("delta-spark_2.12:3.3.3", "3.3.4"),
    (4, 0): Release("delta-spark_4.0_2.13:4.4.0", "3.4.1"),
    (4, 1): Release("delta-spark_4.1_2.13:4.4.0", "3.4.2"),
    (4, 2): Release("delta-spark_4.2_2.13:4.4.0", "3.5.0"),
}


def version() -> tuple[int, int]:
    """Major and minor number of the PySpark that is installed."""
    import pyspark

    major, minor = pyspark.__version__.split(".")[:2]
    return int(major), int(minor)


def release() -> Release:
    """What goes with the PySpark that is installed. Raises InstallationError for one that is not among ``RELEASES``."""
    found = RELEASES.get(version())
    if found is None:
        known = ", ".join(f"{major}.{minor}" for major, minor in RELEASES)
        raise InstallationError(
            f"pyspark {'.'.join(map(str, version()))} is not among the versions that this release knows ({known}); pip install 'pyspark>=3.5,<4.3'"
        )
    return found


def has_arrow_udfs() -> bool:
    """Whether Spark hands Arrow arrays to column functions (4.1 and later)."""
    return version() >= (4, 1)


def arrow_udf(function: ArrowFunction, returns: Any, *takes: pa.DataType) -> Callable[..., Any]:
    """A function of Arrow arrays as a column function: one array of n rows a column to one array of n rows.

    returns: a Spark type or its text; takes: the type of each column, for a batch that does not tell (no row, or nulls alone).
    Where Spark has no Arrow column functions this is :func:`pandas_udf`."""
    if not has_arrow_udfs():
        return pandas_udf(function, returns, *takes)
    from pyspark.sql.functions import arrow_udf as of_spark  # type: ignore[attr-defined]  # not in its own export list

    def apply(*arrays: pa.Array) -> pa.Array:
        return function(*arrays)

    wrapped: Callable[..., Any] = of_spark(apply, returns)
    return wrapped


def pandas_udf(function: ArrowFunction, returns: Any, *takes: pa.DataType) -> Callable[..., Any]:
    """The same function of Arrow arrays as a pandas UDF, on every Spark; arguments as of :func:`arrow_udf`. Vectors cross more slowly."""
    import pandas as pd
    from pyspark.sql.functions import pandas_udf as of_spark  # type: ignore[attr-defined]  # not in its own export list
    from pyspark.sql.types import StructType

    def computed(columns: tuple[pd.Series, ...]) -> pa.Array:
        return function(*(_array(column, kind) for column, kind in zip(columns, takes, strict=True)))

    def to_series(*columns: pd.Series) -> pd.Series:
        return computed(columns).to_pandas()

    def to_frame(*columns: pd.Series) -> pd.DataFrame:
        return pa.RecordBatch.from_struct_array(computed(columns)).to_pandas()

    wrapped: Callable[..., Any] = of_spark(to_frame if isinstance(returns, StructType) else to_series, returns)
    return wrapped


def _array(column: "pd.Series", kind: pa.DataType) -> pa.Array:
    """A pandas column as Arrow; its vectors keep their NaN, which is no null."""
    found = pa.array(column.to_numpy(dtype=object), from_pandas=False)
    return pa.nulls(len(column), kind) if pa.types.is_null(found.type) else found


def to_arrow(frame: "DataFrame") -> pa.Table:
    """All rows of a frame in the driver."""
    if version() >= (4, 0):
        return frame.toArrow()
    from pyspark.sql.pandas.types import to_arrow_schema

    _refuse_connect(frame)
    batches = cast("Any", frame)._collect_as_arrow()  # Spark 3.5: what its toPandas is made of
    return pa.Table.from_batches(batches, to_arrow_schema(frame.schema) if not batches else None)


def from_arrow(spark: "SparkSession", table: pa.Table, ddl: str | None = None) -> "DataFrame":
    """An Arrow table as a frame. ddl: its columns as Spark writes them; without it those of the table."""
    from pyspark.sql.pandas.types import from_arrow_schema, to_arrow_schema

    if version() >= (4, 0):
        return spark.createDataFrame(table) if ddl is None else spark.createDataFrame(table, ddl)
    _refuse_connect(spark)
    schema = from_arrow_schema(table.schema) if ddl is None else schema_of(spark, ddl)
    if not table.num_rows:
        return spark.createDataFrame([], schema)
    return _sent(spark, table.cast(to_arrow_schema(schema)), schema)


def schema_of(spark: "SparkSession", ddl: str) -> "StructType":
    """Columns as Spark writes them, as a type."""
    from pyspark.sql.types import StructType

    if hasattr(StructType, "fromDDL"):
        return cast("StructType", StructType.fromDDL(ddl))
    return spark.createDataFrame([], ddl).schema


def session_settings(spark: "SparkSession") -> dict[str, str]:
    """Every setting of a session that has a value."""
    if hasattr(spark.conf, "getAll"):
        return dict(spark.conf.getAll)
    return {row.key: row.value for row in spark.sql("SET").collect()}


def apply_in_arrow(groups: "GroupedData", function: Callable[[pa.Table], pa.Table], ddl: str) -> "DataFrame":
    """Each group of rows through a function of Arrow tables."""
    if version() >= (4, 0):

        def apply(table: pa.Table) -> pa.Table:  # Spark reads the annotations
            return function(table)

        return groups.applyInArrow(apply, ddl)

    def apply_to_pandas(rows: "pd.DataFrame") -> "pd.DataFrame":
        return function(pa.Table.from_pandas(rows, preserve_index=False)).to_pandas()

    return groups.applyInPandas(apply_to_pandas, ddl)


def repartition_by_id(rows: "DataFrame", n: int, partition: "Column") -> "DataFrame":
    """The rows in n partitions, each in the one whose number the column has, 0 to n - 1."""
    from pyspark.sql import functions as F

    if version() >= (4, 1):
        return rows.repartitionById(n, partition)
    keys = F.array(*map(F.lit, _keys_of_partitions(n)))
    return rows.repartition(n, F.get(keys, partition))


def _keys_of_partitions(n: int) -> list[int]:
    """For each of n partitions the smallest number whose hash Spark puts there."""
    found: dict[int, int] = {}
    key = 0
    while len(found) < n:
        found.setdefault(_hash(key) % n, key)
        key += 1
    return [found[i] for i in range(n)]


def _hash(key: int) -> int:
    """Spark's ``hash`` of an int: Murmur3 (x86, 32 bits) with seed 42."""

    def times(x: int, y: int) -> int:
        return x * y & 0xFFFFFFFF

    def turned(x: int, by: int) -> int:
        return (x << by | x >> 32 - by) & 0xFFFFFFFF

    h = turned(42 ^ times(turned(times(key, 0xCC9E2D51), 15), 0x1B873593), 13)
    h = (times(h, 5) + 0xE6546B64 & 0xFFFFFFFF) ^ 4  # bytes of an int
    h = times(h ^ h >> 16, 0x85EBCA6B)
    h = times(h ^ h >> 13, 0xC2B2AE35)
    h ^= h >> 16
    return h - 2**32 if h >= 2**31 else h


def _sent(spark: Any, table: pa.Table, schema: Any) -> "DataFrame":
    """The way of Spark 4's ``createDataFrame`` for Arrow tables, which Spark 3.5 takes for pandas only: batches in a file that the JVM reads."""
    from pyspark.sql import DataFrame
    from pyspark.sql.pandas.serializers import ArrowStreamSerializer

    jvm, rows = spark._jvm, spark._jconf.arrowMaxRecordsPerBatch()
    batches = table.to_batches(max_chunksize=rows if rows > 0 else None)
    sent = spark._sc._serialize_to_jvm(
        batches, ArrowStreamSerializer(), jvm.PythonSQLUtils.readArrowStreamFromFile, lambda: jvm.ArrowIteratorServer()
    )
    return DataFrame(jvm.PythonSQLUtils.toDataFrame(sent, schema.json(), spark._jsparkSession), spark)


def _refuse_connect(of_spark: object) -> None:
    if type(of_spark).__module__.startswith("pyspark.sql.connect"):
        raise ConfigError(
            "spark: Spark Connect of Spark 3.5 cannot exchange Arrow tables; use Spark 4.0 or later, or a session without Connect"
        )


_NUMBER = r"^[\x00-\x20]*[+-]?(?i:nan|inf(?:inity)?|(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)[\x00-\x20]*$"


def as_number(text: "Column") -> "Column":
    """A column of texts as double; null where the text is no number, whether Spark's ANSI mode is on or not. Java's suffixes ("1d") are of no number."""
    from pyspark.sql import functions as F

    return F.when(text.rlike(_NUMBER), text.try_cast("double") if version() >= (4, 0) else text.cast("double"))


def valid_utf8(text: "Column") -> "Column":
    """A column of texts with U+FFFD in the place of bytes that are no UTF-8."""
    from pyspark.sql import functions as F

    if version() >= (4, 0):
        return F.make_valid_utf8(text)
    return F.decode(F.encode(text, "UTF-8"), "UTF-8")  # encode goes through a string of Java's


def require_variants(field: str) -> None:
    """Raises ConfigError where Spark has no values of a type of their own, which rows of JSON need (before 4.0)."""
    if version() < (4, 0):
        raise ConfigError(
            f"{field}.format: JSON is read by Spark 4.0 and later, this is {version()[0]}.{version()[1]}; write the rows as Parquet"
        )


def is_variant(kind: object) -> bool:
    """Whether a Spark type is that of values that have a type each."""
    return type(kind).__name__ == "VariantType"


def quiet_queries() -> None:
    """Spark 4's own loggers of queries print the trace of every fault, beside raising it."""
    if version() >= (4, 0):
        from pyspark.logger import PySparkLogger

        for name in ("SQLQueryContextLogger", "DataFrameQueryContextLogger"):
            PySparkLogger.getLogger(name).setLevel(logging.CRITICAL)
