"""Rows on Spark for the alignment benchmark."""

import contextlib
import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

from synalign_spark.alignment.runtimes.barrier import Shards, solve_shards
from synalign_spark.config import Config
from synalign_spark.core.communicator import Communicator
from synalign_spark.core.solver.solve import Problem
from synalign_spark.distributed.checkpoint import Checkpoint
from synalign_spark.pipeline.session import settings
from synalign_spark.udfs.arrow import from_matrix
from tests.bench.pipeline import SHORT_LIVED

ROOT = Path(__file__).resolve().parents[3]
COLUMNS = "doc_id string, grp string, prior double, base double, u_warm double, embedding array<float>"


@contextlib.contextmanager
def session(cores: int) -> Iterator[SparkSession]:
    """A local session with the product's own settings."""
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))  # the workers import this file too
    spark_settings = {"master": f"local[{cores}]", "conf": SHORT_LIVED}
    cfg = Config.model_validate({"source": {"path": "unused"}, "lake": {"format": "parquet"}, "spark": spark_settings})
    builder = SparkSession.builder.appName("bench")
    for key, value in settings(cfg, under_submit=False).items():
        builder = builder.config(key, value)
    spark = builder.getOrCreate()
    try:
        yield spark
    finally:
        spark.stop()


def rows_frame(spark: SparkSession, rows: int, slices: Callable[..., Iterator[np.ndarray]], partitions: int) -> DataFrame:
    """Rows with embeddings made on the executors. slices: rows -> vectors, the same whatever the partition."""
    share = -(-rows // partitions)

    def make(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for place in batch.column("id").to_pylist():
                for part, x in enumerate(slices(min(share, rows - place * share))):
                    ids = [hashlib.sha256(f"{place}.{part}.{i}".encode()).hexdigest() for i in range(len(x))]
                    ones = pa.array(np.ones(len(x)))
                    u = pa.array([int(key[:13], 16) / 16**13 for key in ids])
                    columns = [pa.array(ids), pa.array([""] * len(x)), ones, ones, u, from_matrix(x)]
                    yield pa.RecordBatch.from_arrays(columns, names=["doc_id", "grp", "prior", "base", "u_warm", "embedding"])

    return spark.range(0, partitions, 1, partitions).mapInArrow(make, COLUMNS)


def timed_solve_shards(shards: Shards, comm: Communicator, checkpoint: Checkpoint, problems: Mapping[str, Problem]) -> bytes:
    """``solve_shards``, and how long it took once all tasks had their rows."""
    import pickle

    comm.all_reduce(np.zeros(1))
    started = time.perf_counter()
    answers = pickle.loads(solve_shards(shards, comm, checkpoint, problems))
    seconds = time.perf_counter() - started
    return json.dumps({"seconds": seconds, "passes": max(answer.finished.passes for answer in answers.values())}).encode()
