"""What a run remembers of every row, in files without a name on this machine's disk: memory does not grow with the rows."""

import contextlib
import sqlite3
import tempfile
from collections.abc import Iterator

from synalign_spark.errors import LakeError

# SQLite keeps a database without a name in the folder for temporary files once it is larger than CACHE_KB, and removes it with the connection.
UNNAMED = ""
CACHE_KB = 1_024


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
    except sqlite3.Error as err:
        raise cannot_keep(what, err) from err
