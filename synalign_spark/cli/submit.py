"""What ``spark-submit`` starts: one stage or all, and the options that bring the jars. The arguments are those of ``synalign run``."""

import argparse
from collections.abc import Sequence

from synalign_spark.api.run import run
from synalign_spark.cli.exits import exit_with
from synalign_spark.config.files import load
from synalign_spark.pipeline.jars import SUBMIT_OPTIONS, jars


def parser(program: str) -> argparse.ArgumentParser:
    """The arguments of a job: ``--config FILE ... --set KEY=VALUE ... [--redo]``."""
    found = argparse.ArgumentParser(prog=program)
    found.add_argument("--config", action="append", default=[], metavar="FILE", help="YAML configuration; later files win")
    found.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="settings", help="one setting, on top of the files")
    found.add_argument("--redo", action="store_true", help="replace the output of steps whose settings changed")
    return found


def main(stage: str | None = None, words: Sequence[str] | None = None) -> None:
    """Runs one stage, or all that are not done when None. words: the arguments, by default those of the process."""
    given = parser(f"spark-submit {stage or 'pipeline'}").parse_args(words)
    exit_with(lambda: run(given.config, settings=given.settings, stage=stage, redo=given.redo))


def print_options() -> None:
    """For spark-submit.sh: the options that bring the jars of a configuration, one word a line."""
    given, _ = parser("spark-submit").parse_known_args()
    for key, value in jars(load(given.config, given.settings)).items():
        print(SUBMIT_OPTIONS[key], value, sep="\n")


if __name__ == "__main__":
    exit_with(print_options)
