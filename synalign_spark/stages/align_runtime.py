"""Where the solve runs: in the driver, or one Spark job a pass. All give the same weights to 1e-6."""

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

from synalign_spark.config import AlignConfig
from synalign_spark.core.features import FeatureMap
from synalign_spark.core.shard import choose_storage
from synalign_spark.stages.align_rows import LocalRows, Rows
from synalign_spark.stages.align_spark import SparkRows

GB = 2**30


@dataclass(frozen=True)
class Runtime:
    """name: local, barrier or driver_loop; storage: of the features, see ``core.shard``; tasks: of the barrier stage."""

    name: str
    storage: str
    tasks: int
    reason: str


def choose_runtime(spark: SparkSession, cfg: AlignConfig, rows: int, width: int) -> Runtime:
    """The configured runtime, or the one that the size asks for, and why. rows: synthetic rows; width: of their embeddings."""
    budget = cfg.memory_gb * GB - rows * width * 4
    storage, size = choose_storage(rows, cfg.n_features, budget)
    if cfg.runtime == "local" or (cfg.runtime == "auto" and storage == "float32"):
        why = size if cfg.runtime == "auto" else f"set by align.runtime; {size}"
        return Runtime("local", storage, 1, f"{why}, kept as {storage}" if storage != "recompute" else f"{why}, made again in each pass")
    why = size if cfg.runtime == "auto" else "set by align.runtime"
    return Runtime("driver_loop", "recompute", 0, why)


def open_rows(
    runtime: Runtime,
    rows: DataFrame,
    features: FeatureMap,
    cfg: AlignConfig,
    make: Callable[[pa.Table], DataFrame],
    checkpoint: str | None,
) -> Rows:
    """The synthetic rows in their runtime. make: turns the driver's weights into a DataFrame."""
    if runtime.name == "local":
        return LocalRows(rows.toArrow(), features, runtime.storage, make)
    return SparkRows(rows, features)
