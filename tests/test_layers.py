"""The layers of the design: who may import whom. Parses the code, so a late import is found too."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
OURS = ("synalign_spark", "udfs", "jobs")

# folder or file -> top-level packages (or our own modules) that it may not import
FORBIDDEN = {
    "synalign_spark/core": {"pyspark", "ray", "openai", "delta", "udfs", "jobs", "synalign_spark.stages", "synalign_spark.llm", "synalign_spark.lake"},
    "udfs": {"ray", "openai", "delta", "jobs", "synalign_spark.stages", "synalign_spark.llm", "synalign_spark.lake"},
    "synalign_spark/stages": {"ray", "openai", "jobs", "synalign_spark.llm", "synalign_spark.lake"},
    "synalign_spark/llm": {"pyspark", "delta", "udfs", "jobs", "synalign_spark.stages", "synalign_spark.lake"},
    "synalign_spark/lake.py": {"ray", "openai", "jobs", "udfs", "synalign_spark.stages", "synalign_spark.llm"},
    "synalign_spark/runs.py": {"pyspark", "ray", "openai", "jobs", "udfs", "synalign_spark.stages", "synalign_spark.llm"},
    "synalign_spark/config.py": {"pyspark", "ray", "openai", "torch", "jobs", "udfs", "synalign_spark.core"},
    "synalign_spark/config_align.py": {"pyspark", "ray", "openai", "torch", "jobs", "udfs", "synalign_spark.core"},
}  # fmt: skip


def imports(path: Path) -> set[str]:
    """Every module that a file imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def breaks(module: str, forbidden: set[str]) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in forbidden)


def python_files(place: str) -> list[Path]:
    path = ROOT / place
    return [path] if path.suffix == ".py" else sorted(path.rglob("*.py"))


@pytest.mark.parametrize("place", FORBIDDEN)
def test_a_layer_imports_only_what_it_may(place):
    files = python_files(place)
    assert files, f"{place} is gone: update this test"
    broken = {f"{path.relative_to(ROOT)}: {module}" for path in files for module in imports(path) if breaks(module, FORBIDDEN[place])}
    assert broken == set()


def test_the_rule_finds_a_forbidden_import(tmp_path):
    guilty = tmp_path / "guilty.py"
    guilty.write_text("def f():\n    from pyspark.sql import functions as F\n    return F\n")
    assert any(breaks(module, FORBIDDEN["synalign_spark/core"]) for module in imports(guilty))


def test_udfs_use_only_the_functions_and_types_of_pyspark():
    allowed = ("pyspark.sql.functions", "pyspark.sql.types", "pyspark.sql.column", "pyspark.sql")
    broken = {
        f"{path.name}: {module}"
        for path in python_files("udfs")
        for module in imports(path)
        if module.split(".")[0] == "pyspark" and not module.startswith(allowed)
    }
    assert broken == set()


def test_stages_use_no_rdd_and_no_spark_context():
    """So that Spark Connect works."""
    words = (".rdd", "sparkContext", "SparkContext", "._jvm", "._jdf", "._jsc")
    broken = [
        f"{path.name}: {word}"
        for path in python_files("synalign_spark/stages")
        for word in words
        if word in path.read_text(encoding="utf-8")
    ]
    assert broken == []


def test_no_module_shadows_the_standard_library():
    """``spark-submit jobs/x.py`` puts jobs/ first on the path: a jobs/select.py would replace the module `select`."""
    import sys

    assert {path.stem for path in (ROOT / "jobs").glob("*.py")} & set(sys.stdlib_module_names) == set()


def test_every_package_is_shipped():
    from setuptools import find_packages

    shipped = set(find_packages(str(ROOT), include=[f"{name}*" for name in OURS]))
    there = {".".join(path.parent.relative_to(ROOT).parts) for name in OURS for path in (ROOT / name).rglob("*.py")}
    assert there - shipped == set()
