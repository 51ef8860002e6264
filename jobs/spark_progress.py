"""Shows how far a Spark job is, from Spark's own task counts."""

import contextlib
import threading
import uuid
from collections.abc import Iterator
from typing import Any

from jobs.context import Context
from synalign_spark.progress import Task

POLL_S = 0.5


@contextlib.contextmanager
def spark_progress(ctx: Context, name: str, rows: float, unit: str = "rows") -> Iterator[None]:
    """Shows progress while the body runs Spark jobs on this thread: rows times the share of finished tasks.

    The share is that of the widest stage so far, which is where the work is. Where Spark does not tell (a
    remote session), nothing is shown and the body runs all the same."""
    try:
        context = ctx.spark.sparkContext
        tracker = context.statusTracker()
    except Exception:
        yield
        return
    group = f"synalign-{uuid.uuid4().hex}"
    context.setJobGroup(group, name)
    stop = threading.Event()
    with ctx.progress.task(name, total=rows, unit=unit) as task:
        watcher = threading.Thread(target=_watch, args=(tracker, group, rows, task, stop), name=f"progress-{name}", daemon=True)
        watcher.start()
        try:
            yield
        finally:
            stop.set()
            watcher.join()
            context.setLocalProperty("spark.jobGroup.id", None)  # type: ignore[arg-type]
            context.setLocalProperty("spark.job.description", None)  # type: ignore[arg-type]


def _watch(tracker: Any, group: str, rows: float, task: Task, stop: threading.Event) -> None:
    done = 0.0
    while not stop.wait(POLL_S):
        try:
            done = max(done, finished_share(tracker, group))
            task.update(rows * done)
        except Exception:  # the session is being stopped; the job itself will say so
            return


def finished_share(tracker: Any, group: str) -> float:
    """Share of finished tasks of the group's widest stage, 0 before there is one."""
    widest, share = 0, 0.0
    for job in tracker.getJobIdsForGroup(group):
        info = tracker.getJobInfo(job)
        for stage_id in info.stageIds if info else ():
            stage = tracker.getStageInfo(stage_id)
            if stage and stage.numTasks > widest:
                widest, share = stage.numTasks, stage.numCompletedTasks / stage.numTasks
    return share
