"""``synalign run`` and the jobs of spark-submit: a run with words for a person, and events and a result for programs."""

import json
import math
import sys
from collections.abc import Sequence
from typing import Any, TextIO

from synalign_spark.api.run import run
from synalign_spark.cli.exits import Ending, exit_with
from synalign_spark.config import Config
from synalign_spark.config.files import configured
from synalign_spark.console import Console
from synalign_spark.errors import ConfigError
from synalign_spark.exit_status import Exit
from synalign_spark.pipeline.recorder import Recorder, event
from synalign_spark.pipeline.steps import stopped_by_budget
from synalign_spark.pipeline.terminal import Terminal
from synalign_spark.scrubbing import scrub

STANDARD_OUTPUT = "-"


def run_command(
    config: Sequence[str], settings: Sequence[str], stage: str | None, redo: bool, as_json: bool = False, events: str | None = None
) -> None:
    """Runs what is not done, and ends the process with the status that says how it went.

    as_json: one object on standard output at the end; events: file to which JSON lines are appended meanwhile, '-' for standard output.
    Words for a person go to standard error then."""
    told = _Told(as_json, events)

    def action() -> Exit:
        told.open()
        cfg = configured(list(config), list(settings))
        done = run(cfg, stage=stage, redo=redo, progress=told.observer(cfg))
        return Exit.BUDGET if stage in (None, "generate") and stopped_by_budget(done.manifest) else Exit.DONE

    exit_with(action, told.ended)


class _Told:
    """Who is told of a start, and what."""

    def __init__(self, as_json: bool, events: str | None) -> None:
        self._as_json, self._events = as_json, events
        self._cfg: Config | None = None
        self._recorder: Recorder | None = None
        self._lines: TextIO | None = None

    def open(self) -> None:
        """Raises ConfigError for a file of events that cannot be written."""
        try:
            if self._events == STANDARD_OUTPUT:
                self._lines = sys.stdout
            elif self._events is not None:
                self._lines = open(self._events, "a", encoding="utf-8", buffering=1)  # noqa: SIM115 - open until the command ends
        except OSError as err:
            raise ConfigError(
                f"--events: {self._events!r} cannot be written ({err.strerror}); name a file in a folder that exists"
            ) from err

    def observer(self, cfg: Config) -> Recorder:
        """Who hears of the run that is to begin."""
        words = Console(highlight=False, stderr=self._as_json or self._events == STANDARD_OUTPUT)
        self._cfg, self._recorder = cfg, Recorder(Terminal(words), self._write, cfg.run.id)
        return self._recorder

    def ended(self, ending: Ending) -> None:
        """Tells how it went, on every way that a run ends."""
        if not self._as_json and self._lines is None:
            return
        from synalign_spark.cli.outcome import outcome

        found = outcome(ending, self._cfg, self._recorder)
        self._write(event("run_finished", found))
        if self._as_json:
            print(_line(found), flush=True)
        if self._lines is not None and self._lines is not sys.stdout:
            self._lines.close()

    def _write(self, event: dict[str, Any]) -> None:
        """A reader that goes away, or a full disk, ends the events and not the run."""
        if self._lines is None:
            return
        try:
            print(_line(event), file=self._lines, flush=True)
        except OSError as err:
            self._lines = None
            print(f"--events: nothing more is written there ({err.strerror})", file=sys.stderr)


def _line(value: dict[str, Any]) -> str:
    """JSON in one line, without what may be a secret, and null for numbers that JSON does not have.

    >>> _line({"path": "s3a://me:hunter2@bucket/lake", "ess": float("nan")})
    '{"path": "s3a://[hidden]@bucket/lake", "ess": null}'
    """
    return json.dumps(_plain(value), default=str)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return scrub(value)
