"""What every job gets: configuration, Spark, the lake, progress and a log."""

from dataclasses import dataclass
from typing import Any

from pyspark.sql import SparkSession

from synalign_spark.config import Config
from synalign_spark.progress import Progress
from synalign_spark.storage.lake import Lake

# What a job tells about itself: shown on the terminal, kept in the run's manifest. Plain JSON values.
Summary = dict[str, Any]


@dataclass(frozen=True)
class Context:
    """Handed to ``run(ctx)`` of each job."""

    cfg: Config
    spark: SparkSession
    lake: Lake
    progress: Progress
    log: Any  # a structlog logger, bound to run_id and stage
