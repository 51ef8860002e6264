"""What tells whether the rows of a source are still those that a step has read, without reading them."""

import hashlib
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

from py4j.protocol import Py4JError
from pyarrow import fs
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from synalign_spark.config import SourceConfig
from synalign_spark.errors import DataError
from synalign_spark.spark.source_delta import KEEPS_ROWS, last_change, log_files
from synalign_spark.spark.source_files import list_files, source_path
from synalign_spark.spark.source_tables import read_named
from synalign_spark.sql_names import details, quoted_table
from synalign_spark.storage.paths import STORE_FAULTS, filesystem

MOST_FILES_ASKED = 1_000  # for size and time; of more the names tell
COMMITS_LOOKED_AT = 1_000  # of a table's history, newest first
_FAULTS = (PySparkException, Py4JError)


def source_fingerprint(source: SourceConfig, field: str = "source", session: Callable[[], SparkSession] | None = None) -> str:
    """Changes where rows of the source may have.

    Files are known by names, sizes and times, and none is opened; a Delta table by its last commit that changed rows, so that OPTIMIZE is
    no change, and an Iceberg table by its last snapshot that did. Other tables, views and queries are known by their text and by the
    files that Spark would read; where these are not to be told (a temporary view of rows in memory, JDBC), by name alone. A source of a
    fixed version or time is known by that.

    session: gives the Spark session; asked for only where the source is in the catalog. Raises DataError where there is nothing."""
    if source.version is not None or source.timestamp is not None:
        parts: list[Any] = [[source.place, source.version, source.timestamp]]
        if source.path is not None:
            list_files(source.path, field)
    elif source.in_catalog:
        if session is None:
            raise DataError(f"{field}: {source.place!r} is known to a Spark session alone; give one")
        parts = _of_catalog(session(), source, field)
    else:
        parts = _of_files(source, field)
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _of_files(source: SourceConfig, field: str) -> list[Any]:
    path = source_path(source, field)
    found = list_files(path, field) if path is not None else None
    if found is None:
        return [[path]]
    if source.format in ("auto", "delta") and (log := log_files(found)) and (change := last_change(filesystem(path or "")[0], log)):
        return [[path, change]]
    return [[info.path, info.size, info.mtime_ns] for info in found]


def _of_catalog(spark: SparkSession, source: SourceConfig, field: str) -> list[Any]:
    rows = read_named(spark, source, field)
    text: str | None = None
    if source.table is not None:
        name = quoted_table(source.table)
        if version := _delta_version(spark, name) or _iceberg_snapshot(spark, name):
            return [[source.table, *version]]
        text = _described(spark, name).get("View Text")
    try:
        files = sorted(rows.inputFiles())
    except _FAULTS:  # what Spark cannot plan without reading
        files = []
    return [[source.place, text, rows.schema.simpleString()], *_seen(files)]


def _delta_version(spark: SparkSession, name: str) -> list[Any] | None:
    """Id and version of the last commit that changed rows; None for what is no Delta table."""
    try:
        detail = spark.sql(f"DESCRIBE DETAIL {name}").first()  # one row
        if detail is None or detail["format"] != "delta":
            return None
        history = spark.sql(f"DESCRIBE HISTORY {name} LIMIT {COMMITS_LOOKED_AT}").select("version", "operation").collect()
    except _FAULTS:  # a view, a session without Delta, no right to the history
        return None
    changed = [row["version"] for row in history if row["operation"] not in KEEPS_ROWS]
    return [detail["id"], max(changed)] if changed else [detail["id"], "before", min(row["version"] for row in history)]


def _iceberg_snapshot(spark: SparkSession, name: str) -> list[Any] | None:
    """The last snapshot that changed rows (compaction is 'replace'); None for what is no Iceberg table."""
    if _described(spark, name).get("Provider") != "iceberg":
        return None
    try:
        found = spark.sql(
            f"SELECT snapshot_id FROM {name}.snapshots WHERE operation <> 'replace' ORDER BY committed_at DESC LIMIT 1"
        ).first()
    except _FAULTS:
        return None
    return ["no snapshot" if found is None else found["snapshot_id"]]


def _described(spark: SparkSession, name: str) -> dict[str, str]:
    """What the catalog says of a table beside its columns; empty for a temporary view."""
    try:
        return details(map(tuple, spark.sql(f"DESCRIBE TABLE EXTENDED {name}").collect()))
    except _FAULTS:
        return {}


def _seen(files: list[str]) -> list[Any]:
    """Names, and of a thousand at most their sizes and times where they can be looked at: files may be rewritten under their names."""
    if not files or len(files) > MOST_FILES_ASKED:
        return list(files)
    try:
        places = [filesystem(unquote(file)) for file in files]
        infos = [store.get_file_info(inside) for store, inside in places]
    except STORE_FAULTS:
        return list(files)
    return [[file, info.size, info.mtime_ns] if info.type == fs.FileType.File else file for file, info in zip(files, infos, strict=True)]
