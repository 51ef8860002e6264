"""What a run remembers of every row, in files without a name on this machine's disk: memory does not grow with the rows."""

import contextlib
import mmap
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from synalign_spark.core.grams import UInt64Array
from synalign_spark.errors import LakeError

# SQLite keeps a database without a name in the folder for temporary files once it is larger than CACHE_KB, and removes it with the connection.
UNNAMED = ""
CACHE_KB = 1_024
RowNumbers = npt.NDArray[np.uint32]


def cannot_keep(what: str, err: Exception) -> LakeError:
    """The error where the disk for temporary files takes no more."""
    return LakeError(
        f"generate: {what} cannot be kept in {tempfile.gettempdir()!r} ({err}); make room there, or name another folder in the environment "
        "variable TMPDIR; stored answers are kept, start the run again to go on"
    )


class KeySet:
    """A set of byte strings.

    >>> seen = KeySet()
    >>> seen.add(b"a"), seen.add(b"a"), b"a" in seen, b"b" in seen, len(seen)
    (True, False, True, False, 1)
    """

    def __init__(self) -> None:
        self._db = _unnamed("CREATE TABLE keys (key BLOB PRIMARY KEY) WITHOUT ROWID")
        self._n = 0

    def __len__(self) -> int:
        return self._n

    def __contains__(self, key: bytes) -> bool:
        with _keeping("what it remembers of rows"):
            return self._db.execute("SELECT 1 FROM keys WHERE key = ?", (key,)).fetchone() is not None

    def add(self, key: bytes) -> bool:
        """Whether it is new. Raises LakeError where the disk is full."""
        with _keeping("what it remembers of rows"):
            new = self._db.execute("INSERT OR IGNORE INTO keys VALUES (?)", (key,)).rowcount == 1
        self._n += new
        return new


class TextList:
    """Texts by their number.

    >>> texts = TextList()
    >>> texts.append("a"), texts.append("b"), texts[1], len(texts)
    (None, None, 'b', 2)
    """

    def __init__(self) -> None:
        self._db = _unnamed("CREATE TABLE texts (place INTEGER PRIMARY KEY, text TEXT)")
        self._n = 0

    def __len__(self) -> int:
        return self._n

    def __getitem__(self, place: int) -> str:
        """Raises IndexError where there is none."""
        with _keeping("accepted rows"):
            found = self._db.execute("SELECT text FROM texts WHERE place = ?", (int(place),)).fetchone()
        if found is None:
            raise IndexError(place)
        return str(found[0])

    def append(self, text: str) -> None:
        """Raises LakeError where the disk is full."""
        with _keeping("accepted rows"):
            self._db.execute("INSERT INTO texts VALUES (?, ?)", (self._n, text))
        self._n += 1


class KeyTable:
    """Keys of rows with the numbers of the rows: those that came last in a dict, the others in a few sorted files, 12 bytes a key.

    A file is merged into the one before it once it is a quarter as long, so that there are few (a log-structured merge, O'Neil et al. 1996).
    Files are read as pages of memory that the system takes back when it needs them.

    >>> table = KeyTable()
    >>> table.add(np.array([7, 9], np.uint64), row=0), table.add(np.array([9], np.uint64), row=1)
    (None, None)
    >>> table.rows(np.array([9], np.uint64))
    Counter({0: 1, 1: 1})
    """

    NEW, RATIO, BLOCK = 50_000, 4, 2**18  # keys in the dict; times a file that is merged; keys that are merged at once

    def __init__(self) -> None:
        self._new: dict[int, list[int]] = {}
        self._n_new = 0
        self._sorted: list[tuple[UInt64Array, RowNumbers]] = []

    def add(self, keys: UInt64Array, row: int) -> None:
        """Raises LakeError where the disk is full."""
        for key in keys.tolist():
            self._new.setdefault(key, []).append(row)
        self._n_new += len(keys)
        if self._n_new >= self.NEW:
            self._settle()

    def rows(self, keys: UInt64Array) -> Counter[int]:
        """The rows that have one of the keys, and how many of them each has."""
        found: Counter[int] = Counter()
        for key in keys.tolist():
            found.update(self._new.get(key, ()))
        for known, rows in self._sorted:
            first = np.searchsorted(known, keys)
            for i in np.flatnonzero(known[np.minimum(first, len(known) - 1)] == keys):
                found.update(rows[first[i] : np.searchsorted(known, keys[i], side="right")].tolist())
        return found

    def _settle(self) -> None:
        keys = np.fromiter((key for key, rows in self._new.items() for _ in rows), np.uint64, self._n_new)
        rows = np.fromiter((row for rows in self._new.values() for row in rows), np.uint32, self._n_new)
        order = np.argsort(keys, kind="stable")
        self._new, self._n_new = {}, 0
        newest = _on_disk([(keys[order], rows[order])])
        while self._sorted and len(self._sorted[-1][0]) < self.RATIO * len(newest[0]):
            newest = _on_disk(self._merged(self._sorted.pop(), newest))
        self._sorted.append(newest)

    def _merged(
        self, older: tuple[UInt64Array, RowNumbers], newer: tuple[UInt64Array, RowNumbers]
    ) -> Iterator[tuple[UInt64Array, RowNumbers]]:
        """Two sorted tables as one, a block of the older at a time with the keys of the newer up to its last."""
        (keys, rows), (more_keys, more_rows), at = older, newer, 0
        for first in range(0, len(keys), self.BLOCK):
            block = slice(first, first + self.BLOCK)
            is_last = first + self.BLOCK >= len(keys)
            to = len(more_keys) if is_last else int(np.searchsorted(more_keys, keys[block][-1], side="right"))
            both = np.concatenate([keys[block], more_keys[at:to]])
            order = np.argsort(both, kind="stable")
            yield both[order], np.concatenate([rows[block], more_rows[at:to]])[order]
            at = to


def _on_disk(parts: Iterable[tuple[UInt64Array, RowNumbers]]) -> tuple[UInt64Array, RowNumbers]:
    """Parts one after another, in files without a name. They are written, not mapped, at first: a full disk would end the process there."""
    with _keeping("what it remembers of rows"), tempfile.TemporaryFile() as keys, tempfile.TemporaryFile() as rows:
        for of_keys, of_rows in parts:
            keys.write(of_keys.data)
            rows.write(of_rows.data)
        return _mapped(keys, np.uint64), _mapped(rows, np.uint32)


def _mapped(file: Any, kind: Any) -> Any:
    file.flush()
    return np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), kind)


def _unnamed(table: str) -> sqlite3.Connection:
    """An empty database of one table that nobody else sees: no journal, and one transaction that never ends."""
    db = sqlite3.connect(UNNAMED, isolation_level=None)
    with _keeping("what it remembers of rows"):
        for command in ("PRAGMA journal_mode = OFF", "PRAGMA synchronous = OFF", f"PRAGMA cache_size = -{CACHE_KB}", table, "BEGIN"):
            db.execute(command)
    return db


@contextlib.contextmanager
def _keeping(what: str) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as err:
        raise cannot_keep(what, err) from err
