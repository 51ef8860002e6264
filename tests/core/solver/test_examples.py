"""The examples in the docstrings of the solver and of what it works on."""

import doctest
import importlib

import pytest

MODULES = ("core.features", "core.evaluation.witness", "core.solver.device_shard", "core.solver.moments", "core.solver.path",
           "core.solver.shard", "core.solver.solve", "distributed.gloo", "report.projection", "udfs.arrow", "udfs.random_features")  # fmt: skip


@pytest.mark.parametrize("name", MODULES)
def test_examples_say_what_happens(name):
    found = doctest.testmod(importlib.import_module(f"synalign_spark.{name}"))
    assert found.attempted > 0
    assert found.failed == 0
