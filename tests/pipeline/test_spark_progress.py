"""The share of finished work by Spark's task counts, against a tracker of known counts."""

import threading
from types import SimpleNamespace

import pytest

from synalign_spark.console import Console
from synalign_spark.pipeline import spark_progress
from synalign_spark.pipeline.spark_progress import finished_share
from synalign_spark.pipeline.stages.embed import _partitions
from synalign_spark.progress import Progress


class Tracker:
    """stages: id -> (tasks, finished), or None for one that Spark has forgotten."""

    def __init__(self, stages):
        self.stages = stages

    def getJobIdsForGroup(self, _):  # noqa: N802
        return [9, 7]

    def getJobInfo(self, job):  # noqa: N802
        return SimpleNamespace(stageIds=sorted(self.stages, reverse=True)) if job == 9 else None

    def getStageInfo(self, stage):  # noqa: N802
        known = self.stages[stage]
        return known and SimpleNamespace(numTasks=known[0], numCompletedTasks=known[1])


@pytest.mark.parametrize(
    ("stages", "share"),
    [
        ({}, 0.0),
        ({0: None}, 0.0),
        ({0: (2, 2), 1: (8, 2)}, 0.25),
        ({0: (4, 4), 1: (4, 1)}, 0.25),  # a finished reading stage as wide as the work
        ({0: (8, 6), 1: (2, 0)}, 0.75),  # a narrow stage that ends the job
    ],
)
def test_the_widest_and_latest_stage_tells_how_far_the_work_is(stages, share):
    assert finished_share(Tracker(stages), "group") == share


@pytest.mark.parametrize(("rows", "tasks"), [(1, 8), (513, 8), (8_530, 8), (100_000, 49), (10**9, 10_000)])
def test_embedding_has_tasks_enough_to_show_progress_and_not_too_many_files(rows, tasks):
    assert _partitions(rows, fewest=8) == tasks


def test_a_wider_stage_that_follows_takes_nothing_back_and_no_stage_alone_is_the_end(monkeypatch):
    """A reading stage of two tasks is all there is at first: it told 100 %, and the work behind it began at 0 again."""
    tracker, seen = Tracker({0: (2, 0)}), []
    states = [{0: (2, 1)}, {0: (2, 2)}, {0: (2, 2), 1: (8, 1)}, {0: (2, 2), 1: (8, 6)}, {0: (2, 2), 1: (8, 8)}]
    all_seen = threading.Event()

    def look(tracker, group, shown=finished_share):
        if not states:
            all_seen.set()
            return shown(tracker, group)
        tracker.stages = states.pop(0)
        return shown(tracker, group)

    context = SimpleNamespace(
        statusTracker=lambda: tracker,
        getLocalProperty=lambda name: None,
        setLocalProperty=lambda *args: None,
        setJobGroup=lambda *args: None,
    )
    monkeypatch.setattr(spark_progress, "POLL_S", 0.001)
    monkeypatch.setattr(spark_progress, "finished_share", look)
    progress = Progress(Console(quiet=True), live=False, told=lambda task, note: seen.append(task.done))
    ctx = SimpleNamespace(spark=SimpleNamespace(sparkContext=context), progress=progress)
    with spark_progress.spark_progress(ctx, "embed real", 100):
        assert all_seen.wait(10)
        assert seen == [50, 50, 75]
    assert seen == [50, 50, 75, 100]
    with pytest.raises(ZeroDivisionError), spark_progress.spark_progress(ctx, "embed real", 100):
        1 / 0  # noqa: B018
    assert seen.count(100) == 1
