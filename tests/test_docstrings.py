"""Every example in a docstring runs, and every public function has a docstring."""

import doctest
import importlib
import inspect
from pathlib import Path

import pytest

import synalign_spark as sa

ROOT = Path(__file__).resolve().parent.parent
FILES = [*sorted((ROOT / "synalign_spark").rglob("*.py")), *sorted((ROOT / "udfs").glob("*.py"))]
WITH_EXAMPLES = [path for path in FILES if ">>>" in path.read_text(encoding="utf-8")]
NEEDS_SPARK = ("ml",)
NEEDS_ENDPOINT = ("generate",)  # its example is run against a loopback server in tests/api/test_generate.py


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    parts = ("synalign_spark", *parts) if parts[0] == "udfs" else parts
    return ".".join(parts).removesuffix(".__init__")


def run_examples(path: Path, **names) -> doctest.TestResults:
    module = importlib.import_module(module_name(path))
    return doctest.testmod(module, extraglobs=names, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)


@pytest.mark.parametrize(
    "path", [p for p in WITH_EXAMPLES if p.parent.name not in NEEDS_SPARK and p.stem not in NEEDS_ENDPOINT], ids=module_name
)
def test_examples_of_a_module(path):
    found = run_examples(path)
    assert found.attempted
    assert not found.failed


@pytest.mark.parametrize("path", [p for p in WITH_EXAMPLES if p.parent.name in NEEDS_SPARK], ids=module_name)
def test_examples_of_an_estimator(spark, path):
    found = run_examples(path, spark=spark)
    assert found.attempted
    assert not found.failed


@pytest.mark.parametrize("name", sa.__all__)
def test_every_public_name_says_what_it_is(name):
    public = getattr(sa, name)
    assert inspect.getdoc(public)
    if inspect.isfunction(public):
        assert ">>>" in inspect.getdoc(public), "an example"
        assert "Raises" in inspect.getdoc(public), "errors"
