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


SAYS_ITS_WORDS = """#!/bin/bash
printf '%s\\0' "$@" > words
echo "$PYSPARK_PYTHON|$PYSPARK_DRIVER_PYTHON" > pythons
"""


@pytest.mark.parametrize(("mode", "driver"), [("client", os.sys.executable), ("cluster", "")])
def test_a_python_that_only_the_workers_have_is_theirs(mode, driver, tmp_path):
    """venv-pack on YARN: PYSPARK_PYTHON is a path in an archive, and the script's own work is done by another."""
    script = tmp_path / "bin" / "spark-submit"
    script.parent.mkdir()
    script.write_text(SAYS_ITS_WORDS)
    script.chmod(0o755)
    (tmp_path / "c.yaml").write_text("source: {path: x.csv}\n")
    env = {key: text for key, text in os.environ.items() if key != "PYSPARK_DRIVER_PYTHON"}
    env |= {
        "SPARK_HOME": str(tmp_path),
        "PYSPARK_PYTHON": "./environment/bin/python",
        "PATH": f"{Path(os.sys.executable).parent}:{env['PATH']}",
    }
    words = [
        "ingest",
        "--config=c.yaml",
        "--master",
        "yarn",
        "--deploy-mode",
        mode,
        "--archives",
        "e.tgz#environment",
        "--packages",
        "a:b:1",
    ]
    done = subprocess.run(
        [ROOT / "spark-submit.sh", *words, "--set", "source.text_template=\"{a}\n\n{b}\""], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60, check=False
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    python, driven = (tmp_path / "pythons").read_text().strip().split("|")
    assert (python, driven == "") == ("./environment/bin/python", driver == "")
    given = (tmp_path / "words").read_text().split("\0")
    assert given[given.index("--packages") + 1].endswith(",a:b:1")
    assert given[given.index("--deploy-mode") + 1] == mode
    assert given[given.index("--set") + 1] == 'source.text_template="{a}\n\n{b}"'
    assert ("--files" in given) == (mode == "cluster")
