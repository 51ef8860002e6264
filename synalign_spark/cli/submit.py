"""What ``spark-submit`` starts: one stage or all, and the options that bring the jars. The arguments are those of ``synalign run``."""

import argparse
import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

from synalign_spark.cli.exits import exit_with
from synalign_spark.cli.run import run_command
from synalign_spark.config.files import load
from synalign_spark.pipeline.jars import SUBMIT_OPTIONS, jars

DRIVER_PID = "SYNALIGN_DRIVER_PID"


def parser(program: str) -> argparse.ArgumentParser:
    """The arguments of a job: ``--config FILE ... --set KEY=VALUE ... [--redo] [--json] [--events FILE]``."""
    found = argparse.ArgumentParser(prog=program)
    found.add_argument("--config", action="append", default=[], metavar="FILE", help="YAML configuration; later files win")
    found.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="settings", help="one setting, on top of the files")
    found.add_argument("--redo", action="store_true", help="replace the output of steps whose settings changed")
    found.add_argument("--json", action="store_true", help="one JSON object on standard output at the end, words on standard error")
    found.add_argument("--events", metavar="FILE", help="append JSON lines while it runs; - is standard output")
    return found


def main(stage: str | None = None, words: Sequence[str] | None = None) -> None:
    """Runs one stage, or all that are not done when None. words: the arguments, by default those of the process."""
    given = parser(f"spark-submit {stage or 'pipeline'}").parse_args(words)
    if where := os.environ.pop(DRIVER_PID, None):  # for spark-submit.sh, which hands SIGTERM on
        with contextlib.suppress(OSError):  # in cluster mode that folder is on another machine
            Path(where).write_text(str(os.getpid()))
    run_command(given.config, given.settings, stage, given.redo, given.json, given.events)


def print_options() -> None:
    """For spark-submit.sh: the options that bring the jars of a configuration, one word a line."""
    given, _ = parser("spark-submit").parse_known_args()
    for key, value in jars(load(given.config, given.settings)).items():
        print(SUBMIT_OPTIONS[key], value, sep="\n")


if __name__ == "__main__":
    exit_with(print_options)
