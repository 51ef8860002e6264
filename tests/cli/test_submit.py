"""spark-submit.sh to its caller: the driver's exit status, and signals handed on. Without a JVM: Spark's own script is a stand-in."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Starts the job in the place of spark-submit, as a child, as that does.
RUNS_THE_JOB = """#!/bin/bash
while [ "${1##*.}" != py ]; do shift; done
"$PYSPARK_PYTHON" "$@"
exit $?
"""
# A driver that says that it is there and, once asked to end, by which signal.
WAITS = """#!/bin/bash
trap 'exit 143' TERM
trap 'exit 130' INT
echo $$ > "$SYNALIGN_DRIVER_PID"
touch started
for _ in {1..200}; do sleep 0.1; done
"""


def start(folder, spark_submit):
    script = folder / "bin" / "spark-submit"
    script.parent.mkdir()
    script.write_text(spark_submit)
    script.chmod(0o755)
    (folder / "c.yaml").write_text("source: {path: /nowhere/x.csv}\n")
    env = os.environ | {"SPARK_HOME": str(folder), "PYSPARK_PYTHON": os.sys.executable, "PYTHONPATH": str(ROOT)}
    words = [str(ROOT / "spark-submit.sh"), "ingest", "--config", "c.yaml", "--jars", "a.jar"]
    return subprocess.Popen(words, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_the_script_ends_as_the_driver(tmp_path):
    process = start(tmp_path, RUNS_THE_JOB)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 3, said
    assert said.startswith("DataError: source.path: no file at '/nowhere/x.csv'")


@pytest.mark.parametrize(("asked", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_the_script_hands_signals_on_and_waits(asked, status, tmp_path):
    process = start(tmp_path, WAITS)
    end = time.monotonic() + 30
    while not (tmp_path / "started").exists():
        assert time.monotonic() < end
        time.sleep(0.05)
    process.send_signal(asked)
    _, said = process.communicate(timeout=30)
    assert process.returncode == status, said
