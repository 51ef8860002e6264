"""Observers that stand before another one: they hear of a run, and hand on what they hear."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

from synalign_spark.config import Config
from synalign_spark.exit_status import STOPPED, Exit, asked_before, fault_of, status_of
from synalign_spark.pipeline.observer import Observer
from synalign_spark.pipeline.steps import Step, StepState, stopped_by_budget
from synalign_spark.storage.tables import Table


@dataclass(frozen=True)
class End:
    """How a start of a run ended. error: what ended it, None where nothing went wrong; left: the steps that are not done, None where the start
    did not come so far as to know."""

    status: Exit
    error: BaseException | None
    left: tuple[str, ...] | None


class Relay:
    """Hands everything on. ``began``, ``read`` and ``ended`` are told to relays alone: an Observer of the caller's knows nothing of them."""

    def __init__(self, then: Observer) -> None:
        self._then = then
        self.progress = then.progress

    def began(self) -> None:
        """The run's lock is held, and nothing else has been done. Raises SynalignError where it cannot be observed as configured."""
        if isinstance(self._then, Relay):
            self._then.began()

    def plan(self, cfg: Config, states: Sequence[StepState], todo: Sequence[Step]) -> None:
        self._then.plan(cfg, states, todo)

    def waiting(self, what: str) -> AbstractContextManager[None]:
        return self._then.waiting(what)

    def started(self, step: Step) -> None:
        self._then.started(step)

    def read(self, table: Table) -> None:
        """The step that runs reads rows of a table."""
        if isinstance(self._then, Relay):
            self._then.read(table)

    def finished(self, step: Step, summary: Mapping[str, Any], seconds: float) -> None:
        self._then.finished(step, summary, seconds)

    def failed(self, step: Step) -> None:
        self._then.failed(step)

    def closing(self, cfg: Config, manifest: Mapping[str, Any], left: Sequence[str]) -> None:
        self._then.closing(cfg, manifest, left)

    def ended(self, end: End) -> None:
        """Nothing more is done in this start."""
        if isinstance(self._then, Relay):
            self._then.ended(end)


class _Watch(Relay):
    """Keeps what tells, with the exception or without one, how it ended."""

    def __init__(self, then: Observer) -> None:
        super().__init__(then)
        self.left: tuple[str, ...] | None = None
        self.out_of_budget = False

    def plan(self, cfg: Config, states: Sequence[StepState], todo: Sequence[Step]) -> None:
        self.left = tuple(state.step.name for state in states if not state.done)
        super().plan(cfg, states, todo)

    def finished(self, step: Step, summary: Mapping[str, Any], seconds: float) -> None:
        self.left = tuple(name for name in self.left or () if name != step.name)
        super().finished(step, summary, seconds)

    def closing(self, cfg: Config, manifest: Mapping[str, Any], left: Sequence[str]) -> None:
        self.left, self.out_of_budget = tuple(left), stopped_by_budget(manifest)
        super().closing(cfg, manifest, left)


@contextmanager
def watched(cfg: Config, observer: Observer, only: str | None) -> Iterator[Relay]:
    """The observer, behind those that the configuration wants beside it: they hear how the body ended, too. only: the stage that is run alone.

    Raises ConfigError for a file of metrics that cannot be written and for lineage without a place to send it to, InstallationError where
    its client is not installed, before anything is done."""
    watch = _Watch(observer)
    told: Relay = watch
    try:
        if cfg.run.metrics_file is not None:
            from synalign_spark.pipeline.metrics_file import MetricsFile

            told = MetricsFile(told, cfg)
        if cfg.run.lineage_job is not None:
            from synalign_spark.pipeline.lineage.events import Lineage

            told = Lineage(told, cfg)
        told.began()
        yield told
    except BaseException as err:
        fault = asked_before(err) or fault_of(err)
        told.ended(End(status_of(fault), fault, watch.left))
        raise
    else:
        stopped = only in (None, "generate") and watch.out_of_budget
        told.ended(End(Exit.BUDGET if stopped else Exit.DONE, None, watch.left))


def is_stop(status: Exit) -> bool:
    """Whether somebody, or a budget, stopped it, and nothing failed."""
    return status in (Exit.BUDGET, *STOPPED)
