"""The answers of earlier processes, found by their ids: an index on this machine's disk, so that memory does not grow with the ledger."""

import dataclasses
import json
import sqlite3
from collections.abc import Iterator, Mapping
from typing import Any, Self

from synalign_spark.generation.calls import PROBED, Answer, Spent
from synalign_spark.generation.ledger import read_lines, unreadable
from synalign_spark.generation.seen import UNNAMED, cannot_keep
from synalign_spark.storage.paths import local_path

TABLE = """CREATE TABLE answers (request_id TEXT, finished_at TEXT, path TEXT, offset INTEGER, length INTEGER, line BLOB,
    attempts INTEGER, prompt_tokens INTEGER, completion_tokens INTEGER, by_batch INTEGER, model TEXT, endpoint TEXT, elsewhere TEXT, is_probe INTEGER)"""
# Sorted once, after all rows are there: a tree of hashes that grows row by row would be all over the disk.
INDEX = "CREATE INDEX by_id ON answers (request_id, finished_at)"
ONLY_FIRST = """DELETE FROM answers WHERE EXISTS (SELECT 1 FROM answers AS first WHERE first.request_id = answers.request_id
    AND (first.finished_at, first.rowid) < (answers.finished_at, answers.rowid))"""
SUMS = """SELECT SUM(attempts), COUNT(*), SUM(prompt_tokens), SUM(completion_tokens), by_batch, model, endpoint, elsewhere, is_probe FROM answers
    GROUP BY prompt_tokens IS NULL, by_batch, model, endpoint, elsewhere, is_probe"""


class StoredAnswers(Mapping[str, Answer]):
    """The ledger of a folder as it was when this was made, by request id; empty where there is none. A context manager.

    One pass makes the index. An answer is read when it is asked for: from its place in a ledger on this machine, from a copy of its line
    in the index where the ledger is in an object store, which would take a request for each. A torn line is passed over; where two
    lines answer the same request, the one that was stored first counts."""

    def __init__(self, folder: str) -> None:
        """folder: any file system. Raises LakeError where it cannot be read, or the index not be kept."""
        self._folder, self._is_local = folder, local_path(folder) is not None
        self._index = sqlite3.connect(UNNAMED, isolation_level=None)
        try:
            self._fill()
        except BaseException as err:
            self._index.close()
            if not isinstance(err, sqlite3.Error):
                raise
            raise cannot_keep("an index of the stored answers", err) from err

    def _fill(self) -> None:
        self._index.execute(TABLE)
        self._index.execute("BEGIN")
        self._index.executemany(f"INSERT INTO answers VALUES ({', '.join('?' * 14)})", self._rows())
        self._index.execute(INDEX)
        self._index.execute(ONLY_FIRST)
        self._index.execute("COMMIT")

    def _rows(self) -> Iterator[tuple[Any, ...]]:
        for line in read_lines(self._folder):
            answer = line.answer()
            if answer is not None:
                place = (line.path, line.offset, len(line.raw), None if self._is_local else line.raw)
                took = (answer.attempts, answer.prompt_tokens, answer.completion_tokens, answer.batch_id is not None)
                elsewhere = json.dumps([dataclasses.astuple(one) for one in answer.elsewhere]) if answer.elsewhere else None
                whose = (answer.model, answer.endpoint, elsewhere, answer.status == PROBED)
                yield (answer.request_id, answer.finished_at or "", *place, *took, *whose)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._index.close()

    def __len__(self) -> int:
        count: int = self._index.execute("SELECT COUNT(*) FROM answers WHERE NOT is_probe").fetchone()[0]
        return count

    def __iter__(self) -> Iterator[str]:
        for (request_id,) in self._index.execute("SELECT request_id FROM answers WHERE NOT is_probe ORDER BY request_id"):
            yield request_id

    def __getitem__(self, request_id: str) -> Answer:
        """Raises LakeError where the ledger has changed since, or cannot be read any more."""
        found = self._index.execute("SELECT path, offset, length, line FROM answers WHERE request_id = ?", (request_id,)).fetchone()
        if found is None:
            raise KeyError(request_id)
        path, offset, length, raw = found
        try:
            if raw is None:
                with open(path, "rb") as file:
                    file.seek(offset)
                    raw = file.read(length)
            return Answer.from_json(raw.decode("utf-8", "surrogatepass"))
        except (OSError, ValueError) as err:
            raise unreadable(self._folder, err) from err

    def spent(self) -> Iterator[Answer]:
        """What all answers and probes took, as a few answers that took the sums: one for each way in which they are paid for."""
        for attempts, n_answers, prompt_tokens, completion_tokens, by_batch, model, endpoint, said, is_probe in self._index.execute(SUMS):
            elsewhere = tuple(
                Spent(name, address, n_answers * prompt, n_answers * completion)
                for name, address, prompt, completion in json.loads(said or "[]")
            )
            took = {"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens, "elsewhere": elsewhere}
            yield Answer(
                "", PROBED if is_probe else "answered", attempts, **took, batch_id="" if by_batch else None, model=model, endpoint=endpoint
            )
