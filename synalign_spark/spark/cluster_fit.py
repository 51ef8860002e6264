"""Where k-means is fitted: in this process, or on all rows in one Spark barrier stage. Both give the same centroids to rounding."""

import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from synalign_spark.compat import to_arrow
from synalign_spark.config import ClusterConfig
from synalign_spark.core.communicator import Communicator, LocalCommunicator
from synalign_spark.core.sampling.clusters import SAMPLE_KEY, fit_keyed, fitted_rows, n_clusters
from synalign_spark.core.sampling.kmeans import KMeansFit
from synalign_spark.distributed.barrier_slots import barrier_slots
from synalign_spark.distributed.checkpoint import Checkpoint
from synalign_spark.errors import DataError
from synalign_spark.spark.keys import unit
from synalign_spark.udfs.arrow import to_matrix
from synalign_spark.udfs.assign import MAX_CENTROID_BYTES

LOCAL_BYTES = 128 * 2**20  # of vectors on the driver, far below spark.driver.maxResultSize (1 GB): 87,000 of 384 numbers
GB = 2**30
WHILE_LOADING = 2  # times the vectors of a task: as they come and as they stay
PEER_TIMEOUT_S = 600.0  # that a task waits for the others within a pass

Keyed = tuple[npt.NDArray[np.float64], npt.NDArray[np.float32]]


@dataclass(frozen=True)
class FitPlan:
    """tasks: of the barrier stage, 0 for this process; rows: that the fit sees; reason: why there, in words."""

    tasks: int
    rows: int
    reason: str


def plan_fit(embeddings: DataFrame, cfg: ClusterConfig, n_rows: int, width: int) -> FitPlan:
    """All rows wherever they have room, else a hash sample that has. n_rows, width: of the vectors that may shape a cluster."""
    row_bytes, wanted = 4 * width, fitted_rows(cfg, n_rows)
    here = max(1, LOCAL_BYTES // row_bytes)
    if wanted <= here:
        return FitPlan(0, wanted, "in the driver's memory")
    slots, where = barrier_slots(embeddings.sparkSession)
    if not slots:
        return FitPlan(0, here, f"on a sample in the driver's memory: no barrier stage can run ({where})")
    room = int(slots * cfg.memory_gb * GB / (WHILE_LOADING * row_bytes))
    if room < here:  # set that low on purpose, or by mistake
        return FitPlan(0, here, f"on a sample in the driver's memory: {slots} tasks of cluster.memory_gb={cfg.memory_gb:g} hold fewer rows")
    return FitPlan(slots, min(wanted, room), f"in a barrier stage of {slots} tasks ({where})")


def fit_clusters(embeddings: DataFrame, cfg: ClusterConfig, seed: int, n_rows: int, width: int, report: Callable[[str], None]) -> KMeansFit:
    """k-means of the rows, or of those of smallest hash number. embeddings: doc_id, embedding of ``n_rows`` rows.

    On the driver: LOCAL_BYTES of vectors at most, else the centroids alone. report: is told where and on how many rows.
    Raises DataError for more clusters than rows, and for centroids that would not fit a task."""
    plan = plan_fit(embeddings, cfg, n_rows, width)
    try:
        k = n_clusters(cfg, n_rows, plan.rows)
    except ValueError as err:
        raise DataError(f"cluster.{err}") from err
    if k * width * 8 > MAX_CENTROID_BYTES:
        most = MAX_CENTROID_BYTES // (8 * width)
        raise DataError(f"cluster.k is {k}, and so many centroids of {width} numbers are too many for a task; set it to at most {most}")
    report(f"k-means of {k:,} clusters on {plan.rows:,} of {n_rows:,} rows, {plan.reason}")
    keyed = embeddings.select(unit(seed, SAMPLE_KEY, "doc_id").alias("key"), "doc_id", "embedding")
    if not plan.tasks:
        keys, x = _smallest(keyed, plan.rows, n_rows)
        return fit_keyed(x, keys, cfg, k, seed, LocalCommunicator())
    from synalign_spark.distributed.spmd import run_spmd  # brings torch: seconds that a small corpus need not wait

    rows = keyed.select("key", "embedding")
    rows = rows if plan.rows >= n_rows else rows.where(F.col("key") < plan.rows / n_rows)
    solve = partial(_fit_shard, cfg=cfg, k=k, seed=seed)
    fitted: KMeansFit = pickle.loads(run_spmd(rows, "key", plan.tasks, load_shard, solve, timeout_s=PEER_TIMEOUT_S))  # made by our own task
    return fitted


def load_shard(batches: Iterator[pa.RecordBatch]) -> Keyed:
    """Keys (n,) and vectors (n, d) of one task."""
    keys, parts = [np.empty(0)], [np.empty((0, 0), dtype=np.float32)]
    for batch in batches:
        keys.append(batch.column("key").to_numpy())
        parts.append(to_matrix(batch.column("embedding")))
    return np.concatenate(keys), np.concatenate(parts[1:]) if len(parts) > 1 else parts[0]


def _fit_shard(shard: Keyed, comm: Communicator, checkpoint: Checkpoint, cfg: ClusterConfig, k: int, seed: int) -> bytes:
    keys, x = shard
    try:
        return pickle.dumps(fit_keyed(x, keys, cfg, k, seed, comm))
    except ValueError as err:  # fewer rows of a small hash number than are expected, and nearly as many clusters
        raise DataError(f"cluster.{err}") from err


def _smallest(keyed: DataFrame, count: int, n_rows: int) -> Keyed:
    """Keys and vectors of the ``count`` smallest hash numbers, in that order: the same rows on any partitioning."""
    share = (count + 6 * count**0.5 + 36) / n_rows  # hash numbers are uniform: six standard deviations above the wanted share
    for candidates in (keyed.where(F.col("key") < share), keyed.orderBy("key", "doc_id").limit(count)):
        table: Any = to_arrow(candidates)  # about ``count`` vectors
        if len(table) >= min(count, n_rows):
            break
    table = table.take(pc.sort_indices(table, [("key", "ascending"), ("doc_id", "ascending")])[:count])
    return table.column("key").to_numpy(), to_matrix(table.column("embedding"))
