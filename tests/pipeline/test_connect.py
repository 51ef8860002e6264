"""Runs on a Spark Connect server: by command, without Java on the client's side, with the weights of a session of its own."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pyspark
import pytest
from pydantic import ValidationError

import synalign_spark as sa
from synalign_spark.config import Config
from synalign_spark.errors import ConfigError, DistributedError, InstallationError
from synalign_spark.pipeline import connect
from synalign_spark.pipeline.jars import jars
from synalign_spark.pipeline.session import DELTA_SETTINGS, spark_session, start_spark
from synalign_spark.storage.lake import Lake
from synalign_spark.storage.tables import METRICS

CORPUS = """
run: {{id: {run}}}
lake: {{path: {folder}/{run}-{format}, format: {format}}}
source: {{path: {folder}/real.parquet, label_column: label}}
embed: {{model: hashing}}
cluster: {{k: 4}}
generate: {{strategy: imported, imported: {{path: {folder}/written.parquet, label_column: label}}}}
align: {{n_features: 128}}
spark: {{conf: {{spark.databricks.delta.snapshotPartitions: "2"}}}}
"""


@pytest.fixture(autouse=True)
def mode_is_kept():
    """What a session on a server leaves behind keeps Spark from starting in every later test."""
    yield
    assert os.environ.pop(connect.MODE, None) is None  # and those tests do not fail for this one


def config(**spark):
    return Config.model_validate({"source": {"path": "x"}, "spark": spark})


@pytest.fixture
def nobody():
    """An address at which nobody listens."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return f"sc://127.0.0.1:{one.getsockname()[1]}"


def test_the_address_is_that_of_the_configuration_else_of_the_environment(monkeypatch):
    monkeypatch.delenv(connect.VARIABLE, raising=False)
    assert connect.server(config()) is None
    assert connect.server(config(remote="sc://a")) == "sc://a"
    monkeypatch.setenv(connect.VARIABLE, "sc://b:1/;token=t")
    assert connect.server(config()) == "sc://b:1/;token=t"
    assert connect.server(config(remote="sc://a")) == "sc://a"
    with pytest.raises(ConfigError, match=r"SPARK_REMOTE is set beside spark.master \(local\[2\]\).*remove one"):
        connect.server(config(master="local[2]"))


@pytest.mark.parametrize(
    ("spark", "words"),
    [
        ({"remote": "sc://a", "master": "local[2]"}, "remote is set beside master"),
        ({"remote": "sc://a/;use_ssl=true;token=abc"}, "remote has token in it.*SPARK_REMOTE"),
        ({"remote": "spark://a:7077"}, "should match pattern"),
    ],
)
def test_what_cannot_be_is_refused(spark, words):
    with pytest.raises(ValidationError, match=words) as found:
        config(**spark)
    assert "abc" not in str(found.value).partition("input_value")[0]


def test_a_server_that_is_not_there_is_said_at_once_and_without_the_token(nobody, monkeypatch):
    monkeypatch.setenv(connect.VARIABLE, f"{nobody}/;token=secret")
    with pytest.raises(DistributedError, match=rf"nobody listens at {nobody} .*start a Spark Connect server") as found:
        start_spark(config())
    assert "secret" not in str(found.value)


def test_a_token_in_what_a_client_says_is_left_out():
    """PySpark names the whole address where the environment has a master too."""
    address = "sc://h:1/;token=abcdef"
    assert connect._first_line(ValueError(f"master local, connect [{address}]"), address) == "master local, connect [sc://h:1]"


def test_a_client_that_is_not_installed_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyspark.sql.connect.session", None)
    with pytest.raises(InstallationError, match=r"pip install 'synalign-spark\[connect\]'"):
        start_spark(config(remote="sc://a"))


def test_ray_on_its_executors_is_refused_before_any_work():
    ray = Config.model_validate({"source": {"path": "x"}, "spark": {"remote": "sc://a"}, "generate": {"llm": {"ray_address": "spark"}}})
    with pytest.raises(ConfigError, match="ray_address is 'spark', and Spark is a Connect server"):
        start_spark(ray)


def test_spark_submit_has_a_spark_of_its_own(monkeypatch):
    monkeypatch.setenv("PYSPARK_GATEWAY_PORT", "1")
    with pytest.raises(ConfigError, match="spark.remote is set, and spark-submit brings a Spark of its own"):
        start_spark(config(remote="sc://a"))


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Address of a Connect server with Delta, in a process of its own that knows nothing of this project."""
    folder = tmp_path_factory.mktemp("connect")
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    home = Path(pyspark.__file__).parent
    settings = {
        "spark.connect.grpc.binding.port": port,
        "spark.connect.grpc.binding.address": "127.0.0.1",
        "spark.driver.memory": "2g",
        "spark.ui.enabled": "false",
        "spark.sql.shuffle.partitions": "3",
        "spark.sql.warehouse.dir": folder / "warehouse",
        **DELTA_SETTINGS,
        **jars(Config.model_validate({"source": {"path": "x"}})),
    }
    words = [word for key, value in settings.items() for word in ("--conf", f"{key}={value}")]
    kind = ["--class", "org.apache.spark.sql.connect.service.SparkConnectServer", "--master", "local[2]"]
    environment = {**os.environ, "SPARK_HOME": str(home), "PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"}
    with open(folder / "log", "wb") as log:
        running = subprocess.Popen(
            [home / "bin" / "spark-submit", *kind, *words, "spark-internal"], stdout=log, stderr=log, env=environment, cwd=folder
        )
    try:
        deadline = time.monotonic() + 240
        while time.monotonic() < deadline:
            with socket.socket() as one:
                if one.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert running.poll() is None, (folder / "log").read_text(errors="replace")[-3000:]
            time.sleep(0.5)
        yield f"sc://127.0.0.1:{port}"
    finally:
        running.terminate()
        running.wait(60)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    for name, n, odd in (("real", 240, 7), ("written", 80, 3)):
        rows = [(f"Film {i} is {'fine' if i % 2 else 'dull'}, {i % odd} times over.", "good" if i % 2 else "bad") for i in range(n)]
        texts, labels = zip(*rows, strict=True)
        pq.write_table(pa.table({"text": texts, "label": labels}), folder / f"{name}.parquet")
    return folder


def configured(folder, run, format):
    path = folder / f"{run}-{format}.yaml"
    path.write_text(CORPUS.format(folder=folder, run=run, format=format))
    return str(path)


def weights(path, spark):
    return {row.doc_id: row.weight for row in sa.run(path, spark=spark, progress=False).table("weights").collect()}


@pytest.mark.slow
@pytest.mark.parametrize("format", ["delta"])  # "parquet" passes too, and takes two minutes more
def test_the_command_runs_all_stages_there_and_needs_no_java(format, server, corpus, spark, tmp_path):
    path = configured(corpus, "there", format)
    environment = {key: value for key, value in os.environ.items() if key not in ("JAVA_HOME", "PYTHONPATH")}
    command = [sys.executable, "-m", "synalign_spark", "run", "--config", path]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=900,
        cwd=tmp_path,
        env={**environment, connect.VARIABLE: server, "PATH": str(tmp_path)},
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    ours, theirs = (weights(configured(corpus, run, format), spark) for run in ("here", "there"))
    assert ours.keys() == theirs.keys()
    assert max(abs(ours[key] - theirs[key]) for key in ours) < 1e-6


@pytest.mark.slow
def test_workers_import_the_code_that_was_sent(server):
    from pyspark.sql import functions as F

    with spark_session(config(remote=server)) as session:

        @F.udf("string")
        def where(_):
            import synalign_spark

            return synalign_spark.__file__

        found = session.range(1).select(where("id")).collect()[0][0]
    assert "synalign.zip" in found


@pytest.mark.slow
def test_a_setting_that_the_server_has_fixed_is_named(server):
    fixed = config(remote=server, conf={"spark.executor.memory": "3g"})
    with pytest.raises(ConfigError, match=r"does not take spark.executor.memory: .*start the server with it"), spark_session(fixed):
        pass


@pytest.mark.slow
def test_tables_of_delta_are_written_and_found_there(server, tmp_path):
    with spark_session(config(remote=server)) as session:
        lake = Lake(session, str(tmp_path), "delta", "r1")
        assert not lake.has_table(METRICS)
        for value in (1.0, 2.0):  # the second takes the place of the first
            lake.write(METRICS, session.createDataFrame([("a", None, value, "1")], "name string, label string, value double, unit string"))
        assert lake.has_table(METRICS)
        assert [row.value for row in lake.read(METRICS).collect()] == [2.0]
