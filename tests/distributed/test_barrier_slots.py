"""The number of barrier tasks that can run at once, from the settings of each kind of master."""

import os

import pytest

from synalign_spark.distributed.barrier_slots import barrier_slots


class Settings:
    """A session of which only the settings are asked."""

    def __init__(self, **values):
        self.conf = self
        self.getAll = {f"spark.{name.replace('_', '.')}": value for name, value in values.items()}

    def get(self, key, default):
        return self.getAll.get(key, default)


GPUS = {"executor_instances": "3", "executor_cores": "8"}


@pytest.mark.parametrize(
    ("settings", "slots"),
    [
        ({"master": "local"}, 1),
        ({"master": "local[4]"}, 4),
        ({"master": "local[4,3]"}, 4),
        ({"master": "local[5]", "task_cpus": "2"}, 2),
        ({"master": "local[3]", "dynamicAllocation_enabled": "true"}, 3),  # Spark ignores it there
        ({"master": "local-cluster[2,3,1024]"}, 6),
        ({"master": "local-cluster[2,3,1024]", "task_cpus": "2"}, 2),
        ({"master": "yarn"}, 2),  # two executors of one core are the defaults
        ({"master": "yarn", "executor_instances": "8", "executor_cores": "4"}, 32),
        ({"master": "k8s://https://c", "executor_instances": "8", "executor_cores": "5", "task_cpus": "2"}, 16),
        ({"executor_instances": "3", "executor_cores": "2"}, 6),
        ({"master": "spark://h:7077", "cores_max": "12"}, 12),
        (GPUS | {"master": "yarn", "executor_resource_gpu_amount": "2", "task_resource_gpu_amount": "1"}, 6),
        (GPUS | {"master": "yarn", "executor_resource_gpu_amount": "1", "task_resource_gpu_amount": "0.3"}, 9),
        (GPUS | {"master": "k8s://https://c", "executor_resource_gpu_amount": "9", "task_resource_gpu_amount": "1"}, 24),
        ({"master": "local-cluster[2,3,1024]", "executor_resource_gpu_amount": "1", "task_resource_gpu_amount": "1"}, 2),
    ],
)
def test_slots_follow_from_the_settings(settings, slots):
    assert barrier_slots(Settings(**settings))[0] == slots


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"master": "yarn", "dynamicAllocation_enabled": "true", "executor_instances": "8"}, "dynamicAllocation"),
        ({"master": "spark://h:7077", "executor_cores": "4"}, "spark.cores.max is not set"),
        ({}, "spark.executor.instances and spark.executor.cores are not both set"),
        ({"master": "yarn", "task_resource_gpu_amount": "1"}, "tasks ask for gpu"),
        ({"master": "yarn", "task_resource_fpga_amount": "1", "task_resource_gpu_amount": "1"}, "tasks ask for fpga, gpu"),
        (
            {"master": "spark://h:7077", "cores_max": "8", "executor_resource_gpu_amount": "1", "task_resource_gpu_amount": "1"},
            "ask for gpu",
        ),
    ],
)
def test_where_the_slots_are_not_known_the_reason_is_given(settings, words):
    slots, why = barrier_slots(Settings(**settings))
    assert slots is None
    assert words in why


def test_all_cores_are_those_of_the_machine(spark):
    assert barrier_slots(spark)[0] == 2
    assert 1 <= barrier_slots(Settings(master="local[*]"))[0] <= os.cpu_count()
