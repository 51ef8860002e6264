"""The saved state of a solve over row shards: one small file, so that a second attempt goes on where the first ended."""

import hashlib
import logging
import os
import uuid
from pathlib import Path

import numpy as np
from pyarrow import fs

from synalign_spark.core.communicator import Communicator
from synalign_spark.storage.paths import STORE_FAULTS, filesystem

_log = logging.getLogger(__name__)
_DIGEST_BYTES = hashlib.sha256().digest_size


class Checkpoint:
    """Saves and loads the state of one solve. Rank 0 touches the file, the others only hear of it.

    path: a file on a local or shared disk, or any address that pyarrow.fs.FileSystem.from_uri understands; None keeps
    nothing. It must belong to this problem alone: whether a state fits the rows is for the caller to know.
    A state that cannot be written or read never stops the solve: it is one warning, which is also in ``warnings``."""

    def __init__(self, path: str | None, comm: Communicator) -> None:
        self._path, self._comm = path, comm
        self._broken = False
        self.warnings: list[str] = []

    def save(self, state: bytes) -> None:
        """Replaces the saved state, whole or not at all. May be called by every rank; rank 0 writes."""
        if self._path is None or self._broken or self._comm.rank != 0:
            return
        try:
            _replace(self._path, hashlib.sha256(state).digest() + state)
        except STORE_FAULTS as err:
            self._broken = True  # one warning, and no second attempt each pass
            self._warn(f"the checkpoint {self._path} cannot be written ({err}); the work goes on, but a retry starts from the beginning")

    def load(self) -> bytes | None:
        """The state that was saved last, the same on every rank; None where there is none. All ranks must call it."""
        found = self._read() if self._comm.rank == 0 else None
        length = int(self._comm.broadcast(np.array([-1.0 if found is None else float(len(found))]))[0])
        if length < 0:
            return None
        # A byte a number: eight times the size once an attempt, and exact however the ranks exchange numbers.
        state = np.zeros(length) if found is None else np.frombuffer(found, dtype=np.uint8).astype(np.float64)
        return self._comm.broadcast(state).astype(np.uint8).tobytes()

    def _read(self) -> bytes | None:
        if self._path is None:
            return None
        try:
            files, inside = filesystem(self._path)
            with files.open_input_stream(inside, compression=None) as stream:
                content = bytes(stream.read())
        except (FileNotFoundError, NotADirectoryError):
            return None
        except STORE_FAULTS as err:
            self._warn(f"the checkpoint {self._path} cannot be read ({err}); the work starts from the beginning")
            return None
        digest, state = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
        if hashlib.sha256(state).digest() != digest:  # torn, where a store has no atomic replacement
            self._warn(f"the checkpoint {self._path} is damaged; the work starts from the beginning")
            return None
        return state

    def _warn(self, message: str) -> None:
        if not self.warnings:  # what cannot be read cannot be written either: once is enough
            self.warnings.append(message)
            _log.warning(message)


def remove_checkpoint(path: str) -> None:
    """Removes a saved state, if there is one. Raises OSError where it cannot be removed."""
    files, inside = filesystem(path)
    if files.get_file_info(inside).type == fs.FileType.File:
        files.delete_file(inside)


def _replace(path: str, content: bytes) -> None:
    """Readers see the old file or the new one; after a return it survives a loss of power (local and NFS)."""
    files, inside = filesystem(path)
    temporary = f"{inside}.{uuid.uuid4().hex}"  # a task of an earlier attempt may still be dying while it writes
    if not isinstance(files, fs.LocalFileSystem):
        files.create_dir(os.path.dirname(inside), recursive=True)
        with files.open_output_stream(temporary, compression=None) as stream:
            stream.write(content)
        files.move(temporary, inside)
        return
    Path(inside).parent.mkdir(parents=True, exist_ok=True)
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, inside)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise
    folder = os.open(os.path.dirname(inside), os.O_RDONLY)
    try:
        os.fsync(folder)  # the new name must survive too
    finally:
        os.close(folder)
