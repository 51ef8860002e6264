"""The pool on a running Ray cluster of two nodes (`ray start`): our code goes along, a lost actor is replaced, and the cluster outlives the job."""

import contextlib
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pyspark
import pytest
from loopback import Behaviour, loopback

from synalign_spark.generation.engine import generate

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
SPARK_HOME = str(Path(pyspark.__file__).parent)
COUNTS = {"good": 75, "bad": 25}
GENERATE = """
import sys, pyarrow as pa, pyarrow.parquet
from rich.console import Console
from synalign_spark.config import GenerateConfig
from synalign_spark.generation.engine import generate
from synalign_spark.progress import Progress
cfg, demonstrations = GenerateConfig.model_validate_json(sys.argv[1]), pa.ipc.open_file(sys.argv[2]).read_all()
result = generate(demonstrations, {"good": 75, "bad": 25}, cfg, 0, sys.argv[3], Progress(Console(quiet=True), live=False))
pa.parquet.write_table(result.synthetic, sys.argv[4])
"""
ON_SPARK = (
    """
import sys
from pathlib import Path
from pyspark.sql import SparkSession
from synalign_spark.generation.backends.ray_on_spark import shared_token
builder = SparkSession.builder.master("local-cluster[2,2,1024]").config("spark.ui.enabled", "false")
for key, value in ({"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"} | shared_token()).items():
    builder = builder.config(key, value)
spark = builder.getOrCreate()
"""
    + GENERATE
    + """
print(spark.range(100).count(), "rows counted")
spark.stop()
"""
)
WHERE = """
import sys, ray
from synalign_spark.config import LlmConfig
from synalign_spark.generation.backends.ray_session import ray_session
def place():
    import synalign_spark
    return synalign_spark.__file__
with ray_session(LlmConfig(ray_address=sys.argv[1])):
    print(ray.get(ray.remote(place).remote()))
"""


@dataclass
class Cluster:
    """second: the process of the node that is not the head."""

    address: str
    second: subprocess.Popen


@pytest.fixture
def cluster(monkeypatch):
    """A cluster of two nodes that nobody else can join; the environment holds its token, as a user's does."""
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as name:  # short: Ray makes sockets below it
        monkeypatch.setenv("RAY_TMPDIR", name)  # here Ray notes, too, which cluster is the current one: not for others to find
        head = Path(name) / "--head.log"
        with _node(Path(name), ["--head", f"--port={port}", "--include-dashboard=false"]):
            _wait_for(lambda: "Ray runtime started" in head.read_text(), "the head node")
            address = head.read_text().partition("ray start --address='")[2].partition("'")[0]
            with _node(Path(name), [f"--address={address}"]) as node:
                second = Path(name) / "--address.log"
                _wait_for(lambda: "Ray runtime started" in second.read_text(), "the second node")
                yield Cluster(address, node)


@contextlib.contextmanager
def _node(folder: Path, options: list[str]):
    """A node in the foreground, in a session of its own; ended by its own process group, since `ray stop` ends everybody's."""
    command = [
        Path(sys.executable).parent / "ray",
        "start",
        *options,
        "--block",
        "--num-cpus=1",
        "--object-store-memory=80000000",
        "--disable-usage-stats",
    ]
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    with open(folder / f"{options[0].partition('=')[0]}.log", "w") as log:
        node = subprocess.Popen(command, cwd=folder, env=env, stdout=log, stderr=log, start_new_session=True)
        try:
            yield node
        finally:
            node.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                node.wait(20)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(node.pid, signal.SIGKILL)
            node.wait()


def _of_ours(name: str) -> dict[int, int]:
    """Processes of this user whose title or program is so called, of this test's cluster where they are raylets: pid to the parent's pid."""
    token, found = os.environ["RAY_AUTH_TOKEN"].encode(), {}
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            called = (process / "cmdline").read_bytes().split(b"\0")[0].rpartition(b"/")[2].decode(errors="replace")
            if called.startswith(name) and (name != "raylet" or token in (process / "environ").read_bytes()):
                found[int(process.name)] = int((process / "stat").read_text().rpartition(")")[2].split()[1])
    return found


def _senders() -> dict[int, int]:
    raylets = _of_ours("raylet")
    return {pid: parent for pid, parent in _of_ours("ray::RaySender").items() if parent in raylets}


def _wait_for(seen, what: str) -> None:
    deadline = time.monotonic() + 180
    while not seen():
        assert time.monotonic() < deadline, f"{what} did not come"
        time.sleep(0.2)


@pytest.mark.parametrize("lost", ["actor", "node"])
def test_actors_on_two_nodes_one_of_them_lost(lost, cluster, demonstrations, make_config, quiet, tmp_path):
    with pa.ipc.new_file(str(tmp_path / "demos.arrow"), demonstrations.schema) as sink:
        sink.write_table(demonstrations)
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    with loopback(Behaviour(delay_s=0.3)) as server:
        cfg = make_config(
            server.base_url, {"backend": "ray", "actors": 2, "concurrency": 4, "ray_address": cluster.address}, target_rows=160
        )
        words = [cfg.model_dump_json(), str(tmp_path / "demos.arrow"), str(tmp_path / "ledger"), str(tmp_path / "rows.parquet")]
        driver = subprocess.Popen([sys.executable, "-c", GENERATE, *words], cwd=tmp_path, env=env)
        _wait_for(lambda: len([1 for i in server.finished if i]) >= 6, "the first answers")
        _wait_for(lambda: len(set(_senders().values())) == 2, "a sender on each node")
        if lost == "actor":
            os.kill(next(iter(_senders())), signal.SIGKILL)
        else:
            os.killpg(cluster.second.pid, signal.SIGKILL)
            _wait_for(lambda: len(set(_senders().values())) < 2, "the loss of the node")
            assert driver.poll() is None
        assert driver.wait(300) == 0
        assert max(n for i, n in server.finished.items() if i) <= 2
        in_process = make_config(server.base_url, target_rows=160)
        expected = generate(demonstrations, COUNTS, in_process, 0, str(tmp_path / "here"), quiet)
    assert pa.parquet.read_table(tmp_path / "rows.parquet").to_pylist() == expected.synthetic.to_pylist()
    _wait_for(lambda: not _senders(), "the end of the actors")
    shown = subprocess.run(
        [sys.executable, "-c", WHERE, cluster.address], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=200, check=True
    )
    assert "runtime_resources" in shown.stdout  # the cluster goes on, and runs the code that was sent, not what its Python has


def _of_python(stderr: str) -> str:
    """The last trace of Python's, without what the JVM says at its end."""
    return stderr.rpartition("Traceback (most recent call last)")[2][:3_000]


def test_ray_on_the_executors_of_spark(demonstrations, make_config, quiet, tmp_path):
    with pa.ipc.new_file(str(tmp_path / "demos.arrow"), demonstrations.schema) as sink:
        sink.write_table(demonstrations)
    env = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH")}
    env |= {"PYTHONPATH": str(ROOT), "PYSPARK_PYTHON": sys.executable, "SPARK_HOME": SPARK_HOME}
    env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"  # the executors' too
    with loopback(Behaviour(delay_s=0.1)) as server:
        cfg = make_config(server.base_url, {"backend": "ray", "actors": 2, "concurrency": 4, "ray_address": "spark"}, target_rows=80)
        words = [cfg.model_dump_json(), str(tmp_path / "demos.arrow"), str(tmp_path / "ledger"), str(tmp_path / "rows.parquet")]
        ran = subprocess.run([sys.executable, "-c", ON_SPARK, *words], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=400)
        assert ran.returncode == 0, _of_python(ran.stderr)
        assert "100 rows counted" in ran.stdout  # the executors have their cores back
        assert max(n for i, n in server.finished.items() if i) == 1
        expected = generate(demonstrations, COUNTS, make_config(server.base_url, target_rows=80), 0, str(tmp_path / "here"), quiet)
    assert pa.parquet.read_table(tmp_path / "rows.parquet").to_pylist() == expected.synthetic.to_pylist()


@pytest.mark.parametrize(
    ("master", "words"), [(None, "no Spark session runs"), ("local[1]", r"Spark runs on this machine alone \(local\[1\]\)")]
)
def test_spark_without_executors_is_said(master, words, tmp_path):
    code = ("from pyspark.sql import SparkSession\nSparkSession.builder.master(" + repr(master) + ").getOrCreate()\n" if master else "") + (
        "from synalign_spark.generation.backends.ray_on_spark import ray_on_spark\nwith ray_on_spark(1): pass"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, cwd=tmp_path
    )
    assert re.search(words, ran.stderr.splitlines()[-1])
