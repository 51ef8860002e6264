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
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pyarrow import fs

from synalign_spark.errors import LakeError
from synalign_spark.generation.calls import Answer
from synalign_spark.storage.durable import make_folder, sync_folder
from synalign_spark.storage.paths import STORE_FAULTS, fault_line, filesystem, remedy

SUFFIX = ".jsonl"
CHUNK_BYTES = 2**20


@dataclass(frozen=True)
class Line:
    """A line of the ledger: in which file, from which byte on, and what it says."""

    path: str
    offset: int
    raw: bytes

    def answer(self) -> Answer | None:
        """None for a line torn by a kill: its answer was never counted as stored."""
        try:
            return Answer.from_json(self.raw.decode("utf-8", "surrogatepass"))
        except (ValueError, TypeError):
            return None

    @property
    def is_answer(self) -> bool:
        """Whether the line is whole and an answer, by what stands first in it and last (see ``Answer.to_json``): nothing is parsed."""
        words = self.raw.split(b'"', 8)
        return len(words) == 9 and words[7] == b"answered" and self.raw.endswith(b"}")

    def is_of(self, request_ids: Collection[bytes]) -> bool:
        """Whether the line answers one of these requests, by the value that stands first in it (see ``Answer.to_json``): nothing is parsed."""
        words = self.raw.split(b'"', 4)
        return len(words) == 5 and words[3] in request_ids


def read_lines(folder: str) -> Iterator[Line]:
    """Every line of the ledger, one after another; none where there is no ledger. Memory does not grow with it.

    Raises LakeError where it cannot be read."""
    try:
        files, root = filesystem(folder)
        found = files.get_file_info(fs.FileSelector(root, allow_not_found=True))
        for path in sorted(info.path for info in found if info.type == fs.FileType.File and info.path.endswith(SUFFIX)):
            with files.open_input_stream(path) as stream:
                offset = 0
                for raw in _split(stream):
                    yield Line(path, offset, raw)
                    offset += len(raw) + 1
    except STORE_FAULTS as err:
        raise unreadable(folder, err) from err


def _split(stream: Any) -> Iterator[bytes]:
    rest = b""
    while chunk := stream.read(CHUNK_BYTES):
        *lines, rest = (rest + chunk).split(b"\n")
        yield from lines
    if rest:
        yield rest


def unreadable(folder: str, err: Exception) -> LakeError:
    """The error for a ledger that the store does not give."""
    return LakeError(f"lake.path: the ledger {folder!r} cannot be read ({fault_line(err)}); {remedy(folder)}")


def find_answers(folder: str, request_ids: Collection[str]) -> dict[str, Answer]:
    """The stored answers to a few requests, by a pass over the ledger. Raises LakeError where it cannot be read."""
    wanted = {request_id.encode() for request_id in request_ids}
    answers = (line.answer() for line in read_lines(folder) if line.is_of(wanted))
    return {answer.request_id: answer for answer in answers if answer is not None}


def count_answers(folder: str) -> int:
    """Answers in the ledger, by a pass that parses none: an answer that is there twice counts twice. Raises LakeError where it cannot be read."""
    return sum(line.is_answer for line in read_lines(folder))


def holds_answers(folder: str) -> bool:
    """Whether the ledger has any answer. Raises LakeError where it cannot be read."""
    return any(line.is_answer for line in read_lines(folder))


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
            make_folder(self._files, self._root)
            self._file = self._open() if isinstance(self._files, fs.LocalFileSystem) else None
        except STORE_FAULTS as err:
            raise LakeError(f"lake.path: the ledger {folder!r} cannot be written ({fault_line(err)}); {remedy(folder)}") from err

    def _open(self) -> int:
        path = os.path.join(self._root, self._name + SUFFIX)
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        sync_folder(self._root)  # the new name must survive too
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
            end = os.fstat(self._file).st_size
            try:
                rest = memoryview(data)
                while rest:
                    rest = rest[os.write(self._file, rest) :]
                os.fsync(self._file)
            except OSError:
                os.ftruncate(self._file, end)  # half a line would spoil the next one
                raise

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
            except Exception as err:  # whatever it is: who waits would wait for ever
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
