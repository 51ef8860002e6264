"""The extension of the API reference: docstrings as Markdown."""

import doctest
import importlib.util
from pathlib import Path

import pytest

PATH = Path(__file__).resolve().parents[2] / "docs" / "extensions" / "docstrings.py"


@pytest.fixture(scope="module")
def docstrings():
    spec = importlib.util.spec_from_file_location("docstrings", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_its_example(docstrings):
    assert doctest.testmod(docstrings).failed == 0


def test_examples_are_fenced_and_roles_are_code(docstrings):
    text = docstrings.as_markdown("See :func:`a.b.align` and ``x``.\n\n>>> 1 + 1\n2", set())
    assert text == "See `align` and `x`.\n\n```pycon\n>>> 1 + 1\n2\n```"


def test_only_known_names_start_an_item(docstrings):
    text = docstrings.as_markdown(
        "Weights.\n\ntext, label: columns. Note: both.\nmore of it; seed: of choices.\nReturns (n,).", {"text", "label", "seed"}
    )
    assert text == "Weights.\n\n- **`text`, `label`**: columns. Note: both. more of it\n- **`seed`**: of choices.\n\nReturns (n,)."
