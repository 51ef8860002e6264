"""Sources that only a Spark session can look at: tables and views by name, as they are or were, and queries."""

from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession

from synalign_spark.config import SourceConfig
from synalign_spark.errors import DataError
from synalign_spark.spark.source_layout import wanted
from synalign_spark.spark.source_types import parts_of
from synalign_spark.sql_names import quoted_table, text_literal
from synalign_spark.storage.paths import fault_line


def read_named(spark: SparkSession, source: SourceConfig, field: str = "source") -> DataFrame:
    """The rows of a table, a view or a query, with its own columns.

    Raises DataError for what the session does not know or may not read, a version that is not there, what is no query, and a column that
    is needed and stands there twice."""
    key, fix = _key(source)
    try:
        found = spark.sql(_select(source))
        names = found.columns
    except (PySparkException, Py4JError) as err:
        raise DataError(f"{field}.{key}: {getattr(source, key)!r} cannot be read ({_told(err)}); {fix}") from err
    lower = [name.strip().lower() for name in names]
    for name, of in wanted(source).items():
        if (parts := parts_of(name, names)) and lower.count(parts[0].strip().lower()) > 1:
            raise DataError(
                f"{field}.{of}: {name!r} is the name of {lower.count(parts[0].lower())} columns of {field}.{key}; name one otherwise, by AS"
            )
    return found


def _key(source: SourceConfig) -> tuple[str, str]:
    """The key that is at fault where the rows cannot be read, and what to do."""
    if source.query is not None:
        return "query", "give one SELECT, or WITH ... SELECT, that this session may run: nothing else is let through"
    for key in ("version", "timestamp"):
        if getattr(source, key) is not None:
            return key, f"name one that the table {source.table!r} has, which must be of Delta or Iceberg and no view"
    return "table", "name a table or view that this session knows and may read, as catalog.schema.table"


def _select(source: SourceConfig) -> str:
    """A query in brackets can be nothing but a query: commands, and a second statement, do not parse there."""
    if source.query is not None:
        return f"SELECT * FROM (\n{source.query.rstrip().removesuffix(';')}\n) AS source"
    name = quoted_table(source.table or "")
    if source.version is not None:
        return f"SELECT * FROM {name} VERSION AS OF {source.version}"
    return f"SELECT * FROM {name}" + (f" TIMESTAMP AS OF {text_literal(source.timestamp)}" if source.timestamp is not None else "")


def _told(err: Exception) -> str:
    """The first sentences of Spark's message: those on how to tolerate the error of a command help nobody here."""
    return fault_line(err).split(" To tolerate")[0].split(" SQLSTATE:")[0].split("If you did not qualify")[0].strip()
