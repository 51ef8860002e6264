"""Fixtures that many tests share: one Spark session, and where the real data sets are."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from hypothesis import settings

from synalign_spark.config import Config
from synalign_spark.pipeline.session import start_spark

# A shared machine has no steady clock: a slow first example is not a fault of the code.
settings.register_profile("shared", deadline=None)
settings.load_profile("shared")

# Where a machine is given a limited time (.ci/run): when slow tests no longer begin, in seconds since 1970.
NO_LATER = float(os.environ.get("SYNALIGN_SLOW_TESTS_UNTIL", "inf"))
DATA = Path(os.environ.get("SYNALIGN_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))


def pytest_runtest_setup(item):
    """Slow tests run while they fit; those that do not are skipped, and the last lines of the run say how many."""
    if item.get_closest_marker("slow") and time.time() > NO_LATER:
        pytest.skip("no time left for it: SYNALIGN_SLOW_TESTS_UNTIL is over")


# Hundreds of small queries, each of which runs once: whatever prepares for the second time takes the cores and gives nothing back (the second
# compiler, the bytecode verifier, code generated for an expression, plans made anew at every stage). Runs of
# ``synalign`` in processes of their own have Spark's defaults.
QUICK_JVM = {
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=256m -XX:+UseSerialGC -XX:+UnlockDiagnosticVMOptions -XX:-BytecodeVerificationRemote",
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
}


@pytest.fixture(scope="session")
def spark(tmp_path_factory):
    """One Spark session with Delta, two task threads."""
    warehouse = tmp_path_factory.mktemp("warehouse")
    cfg = Config.model_validate(
        {
            "source": {"path": "unused"},
            "spark": {
                "master": "local[2]",
                "driver_memory": "2g",
                "shuffle_partitions": 3,
                "conf": {"spark.sql.warehouse.dir": str(warehouse), **QUICK_JVM},
            },
        }
    )
    session = start_spark(cfg)
    yield session
    session.stop()


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of the real corpora; skips where it is not there."""
    if not DATA.is_dir():
        pytest.skip(f"no real data sets at {DATA}; set SYNALIGN_DATA to their folder")
    return DATA


@pytest.fixture(scope="module")
def bucket():
    """Address of an empty bucket at an S3 server on loopback; the environment names the server and its keys, as a user's does."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{probe.getsockname()[1]}"
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", endpoint.rpartition(":")[2]],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    keys = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE0123456", "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMIexamplekey0123456789"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**keys, "AWS_REGION": "us-east-1", "AWS_ENDPOINT_URL": endpoint}.items():
            patch.setenv(name, value)
        try:
            _make_bucket(f"{endpoint}/lake", server)
            yield "s3a://lake"
        finally:
            server.kill()
            server.wait()


def _make_bucket(address: str, server: subprocess.Popen) -> None:
    """Asks until the server is up; the answer to the first question it hears."""
    deadline = time.monotonic() + 60
    while True:
        assert server.poll() is None, "the S3 server did not start: is moto[s3] installed, with flask and flask-cors?"
        try:
            urllib.request.urlopen(urllib.request.Request(address, method="PUT"), timeout=10).close()
            return
        except urllib.error.URLError:
            assert time.monotonic() < deadline, "the S3 server does not answer"
            time.sleep(0.1)
