"""Reads a configured source, in any format, into rows of one shape; no row is refused, but one that does not parse is marked."""

import re

from py4j.protocol import Py4JError
from pyspark.errors import AnalysisException, PySparkException
from pyspark.sql import Column, DataFrame, DataFrameReader, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StringType, StructType

from synalign_spark.config import SourceConfig
from synalign_spark.errors import DataError
from synalign_spark.spark.source_files import csv_header, detect_format, json_keys, list_files, source_fingerprint, source_path
from synalign_spark.storage.paths import fault_line, spark_path

__all__ = ["SOURCE_COLUMNS", "read_source", "source_fingerprint"]

SOURCE_COLUMNS = ("text", "label", "source_id", "source_file", "prior_weight", "malformed")
_CORRUPT = "_synalign_malformed"
_FILE = "_synalign_file"
# RFC 4180: quotes double inside quotes, and a quoted field may span lines.
_CSV = {
    "header": "true",
    "quote": '"',
    "escape": '"',
    "multiLine": "true",
    "mode": "PERMISSIVE",
    "columnNameOfCorruptRecord": _CORRUPT,
    "encoding": "UTF-8",
}


def read_source(spark: SparkSession, source: SourceConfig, field: str = "source") -> DataFrame:
    """Rows of a source: text, label, source_id, source_file, malformed (string) and prior_weight (double).

    ``malformed`` holds the raw text of a row that could not be parsed, else null. Bytes that are not UTF-8
    arrive as U+FFFD. Labels are trimmed and renamed; blank ones are null. ``field`` is the configuration
    section that errors name. Raises DataError for a missing path, table or column and for a bad condition."""
    raw = _read_table(spark, source, field) if source.table else _read_files(spark, source, field)
    raw = _filtered(raw, source, field)
    malformed = F.col(_CORRUPT) if _CORRUPT in raw.columns else F.lit(None).cast("string")
    weight = _cell(source.weight_column)
    number = weight.try_cast("double")
    bad_weight = weight.isNotNull() & (number.isNull() | F.isnan(number) | (number < 0) | (number == F.lit(float("inf"))))
    label = F.nullif(F.trim(_cell(source.label_column)), F.lit(""))
    return raw.select(
        _cell(source.text_column).alias("text"),
        _renamed(label, source.rename_labels).alias("label"),
        _cell(source.id_column).alias("source_id"),
        F.col(_FILE).alias("source_file"),
        F.when(~bad_weight, number).alias("prior_weight"),
        F.coalesce(F.make_valid_utf8(malformed), F.when(bad_weight, F.concat(F.lit(f"{source.weight_column}="), weight))).alias(
            "malformed"
        ),
    )


def _read_table(spark: SparkSession, source: SourceConfig, field: str) -> DataFrame:
    try:
        found = spark.table(source.table or "")
        names = found.columns
    except AnalysisException as err:
        raise DataError(f"{field}.table: {source.table!r} cannot be read ({fault_line(err)}); name a table of the catalog") from err
    _check_columns(source, names, f"table {source.table!r}", field)
    return found.withColumn(_FILE, F.lit(None).cast("string"))


def _read_files(spark: SparkSession, source: SourceConfig, field: str) -> DataFrame:
    path = source_path(source, field)
    if path is None:
        raise DataError(f"{field} names no rows; set {field}.path, {field}.table or {field}.package")
    found = list_files(path, field)
    kind = source.format if source.format != "auto" else detect_format(path, found, field)
    names: list[str] | None = None
    reader = spark.read
    if kind in ("csv", "tsv"):
        if found is None:
            raise DataError(f"{field}.path: the header of {path!r} cannot be read here; convert it to Parquet or JSON lines")
        separator = "," if kind == "csv" else "\t"
        names = csv_header(path, found, separator, field)
        reader = reader.options(**_CSV, sep=separator, enforceSchema=str(any(name.startswith("_c") for name in names)).lower())
    elif kind == "jsonl":
        names = json_keys(path, found) if found is not None else None
        reader = reader.options(mode="PERMISSIVE", columnNameOfCorruptRecord=_CORRUPT, encoding="UTF-8")
    if names is not None:
        _check_columns(source, names, repr(path), field)
    try:
        rows = _load(reader, kind, source, names, spark_path(path))
        if names is None and kind != "jsonl":
            _check_columns(source, rows.columns, repr(path), field)
        return rows.withColumn(_FILE, F.col("_metadata.file_path"))
    except (PySparkException, Py4JError) as err:
        raise DataError(f"{field}.path: {path!r} cannot be read as {kind} ({fault_line(err)}); mend the path or {field}.format") from err


def _load(reader: DataFrameReader, kind: str, source: SourceConfig, names: list[str] | None, path: str) -> DataFrame:
    """The rows as the format has them. Text formats get a schema of strings: nothing is inferred."""
    if kind in ("csv", "tsv"):
        return reader.schema(_strings([*(names or []), _CORRUPT])).csv(path)
    if kind == "jsonl":
        return reader.schema(_strings([*_wanted(source), _CORRUPT])).json(path)
    if kind == "text":
        return reader.text(path).select(F.col("value").alias(source.text_column), "_metadata")
    return reader.format(kind).load(path)


def _wanted(source: SourceConfig) -> list[str]:
    """Columns of a JSON source that are read: the named ones and whatever may be a name in the condition."""
    words = re.findall(r"`([^`]+)`|([A-Za-z_]\w*)", re.sub(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"", " ", source.where or ""))
    named = [source.text_column, source.label_column, source.id_column, source.weight_column]
    seen: dict[str, str] = {}
    for name in [*(name for name in named if name), *(quoted or plain for quoted, plain in words)]:
        seen.setdefault(name.lower(), name)
    return list(seen.values())


def _strings(names: list[str]) -> StructType:
    schema = StructType()
    for name in names:
        schema = schema.add(name, StringType())
    return schema


def _check_columns(source: SourceConfig, names: list[str], where: str, field: str) -> None:
    known = {name.lower() for name in names}
    for key in ("text_column", "label_column", "id_column", "weight_column"):
        name = getattr(source, key)
        if name is not None and name.lower() not in known:
            columns = ", ".join(name for name in names if name != "_metadata")
            raise DataError(f"{field}.{key}: no column {name!r} in {where}; it has {columns}")


def _filtered(rows: DataFrame, source: SourceConfig, field: str) -> DataFrame:
    """Applies ``where``; rows that did not parse are kept, since they must be seen in the rejects."""
    if source.where is None:
        return rows
    try:
        condition = F.expr(source.where)
        if _CORRUPT in rows.columns:
            condition = F.coalesce(condition, F.lit(False)) | F.col(_CORRUPT).isNotNull()
        return rows.where(condition)
    except AnalysisException as err:
        raise DataError(f"{field}.where: {source.where!r} is not a condition on the source's columns ({fault_line(err)})") from err


def _cell(name: str | None) -> Column:
    """A source column as text with valid UTF-8; null where none is named."""
    if name is None:
        return F.lit(None).cast("string")
    quoted = name.replace("`", "``")
    return F.make_valid_utf8(F.col(f"`{quoted}`").cast("string"))


def _renamed(label: Column, names: dict[str, str]) -> Column:
    if not names:
        return label
    pairs = [F.lit(part) for old_new in sorted(names.items()) for part in old_new]
    return F.coalesce(F.try_element_at(F.create_map(*pairs), label), label)
