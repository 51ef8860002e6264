"""Who is told how a run goes: the terminal, or nobody."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from synalign_spark.config import Config
from synalign_spark.console import Console
from synalign_spark.pipeline.steps import Step, StepState
from synalign_spark.progress import Progress


class Observer(Protocol):
    """Told of each stage by :func:`synalign_spark.pipeline.runner.run_pipeline`."""

    progress: Progress

    def plan(self, cfg: Config, states: Sequence[StepState], todo: Sequence[Step]) -> None: ...

    def waiting(self, what: str) -> AbstractContextManager[None]: ...

    def started(self, step: Step) -> None: ...

    def finished(self, step: Step, summary: Mapping[str, Any], seconds: float) -> None: ...

    def failed(self, step: Step) -> None: ...

    def closing(self, cfg: Config, manifest: Mapping[str, Any], left: Sequence[str]) -> None: ...


class Silent:
    """Tells nobody."""

    def __init__(self) -> None:
        self.progress = Progress(Console(quiet=True), live=False)

    def plan(self, cfg: Config, states: Sequence[StepState], todo: Sequence[Step]) -> None:
        pass

    @contextlib.contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        yield

    def started(self, step: Step) -> None:
        pass

    def finished(self, step: Step, summary: Mapping[str, Any], seconds: float) -> None:
        pass

    def failed(self, step: Step) -> None:
        pass

    def closing(self, cfg: Config, manifest: Mapping[str, Any], left: Sequence[str]) -> None:
        pass
