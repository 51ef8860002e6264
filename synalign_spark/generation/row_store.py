"""Rows of a table that grows for hours: in memory only the last of them, the others on this machine's disk."""

import tempfile
import weakref
from pathlib import Path
from typing import Any

import pyarrow as pa

from synalign_spark.generation.seen import cannot_keep
from synalign_spark.storage.contracts import Table

BATCH_ROWS = 1_000


class RowStore:
    """Rows of one contract in the order in which they were added. Fewer than a batch never touch the disk.

    The file lies in the folder for temporary files (TMPDIR) and goes with the store, or with the table that was made of it."""

    def __init__(self, contract: Table) -> None:
        self._contract = contract
        self._batch: list[dict[str, Any]] = []
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._writer: pa.ipc.RecordBatchStreamWriter | None = None
        self._stored = 0

    def __len__(self) -> int:
        return self._stored + len(self._batch)

    def add(self, row: dict[str, Any]) -> None:
        """Takes a row of the contract. Raises LakeError where the disk is full."""
        self._batch.append(row)
        if len(self._batch) >= BATCH_ROWS:
            self._flush()

    def table(self) -> pa.Table:
        """All rows, which the store then forgets; those on the disk are read from there, when they are used."""
        last = pa.Table.from_pylist(self._batch, schema=self._contract.arrow)
        self._batch, self._stored = [], 0
        if self._writer is None or self._folder is None:
            return last
        writer, folder, self._writer, self._folder = self._writer, self._folder, None, None
        for batch in last.to_batches():
            writer.write_batch(batch)
        writer.close()
        found = pa.ipc.open_stream(pa.memory_map(str(Path(folder.name) / "rows.arrow"))).read_all()
        weakref.finalize(found, folder.cleanup)
        return found

    def _flush(self) -> None:
        try:
            if self._writer is None:
                self._folder = tempfile.TemporaryDirectory(prefix=f"synalign-{self._contract.name}-")
                self._writer = pa.ipc.new_stream(str(Path(self._folder.name) / "rows.arrow"), self._contract.arrow)
            self._writer.write_batch(pa.RecordBatch.from_pylist(self._batch, schema=self._contract.arrow))
        except OSError as err:
            raise cannot_keep(f"rows of {self._contract.name}", err) from err
        self._stored += len(self._batch)
        self._batch = []
