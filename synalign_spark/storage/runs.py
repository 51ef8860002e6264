"""What a run has finished, and who is running it: small files in the lake, no Spark.

``<lake>/_synalign/<run_id>/manifest.json`` has an entry per finished step; ``lock.json`` beside it names
the process that executes the run. A process that was killed leaves its lock behind; the next one on
the same machine sees that it is dead, and one on another machine, or in another container, that its
heartbeat has stopped.
"""

import contextlib
import fcntl
import json
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

from pyarrow import fs

from synalign_spark.errors import LakeError, RunLockedError
from synalign_spark.storage.holder import Holder, this_process
from synalign_spark.storage.paths import MANIFEST, RUNS, STORE_FAULTS, RunPaths, fault_line, filesystem, remedy

LOCK = "lock.json"
ENTRY_TYPES = {
    "settings": dict,
    "inputs": dict,
    "limits": dict,
    "summary": dict,
    "tables": list,
    "files": dict,
    "produced": str,
    "format": int,  # what ``algorithm`` was called before
    "algorithm": int,
    "seconds": int | float,
}
HEARTBEAT_S = 10.0
SETTLE_S = 1.0
LOOK_AGAIN_S = 1.0
READS = 10
READ_AGAIN_S = 0.05


def run_names(lake_path: str) -> list[str]:
    """Names of the runs in a lake that have a manifest, sorted. Raises one of STORE_FAULTS where the lake cannot be read."""
    files, root = filesystem(f"{lake_path.rstrip('/')}/{RUNS}")
    names = [info.base_name for info in files.get_file_info(fs.FileSelector(root, allow_not_found=True))]
    manifests = files.get_file_info([f"{root}/{name}/{MANIFEST}" for name in names])
    return sorted(name for name, info in zip(names, manifests, strict=True) if info.type == fs.FileType.File)


class RunStore:
    """Manifest and lock of one run."""

    def __init__(self, lake_path: str, run_id: str, writable: bool = True) -> None:
        """Makes the run's folder, unless it is only to be read. Raises LakeError where it cannot be made or written."""
        self.run_id, self._lake = run_id, lake_path.rstrip("/")
        self.paths = RunPaths(lake_path, run_id)
        address = self.paths.folder
        self._where = self.paths.local_folder or address
        try:
            self._files, self._root = filesystem(address)
            if not writable:
                return
            self._files.create_dir(self._root, recursive=True)
            probe = f"{self._root}/_probe-{uuid.uuid4().hex}"
            _put(self._files, probe, b"")
            self._files.delete_file(probe)
        except STORE_FAULTS as err:
            raise LakeError(f"lake.path: {self._where!r} cannot be written ({fault_line(err)}); {remedy(address)}") from err

    def manifest(self) -> dict[str, Any]:
        """Entries by step, in the order they finished; empty for a new run. Raises LakeError for a damaged file."""
        with self._reading():
            raw = self._get(MANIFEST)
        if raw is None:
            return {}
        try:
            steps = json.loads(raw)["steps"]
            if not isinstance(steps, dict) or not all(isinstance(entry, dict) for entry in steps.values()):
                raise TypeError("steps is not an object of objects")
            for step, entry in steps.items():
                for key, value in entry.items():
                    if key in ENTRY_TYPES and not isinstance(value, ENTRY_TYPES[key]):
                        raise TypeError(f"{key} of {step} is {json.dumps(value)[:80]}")
                for counts in entry.get("files", {}).values():
                    if not isinstance(counts, dict) or not all(isinstance(n, int) for n in counts.values()):
                        raise TypeError(f"files of {step} has {json.dumps(counts)[:80]}")
        except (ValueError, KeyError, TypeError) as err:
            raise self.damaged(f"{type(err).__name__}: {err}") from err
        return steps

    def damaged(self, why: str) -> LakeError:
        """The error to raise for a manifest that cannot be used."""
        return LakeError(
            f"{self._where}/{MANIFEST} is damaged ({why}); delete it: the run's steps are then done again, its stored answers are kept"
        )

    def record(self, step: str, entry: dict[str, Any]) -> None:
        """Adds or replaces the entry of a finished step; it becomes the last one. entry: plain JSON values."""
        steps = self.manifest()
        steps.pop(step, None)
        self._save({**steps, step: entry})

    def forget(self, steps: list[str] | tuple[str, ...] | set[str]) -> None:
        """Removes the entries of steps that must be done again; unknown names are no error."""
        kept = {name: entry for name, entry in self.manifest().items() if name not in set(steps)}
        self._save(kept)

    @contextlib.contextmanager
    def lock(self, wait_s: float = 0.0, say: Callable[[str], None] = lambda words: None) -> Iterator[None]:
        """Holds the run for this process. Raises RunLockedError, naming the holder, while another one has it for more than ``wait_s`` seconds.

        say: takes a line, where it waits."""
        token = uuid.uuid4().hex
        self._wait_for(token, wait_s, say)
        stop = threading.Event()
        beat = threading.Thread(target=self._keep_alive, args=(token, stop), name="run-lock-heartbeat", daemon=True)
        beat.start()
        try:
            yield
        finally:
            stop.set()
            beat.join()
            with self._alone():
                held = self.holder()
                if held is not None and held.token == token:
                    self._files.delete_file(f"{self._root}/{LOCK}")

    def _wait_for(self, token: str, wait_s: float, say: Callable[[str], None]) -> None:
        give_up, waits = time.monotonic() + wait_s, False
        while True:
            try:
                return self._acquire(token)
            except RunLockedError as err:
                left = give_up - time.monotonic()
                if left <= 0:
                    raise
                if not waits:
                    say(f"  {err} (waiting, {left:.0f} s at most)")
                waits = True
                time.sleep(min(LOOK_AGAIN_S, left))

    def _acquire(self, token: str) -> None:
        with self._alone():
            held = self.holder()
            if held is not None and held.alive:
                raise self._locked_by(held)
            self._replace(LOCK, asdict(this_process(token)))
        if isinstance(self._files, fs.LocalFileSystem):
            return
        # Stores have no exclusive creation through Arrow: wait for rivals that looked at the same time; the last writer has it.
        time.sleep(SETTLE_S)
        held = self.holder()
        if held is None or held.token != token:
            raise RunLockedError(
                f"run.id {self.run_id!r} was started by another process at the same moment; wait for it or choose another run.id"
            )

    def _locked_by(self, held: Holder) -> RunLockedError:
        since = time.time() - held.since
        return RunLockedError(
            f"run.id {self.run_id!r} is being executed by process {held.pid} on {held.host} since {since:.0f} s; wait for it, stop it, or choose another run.id"
        )

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Looking at the lock and changing it are one step for the processes of a machine: the kernel's file lock dies with its holder."""
        if not isinstance(self._files, fs.LocalFileSystem):
            yield
            return
        with open(f"{self._root}/lock.guard", "ab") as guard:
            fcntl.flock(guard, fcntl.LOCK_EX)
            yield

    def holder(self) -> Holder | None:
        """Who holds the lock; None where there is none, or where the file is not a lock (then nobody can be behind it)."""
        raw = self._get(LOCK)
        try:
            held = None if raw is None else Holder(**json.loads(raw))
            fine = held is None or all(isinstance(number, int | float) for number in (held.pid, held.started, held.since, held.heartbeat))
            return held if fine else None
        except (ValueError, TypeError):
            return None

    def _keep_alive(self, token: str, stop: threading.Event) -> None:
        """Rewrites the heartbeat until told to stop, or until the lock is no longer ours."""
        while not stop.wait(HEARTBEAT_S):
            with contextlib.suppress(*STORE_FAULTS), self._alone():  # the store may be away for a while; the next beat tries again
                held = self.holder()
                if held is None or held.token != token:
                    return
                self._replace(LOCK, asdict(held) | {"heartbeat": time.time()})

    def _save(self, steps: dict[str, Any]) -> None:
        try:
            self._replace(MANIFEST, {"run_id": self.run_id, "steps": steps})
        except STORE_FAULTS as err:
            raise LakeError(
                f"{self._where}/{MANIFEST} cannot be written ({err}); free space or mend permissions, then start again"
            ) from err

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        """A store that cannot be read becomes a LakeError that says what to check."""
        try:
            yield
        except STORE_FAULTS as err:
            raise LakeError(f"lake.path: {self._where!r} cannot be read ({fault_line(err)}); {remedy(self._lake)}") from err

    def _get(self, name: str) -> bytes | None:
        """A file of JSON; None where there is none.

        In a store Arrow asks for the length first: of a file that is replaced by a longer one before the second request only the first part
        comes. JSON that was cut does not parse, so such a file is read again."""
        tries = 1 if isinstance(self._files, fs.LocalFileSystem) else READS
        while True:
            tries -= 1
            try:
                with self._files.open_input_stream(f"{self._root}/{name}", compression=None) as stream:
                    raw = bytes(stream.read())
            except FileNotFoundError:
                return None
            if not tries or _is_json(raw):
                return raw
            time.sleep(READ_AGAIN_S)

    def _replace(self, name: str, value: dict[str, Any]) -> None:
        """Readers see the old file or the new one: a rename locally, a whole object in a store."""
        content = json.dumps(value, indent=1, allow_nan=True).encode()
        path = f"{self._root}/{name}"
        if not isinstance(self._files, fs.LocalFileSystem):
            _put(self._files, path, content)
            return
        temporary = f"{path}.{uuid.uuid4().hex}"
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)


def _is_json(raw: bytes) -> bool:
    try:
        json.loads(raw)
    except ValueError:
        return False
    return True


def _put(files: fs.FileSystem, path: str, content: bytes) -> None:
    with files.open_output_stream(path, compression=None) as stream:
        stream.write(content)
