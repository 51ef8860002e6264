"""Progress of long work: a live bar on a terminal, a plain log line now and then elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from synalign_spark.console import Console

SECONDS_BETWEEN_LINES = 10.0
ENOUGH_DONE = 1_000  # units, or a tenth of all: the first ones are slower than the others, and tell little of the time that is left
Told = Callable[["Task", str], None]  # hears of a task's state and note whenever they change
Figures = Callable[[], Iterable[Any]]  # families of metrics, as Prometheus collects them


class Task:
    """One piece of work with a known or unknown total. Not thread-safe: one owner updates it."""

    def __init__(self, name: str, total: float | None, unit: str, console: Console, bar: Bar | None, told: Told | None = None) -> None:
        self.name, self.total, self.unit, self.done = name, total, unit, 0.0
        self._console, self._bar, self._told = console, bar, told
        self._bar_id = bar.add_task(name, total=total, unit=unit, note="") if bar else None
        self._started = self._last_line = time.monotonic()

    def update(self, done: float, note: str = "", total: float | None = None) -> None:
        """Sets how much is done, in units; ``note`` is shown beside it (cost so far, rows refused, ...). It never goes back: less than before counts
        as what it was."""
        self.done, self.total = max(done, self.done), total if total is not None else self.total
        if self._told is not None:
            self._told(self, note)
        if self._bar is not None and self._bar_id is not None:
            self._bar.update(self._bar_id, completed=self.done, total=self.total, note=note)
            return
        now = time.monotonic()
        if now - self._last_line >= SECONDS_BETWEEN_LINES:
            self._last_line = now
            self._console.print(self.line(note), highlight=False, markup=False, soft_wrap=True)

    def line(self, note: str = "") -> str:
        """The state in one line: done, total, rate and the time left."""
        elapsed = max(time.monotonic() - self._started, 1e-9)
        rate = self.done / elapsed
        of = f"/{self.total:.0f}" if self.total else ""
        known = self.total and self.done >= min(self.total / 10, ENOUGH_DONE)
        left = f", {max(self.total - self.done, 0) / rate:.0f} s left" if self.total and known else ""
        return f"  {self.name}: {self.done:.0f}{of} {self.unit}, {rate:.1f}/s{left}{'; ' + note if note else ''}"


class Progress:
    """Makes tasks; knows whether anybody watches a terminal."""

    def __init__(
        self, console: Console | None = None, live: bool | None = None, told: Told | None = None, figures: dict[str, Figures] | None = None
    ) -> None:
        self.console = console or Console(file=sys.stderr)
        self._live, self._told, self._figures = self.console.is_terminal if live is None else live, told, figures

    def telling(self, told: Told, figures: dict[str, Figures] | None = None) -> Progress:
        """The same, which tells somebody else as well. figures: takes what ``measured`` is given, by name; None leaves that to whom it was left."""
        before = self._told

        def both(task: Task, note: str) -> None:
            if before is not None:
                before(task, note)
            told(task, note)

        return Progress(self.console, self._live, both, self._figures if figures is None else figures)

    @contextlib.contextmanager
    def measured(self, name: str, collect: Figures) -> Iterator[None]:
        """Has the figures of the body collected by whoever wants them; after it they stay what they were at its end."""
        if self._figures is None:
            yield
            return
        self._figures[name] = collect
        try:
            yield
        finally:
            last = list(collect())
            self._figures[name] = lambda: last

    @contextlib.contextmanager
    def task(self, name: str, total: float | None = None, unit: str = "rows") -> Iterator[Task]:
        """``with progress.task("embed", total=8530) as task: task.update(100)``."""
        if not self._live:
            yield Task(name, total, unit, self.console, None, self._told)
            return
        columns = (
            TextColumn("  {task.description}"), BarColumn(bar_width=28), MofNCompleteColumn(), TextColumn("{task.fields[unit]}"),
            TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(), TextColumn("{task.fields[note]}"),
        )  # fmt: skip
        with Bar(*columns, console=self.console, transient=True) as bar:
            yield Task(name, total, unit, self.console, bar, self._told)
