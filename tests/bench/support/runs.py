"""The results of a comparison: kept in memory, and line by line in a file where one is given."""

import contextlib
import json
import sys
from pathlib import Path
from typing import Any

KEY = ("task", "fingerprint", "real_rows", "seed", "method", "draws", "settings", "students", "ways")


def run_key(run: dict[str, Any]) -> tuple[Any, ...]:
    """What makes two runs the same run."""
    return tuple(run[name] for name in KEY)


class Runs:
    """The results so far."""

    def __init__(self, path: Path | None, resume: bool) -> None:
        self._path = path
        self.done: dict[tuple[Any, ...], dict[str, Any]] = {}
        if path and resume and path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                with contextlib.suppress(json.JSONDecodeError):  # the line that a kill cut short
                    run = json.loads(line)
                    self.done[run_key(run)] = run
            if not path.read_bytes().endswith(b"\n"):
                with path.open("a", encoding="utf-8") as lines:
                    lines.write("\n")

    def add(self, run: dict[str, Any]) -> None:
        """Keeps a run, and says how it went."""
        self.done[run_key(run)] = run
        if self._path:
            with self._path.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps(run) + "\n")
        shown = "; ".join(
            f"{student} " + " ".join(f"{way} {100 * value:.1f}" for way, value in ways.items()) for student, ways in run["scores"].items()
        )
        place = f"{run['task']} real={run['real_rows']} seed={run['seed']} {run['method']}"
        print(f"{place} {run['seconds']} + {run['training_seconds']} s: {shown}", file=sys.stderr, flush=True)
