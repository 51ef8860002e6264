"""The weights of synthetic rows by their ids, on this machine's disk: memory does not grow with the rows."""

import sqlite3
from collections.abc import Sequence
from types import TracebackType

import pyarrow as pa

from synalign_spark.errors import LakeError
from synalign_spark.storage import tables

UNNAMED = ""  # sqlite's name of a file in the folder for temporary files (TMPDIR) that goes with its connection
CACHE_KIB = 65_536
ASKED_AT_ONCE = 5_000  # ids in one question; sqlite takes 32,766


class WeightIndex:
    """Rows of ``weights`` by doc_id, for the length of a ``with`` block. columns: those that are kept beside the id."""

    def __init__(self, columns: Sequence[str]) -> None:
        self._types = {name: tables.WEIGHTS.arrow.field(name).type for name in columns}

    def __enter__(self) -> "WeightIndex":
        self._db = sqlite3.connect(UNNAMED, isolation_level=None)
        for setting in ("journal_mode = OFF", "synchronous = OFF", f"cache_size = -{CACHE_KIB}"):
            self._db.execute(f"PRAGMA {setting}")
        self._db.execute(f"CREATE TABLE weights (doc_id TEXT PRIMARY KEY, {', '.join(self._types)}) WITHOUT ROWID")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._db.close()

    def add(self, batch: pa.RecordBatch) -> None:
        """batch: rows with doc_id and the columns. Raises LakeError for an id twice, or where the disk is full."""
        rows = zip(*(batch[name].to_pylist() for name in ("doc_id", *self._types)), strict=True)
        try:
            self._db.execute("BEGIN")
            self._db.executemany(f"INSERT INTO weights VALUES (?{', ?' * len(self._types)})", rows)
            self._db.execute("COMMIT")
        except sqlite3.Error as err:
            raise LakeError(
                f"the weights cannot be put in order by id ({err}); free space in the folder for temporary files (TMPDIR)"
            ) from err

    def of(self, ids: pa.Array) -> dict[str, pa.Array]:
        """The columns of the rows with these ids, in the order of the ids. Raises LakeError for an id without a weight."""
        asked = ids.to_pylist()
        found: dict[str, tuple[object, ...]] = {}
        for start in range(0, len(asked), ASKED_AT_ONCE):
            part = asked[start : start + ASKED_AT_ONCE]
            marks = ", ".join("?" * len(part))
            found |= {row[0]: row[1:] for row in self._db.execute(f"SELECT * FROM weights WHERE doc_id IN ({marks})", part)}
        if lost := [doc_id for doc_id in asked if doc_id not in found]:
            raise LakeError(f"synthetic row {lost[0]!r} has no weight; the tables do not belong together: run `synalign run --redo`")
        rows = [found[doc_id] for doc_id in asked]
        return {name: pa.array([row[i] for row in rows], kind) for i, (name, kind) in enumerate(self._types.items())}
