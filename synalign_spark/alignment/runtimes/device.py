"""Where the passes over the rows run: on a GPU through torch, or on the cores.

The driver looks at its own devices alone; a task of a barrier stage looks at those that it has once it runs."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from synalign_spark.config.alignment import AlignConfig
from synalign_spark.core.solver.device_shard import device_storage
from synalign_spark.core.solver.shard import SINGLE_FROM
from synalign_spark.distributed.devices import Gpu, gpu, gpu_count, gpu_index
from synalign_spark.errors import ConfigError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

FIX = "set align.device to auto or cpu"


@dataclass(frozen=True)
class Place:
    """What a barrier task needs to choose its device. asked: align.device; rows: of a task; width: of their embeddings; gpus: how
    many a task asks of Spark, None where Spark knows of none."""

    asked: str
    rows: int
    width: int
    n_features: int
    gpus: float | None = None


def check_device(spark: "SparkSession | None", cfg: AlignConfig) -> None:
    """Raises ConfigError where align.device asks for a GPU that cannot be there: before any work."""
    if cfg.device != "cuda":
        return
    if cfg.runtime == "driver_loop":
        raise ConfigError(
            f"align.device is cuda, but align.runtime is driver_loop, which uses cores alone; set align.runtime to auto, or {FIX}"
        )
    master = "local" if spark is None else spark.conf.get("spark.master", None) or ""
    if (cfg.runtime == "local" or master.startswith("local")) and not gpu_count():
        raise ConfigError(f"align.device is cuda, but torch sees no CUDA device on this machine; {FIX}")


def driver_gpu(cfg: AlignConfig, rows: int, width: int) -> tuple[Gpu, str, str] | None:
    """The GPU of this process, how it keeps the rows, and why; None where there is none, it is too small, or it is not worth it.

    Raises ConfigError where the GPU is asked for, for the driver, and too small."""
    small = cfg.device == "auto" and rows * cfg.n_features < SINGLE_FROM  # a GPU takes longer to start than the cores to finish
    if cfg.device == "cpu" or small or not gpu_count():
        return None
    found = gpu()
    storage, shown = device_storage(rows, cfg.n_features, width, found.free_bytes)
    if storage is None and cfg.device == "cuda" and cfg.runtime == "local":
        raise ConfigError(_too_small(found, shown, "set align.runtime to barrier"))
    return None if storage is None else (found, storage, shown)


def gpus_a_task(spark: "SparkSession") -> float | None:
    """GPUs that a task asks of Spark."""
    asked = spark.conf.get("spark.task.resource.gpu.amount", None)
    return float(asked) if asked else None


def task_device(place: Place, storage: str) -> tuple[str | None, str]:
    """On the executors: the device of this barrier task, None for its cores, and how it keeps features there.

    storage: how the cores would keep them. Raises ConfigError where a GPU is asked for and there is none, or too small a one."""
    count = 0 if place.asked == "cpu" else gpu_count()
    if not count:
        if place.asked == "cuda":
            raise ConfigError(
                "align.device is cuda, but torch sees no CUDA device in a barrier task; "
                f"give the executors GPUs (spark.executor.resource.gpu.amount and spark.task.resource.gpu.amount), or {FIX}"
            )
        return None, storage
    found = gpu(*_mine(place, count))
    kept, shown = device_storage(place.rows, place.n_features, place.width, found.free_bytes)
    if kept is None and place.asked == "cuda":
        raise ConfigError(_too_small(found, shown, "raise align.tasks"))
    return (None, storage) if kept is None else (found.name, kept)


def _too_small(found: Gpu, shown: str, fix: str) -> str:
    return f"align.device is cuda, but not even the embeddings fit on {found.name} ({found.model}): {shown}; {fix}, or {FIX}"


def _mine(place: Place, count: int) -> tuple[int, int]:
    """Number of this task's device among the ``count`` that torch sees, and how many tasks share it."""
    from pyspark import BarrierTaskContext

    context = BarrierTaskContext.get()
    hosts = [info.address.rsplit(":", 1)[0] for info in context.getTaskInfos()]
    rank = context.partitionId()
    before, beside = hosts[:rank].count(hosts[rank]), hosts.count(hosts[rank])
    given = context.resources().get("gpu")
    index = gpu_index(list(given.addresses) if given else [], before, count)
    return index, math.ceil(1 / place.gpus) if given and place.gpus else math.ceil(beside / count)
