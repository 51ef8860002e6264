"""What ``spark-submit`` starts: one stage or all, with the arguments of ``synalign run``; and what ``spark-submit.sh`` needs before."""

import argparse
import contextlib
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from synalign_spark.cli.doctor import doctor_command
from synalign_spark.cli.exits import exit_with
from synalign_spark.cli.run import run_command
from synalign_spark.cli.spark_options import JAVA_OPTIONS, default_properties, parsed, plan
from synalign_spark.config.files import load
from synalign_spark.pipeline.connect import archive
from synalign_spark.pipeline.jars import jars

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
    command = parser(f"spark-submit {stage or 'pipeline'}")
    given = command.parse_args(words)
    if where := os.environ.pop(DRIVER_PID, None):  # for spark-submit.sh, which hands SIGTERM on
        with contextlib.suppress(OSError):  # in cluster mode that folder is on another machine
            Path(where).write_text(str(os.getpid()))
    if stage == "doctor":
        if given.redo or given.events:
            command.error("doctor runs no stage: leave --redo and --events out")
        doctor_command(given.config, given.settings, given.json)
    else:
        run_command(given.config, given.settings, stage, given.redo, given.json, given.events)


def prepare(words: Sequence[str] | None = None) -> None:
    """For spark-submit.sh: makes the archive of the code in the folder ``work``, and there the files ``words`` (those of spark-submit, each ended
    by a zero byte), ``master`` and ``mode``. words: stage, root of the code, work, then the user's."""
    stage, root, work, *given_words = sys.argv[1:] if words is None else words
    given = parsed(given_words)
    cfg = load(given.configs, given.settings)
    wanted = {key: value for key, value in jars(cfg).items() if value}
    found = plan(
        stage, root, work, given, wanted, default_properties(given, os.environ["SPARK_HOME"]), cfg.spark.conf.get(JAVA_OPTIONS, "")
    )
    archive(f"{work}/synalign.zip", root)
    for source, target in found.ship:
        shutil.copyfile(source, target)
    Path(work, "words").write_bytes(b"".join(word.encode() + b"\0" for word in found.words))
    Path(work, "master").write_text(found.master)
    Path(work, "mode").write_text("cluster" if found.cluster else "client")


if __name__ == "__main__":
    exit_with(prepare)
