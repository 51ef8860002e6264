"""What every job gets: configuration, Spark, the lake, progress and a log."""

import math
import time
from dataclasses import dataclass, field
from typing import Any

from pyspark.sql import SparkSession

from synalign_spark.config import Config
from synalign_spark.errors import BudgetError
from synalign_spark.progress import Progress
from synalign_spark.storage.lake import Lake

# What a job tells about itself: shown on the terminal, kept in the run's manifest. Plain JSON values.
Summary = dict[str, Any]


@dataclass(frozen=True)
class Deadline:
    """When a start is to go no further. minutes: from its beginning, None for no limit; ends: the moment, by the monotonic clock."""

    minutes: float | None = None
    ends: float = math.inf

    @classmethod
    def after(cls, minutes: float | None) -> "Deadline":
        """So many minutes from now."""
        return cls(minutes, math.inf if minutes is None else time.monotonic() + 60 * minutes)

    def require_time(self) -> None:
        """Raises BudgetError once it is over."""
        if time.monotonic() >= self.ends:
            raise BudgetError(
                f"run.max_minutes: {self.minutes:g} minutes are over, and work is left; start it again with the same command and it goes on where it was"
            )


@dataclass(frozen=True)
class Context:
    """Handed to ``run(ctx)`` of each job."""

    cfg: Config
    spark: SparkSession
    lake: Lake
    progress: Progress
    log: Any  # a structlog logger, bound to run_id and stage
    deadline: Deadline = field(default_factory=Deadline)
