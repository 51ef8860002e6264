"""A read-only view of a lake without Spark: tables as Arrow datasets, in a fraction of a second.

Delta is read by delta-rs, Parquet by Arrow itself; both understand what :mod:`synalign_spark.storage.lake` writes.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from pyarrow import fs

from synalign_spark.errors import LakeError
from synalign_spark.storage.contracts import RUN_ID
from synalign_spark.storage.paths import delta_rs_options, filesystem, local_path, other_format
from synalign_spark.storage.runs import RunStore, run_names
from synalign_spark.storage.tables import TABLES, Table

Row = dict[str, Any]
BATCH_ROWS = 4_096  # of tables that are read in batches: some 100 MB of the longest texts that ingest takes by default


class LakeView:
    """The tables of one lake, as one run sees them."""

    def __init__(self, path: str, format: Literal["delta", "parquet"], run_id: str, tables: Sequence[Table] = TABLES) -> None:
        """path: folder or address; tables: those that are looked at. Raises LakeError where there is no lake, or no such run in it."""
        self.path, self.format, self.run_id = path, format, run_id
        with _faults_named(path):
            self._files, self._root = filesystem(path)
            if self._files.get_file_info(self._root).type != fs.FileType.Directory:
                raise LakeError(f"lake.path: there is no lake at {path!r}; make one with `synalign run` or name another folder")
            self._stored = {table.name: stored for table in tables if (stored := self._open(table)) is not None}
        if not self.rows() and not self.manifest():
            runs = self.runs()
            known = f"it holds {', '.join(runs)}" if runs else "it holds no run yet"
            raise LakeError(f"run.id: {run_id!r} is not in lake.path {path!r}; {known}")

    def runs(self) -> list[str]:
        """Every run that has a manifest or rows in this lake, by name."""
        with _faults_named(self.path):
            names = set(run_names(self.path))
            for stored in self._stored.values():
                names |= {
                    keys[RUN_ID] for part in stored.get_fragments() if RUN_ID in (keys := ds.get_partition_keys(part.partition_expression))
                }
        return sorted(names)

    def manifest(self) -> dict[str, Row]:
        """Entries of the finished steps, in the order they finished; empty where none is. Raises LakeError for a damaged file."""
        return RunStore(self.path, self.run_id, writable=False).manifest()

    def rows(self) -> dict[str, int]:
        """Rows of this run by table, in the order of the flow; tables without any are left out. Counted from metadata."""
        with _faults_named(self.path):
            counts = {name: stored.count_rows(filter=self._of_run) for name, stored in self._stored.items()}
        return {name: n for name, n in counts.items() if n}

    def count(self, table: Table, scope: Mapping[str, str]) -> int:
        """Rows of this run in a table, of those with the values of ``scope`` that the table has; from metadata."""
        if table.name not in self._stored:
            return 0
        condition = self._of_run
        for name, value in scope.items():
            if name in table.scope:
                condition &= ds.field(name) == value
        with _faults_named(self.path):
            return int(self._stored[table.name].count_rows(filter=condition))

    def fetch(self, table: Table, key: str, values: list[str], columns: list[str]) -> list[Row]:
        """Rows whose column ``key`` is one of ``values`` (few); none where the table is missing."""
        if table.name not in self._stored:
            return []
        condition = self._of_run & ds.field(key).isin(values)
        with _faults_named(self.path):
            found = self._stored[table.name].to_table(columns=columns, filter=condition)
        return _plain(found)

    def starting_with(self, table: Table, key: str, prefix: str, columns: list[str]) -> list[Row]:
        """Rows whose text column ``key`` begins with ``prefix`` (which few do); none where the table is missing."""
        if table.name not in self._stored:
            return []
        condition = self._of_run & pc.starts_with(ds.field(key), pattern=prefix)
        with _faults_named(self.path):
            return _plain(self._stored[table.name].to_table(columns=columns, filter=condition))

    def read(self, table: Table) -> list[Row]:
        """All rows of a table of parameter size (a certificate, metrics); none where it is missing."""
        return _plain(self.to_arrow(table)) if table.name in self._stored else []

    def to_arrow(self, table: Table) -> pa.Table:
        """All rows of this run, with the contract's columns. Raises LakeError where no run has written the table."""
        if table.name not in self._stored:
            raise LakeError(f"table '{table.name}' is not in the lake {self.path!r}; run the {table.producer} stage first")
        with _faults_named(self.path):
            return self._stored[table.name].to_table(columns=list(table.column_names), filter=self._of_run)

    def batches(self, table: Table, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """The rows of this run in the order of the files, some thousands at a time, few of them in memory at once; none where the
        table is missing."""
        if table.name not in self._stored:
            return
        with _faults_named(self.path):
            read = self._stored[table.name].to_batches(
                columns=list(columns), filter=self._of_run, batch_size=BATCH_ROWS, batch_readahead=2, fragment_readahead=2
            )
            yield from (batch for batch in read if len(batch))

    def head(self, table: Table, n: int, columns: list[str]) -> list[Row]:
        """Some n rows, whichever come first; fewer where there are fewer, none where the table is missing."""
        if table.name not in self._stored:
            return []
        with _faults_named(self.path):
            return _plain(self._stored[table.name].head(n, columns=columns, filter=self._of_run))

    def largest(self, table: Table, by: str, n: int, columns: list[str], ties: Sequence[str] = ("doc_id",)) -> list[Row]:
        """The n rows with the largest ``by``, ties by rising ``ties``. One pass over the file batches; n rows are kept."""
        if table.name not in self._stored or n < 1:
            return []
        order = [(by, "descending"), *((name, "ascending") for name in ties)]
        with _faults_named(self.path):
            batches = self._stored[table.name].to_batches(columns=columns, filter=self._of_run)
            first = next(batches, None)
            if first is None:  # another run wrote the table, this one did not
                return []
            kept = pa.Table.from_batches([first])
            for batch in batches:
                kept = pa.concat_tables([kept.sort_by(order).slice(0, n), pa.Table.from_batches([batch])])
        return _plain(kept.sort_by(order).slice(0, n))

    @property
    def _of_run(self) -> Any:
        return ds.field(RUN_ID) == self.run_id

    def _open(self, table: Table) -> ds.Dataset | None:
        """The stored table, or None where no run has written it. Raises LakeError for the other format."""
        children = self._children(table.name)
        if not children:
            return None
        stored = "delta" if "_delta_log" in children else "parquet"
        if stored != self.format:
            raise other_format(table.name, self.path, stored)
        if self.format == "delta":
            from deltalake import DeltaTable

            address = f"{self.path.rstrip('/')}/{table.name}"
            return DeltaTable(str(local_path(address) or address), storage_options=delta_rs_options()).to_pyarrow_dataset()
        # Names of runs and scopes are text, even where one looks like a number.
        parts = ds.partitioning(pa.schema([(name, pa.string()) for name in (RUN_ID, *table.scope)]), flavor="hive")
        found = ds.dataset(f"{self._root}/{table.name}", filesystem=self._files, format="parquet", partitioning=parts)
        # Only runs that wrote no row: there is no file to learn the columns from.
        return found if set(table.column_names) <= set(found.schema.names) else None

    def _children(self, name: str) -> list[str]:
        selector = fs.FileSelector(f"{self._root}/{name}", allow_not_found=True)
        return [info.base_name for info in self._files.get_file_info(selector)]


def _plain(table: pa.Table) -> list[Row]:
    """Rows as dictionaries; a map becomes a dictionary."""
    rows: list[Row] = table.to_pylist(maps_as_pydicts="lossy")
    return rows


@contextlib.contextmanager
def _faults_named(path: str) -> Iterator[None]:
    """Whatever a store or a reader raises becomes a LakeError that names the lake."""
    try:
        yield
    except LakeError:
        raise
    except Exception as err:  # delta-rs, Arrow and each store have their own families of exceptions
        raise LakeError(
            f"lake.path: {path!r} cannot be read ({type(err).__name__}: {err}); check the address, your rights, and the table's files"
        ) from err
