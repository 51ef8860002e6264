"""The examples in the docstrings run."""

import doctest
import importlib

import pytest

MODULES = [f"generation.{name}" for name in ("acceptance", "client", "estimate", "limits", "parsing", "plan", "prompts")]


@pytest.mark.parametrize("name", [*MODULES, "core.sampling.quota", "core.text", "udfs.text"])
def test_examples_of_a_module(name):
    found = doctest.testmod(importlib.import_module(f"synalign_spark.{name}"))
    assert found.attempted
    assert not found.failed
