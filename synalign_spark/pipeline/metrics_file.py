"""The figures of a run in a file, as node_exporter's textfile collector reads them (``run.metrics_file``)."""

import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from prometheus_client import write_to_textfile
from prometheus_client.parser import text_string_to_metric_families

from synalign_spark import __version__
from synalign_spark.config import Config
from synalign_spark.errors import ConfigError
from synalign_spark.exit_status import Exit
from synalign_spark.pipeline.metrics import LAST_SUCCESS, RunState, StageState, TaskState
from synalign_spark.pipeline.observer import Observer
from synalign_spark.pipeline.relay import End, Relay
from synalign_spark.pipeline.steps import Step, StepState
from synalign_spark.progress import Task
from synalign_spark.storage.runs import RunStore

SECONDS_BETWEEN_WRITES = 5.0
OURS = "synalign_"  # what the names of all metrics begin with


class MetricsFile(Relay):
    """Writes the file whole or not at all: where stages begin and end, every few seconds between, and at the end, however it comes."""

    def __init__(self, then: Observer, cfg: Config) -> None:
        """Raises ConfigError for a file that is there and holds something else."""
        super().__init__(then)
        try:
            self._path = Path(str(cfg.run.metrics_file)).expanduser().absolute()
        except RuntimeError as err:  # ~name of nobody
            raise ConfigError(f"run.metrics_file: {cfg.run.metrics_file!r} names no folder ({err}); write it without ~") from err
        self._state = RunState(cfg.run.id, __version__, last_success=last_success(self._path, cfg.run.id))
        self._stage, self._broken = "", False
        self._lock = threading.Lock()  # of the file: two writers would cross
        self._stop = threading.Event()
        self._beat = threading.Thread(target=self._keep_fresh, name="metrics-file", daemon=True)
        self.progress = then.progress.telling(self._moved, self._state.live)

    def began(self) -> None:
        """Raises ConfigError where the file cannot be written."""
        super().began()
        try:
            self._save()
        except OSError as err:
            self._broken = True
            raise ConfigError(
                f"run.metrics_file: {str(self._path)!r} cannot be written ({err.strerror}); name a file in a folder that is there and that you may write"
            ) from err
        self._beat.start()

    def plan(self, cfg: Config, states: Sequence[StepState], todo: Sequence[Step]) -> None:
        manifest = RunStore(cfg.lake.path, cfg.run.id, writable=False).manifest()
        for state in states:
            entry = manifest.get(state.step.name, {}) if state.done else {}
            self._state.stages[state.step.name] = StageState(done=state.done, seconds=entry.get("seconds"))
            if entry:
                self._state.summaries[state.step.name] = entry["summary"]
        self._write()
        super().plan(cfg, states, todo)

    def started(self, step: Step) -> None:
        self._stage = step.name
        self._state.stages[step.name] = StageState(running=True, started=time.time())
        self._state.summaries.pop(step.name, None)
        self._write()
        super().started(step)

    def finished(self, step: Step, summary: Mapping[str, Any], seconds: float) -> None:
        started = self._state.stages[step.name].started
        self._state.stages[step.name] = StageState(done=True, started=started, seconds=seconds)
        self._state.summaries[step.name] = summary
        self._write()
        super().finished(step, summary, seconds)

    def failed(self, step: Step) -> None:
        stage = self._state.stages.setdefault(step.name, StageState())
        stage.seconds = time.time() - stage.started if stage.started else None
        stage.running, stage.failed = False, True
        super().failed(step)

    def ended(self, end: End) -> None:
        self._stop.set()
        if self._beat.ident is not None:
            self._beat.join(2 * SECONDS_BETWEEN_WRITES)  # a file system that hangs may hold it
        self._state.exit = end.status
        if end.status is Exit.DONE and not end.left:
            self._state.last_success = time.time()
        self._write()
        super().ended(end)

    def _moved(self, task: Task, note: str) -> None:
        self._state.tasks[self._stage, task.name] = TaskState(task.unit, task.done, task.total)

    def _keep_fresh(self) -> None:
        while not self._stop.wait(SECONDS_BETWEEN_WRITES):
            self._write()

    def _save(self) -> None:
        with self._lock:
            write_to_textfile(str(self._path), self._state)

    def _write(self) -> None:
        """A full disk, a folder that is gone, or a figure that cannot be told ends the file's renewal and not the run."""
        try:
            self._save()
        except Exception as err:
            if not self._broken:
                words = f"  run.metrics_file: {self._path} is not renewed at the moment ({getattr(err, 'strerror', None) or type(err).__name__})"
                self.progress.console.print(words, style="yellow", markup=False, highlight=False, soft_wrap=True)
            self._broken = True
        else:
            self._broken = False


def last_success(path: Path, run_id: str) -> float | None:
    """What an earlier start has written of the run; None without one. Raises ConfigError for a file of something else, and for a device or a
    pipe: they would be replaced."""
    if path.exists() and not path.is_file():
        raise ConfigError(f"run.metrics_file: {str(path)!r} is there, and is no file; name a file")
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:  # none is there, or writing it will say why not
        return None
    if not text.strip():
        return None
    try:
        families = list(text_string_to_metric_families(text))
    except ValueError:
        families = []
    if not families or not all(family.name.startswith(OURS) for family in families):
        raise ConfigError(f"run.metrics_file: {str(path)!r} is there, and holds other things than metrics of a run; name another file")
    samples = [sample for family in families for sample in family.samples]
    return next((one.value for one in samples if one.name == LAST_SUCCESS and one.labels.get("run_id") == run_id), None)
