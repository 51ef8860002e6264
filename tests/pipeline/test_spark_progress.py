"""The share of finished work by Spark's task counts, against a tracker of known counts."""

from types import SimpleNamespace

import pytest

from synalign_spark.pipeline.spark_progress import finished_share
from synalign_spark.pipeline.stages.embed import _partitions


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
