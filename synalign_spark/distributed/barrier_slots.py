"""How many tasks of a barrier stage can run at once, by the settings of the session alone."""

import math
import re
from pathlib import Path

from pyspark.sql import SparkSession

from synalign_spark.compat import session_settings
from synalign_spark.core.solver.shard import usable_threads

_LOCAL = re.compile(r"^local\[\s*(\*|\d+)\s*(?:,\s*\d+\s*)?\]$")
_LOCAL_CLUSTER = re.compile(r"^local-cluster\[\s*(\d+)\s*,\s*(\d+)\s*,\s*\d+\s*\]$")
# What Spark takes where nothing is set, on the two masters that start executors by number.
_DEFAULT_INSTANCES, _DEFAULT_CORES = 2, 1


def barrier_slots(spark: SparkSession) -> tuple[int | None, str]:
    """How many tasks can run at once, and where that number is from: ``(8, "spark.executor.instances=4 x ...")``.

    None, and the reason in words, where a barrier stage cannot be trusted to start: with dynamic allocation, which Spark
    refuses, and where the settings do not tell the number. It is what the session asks for, not what is free this moment."""
    master = spark.conf.get("spark.master", None) or ""
    cpus = int(spark.conf.get("spark.task.cpus", None) or 1)
    if found := _LOCAL.match(master):
        cores = _cores() if found.group(1) == "*" else int(found.group(1))
        return cores // cpus, f"master {master}, {_cores_of(cores, cpus)}"
    if master == "local":
        return 1 // cpus, "master local, one core"
    resources, by_gpu = _other_resources(spark), _tasks_by_gpu(spark)
    if resources and (by_gpu is None or master.startswith("spark://")):
        return None, f"tasks ask for {resources}, so the number that can run at once is not known from the cores"
    if found := _LOCAL_CLUSTER.match(master):
        instances, cores = int(found.group(1)), int(found.group(2))
        tasks, gpus = _an_executor(cores, cpus, by_gpu)
        return instances * tasks, f"master {master}, {_cores_of(cores, cpus)} an executor{gpus}"
    if (spark.conf.get("spark.dynamicAllocation.enabled", None) or "false").lower() == "true":
        return None, "spark.dynamicAllocation.enabled is true, and Spark refuses barrier stages then"
    return _of_cluster(spark, master, cpus, by_gpu)


def _of_cluster(spark: SparkSession, master: str, cpus: int, by_gpu: int | None) -> tuple[int | None, str]:
    if master.startswith("spark://"):  # a standalone cluster goes by the number of cores alone
        limit = spark.conf.get("spark.cores.max", None)
        if not limit:
            return None, f"spark.cores.max is not set (master {master})"
        return int(limit) // cpus, f"spark.cores.max={limit} / spark.task.cpus={cpus}"
    instances, cores = spark.conf.get("spark.executor.instances", None), spark.conf.get("spark.executor.cores", None)
    if master.startswith(("yarn", "k8s")):
        instances, cores = instances or str(_DEFAULT_INSTANCES), cores or str(_DEFAULT_CORES)
    if not instances or not cores:
        return None, f"spark.executor.instances and spark.executor.cores are not both set (master {master or 'unknown'})"
    tasks, gpus = _an_executor(int(cores), cpus, by_gpu)
    where = f"spark.executor.instances={instances} x spark.executor.cores={cores} / spark.task.cpus={cpus}{gpus}"
    return int(instances) * tasks, where


def _an_executor(cores: int, cpus: int, by_gpu: int | None) -> tuple[int, str]:
    """Tasks that an executor runs at once, and what besides its cores limits them, in words."""
    tasks = cores // cpus
    return (tasks, "") if by_gpu is None or tasks <= by_gpu else (by_gpu, f", by its GPUs at most {by_gpu} an executor")


def _tasks_by_gpu(spark: SparkSession) -> int | None:
    """Tasks for which the GPUs of an executor suffice; None where GPUs are not asked for, are not counted, or are not all that is."""
    available, asked = (spark.conf.get(f"spark.{of}.resource.gpu.amount", None) for of in ("executor", "task"))
    if not available or not asked or _other_resources(spark) != "gpu":
        return None
    amount = float(asked)  # below 1: tasks share a GPU, as many as go into it whole
    return int(available) * math.floor(1 / amount) if amount < 1 else int(int(available) // amount)


def _cores_of(cores: int, cpus: int) -> str:
    return f"{cores} core{'s' if cores != 1 else ''} / spark.task.cpus={cpus}"


def _other_resources(spark: SparkSession) -> str:
    """Names of what a task needs besides cores (GPUs), separated by commas."""
    found = re.compile(r"^spark\.task\.resource\.(.+)\.amount$")
    return ", ".join(sorted(name.group(1) for key in session_settings(spark) if (name := found.match(key))))


def _cores() -> int:
    """Cores that a JVM on this machine sees: those the process may run on, within a container's quota."""
    allowed = usable_threads()
    for quota, period in (_quota_v2(), _quota_v1()):
        if quota > 0 and period > 0:
            allowed = min(allowed, math.ceil(quota / period))
    return max(1, allowed)


def _quota_v2() -> tuple[int, int]:
    words = _read("cpu.max").split()
    return (int(words[0]), int(words[1])) if len(words) == 2 and words[0].isdigit() else (0, 0)


def _quota_v1() -> tuple[int, int]:
    quota, period = _read("cpu/cpu.cfs_quota_us"), _read("cpu/cpu.cfs_period_us")
    return (int(quota), int(period)) if quota.isdigit() and period.isdigit() else (0, 0)


def _read(name: str) -> str:
    try:
        return (Path("/sys/fs/cgroup") / name).read_text().strip()
    except OSError:
        return ""
