"""The lake's tables by name: external tables of a schema in the session's catalog, over the folders of the lake.

The folders stay what counts: a write appears under the name as it appears in the folder, whole or not at all, and who drops
the name loses no row.
"""

import re
from collections.abc import Iterable

from py4j.protocol import Py4JError
from pyspark.errors import PySparkException

from synalign_spark.errors import LakeError
from synalign_spark.sql_names import details, quoted_name, text_literal
from synalign_spark.storage.contracts import RUN_ID, RUN_ID_DOC, Table
from synalign_spark.storage.lake import Lake
from synalign_spark.storage.paths import fault_line

SESSION_CATALOG = "spark_catalog"
_FAULTS = (PySparkException, Py4JError)
_NOT_THERE = ("TABLE_OR_VIEW_NOT_FOUND", "DELTA_TABLE_NOT_FOUND")


class CatalogTables:
    """The tables of one lake in one schema of a catalog."""

    def __init__(self, lake: Lake, schema: str, catalog: str | None = None, prefix: str = "") -> None:
        """schema: that is there; catalog: None for the session's present one; prefix: of the tables' names.

        Raises LakeError for a schema that the session does not see."""
        self._lake, self._spark, self._prefix, self._catalog = lake, lake.spark, prefix, catalog
        self.schema = ".".join(quoted_name(part) for part in (catalog, schema) if part)
        try:
            self._spark.sql(f"DESCRIBE SCHEMA {self.schema}").collect()
        except _FAULTS as err:
            raise LakeError(
                f"lake.schema: this session sees no schema {self.schema} ({fault_line(err)}); make it (CREATE SCHEMA {self.schema}), or name "
                "another one in lake.catalog and lake.schema"
            ) from err

    @property
    def lasting(self) -> bool:
        """Whether the names are still there when the session has ended."""
        if (self._catalog or self._spark.catalog.currentCatalog()) != SESSION_CATALOG:
            return True
        return self._spark.conf.get("spark.sql.catalogImplementation", "in-memory") == "hive"

    def name(self, table: Table) -> str:
        """The quoted name of a table."""
        return f"{self.schema}.{quoted_name(self._prefix + table.name)}"

    def require_free(self, tables: Iterable[Table]) -> None:
        """Raises LakeError where a name that is to be used is that of something else."""
        for table in tables:
            self._found(table)

    def register(self, tables: Iterable[Table]) -> None:
        """Gives those of the tables that the lake has their names, with what the contracts say of them; a name that is there already is
        brought up to date. Raises LakeError where the catalog does not take it."""
        for table in tables:
            if self._lake.has_table(table):
                self._register(table)

    def _register(self, table: Table) -> None:
        name, place = self.name(table), text_literal(self._lake.table_path(table))
        found = self._found(table)
        if self._lake.format == "delta":
            if found is None:
                self._sql(table, f"CREATE TABLE IF NOT EXISTS {name} USING delta LOCATION {place}")
            if (found or self._found(table) or {}).get("Comment") != table.doc:
                self._sql(table, f"COMMENT ON TABLE {name} IS {text_literal(table.doc)}")
            return
        if found is None:
            parts = ", ".join(quoted_name(part) for part in (RUN_ID, *table.scope))
            self._sql(
                table,
                f"CREATE TABLE IF NOT EXISTS {name} ({_columns(table)}) USING parquet PARTITIONED BY ({parts}) "
                f"LOCATION {place} COMMENT {text_literal(table.doc)}",
            )
        self._sql(table, f"MSCK REPAIR TABLE {name} SYNC PARTITIONS")
        self._sql(table, f"REFRESH TABLE {name}")

    def _found(self, table: Table) -> dict[str, str] | None:
        """What the catalog says of the name; None where it is free. Raises LakeError where it is of something else than this lake's table."""
        try:
            rows = self._spark.sql(f"DESCRIBE TABLE EXTENDED {self.name(table)}").collect()
        except _FAULTS as err:
            if any(kind in str(err) for kind in _NOT_THERE):
                return None
            raise self._refused(table, err) from err
        found = details(map(tuple, rows))
        place = found.get("Location", "")
        if _place(place) != _place(self._lake.table_path(table)):
            what = f"lies in {place!r}" if place else "is a view"
            raise LakeError(
                f"lake.schema: {self.name(table)} is there already and {what}, which is not the lake {self._lake.path!r}; set lake.prefix, "
                "or name another schema"
            )
        return found

    def _sql(self, table: Table, statement: str) -> None:
        try:
            self._spark.sql(statement)
        except _FAULTS as err:
            raise self._refused(table, err) from err

    def _refused(self, table: Table, err: Exception) -> LakeError:
        return LakeError(
            f"lake.schema: the catalog does not take {self.name(table)} ({fault_line(err)}); the rows are in {self._lake.path!r}: mend it and start "
            "the run again, or leave lake.schema out"
        )


def _columns(table: Table) -> str:
    columns = [(RUN_ID, "string", RUN_ID_DOC), *((column.name, column.dtype, column.doc) for column in table.columns)]
    return ", ".join(f"{quoted_name(name)} {dtype} COMMENT {text_literal(doc)}" for name, dtype, doc in columns)


def _place(address: str) -> str:
    """An address as it can be compared.

    >>> _place("file:/a/b/"), _place("file:///a/b"), _place("/a/b"), _place("s3a://x/y")
    ('/a/b', '/a/b', '/a/b', 's3a://x/y')
    """
    return re.sub(r"^file:/+", "/", address).rstrip("/")
