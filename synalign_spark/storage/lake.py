"""Reads and writes the contracts of :mod:`synalign_spark.storage.tables` as Delta or Parquet.

A write appears whole or not at all and replaces what the same run (and scope) wrote before, so every
job can be repeated. ``run_id`` is added here on writing and filtered on and dropped on reading.
Parquet becomes visible by one rename of a folder; Delta by one commit.
"""

import os
import random
import re
import time
from collections.abc import Callable
from typing import Any, Literal

from pyarrow import fs
from pyspark.errors import AnalysisException, PySparkException
from pyspark.sql import Column as SparkColumn
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from synalign_spark.compat import schema_of
from synalign_spark.errors import ContractError, LakeError
from synalign_spark.spark_errors import failure_in, marked, told_error
from synalign_spark.spark_jobs import detailed
from synalign_spark.storage.contracts import RUN_ID, RUN_ID_DOC
from synalign_spark.storage.paths import fault_line, filesystem, local_path, scheme, spark_path
from synalign_spark.storage.stored_files import refuse_other_format
from synalign_spark.storage.tables import Table

# Folders of other stores are not renamed in one step, so a Parquet table there could be seen half-written.
RENAMING_SCHEMES = ("file", "hdfs", "viewfs", "abfs", "abfss")
NO_DELTA = ("PATH_NOT_FOUND", "DELTA_PATH_DOES_NOT_EXIST", "DELTA_TABLE_NOT_FOUND")  # conditions of a read where no Delta table is
DAMAGED_LOG = ("DELTA_STATE_RECOVER_ERROR", "DELTA_TRUNCATED_TRANSACTION_LOG", "DELTA_VERSIONS_NOT_CONTIGUOUS", "DELTA_LOG_FILE_NOT_FOUND")
DAMAGED_LOG_FIX = (
    "the table's _delta_log is damaged: bring its files back from a copy, or delete the table's folder, which is of all runs of the lake, and start "
    "again: the stage that writes it runs anew"
)
COMMIT_ATTEMPTS, COMMIT_PAUSE_S = 5, 0.2  # that cross those of other runs
# Run ids and scope values stand in folder names and SQL; nothing in them ever needs escaping.
_PLAIN = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")


class Lake:
    """The tables of one lake, as one run sees them."""

    def __init__(
        self,
        spark: SparkSession,
        path: str,
        format: Literal["delta", "parquet"],
        run_id: str,
        read_of: Callable[[Table], None] = lambda table: None,
    ) -> None:
        """path: folder or address; format: 'delta' or 'parquet'; read_of: hears of each table whose rows are read.

        Raises LakeError for Parquet on a store without renames, and for a Delta store that Spark cannot reach."""
        if format == "parquet" and scheme(path) not in RENAMING_SCHEMES:
            raise LakeError(
                f"lake.format 'parquet' needs a file system that renames folders, got lake.path {path!r}; set lake.format to 'delta'"
            )
        self.spark, self.path, self.format, self.run_id = spark, path, format, _plain(RUN_ID, run_id)
        self._read_of = read_of
        if format == "delta" and local_path(path) is None:
            self._reach()

    def read(self, table: Table, **scope: str) -> DataFrame:
        """Rows of this run (and scope), with the contract's columns in the contract's order; no ``run_id``.

        A run that wrote no rows reads as empty. Raises LakeError where the table does not exist,
        ContractError where a stored column is missing or of another type."""
        self._read_of(table)
        return self._own(table, scope)

    def _own(self, table: Table, scope: dict[str, str]) -> DataFrame:
        stored = self._stored(table, only_this_run=True)
        for name, value in self._scope(table, scope).items():
            stored = stored.where(F.col(name) == F.lit(value))
        return stored.where(F.col(RUN_ID) == F.lit(self.run_id)).select(*table.column_names)

    def read_all_runs(self, table: Table) -> DataFrame:
        """Rows of every run: ``run_id``, then the contract's columns. Raises as ``read`` does."""
        self._read_of(table)
        return self._stored(table, only_this_run=False).select(RUN_ID, *table.column_names)

    def exists(self, table: Table, **scope: str) -> bool:
        """Whether this run (and scope) has at least one row in the table."""
        return self.has_table(table) and not self._own(table, scope).isEmpty()

    def has_table(self, table: Table) -> bool:
        """Whether any run has written the table."""
        refuse_other_format(table.name, self.path, self.format)
        if self.format == "delta":
            return _is_delta(self.spark, self.table_path(table))
        files, root = filesystem(f"{self.path}/{table.name}")
        return bool(files.get_file_info(root).type == fs.FileType.Directory)

    def write(self, table: Table, df: DataFrame, **scope: str) -> None:
        """Replaces the rows of this run (and scope) by ``df``, whole or not at all.

        df: the contract's columns in any order; a scope column may be left out where its value is given.
        Raises ContractError for wrong columns, types, nulls or scope values, LakeError for a lake that
        cannot be written. After any error the old rows are still there."""
        chosen = self._scope(table, scope)
        rows = self._conforming(table, df, chosen)
        self._check_writable(table)
        try:
            with detailed(self.spark, f"writing {table.name}"):
                if self.format == "delta":
                    self._write_delta_beside_others(table, rows, chosen)
                else:
                    self._write_parquet(table, rows, chosen)
        except Exception as err:
            failure = failure_in(err)  # a broken contract, or what a UDF raised on a worker
            if failure is not None and failure.error is not None:
                raise failure.error from err
            told = told_error(err, f"table {table.name}", dict.fromkeys(DAMAGED_LOG, DAMAGED_LOG_FIX))
            if told is None:
                raise
            raise told from err

    def _write_delta_beside_others(self, table: Table, rows: DataFrame, scope: dict[str, str]) -> None:
        """Other runs write other rows of the same table, and the first of all makes it: where two commits cross, one is made again."""
        for attempt in range(COMMIT_ATTEMPTS):
            try:
                return self._write_delta(table, rows, scope)
            except _crossed_kinds() as err:
                crossed = err
                time.sleep(COMMIT_PAUSE_S * 2**attempt * random.uniform(0.5, 1.5))
        raise LakeError(
            f"table {table.name}: others wrote the table at the same time, {COMMIT_ATTEMPTS} times in a row ({fault_line(crossed)}); start the "
            "run again: what is done stays done"
        ) from crossed

    def _reach(self) -> None:
        """Spark has its own client for each store: that it lacks one should be known before any work."""
        try:
            _is_delta(self.spark, self.path)
        except Exception as err:  # py4j's, Spark's, or the store's own kind
            raise LakeError(
                f"lake.path: Spark cannot reach {self.path!r} ({fault_line(err)}); name the store's jars in spark.conf (spark.jars.packages) "
                "or put them in the folder lake.jars; its other settings belong in spark.conf, its keys in the environment"
            ) from err

    def table_path(self, table: Table) -> str:
        """Where a table lies, as Spark reads it."""
        return f"{spark_path(self.path)}/{table.name}"

    def _scope(self, table: Table, scope: dict[str, str]) -> dict[str, str]:
        """The given scope in the table's order, checked."""
        unknown = set(scope) - set(table.scope)
        if unknown:
            raise ContractError(f"table {table.name} has no scope column {sorted(unknown)}; it has {list(table.scope)}")
        return {name: _plain(name, scope[name]) for name in table.scope if name in scope}

    def _schema(self, table: Table) -> StructType:
        return schema_of(self.spark, table.ddl)

    def _conforming(self, table: Table, df: DataFrame, scope: dict[str, str]) -> DataFrame:
        """The rows as they are stored, in the contract's order; rows that break the contract fail the write."""
        for name, only in scope.items():
            if name not in df.columns:
                df = df.withColumn(name, F.lit(only))
        extra = [name for name in df.columns if name not in table.column_names]
        if extra:
            raise ContractError(
                f"table {table.name}: columns {extra} are not in its contract; drop them (it has {', '.join(table.column_names)})"
            )
        _check_types(table, self._schema(table), df.schema, "the rows to write")
        columns = [_commented(F.lit(self.run_id), RUN_ID, RUN_ID_DOC)]
        for column in table.columns:
            value = F.col(f"`{column.name}`")
            if not column.nullable:
                value = F.coalesce(value, _fail(f"table {table.name}: column {column.name} is null in some row, and must not be"))
            columns.append(_commented(value, column.name, column.doc))
        for name, only in scope.items():
            message = f"table {table.name}: column {name} must be '{only}' in every row of this write, got another value"
            df = df.where(F.when(F.col(name) == F.lit(only), F.lit(True)).otherwise(_fail(message)))
        return df.select(*columns)

    def _stored(self, table: Table, only_this_run: bool) -> DataFrame:
        if not self.has_table(table):
            raise LakeError(f"table '{table.name}' is not in the lake {self.path!r}; run the {table.producer} stage first")
        if self.format == "delta":
            stored = self.spark.read.format("delta").load(self.table_path(table))
            _check_types(table, self._schema(table), stored.schema, f"the lake {self.path!r}")
            return stored
        return self._stored_parquet(table, only_this_run)

    def _stored_parquet(self, table: Table, only_this_run: bool) -> DataFrame:
        schema = schema_of(self.spark, f"`{RUN_ID}` string, {table.ddl}")
        root = self.table_path(table)
        folder = f"{root}/{RUN_ID}={self.run_id}" if only_this_run else root
        reader = self.spark.read.option("basePath", root)
        try:
            found = reader.parquet(folder).schema
        except AnalysisException as err:
            if "UNABLE_TO_INFER_SCHEMA" in str(err) or "PATH_NOT_FOUND" in str(err):
                return self.spark.createDataFrame([], schema)
            raise
        _check_types(table, self._schema(table), found, f"the lake {self.path!r}", ignore_types=table.scope)
        # With the schema given, a run id such as '007' is not read as a number.
        return reader.schema(schema).parquet(folder)

    def _check_writable(self, table: Table) -> None:
        refuse_other_format(table.name, self.path, self.format)
        root = local_path(self.path)
        if root is not None:
            check_folder(root)

    def _write_delta(self, table: Table, rows: DataFrame, scope: dict[str, str]) -> None:
        path = self.table_path(table)
        if _is_delta(self.spark, path):
            _check_types(table, self._schema(table), self.spark.read.format("delta").load(path).schema, f"the lake {self.path!r}")
        replaced = " AND ".join(f"{name} = '{value}'" for name, value in {RUN_ID: self.run_id, **scope}.items())
        writer = rows.write.format("delta").mode("overwrite").option("replaceWhere", replaced)
        writer.partitionBy(RUN_ID, *table.scope).save(path)

    def _write_parquet(self, table: Table, rows: DataFrame, scope: dict[str, str]) -> None:
        """Writes to a hidden folder beside the target and renames it: readers see the old rows or the new ones."""
        files, root = filesystem(f"{self.path}/{table.name}")
        place = "/".join(f"{name}={value}" for name, value in {RUN_ID: self.run_id, **scope}.items())
        flat = place.replace("/", "-")
        hidden, old = f"{root}/_staging-{flat}", f"{root}/_old-{flat}"
        for leftover in (hidden, old):  # no two processes write the same run, so it is from a killed one
            _remove(files, leftover)
        try:
            inner = [name for name in table.scope if name not in scope]
            writer = rows.drop(RUN_ID, *scope).write.mode("overwrite")
            (writer.partitionBy(*inner) if inner else writer).parquet(f"{self.table_path(table)}/{os.path.basename(hidden)}")
            _swap(files, hidden, f"{root}/{place}", old)
        finally:
            _remove(files, hidden)


def check_folder(folder: Any) -> None:
    """Makes a local folder of the lake. Raises LakeError where it cannot be made or written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise LakeError(f"lake.path: {str(folder)!r} cannot be made ({err.strerror}); name a folder that you may write") from err
    if not os.access(folder, os.W_OK | os.X_OK):
        raise LakeError(f"lake.path: {str(folder)!r} is not writable; change its permissions or name another folder")


def _plain(name: str, value: str) -> str:
    if not isinstance(value, str) or not _PLAIN.match(value):
        raise ContractError(f"{name} must be letters, digits, '_', '.' or '-', at most 64, starting with a letter or digit; got {value!r}")
    return value


def _commented(value: SparkColumn, name: str, doc: str) -> SparkColumn:
    """A column of that name; what it means goes with it into the table."""
    return value.alias(name, metadata={"comment": doc})


def _fail(message: str) -> Any:
    """An expression that fails the Spark job; its void type fits beside any column."""
    return F.raise_error(F.lit(marked(ContractError(message))))


def _check_types(table: Table, wanted: StructType, got: StructType, where: str, ignore_types: tuple[str, ...] = ()) -> None:
    """Raises ContractError for the first missing column or other type; nullability and order do not count."""
    types = {field.name: field.dataType.simpleString() for field in got.fields}
    for field in wanted.fields:
        expected = field.dataType.simpleString()
        if field.name not in types:
            raise ContractError(
                f"table {table.name}: column {field.name} ({expected}) is missing in {where}, which has {', '.join(types) or 'no columns'}"
            )
        if types[field.name] != expected and field.name not in ignore_types:
            raise ContractError(f"table {table.name}: column {field.name} must be {expected}, got {types[field.name]} in {where}; cast it")


def _remove(files: fs.FileSystem, folder: str) -> None:
    if files.get_file_info(folder).type == fs.FileType.Directory:
        files.delete_dir(folder)


def _swap(files: fs.FileSystem, new: str, target: str, old: str) -> None:
    """Puts the folder ``new`` in the place of ``target``; what was there is removed after the rename."""
    files.create_dir(os.path.dirname(target), recursive=True)
    if files.get_file_info(target).type != fs.FileType.NotFound:
        files.move(target, old)
    files.move(new, target)
    _remove(files, old)


def _is_delta(spark: SparkSession, path: str) -> bool:
    if type(spark).__module__.startswith(
        "pyspark.sql.connect"
    ):  # whose server has Delta's own commands only where it was started with them
        try:
            return bool(spark.read.format("delta").load(path).schema is not None)
        except AnalysisException as err:
            if err.getCondition() in NO_DELTA:
                return False
            raise
    from delta.tables import DeltaTable  # late: lakes of Parquet do without

    return bool(DeltaTable.isDeltaTable(spark, path))


def _crossed_kinds() -> tuple[type[PySparkException], ...]:
    """Every kind of commit that another one has crossed; they have no common base."""
    from delta import exceptions

    return tuple(kind for kind in vars(exceptions).values() if isinstance(kind, type) and issubclass(kind, PySparkException))
