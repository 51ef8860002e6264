"""What the executors have: a Python function in tasks over all of them, before any work goes there."""

import importlib.metadata
import os
import platform
import socket
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pyarrow as pa
from pyspark.sql import SparkSession

from synalign_spark.compat import to_arrow
from synalign_spark.distributed.barrier_slots import barrier_slots
from synalign_spark.errors import DistributedError

PACKAGES = ("numpy", "scipy", "scikit-learn", "pandas", "pyarrow", "xxhash")  # of every function that runs there
EMBEDDER = ("torch", "sentence-transformers")  # of a local model
TASKS_A_SLOT, MOST_TASKS, UNKNOWN_SLOTS = 4, 1_000, 16
PAUSE_S = 0.1  # that an executor takes for a task, so that no other gets them all
SKEW_S = 30.0  # between clocks, from which it is told: locks and rates go by them
FIX = "install them there, or ship an environment (spark-submit --archives, PYSPARK_PYTHON)"

FOUND = pa.schema(
    [("host", pa.string()), ("python", pa.string()), ("packages", pa.map_(pa.string(), pa.string())), ("memory_gb", pa.float64()), ("cores", pa.int32()), ("clock", pa.float64())]
)  # fmt: skip
FOUND_DDL = "host string, python string, packages map<string,string>, memory_gb double, cores int, clock double"


@dataclass(frozen=True)
class Found:
    """What a Python process has. packages: versions by name, of those that are there; memory_gb, cores: of its machine; clock: Unix time in seconds."""

    host: str
    python: str
    packages: Mapping[str, str]
    memory_gb: float
    cores: int
    clock: float


def found_here(packages: Collection[str]) -> Found:
    """What this process has of these packages."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30 if hasattr(os, "sysconf") else 0.0
    versions = {name: version for name in packages if (version := _version(name))}
    return Found(socket.gethostname(), platform.python_version(), versions, memory, os.cpu_count() or 1, time.time())


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def look(batches: Iterable[pa.RecordBatch], packages: Collection[str]) -> Iterator[pa.RecordBatch]:
    """The function of the executors: a row of FOUND for its partition."""
    for _ in batches:
        pass
    time.sleep(PAUSE_S)
    yield pa.RecordBatch.from_pylist([vars(found_here(packages))], FOUND)


def examine_executors(spark: SparkSession, local_model: bool) -> str:
    """What is found on the executors, in words: of each machine that Spark gives one of the tasks to, of which there are MOST_TASKS at most. local_model:
    whether they embed.

    Raises DistributedError for packages that they lack."""
    packages = [*PACKAGES, *(EMBEDDER if local_model else ())]
    tasks = min(MOST_TASKS, TASKS_A_SLOT * (barrier_slots(spark)[0] or UNKNOWN_SLOTS))
    started = time.time()
    rows = to_arrow(spark.range(0, tasks, 1, tasks).mapInArrow(partial(look, packages=packages), FOUND_DDL)).to_pylist(
        maps_as_pydicts="strict"
    )
    return in_words([Found(**row) for row in rows], found_here(packages), packages, (started, time.time()))


def in_words(found: Sequence[Found], here: Found, needed: Sequence[str], asked: tuple[float, float]) -> str:
    """What the executors have beside this process. found: of each task; asked: between which times. Raises DistributedError for packages that lack.

    >>> one = Found("worker", "3.11.7", {"numpy": "2.1.0"}, 15.6, 4, 100.0)
    >>> in_words([one, one], one, ["numpy"], (99.0, 101.0))
    "Python on 1 machine (worker 3.11.7, 4 cores, 16 GB) with the driver's packages"
    """
    machines = {one.host: one for one in found}
    if lacking := {host: absent for host, one in machines.items() if (absent := [name for name in needed if name not in one.packages])}:
        where = "; ".join(f"{host} has no {', '.join(names)}" for host, names in sorted(lacking.items()))
        raise DistributedError(f"the Python of the executors lacks packages: {where}; {FIX}")
    shown = ", ".join(f"{host} {one.python}, {one.cores} cores, {one.memory_gb:.0f} GB" for host, one in sorted(machines.items()))
    said = [f"Python on {len(machines)} machine{'s' * (len(machines) > 1)} ({shown})"]
    others = [line for host, one in sorted(machines.items()) for line in _differences(host, one, here)]
    said[0] += "" if others else " with the driver's packages"
    skewed = {one.host: max(asked[0] - one.clock, one.clock - asked[1]) for one in found}
    clocks = [f"the clock of {host} is {skew:.0f} s off the driver's" for host, skew in sorted(skewed.items()) if skew > SKEW_S]
    return "; ".join([*said, *others, *clocks])


def _differences(host: str, one: Found, here: Found) -> list[str]:
    """Versions that differ, which may change the last bits of a result, and more."""
    pairs: dict[str, tuple[Any, Any]] = {"Python": (one.python, here.python)}
    pairs |= {name: (version, here.packages.get(name, version)) for name, version in one.packages.items()}
    return [f"{host} has {name} {there}, the driver {mine}" for name, (there, mine) in pairs.items() if there != mine]
