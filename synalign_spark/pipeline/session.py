"""Starts and stops Spark, with Delta, quiet and with thread counts that fit the machine."""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import uuid
import warnings
from collections.abc import Iterator
from pathlib import Path

from pyspark.sql import SparkSession

from synalign_spark.compat import quiet_queries, release
from synalign_spark.config import Config
from synalign_spark.errors import ConfigError, InstallationError, LakeError
from synalign_spark.generation.backends.ray_on_spark import ADDRESS, shared_token
from synalign_spark.pipeline import connect
from synalign_spark.pipeline.jars import PACKAGES, jars, on_s3
from synalign_spark.pipeline.jvm_log import JvmLog, log_of_process
from synalign_spark.storage.paths import s3_endpoint

OLDEST_JAVA = 17
JAVA_OPTIONS = "spark.driver.extraJavaOptions"
DELTA_SETTINGS = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
}
SESSION_SETTINGS = {
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "true",  # of Spark 4 by default: a condition of the user's fails on a cell that it cannot cast, everywhere
}
LOG4J = Path(__file__).resolve().parents[1] / "conf" / "log4j2.properties"


def java_version() -> int:
    """Major version of the Java that Spark would start. Raises InstallationError where there is none that fits."""
    home = os.environ.get("JAVA_HOME")
    java = os.path.join(home, "bin", "java") if home else shutil.which("java")
    hint = "install a Java 17 or 21 runtime (Debian: apt-get install openjdk-17-jre-headless) or set JAVA_HOME to one"
    if not java or not os.path.exists(java):
        where = f"JAVA_HOME={home} has no bin/java" if home else "no `java` on PATH"
        raise InstallationError(f"Java is missing: {where}; {hint}")
    try:
        shown = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=60, check=False).stderr
    except OSError as err:
        raise InstallationError(f"Java cannot be started ({java}: {err}); {hint}") from err
    found = re.search(r'version "(?:1\.)?(\d+)', shown)
    if not found:
        raise InstallationError(f"Java does not run ({java} -version said: {shown.strip()[:200]!r}); {hint}")
    major = int(found.group(1))
    if major < OLDEST_JAVA:
        raise InstallationError(f"Java {major} is too old for Spark ({java}); {hint}")
    return major


def settings(cfg: Config, under_submit: bool) -> dict[str, str]:
    """Spark settings of a configuration. ``under_submit``: spark-submit has started the JVM already."""
    master = cfg.spark.master or ("" if under_submit else "local[*]")
    # Under spark-submit the master is its own, whatever the configuration says: loopback addresses would keep its executors out.
    local = (os.environ.get("SYNALIGN_MASTER", "") if under_submit else master).startswith("local")
    conf = SESSION_SETTINGS | {
        "spark.ui.showConsoleProgress": "false",
        "spark.executorEnv.PYTHONHASHSEED": "0",
    }
    if local:
        conf |= {
            "spark.ui.enabled": "false",
            "spark.sql.shuffle.partitions": "4",
            "spark.databricks.delta.snapshotPartitions": "2",
            "spark.driver.host": "127.0.0.1",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.executorEnv.OMP_NUM_THREADS": "1",
        }
    if cfg.generate.llm.ray_address == ADDRESS:
        conf |= shared_token()
    if cfg.lake.format == "delta":
        conf |= DELTA_SETTINGS
    if on_s3(cfg):
        conf |= s3_settings()
    if cfg.spark.shuffle_partitions:
        conf["spark.sql.shuffle.partitions"] = str(cfg.spark.shuffle_partitions)
    if not under_submit:
        conf |= {"spark.master": master, "spark.driver.memory": cfg.spark.driver_memory}
        if LOG4J.exists():
            # The user's options come last, so that another log4j file of theirs wins.
            java = f"-Dlog4j2.configurationFile=file:{LOG4J} {cfg.spark.conf.get(JAVA_OPTIONS, '')}"
            return conf | cfg.spark.conf | jars(cfg) | {JAVA_OPTIONS: java.strip()}
    return conf | cfg.spark.conf | jars(cfg)


def s3_settings() -> dict[str, str]:
    """S3's endpoint and region as the environment names them for Arrow and delta-rs, so that one place holds for all three.

    Spark itself takes the keys from there; endpoints other than Amazon's seldom have a host name a bucket."""
    endpoint, region = s3_endpoint(), os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    conf = {"spark.hadoop.fs.s3a.endpoint": endpoint, "spark.hadoop.fs.s3a.path.style.access": "true"} if endpoint else {}
    return conf | ({"spark.hadoop.fs.s3a.endpoint.region": region} if region else {})


def start_spark(cfg: Config, log: JvmLog | None = None) -> SparkSession:
    """The Spark session of a run: the one that spark-submit prepared, or a new one. log: takes what the JVM of a new one says.

    Raises ConfigError where this process has a session already, which is its owner's, InstallationError where Spark does not start,
    DistributedError where no Connect server answers."""
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    under_submit = "PYSPARK_GATEWAY_PORT" in os.environ
    if under_submit and cfg.spark.remote:
        raise ConfigError("spark.remote is set, and spark-submit brings a Spark of its own; use `synalign run`, or remove it")
    if not under_submit and (address := connect.server(cfg)):
        return connect_session(cfg, address)
    conf = settings(cfg, under_submit)
    if not under_submit:
        _refuse_a_second_session()
        java_version()
        if conf["spark.master"].startswith("local"):
            os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
        if conf["spark.master"].startswith("local-cluster"):
            import pyspark

            os.environ.setdefault("SPARK_HOME", os.path.dirname(pyspark.__file__))
    builder = SparkSession.builder.appName(f"synalign:{cfg.run.id}")
    for key, value in conf.items():
        builder = builder.config(key, value)
    if under_submit:
        return builder.getOrCreate()
    log = log or log_of_process()
    try:
        with log.taking_stderr():
            spark = builder.getOrCreate()
    except Exception as err:
        failed = InstallationError(f"Spark did not start: {err}\nits log ends:\n{log.tail(1500)}")
        log.keep(cfg, failed)
        raise failed from err
    quiet_queries()
    return spark


def connect_session(cfg: Config, address: str) -> SparkSession:
    """A session on a Connect server, with the settings that a session may have of its own. Raises LakeError where the lake is Delta and
    the server has none, ConfigError for Ray on its executors, before any stage."""
    if cfg.generate.llm.ray_address == ADDRESS:
        raise ConfigError(
            "generate.llm.ray_address is 'spark', and Spark is a Connect server, which starts no Ray; name a Ray cluster's address"
        )
    conf = SESSION_SETTINGS | ({"spark.sql.shuffle.partitions": str(cfg.spark.shuffle_partitions)} if cfg.spark.shuffle_partitions else {})
    spark = connect.session(cfg, address, conf | cfg.spark.conf)
    if cfg.lake.format == "delta":
        _require_delta(spark)
    return spark


def _refuse_a_second_session() -> None:
    """Spark would hand out the session that there is, with our settings laid over its owner's, and we would stop it."""
    running = SparkSession.getActiveSession()
    if running is not None:
        raise ConfigError(
            "spark: this process has a Spark session already; give it to the call (run(..., spark=spark)), or stop it first with spark.stop()"
        )


@contextlib.contextmanager
def callers_session(spark: SparkSession, cfg: Config) -> Iterator[SparkSession]:
    """A session that belongs to the caller, as it is: nothing is set, and nothing stopped at the end.

    Raises LakeError where the lake is Delta and the session has none."""
    if cfg.lake.format == "delta":
        _require_delta(spark)
    yield spark


def _require_delta(spark: SparkSession) -> None:
    """Asks for a table that is not there: how Spark refuses tells whether it has Delta. Managed platforms bring it without settings."""
    try:
        spark.read.format("delta").load(f"file:/nowhere/{uuid.uuid4().hex}")
    except Exception as err:  # py4j's or Spark's, by the way that the session was made
        lacks = {"DATA_SOURCE_NOT_FOUND": "has no Delta", "DELTA_CONFIGURE_SPARK_SESSION": "has Delta's jars, but not its settings"}
        found = next((words for condition, words in lacks.items() if condition in str(err)), None)
        if found:
            needed = {PACKAGES: release().delta_package, **DELTA_SETTINGS}
            raise LakeError(
                f"lake.format is 'delta', but the given Spark session {found}; start it with "
                f"{', '.join(f'{key}={value}' for key, value in needed.items())}, or set lake.format to 'parquet'"
            ) from err


@contextlib.contextmanager
def spark_session(cfg: Config) -> Iterator[SparkSession]:
    """``start_spark``, stopped at the end; where the body fails, what Spark itself said of it is kept. A JVM that a signal, or its own death,
    keeps from answering at the end is no news: what ended the run is told."""
    log = log_of_process()
    log.begin()
    with connect.mode_kept():
        spark = start_spark(cfg, log)
        try:
            try:
                yield spark
            finally:
                with warnings.catch_warnings():
                    warnings.filterwarnings("ignore", "Unable to cleanly shutdown Spark JVM", RuntimeWarning)
                    spark.stop()
        except BaseException as err:
            log.keep(cfg, err)
            raise
