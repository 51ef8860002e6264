"""What a run does, kept and told as events: for schedulers, which read no terminal."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any

from synalign_spark.config import Config
from synalign_spark.pipeline.observer import Observer
from synalign_spark.pipeline.steps import Step, StepState
from synalign_spark.progress import Task

SECONDS_BETWEEN_EVENTS = 1.0  # of progress
Event = dict[str, Any]


def event(name: str, fields: Event) -> Event:
    """What is written of something that happened now. fields: plain JSON values."""
    return {"event": name, "time": datetime.now(UTC).isoformat(), **fields}


class Recorder:
    """An observer that keeps what it is told, writes it as events, and tells another observer.

    ran: the steps that this start has finished, with their seconds; left: those that are not done, None until it is known."""

    def __init__(self, then: Observer, write: Callable[[Event], None], run_id: str) -> None:
        self._then, self._write, self._run_id = then, write, run_id
        self.progress = then.progress.telling(self._moved)
        self.ran: dict[str, float] = {}
        self.left: list[str] | None = None
        self._stage, self._moved_at = "", -math.inf

    def plan(self, cfg: Config, states: Sequence[StepState], todo: Sequence[Step]) -> None:
        self.left = [state.step.name for state in states if not state.done]
        self._tell("run_started", done=[state.step.name for state in states if state.done], todo=[step.name for step in todo])
        self._then.plan(cfg, states, todo)

    def waiting(self, what: str) -> AbstractContextManager[None]:
        return self._then.waiting(what)

    def started(self, step: Step) -> None:
        self._stage = step.name
        self._tell("stage_started", stage=step.name)
        self._then.started(step)

    def finished(self, step: Step, summary: Mapping[str, Any], seconds: float) -> None:
        self.ran[step.name] = seconds
        self.left = [name for name in self.left or () if name != step.name]
        self._tell("stage_finished", stage=step.name, seconds=seconds, summary=dict(summary))
        self._then.finished(step, summary, seconds)

    def failed(self, step: Step) -> None:
        self._tell("stage_failed", stage=step.name)
        self._then.failed(step)

    def closing(self, cfg: Config, manifest: Mapping[str, Any], left: Sequence[str]) -> None:
        self.left = list(left)
        self._then.closing(cfg, manifest, left)

    def _moved(self, task: Task, note: str) -> None:
        """A task's state; of many a second the first."""
        if time.monotonic() - self._moved_at >= SECONDS_BETWEEN_EVENTS:
            self._moved_at = time.monotonic()
            self._tell("progress", stage=self._stage, task=task.name, done=task.done, total=task.total, unit=task.unit, note=note)

    def _tell(self, name: str, **fields: Any) -> None:
        self._write(event(name, {"run_id": self._run_id, **fields}))
