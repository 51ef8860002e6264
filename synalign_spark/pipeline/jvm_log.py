"""What the JVM of a Spark that we start writes on standard error: out of the way while all goes well, kept where a run fails."""

import atexit
import contextlib
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
        self._greeting = 0  # bytes that are there once Spark has started, of every JVM
        atexit.register(self.path.unlink, missing_ok=True)

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
        """The last bytes, without what may be a secret in them."""
        with contextlib.suppress(OSError), open(self.path, "rb") as file:
            file.seek(max(0, self.path.stat().st_size - size))
            return str(scrub(file.read().decode(errors="replace")))
        return ""

    def keep(self, cfg: Config, err: BaseException) -> None:
        """Keeps what Spark said of a run that ended with ``err``, whose message then names the file: in the folder of the run, or where it is,
        of a lake elsewhere."""
        if isinstance(err, NOT_OF_SPARK) or not self._has_more():
            return
        folder = RunPaths(cfg.lake.path, cfg.run.id).local_folder
        try:
            kept = self.path if folder is None else self._copied(Path(folder, NAME))
        except OSError:  # there is no such folder yet, or no space
            kept = self.path
        if kept == self.path:
            atexit.unregister(self.path.unlink)
        err.add_note(f"Spark's own log is kept: {kept}")

    def _copied(self, to: Path) -> Path:
        to.unlink(missing_ok=True)
        with open(os.open(to, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            file.write(self.tail(MOST_KEPT))
        return to

    def _has_more(self) -> bool:
        try:
            return self.path.stat().st_size > self._greeting
        except OSError:
            return False
