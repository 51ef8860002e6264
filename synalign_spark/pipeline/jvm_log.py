"""What the JVM of a Spark that we start writes on standard error: out of the way while all goes well, kept where a run fails."""

import atexit
import contextlib
import functools
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from synalign_spark.config import Config
from synalign_spark.errors import BudgetError, ConfigError, EndpointError
from synalign_spark.scrubbing import scrub
from synalign_spark.storage.paths import RunPaths

NAME = "jvm.log"  # beside the run's own log
MOST_KEPT = 5_000_000  # bytes, the last ones
NOT_OF_SPARK = (KeyboardInterrupt, BudgetError, ConfigError, EndpointError)


class JvmLog:
    """A file of the system's temporary folder that nobody else may read: it may quote settings. Removed when Python ends."""

    def __init__(self) -> None:
        opened, name = tempfile.mkstemp(prefix="synalign-spark-", suffix=".log")
        os.close(opened)
        self.path = Path(name)
        self._begin = self._greeting = 0  # bytes that were there before this session, and once it had started: every JVM says something
        atexit.register(self.path.unlink, missing_ok=True)

    def begin(self) -> None:
        """What was said so far is of earlier sessions."""
        with contextlib.suppress(OSError):
            self._begin = self._greeting = self.path.stat().st_size

    @contextlib.contextmanager
    def taking_stderr(self) -> Iterator[None]:
        """File descriptor 2 goes to the file for a while: a JVM started meanwhile keeps writing there."""
        sys.stderr.flush()
        saved = os.dup(2)
        target = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.dup2(target, 2)
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            os.close(target)
        self._greeting = self.path.stat().st_size

    def tail(self, size: int) -> str:
        """The last characters of this session, without what may be a secret in them."""
        with contextlib.suppress(OSError), open(self.path, "rb") as file:
            begin = max(self._begin, self.path.stat().st_size - MOST_KEPT)
            file.seek(begin)
            if begin > self._begin:  # of a line that is cut, nothing tells what is a secret
                file.readline()
            return str(scrub(file.read().decode(errors="replace")))[-size:]
        return ""

    def keep(self, cfg: Config, err: BaseException) -> None:
        """Keeps what Spark said of a run that ended with ``err``, whose message then names the file: in the folder of the run, or in the
        temporary one, of a lake elsewhere."""
        if isinstance(err, NOT_OF_SPARK) or not self._has_more():
            return
        folder = RunPaths(cfg.lake.path, cfg.run.id).local_folder
        places = [] if folder is None else [Path(folder, NAME)]
        for place in (*places, self.path.with_name(f"{self.path.stem}-{cfg.run.id}.log")):
            with contextlib.suppress(OSError):  # there is no such folder yet, or no space
                err.add_note(f"Spark's own log is kept: {self._copied(place)}")
                return

    def _copied(self, to: Path) -> Path:
        to.unlink(missing_ok=True)
        with open(os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(self.tail(MOST_KEPT))
        return to

    def _has_more(self) -> bool:
        try:
            return self.path.stat().st_size > self._greeting
        except OSError:
            return False


@functools.cache
def log_of_process() -> JvmLog:
    """One of all runs of a process: PySpark starts a single JVM in it, which goes on writing where the first run had it write."""
    return JvmLog()
