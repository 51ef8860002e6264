"""Where the solve runs: in the driver, in one Spark barrier stage, or one Spark job a pass. All give the same weights to 1e-6."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from synalign_spark.alignment.runtimes.device import Place, driver_gpu, gpus_a_task
from synalign_spark.alignment.runtimes.local import LocalRows
from synalign_spark.alignment.runtimes.rows import Rows
from synalign_spark.alignment.sides import Side
from synalign_spark.config.alignment import AlignConfig
from synalign_spark.core.features import FeatureMap
from synalign_spark.core.solver.shard import choose_storage
from synalign_spark.errors import ConfigError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

GB = 2**30
DEVICES = {  # align.device -> of a barrier stage, in words
    "auto": "device auto: the GPU of a task and as its memory allows where it has one, else its cores",
    "cuda": "device cuda: the GPU of each task, as its memory allows",
    "cpu": "device cpu",
}


@dataclass(frozen=True)
class Runtime:
    """name: local, barrier or driver_loop; storage: of the features, see ``core.solver.shard``; tasks: of the barrier stage; device: of
    the local runtime as torch names it, None for the cores; place: how a barrier task chooses its device and storage; peer_timeout_s: how long it waits
    for the others."""

    name: str
    storage: str
    tasks: int
    reason: str
    device: str | None = None
    place: Place | None = None
    peer_timeout_s: float = 0.0


def choose_runtime(spark: "SparkSession | None", cfg: AlignConfig, rows: int, width: int) -> Runtime:
    """The configured runtime, or the one that the size asks for, and why. rows: synthetic rows; width: of their embeddings.

    auto: the driver where its GPU holds the rows, or its memory everything as float32, else a barrier stage, else a job a pass.
    spark: None for rows in this process.
    Raises ConfigError where a barrier stage is asked for that cannot run, or a GPU that is not there or too small."""
    if cfg.runtime == "driver_loop" and spark is not None:
        return Runtime("driver_loop", "recompute", 0, "set by align.runtime, device cpu")
    if here := _in_driver(cfg, rows, width):
        return here
    if spark is None:
        return _in_process(cfg, rows, width)
    from synalign_spark.distributed.barrier_slots import barrier_slots

    slots, where = barrier_slots(spark)
    wanted = slots if cfg.tasks == "auto" else cfg.tasks
    if slots is None or wanted is None or wanted > slots:
        why = (
            f"a barrier stage cannot run: {where}"
            if slots is None
            else f"align.tasks is {wanted}, but only {slots} can run at once ({where})"
        )
        if cfg.runtime == "barrier":
            raise ConfigError(f"align.runtime is barrier, but {why}; lower align.tasks, or set align.runtime to driver_loop")
        if cfg.device == "cuda":
            raise ConfigError(
                f"align.device is cuda, but {why}, and a job a pass uses cores alone; lower align.tasks, or set align.device to auto"
            )
        return Runtime("driver_loop", "recompute", 0, f"{why}, device cpu")
    storage, size = choose_storage(-(-rows // wanted), cfg.n_features, cfg.memory_gb * GB)
    place = Place(cfg.device, -(-rows // wanted), width, cfg.n_features, gpus_a_task(spark))
    kept = "" if cfg.device == "cuda" else f"{size}, {_how(storage)}, "
    return Runtime(
        "barrier", storage, wanted, f"{wanted} tasks ({where}); {kept}{DEVICES[cfg.device]}", place=place, peer_timeout_s=cfg.peer_timeout_s
    )


def _in_driver(cfg: AlignConfig, rows: int, width: int) -> Runtime | None:
    """The local runtime, where it is asked for or has room. The embeddings stay in the driver's memory on a GPU too."""
    left = cfg.memory_gb * GB - rows * width * 4
    found = None
    if cfg.runtime == "local" or (cfg.runtime == "auto" and left >= 0):
        found = driver_gpu(cfg, rows, width)
    if found is not None:
        gpu, storage, size = found
        return Runtime("local", storage, 1, f"{size}, {_how(storage)}, device {gpu.name} ({gpu.model})", device=gpu.name)
    storage, size = choose_storage(rows, cfg.n_features, left)
    if cfg.runtime == "local" or (cfg.runtime == "auto" and cfg.device != "cuda" and storage == "float32"):
        return Runtime("local", storage, 1, f"{size}, {_how(storage)}, device cpu")
    return None


def _in_process(cfg: AlignConfig, rows: int, width: int) -> Runtime:
    """The local runtime for rows that are in this process anyway, however little memory align.memory_gb leaves."""
    if cfg.runtime in ("barrier", "driver_loop"):
        raise ConfigError(
            f"align.runtime is {cfg.runtime}, which needs Spark DataFrames; give those, or set align.runtime to local or auto"
        )
    if cfg.device == "cuda":
        raise ConfigError(
            "align.device is cuda, but the rows do not fit: raise align.memory_gb, give Spark DataFrames, or set align.device to auto"
        )
    storage, size = choose_storage(rows, cfg.n_features, cfg.memory_gb * GB - rows * width * 4)
    return Runtime("local", storage, 1, f"{size}, {_how(storage)}, device cpu")


def _how(storage: str) -> str:
    return "made again in each pass" if storage == "recompute" else f"kept as {storage}"


def open_rows(runtime: Runtime, rows: Side, features: FeatureMap, checkpoint: str | None) -> Rows:
    """The synthetic rows in their runtime. checkpoint: file of a barrier stage."""
    if runtime.name == "local":
        return LocalRows(rows.table(), features, runtime.storage, runtime.device)
    from synalign_spark.alignment.spark_side import SparkSide

    if not isinstance(rows, SparkSide):
        raise ConfigError(f"align.runtime is {runtime.name}, but the rows are in this process; set align.runtime to local or auto")
    if runtime.name == "barrier":
        from synalign_spark.alignment.runtimes.barrier import BarrierRows  # brings torch: seconds that the other runtimes need not wait

        return BarrierRows(rows.frame, features, runtime.storage, runtime.tasks, runtime.peer_timeout_s, checkpoint, runtime.place)
    from synalign_spark.alignment.runtimes.driver_loop import SparkRows

    return SparkRows(rows.frame, features)
