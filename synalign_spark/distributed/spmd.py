"""One algorithm on all row shards at once: a Spark barrier stage whose tasks reduce among themselves (gloo).

Spark's part is to start all tasks together, to bring each its rows and to end all when one fails. How Spark 4
treats a failed barrier task, seen on local[2]: in a stage that feeds a shuffle it starts all tasks
again, up to spark.stage.maxConsecutiveAttempts (4) times, on local[N] too, where other tasks are never retried; in
the last stage of a job it never does ("Could not recover from a failed barrier ResultStage"). The stage here is the
last one, and the retry is ours: so it is the same on every master, its number is an argument, and a fault of the
data is not tried again.
"""

import json
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import pyarrow as pa
import torch
from pyspark import BarrierTaskContext
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from synalign_spark.compat import to_arrow
from synalign_spark.core.communicator import Communicator, LocalCommunicator
from synalign_spark.distributed.barrier_slots import barrier_slots
from synalign_spark.distributed.checkpoint import Checkpoint, remove_checkpoint
from synalign_spark.distributed.gloo import gloo_group, gloo_store
from synalign_spark.errors import DataError, DistributedError, PeerLostError, SynalignError
from synalign_spark.logs import get_logger
from synalign_spark.spark_errors import carrier, failure_in
from synalign_spark.storage.paths import STORE_FAULTS

RESULT = pa.schema([("result", pa.binary()), ("warnings", pa.list_(pa.string()))])
RESULT_DDL = "result binary, warnings array<string>"
# A task that lost a peer waits this long before it fails, so that Spark hears of the peer's own error first.
AFTER_PEER_S = 2.0

Load = Callable[[Iterator[pa.RecordBatch]], Any]
Solve = Callable[[Any, Communicator, Checkpoint], bytes]


@dataclass(frozen=True)
class _Group:
    """What every task knows beforehand. tasks: ranks; timeout_s: seconds that one exchange may take."""

    load: Load
    solve: Solve
    tasks: int
    timeout_s: float
    checkpoint: str | None


def run_spmd(
    rows: DataFrame, key: str, tasks: int, load: Load, solve: Solve, *, timeout_s: float, checkpoint: str | None = None, attempts: int = 3
) -> bytes:
    """Runs ``solve(load(batches), comm, checkpoint)`` on every shard of ``rows`` at once and returns rank 0's bytes.

    rows: sharded by the hash of column ``key``, in the order of ``key`` within a shard (give it unique values: then a
    shard is the same in every run). tasks: ranks, all at the same time, so at most ``barrier_slots``.
    load: on the executors, the record batches of one shard -> whatever ``solve`` needs. A shard may be empty: then there
    is no batch. It may take its time: ranks meet only after it (a load that never ends is not noticed).
    solve: on the executors, every rank makes the same calls on the communicator. timeout_s: the longest that the slowest
    rank may keep the others waiting within ``solve``; a rank that is lost is noticed by then.
    Both are shipped like any closure. checkpoint: file of the saved state, on a disk or store that all machines see;
    removed after success. attempts: how often to start in all; a fault of the data (any of the project's errors, raised
    by load or solve) is not tried again.
    On the driver: the bytes of rank 0 alone.
    Raises ValueError for wrong arguments, DistributedError where the tasks cannot run or keep failing, and what load or
    solve raised where that is an error of this project; DataError for no rows at all."""
    _check(rows, key, tasks, timeout_s, attempts)
    group = _Group(load, solve, tasks, timeout_s, checkpoint)
    shards = rows.repartition(tasks, F.col(key)).sortWithinPartitions(key)
    stage = shards.mapInArrow(partial(_task, group=group), RESULT_DDL, barrier=True)
    answer = _with_retries(stage, attempts)
    for warning in answer["warnings"]:
        get_logger().warning("checkpoint", reason=warning)
    if checkpoint is not None:
        _forget(checkpoint)
    return bytes(answer["result"])


def _with_retries(stage: DataFrame, attempts: int) -> dict[str, Any]:
    """The row of rank 0; the failure of the last attempt, with Spark's own error as its cause."""
    attempt = 1
    while True:
        try:
            answers = to_arrow(stage).to_pylist()  # one row, of rank 0
            break
        except Exception as err:  # Spark's errors have no common type: py4j's in one process, others over Connect
            fault = _fault(err)
            get_logger().warning("barrier_stage_failed", attempt=attempt, attempts=attempts, reason=str(fault))
            if attempt == attempts or not isinstance(fault, DistributedError):
                raise fault from err
        attempt += 1
    if not answers:  # Spark starts no task for rows of which it knows that there are none
        raise DataError("rows: there are none to share out; check the table and its filter")
    return dict(answers[0])


def _check(rows: DataFrame, key: str, tasks: int, timeout_s: float, attempts: int) -> None:
    if key not in rows.columns:
        raise ValueError(f"key must be a column of the rows, got {key!r}; one of {', '.join(rows.columns)}")
    for name, value in (("tasks", tasks), ("attempts", attempts)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    if not timeout_s > 0:
        raise ValueError(f"timeout_s must be above 0 seconds, got {timeout_s}")
    slots, why = barrier_slots(rows.sparkSession)
    if slots is None:
        raise DistributedError(f"a barrier stage of {tasks} tasks may never start: {why}; use a driver loop instead")
    if tasks > slots:
        raise DistributedError(
            f"tasks is {tasks}, but only {slots} can run at once ({why}); set it to at most {slots}, or ask for more cores"
        )


def _forget(path: str) -> None:
    try:
        remove_checkpoint(path)
    except STORE_FAULTS as err:
        get_logger().warning("checkpoint", reason=f"the checkpoint {path} is of no more use but cannot be removed ({err})")


def _task(batches: Iterable[pa.RecordBatch], group: _Group) -> Iterator[pa.RecordBatch]:
    """One rank, on an executor. Yields rank 0's row; the other ranks yield nothing."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # Spark runs as many tasks as there are cores
    try:
        result, warnings = _rank(iter(batches), group)
    except Exception as err:
        raise carrier(err, f"task {BarrierTaskContext.get().partitionId()} of the {group.tasks} of a barrier stage") from err
    finally:
        torch.set_num_threads(threads)
    if BarrierTaskContext.get().partitionId() == 0:
        yield pa.RecordBatch.from_arrays([pa.array([result], pa.binary()), pa.array([warnings], pa.list_(pa.string()))], schema=RESULT)


def _rank(batches: Iterator[pa.RecordBatch], group: _Group) -> tuple[bytes, list[str]]:
    context = BarrierTaskContext.get()
    rank, tasks = context.partitionId(), len(context.getTaskInfos())
    if tasks != group.tasks:
        raise RuntimeError(f"Spark started {tasks} tasks instead of {group.tasks}")
    shard = group.load(batches)
    if group.tasks == 1:
        comm, checkpoint = LocalCommunicator(), Checkpoint(group.checkpoint, LocalCommunicator())
        return group.solve(shard, comm, checkpoint), checkpoint.warnings
    # What Spark calls this executor; its port is Spark's own and of no use here.
    host = context.getTaskInfos()[rank].address.rsplit(":", 1)[0]
    try:
        with ExitStack() as stack:
            store, port = stack.enter_context(gloo_store(host, group.timeout_s)) if rank == 0 else (None, 0)
            # Also the barrier after loading: it waits as long as it takes, and Spark ends the wait when a task fails.
            first_host, first_port = json.loads(context.allGather(json.dumps([host, port]))[0])
            place = store or (first_host, first_port)
            communicator = stack.enter_context(gloo_group(rank, group.tasks, host, place, group.timeout_s))
            checkpoint = Checkpoint(group.checkpoint, communicator)
            return group.solve(shard, communicator, checkpoint), checkpoint.warnings
    except PeerLostError:
        time.sleep(AFTER_PEER_S)  # after leaving the group, so that the others need not wait for this rank
        raise


def _fault(err: Exception) -> SynalignError:
    """The error of the task that failed first, out of what Spark raised."""
    failure = failure_in(err)
    if failure is None:
        return DistributedError(f"a barrier stage failed: {_reason_of(str(err))}; see the logs of the executors")
    where = failure.where or "a task of a barrier stage"
    return failure.error or DistributedError(f"{where} failed: {failure.kind}: {failure.message}; the trace is in the log of its executor")


def _reason_of(text: str) -> str:
    """One line for a failure that no task could report."""
    if "Python worker exited unexpectedly" in text:
        return "the Python process of a task was ended from outside, perhaps for want of memory"
    reasons = (
        [line.strip() for line in text.splitlines()[:50] if "Exception" in line or "Error" in line] or text.splitlines() or ["no reason"]
    )
    return max(reasons, key=len)[:600]
