"""spark-submit.sh on a standalone cluster of two workers, from another folder: the code, and what the user adds, reach the executors."""

import json
import os
import socket
import subprocess
import time
import urllib.request
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pyspark
import pytest

from synalign_spark.storage.runs import RunStore

ROOT = Path(__file__).resolve().parents[2]
SPARK_HOME = Path(pyspark.__file__).parent
WORKERS = 2


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def cluster(tmp_path):
    """(address of the master, folder of the workers); nothing of this project is in their path."""
    env = {key: text for key, text in os.environ.items() if key not in ("PYTHONPATH", "PYSPARK_PYTHON", "SPARK_HOME")}
    env |= {"SPARK_HOME": str(SPARK_HOME), "SPARK_LOCAL_IP": "127.0.0.1", "SPARK_DAEMON_MEMORY": "256m"}
    port, ui, folder = free_port(), free_port(), tmp_path / "workers"
    starts = [["Master", "--host", "127.0.0.1", "--port", f"{port}", "--webui-port", f"{ui}"]]
    starts += [["Worker", "--cores", "1", "--memory", "1g", "--webui-port", "0", "--work-dir", f"{folder}/{i}", f"spark://127.0.0.1:{port}"] for i in range(WORKERS)]  # fmt: skip
    processes = []
    try:
        for name, *words in starts:
            command = [str(SPARK_HOME / "bin" / "spark-class"), f"org.apache.spark.deploy.{name.lower()}.{name}", *words]
            with open(tmp_path / f"{name}-{len(processes)}.log", "w") as log:
                processes.append(subprocess.Popen(command, cwd=tmp_path, env=env, stdout=log, stderr=subprocess.STDOUT))
        end = time.monotonic() + 120
        while registered(ui) < WORKERS:
            assert time.monotonic() < end, "the cluster does not start"
            time.sleep(0.5)
        yield f"spark://127.0.0.1:{port}", folder
    finally:
        for process in processes:
            process.kill()
            process.wait()


def registered(port: int) -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/", timeout=5) as answer:
            return sum(worker["state"] == "ALIVE" for worker in json.load(answer)["workers"])
    except OSError:
        return 0


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_what_the_user_adds_reaches_the_executors_with_the_code(cluster, tmp_path):
    master, workers = cluster
    home = tmp_path / "home"  # has folders of the names that this project's archive has
    for name in ("jobs", "udfs"):
        (home / name).mkdir(parents=True)
    rows = {"text": [f"row {i} of {word}" for i, word in enumerate(["snow", "rain", "wind", "sun"] * 10)]}
    pq.write_table(pa.table(rows), tmp_path / "real.parquet")
    with zipfile.ZipFile(home / "mine.zip", "w") as archive:
        archive.writestr("mine.py", "")
    (home / "x.txt").write_text("x")
    cfg = {
        "source": {"path": str(tmp_path / "real.parquet")},
        "lake": {"path": str(tmp_path / "lake"), "format": "parquet"},
        "embed": {"model": "hashing"},
        "generate": {"strategy": "imported", "imported": {"path": str(tmp_path / "real.parquet")}},
    }
    (home / "c.yaml").write_text(json.dumps(cfg | {"spark": {"master": "local[1]"}}))  # spark-submit's own wins
    added = [
        "--py-files",
        "mine.zip",
        "--files=x.txt",
        "--conf",
        "spark.driver.extraJavaOptions=-Dmine=1",
        "--executor-memory",
        "512m",
        "--verbose",
    ]
    env = {key: text for key, text in os.environ.items() if key != "PYTHONPATH"} | {
        "PYSPARK_PYTHON": os.sys.executable,
        "SPARK_LOCAL_IP": "127.0.0.1",
    }
    for stage in ("doctor", "ingest", "embed"):
        command = [ROOT / "spark-submit.sh", stage, "--master", master, "--config=c.yaml", *added]
        done = subprocess.run(command, cwd=home, env=env, capture_output=True, text=True, timeout=400, check=False)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-5000:]
        assert "Python on 1 machine (" in done.stdout or stage != "doctor"
    assert "-Dlog4j2.configurationFile" in done.stderr
    assert "-Dmine=1" in done.stderr
    brought = {path.name for path in workers.rglob("*") if path.is_file()}
    assert {"mine.zip", "x.txt", "synalign.zip"} <= brought
    manifest = RunStore(str(tmp_path / "lake"), "default", writable=False).manifest()
    assert manifest["embed"]["summary"]["rows"] == 40
