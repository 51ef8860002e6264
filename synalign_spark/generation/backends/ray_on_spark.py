"""A Ray cluster on the executors of the Spark session that runs already (``ray.util.spark``), for the length of a block."""

import contextlib
import logging
import os
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synalign_spark.errors import ConfigError, DistributedError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ADDRESS = "spark"  # in place of an address
NODE_OBJECT_STORE_BYTES = 100 * 2**20  # attempts and answers are small, and go through no store
TOKEN, TOKEN_MODE = "RAY_AUTH_TOKEN", "RAY_AUTH_MODE"


def shared_token() -> dict[str, str]:
    """Spark settings that bring a run's token to the executors, so that nobody else can join its Ray. The token is the one of the
    environment, or is drawn and put there: Ray reads it when it is imported, so this comes before that. Spark hides such values."""
    os.environ.setdefault(TOKEN_MODE, "token")
    if os.environ[TOKEN_MODE] == "token":
        os.environ.setdefault(TOKEN, secrets.token_hex(32))
    return {f"spark.executorEnv.{name}": os.environ[name] for name in (TOKEN_MODE, TOKEN) if name in os.environ}


@contextlib.contextmanager
def ray_on_spark(actors: int) -> Iterator[str]:
    """Address of a Ray cluster with a node for each actor, as far as the executors have room: one core stays free for Spark's own tasks,
    which the gate on copies needs. Raises ConfigError where Spark has no executors for it, DistributedError where it does not start."""
    spark = _session()
    free = spark.sparkContext.defaultParallelism // int(spark.conf.get("spark.task.cpus", "1") or 1) - 1
    if free < 1:
        raise ConfigError("generate.llm.ray_address is 'spark', but the executors have one core, which Spark needs itself; give them more")
    from ray.util.spark import setup_ray_cluster, shutdown_ray_cluster

    logging.getLogger("ray.util.spark").setLevel(logging.ERROR)
    options: dict[str, Any] = {"num_cpus_worker_node": 1, "num_gpus_worker_node": 0, "num_cpus_head_node": 0, "num_gpus_head_node": 0}
    stores: dict[str, Any] = {f"object_store_memory_{kind}_node": NODE_OBJECT_STORE_BYTES for kind in ("worker", "head")}
    with _environment():
        try:
            address, _ = setup_ray_cluster(
                max_worker_nodes=min(actors, free), head_node_options={"include_dashboard": False}, **options, **stores
            )
        except Exception as err:  # Ray's, Spark's, the system's
            raise DistributedError(
                f"generate.llm.ray_address: Ray does not start on Spark's executors ({type(err).__name__}: {str(err)[:300]}); their "
                "PATH must have the program ray, of the version here, and PYSPARK_PYTHON a Python of it; or remove the key, and Ray runs on this machine"
            ) from err
        try:
            yield address
        finally:
            shutdown_ray_cluster()


def _session() -> "SparkSession":
    """The session of this process. Raises ConfigError where there is none with executors of its own."""
    from pyspark.sql import SparkSession

    spark = SparkSession.getActiveSession()
    if spark is None:
        raise ConfigError("generate.llm.ray_address is 'spark', but no Spark session runs in this process; start one, or remove it")
    master = getattr(getattr(spark, "_sc", None), "master", None)
    if master is None:
        raise ConfigError(
            "generate.llm.ray_address is 'spark', which needs a session that is not of Spark Connect; name a Ray cluster's address"
        )
    if master == "local" or master.startswith("local["):
        raise ConfigError(
            f"generate.llm.ray_address is 'spark', but Spark runs on this machine alone ({master}); remove it, and Ray runs here too"
        )
    return spark


@contextlib.contextmanager
def _environment() -> Iterator[None]:
    """The program ``ray`` on the path of what Ray starts here; what Ray sets goes with the block."""
    before = {name: os.environ.get(name) for name in ("PATH", "RAY_ADDRESS")}
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{before['PATH'] or os.defpath}"
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
