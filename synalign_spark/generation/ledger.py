"""The ledger of raw answers: what was paid for is kept, whatever happens to the process.

One folder a run with one file per writer, a JSON line per answer. On a local disk a line counts once
it is flushed to the disk (fsync); in an object store, where files cannot grow, every commit is a
new segment file. Answers that arrive during a commit share the next one. Only raw answers stand here:
a new parser costs no calls.
"""

import asyncio
import os
import threading
import uuid
from collections.abc import Sequence

from pyarrow import fs

from synalign_spark.errors import LakeError
from synalign_spark.generation.calls import Answer
from synalign_spark.storage.paths import STORE_FAULTS, fault_line, filesystem, remedy

SUFFIX = ".jsonl"


def read_ledger(folder: str) -> dict[str, Answer]:
    """All stored answers by request id; empty when there is no ledger. A torn last line is passed over.

    Where two lines answer the same request, the one that was stored first counts."""
    try:
        files, root = filesystem(folder)
        found = files.get_file_info(fs.FileSelector(root, allow_not_found=True))
        paths = sorted(info.path for info in found if info.type == fs.FileType.File and info.path.endswith(SUFFIX))
        answers: dict[str, Answer] = {}
        for path in paths:
            with files.open_input_stream(path) as stream:
                for answer in _lines(stream.readall()):
                    known = answers.get(answer.request_id)
                    if known is None or (answer.finished_at or "") < (known.finished_at or ""):
                        answers[answer.request_id] = answer
    except STORE_FAULTS as err:
        raise LakeError(f"lake.path: the ledger {folder!r} cannot be read ({fault_line(err)}); {remedy(folder)}") from err
    return answers


def _lines(raw: bytes) -> list[Answer]:
    found = []
    for line in raw.split(b"\n"):
        try:
            found.append(Answer.from_json(line.decode("utf-8", "surrogatepass")))
        except (ValueError, TypeError):
            continue  # a line torn by a kill: its answer was never counted as stored
    return found


class LedgerWriter:
    """One writer with files of its own. Not for several processes; threads take turns."""

    def __init__(self, folder: str) -> None:
        """Makes the folder. Raises LakeError where it cannot be written."""
        self._name = uuid.uuid4().hex
        self._lock = threading.Lock()
        self._segment = 0
        self._waiting: list[tuple[Answer, asyncio.Future[None]]] = []
        self._flusher: asyncio.Task[None] | None = None
        try:
            self._files, self._root = filesystem(folder)
            self._files.create_dir(self._root, recursive=True)
            self._file = self._open() if isinstance(self._files, fs.LocalFileSystem) else None
        except STORE_FAULTS as err:
            raise LakeError(f"lake.path: the ledger {folder!r} cannot be written ({fault_line(err)}); {remedy(folder)}") from err

    def _open(self) -> int:
        path = os.path.join(self._root, self._name + SUFFIX)
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        folder = os.open(self._root, os.O_RDONLY)
        os.fsync(folder)  # the new name must survive too
        os.close(folder)
        return file

    def commit(self, answers: Sequence[Answer]) -> None:
        """Stores the answers; returns once they are durable."""
        data = "".join(answer.to_json() + "\n" for answer in answers).encode("utf-8", "surrogatepass")
        with self._lock:
            if self._file is None:
                self._segment += 1
                with self._files.open_output_stream(f"{self._root}/{self._name}-{self._segment:08d}{SUFFIX}") as stream:
                    stream.write(data)
                return
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(self._file, rest) :]
            os.fsync(self._file)

    async def append(self, answer: Answer) -> None:
        """Stores one answer together with those that wait at the same time; returns once it is durable."""
        done = asyncio.get_running_loop().create_future()
        self._waiting.append((answer, done))
        if self._flusher is None or self._flusher.done():
            self._flusher = asyncio.create_task(self._flush())
        await done

    async def _flush(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            try:
                await asyncio.to_thread(self.commit, [answer for answer, _ in batch])
            except STORE_FAULTS as err:
                for _, done in batch:
                    if not done.done():
                        done.set_exception(LakeError(f"an answer could not be stored in the ledger {self._root!r}: {err}"))
            else:
                for _, done in batch:
                    if not done.done():  # whoever waited may have been cancelled
                        done.set_result(None)

    async def drain(self) -> None:
        """Returns once everything given to ``append`` is stored, or has failed."""
        while self._flusher is not None and not self._flusher.done():
            await self._flusher

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None
