"""Shows how far a Spark job is, from Spark's own task counts."""

import contextlib
import threading
import uuid
from collections.abc import Iterator
from typing import Any

from synalign_spark.pipeline.context import Context
from synalign_spark.progress import Task

POLL_S = 0.5
JOB_PROPERTIES = ("spark.jobGroup.id", "spark.job.description", "spark.job.interruptOnCancel")  # what setJobGroup sets


@contextlib.contextmanager
def spark_progress(ctx: Context, name: str, rows: float, unit: str = "rows") -> Iterator[None]:
    """Shows progress while the body runs Spark jobs on this thread: rows times the share of finished tasks.

    The share is that of the widest stage so far, which is where the work is; a wider one that follows begins lower, and shows no less.
    Where Spark does not tell (a remote session), nothing is shown and the body runs all the same."""
    try:
        context = ctx.spark.sparkContext
        tracker = context.statusTracker()
    except Exception:
        yield
        return
    group = f"synalign-{uuid.uuid4().hex}"
    before = {name: context.getLocalProperty(name) for name in JOB_PROPERTIES}
    context.setJobGroup(group, before["spark.job.description"] or name)
    stop = threading.Event()
    with ctx.progress.task(name, total=rows, unit=unit) as task:
        watcher = threading.Thread(target=_watch, args=(tracker, group, rows, task, stop), name=f"progress-{name}", daemon=True)
        watcher.start()
        try:
            yield
        finally:
            stop.set()
            watcher.join()
            for name, value in before.items():  # the session may be the caller's, with a job group of its own
                context.setLocalProperty(name, value)  # type: ignore[arg-type]
        task.update(rows)


def _watch(tracker: Any, group: str, rows: float, task: Task, stop: threading.Event) -> None:
    while not stop.wait(POLL_S):
        try:
            if (share := finished_share(tracker, group)) < 1:  # wider stages may be to come: all is done when the body is
                task.update(rows * share)
        except Exception:  # the session is being stopped; the job itself will say so
            return


def finished_share(tracker: Any, group: str) -> float:
    """Share of finished tasks of the group's widest stage, the latest of equally wide ones; 0 before there is one."""
    jobs = [info for job in tracker.getJobIdsForGroup(group) if (info := tracker.getJobInfo(job))]
    stages = {stage_id: tracker.getStageInfo(stage_id) for info in jobs for stage_id in info.stageIds}
    # A reading stage may be as wide as the work that follows it, and is finished first: later ids win.
    seen = [(stage.numTasks, stage_id, stage.numCompletedTasks) for stage_id, stage in stages.items() if stage and stage.numTasks]
    if not seen:
        return 0.0
    tasks, _, finished = max(seen)
    return float(finished / tasks)
