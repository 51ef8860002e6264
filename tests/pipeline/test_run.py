"""``run`` from Python: in the caller's session, which stays as it was, and what the Run tells afterwards."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from synalign_spark.api.run import run
from synalign_spark.config.files import configured
from synalign_spark.errors import ConfigError, DataError
from synalign_spark.pipeline.session import callers_session
from tests.pipeline.films import imported

ROOT = Path(__file__).resolve().parents[2]


def test_the_callers_session_is_neither_stopped_nor_changed(spark, corpora, tmp_path):
    spark.sparkContext.setJobGroup("mine", "a job of the caller's")
    before = {entry.key: entry.value for entry in spark.sql("SET").collect()}
    alone = run(imported(corpora, tmp_path / "lake"), spark=spark, stage="ingest", settings=["ingest.min_chars=20"], progress=False)
    assert {entry.key: entry.value for entry in spark.sql("SET").collect()} == before
    assert spark.sparkContext.getLocalProperty("spark.jobGroup.id") == "mine"
    spark.sparkContext.setLocalProperty("spark.jobGroup.id", None)
    assert list(alone.manifest) == ["ingest"]
    assert alone.cfg.ingest.min_chars == 20
    assert "done: ingest" in str(alone)
    assert alone.report is None
    with pytest.raises(DataError, match="run.id 'e2e' has no certificate yet: the stage align is not done"):
        alone.certificate  # noqa: B018


def test_a_session_of_the_callers_is_not_taken_unasked(spark, corpora, tmp_path):
    with pytest.raises(ConfigError, match=r"this process has a Spark session already; give it to the call"):
        run(imported(corpora, tmp_path / "lake"), progress=False)
    assert spark.range(3).count() == 3


def test_an_unknown_stage_is_named_before_anything_is_looked_at(tmp_path):
    with pytest.raises(ConfigError, match=r"stage 'algin' is not one; the stages are ingest, embed, cluster"):
        run({"source": {"path": str(tmp_path / "none")}, "lake": {"path": str(tmp_path / "lake")}}, stage="algin")
    assert not (tmp_path / "lake").exists()


def test_a_configuration_is_taken_in_any_form(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("source: {path: x}\n")
    whole = configured({"source": {"path": "x"}}, ["align.n_features=64"])
    assert configured(path, ["align.n_features=64"]) == configured([str(path)], ["align.n_features=64"]) == configured(whole) == whole
    assert configured(whole, ["align.n_features=128"]).align.n_features == 128


def test_a_session_with_delta_is_taken_for_a_delta_lake(spark):
    cfg = configured({"source": {"path": "x"}})
    with callers_session(spark, cfg) as session:
        assert session is spark
    assert spark.range(3).count() == 3


WITHOUT_DELTA = """
from pyspark.sql import SparkSession
from synalign_spark.api.run import run
local = {"spark.ui.enabled": "false", "spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
spark = SparkSession.builder.master("local[1]").config(map=local).getOrCreate()
try:
    run({"source": {"path": __file__, "format": "text"}, "lake": {"path": "lake"}}, spark=spark, stage="ingest", progress=False)
except Exception as err:
    print(type(err).__name__, err)
print(spark.range(3).count())
"""


@pytest.mark.slow  # a second JVM
def test_a_session_without_delta_is_told_what_it_lacks(tmp_path):
    (tmp_path / "script.py").write_text(WITHOUT_DELTA)
    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, env=_env(), capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    message, rows = done.stdout.splitlines()
    assert message.startswith(
        "LakeError lake.format is 'delta', but the given Spark session has no Delta; start it with spark.jars.packages="
    )
    assert "spark.sql.extensions=io.delta" in message
    assert rows == "3"  # the session is the caller's, after an error too


def _env() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT), "SPARK_LOCAL_IP": "127.0.0.1"}
