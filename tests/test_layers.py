"""The layers: who may import whom, as an allow-list. Parses the code, so a late import is found too."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
OURS = "synalign_spark"

# package or module of synalign_spark -> what of synalign_spark, and which packages of others, it may import (besides itself and Python's own)
NUMERIC = {"numpy", "scipy"}
ALLOWED: dict[str, tuple[set[str], set[str]]] = {
    "errors": (set(), set()),
    "formatting": (set(), set()),
    "spark_errors": ({"errors"}, set()),
    "logs": (set(), {"structlog"}),
    "progress": (set(), {"rich"}),
    "core": (set(), NUMERIC | {"numba", "sklearn", "threadpoolctl", "torch", "xxhash"}),
    "config": ({"core.defaults", "errors", "formatting"}, {"pydantic", "yaml"}),
    "storage": ({"errors", "formatting", "spark_errors"}, {"delta", "deltalake", "pyarrow", "pyspark"}),
    "udfs": ({"config", "core", "errors"}, NUMERIC | {"huggingface_hub", "pandas", "pyarrow", "pyspark", "sentence_transformers", "torch", "transformers"}),
    "distributed": ({"core", "errors", "logs", "spark_errors", "storage.paths"}, NUMERIC | {"psutil", "pyarrow", "pyspark", "torch"}),
    "spark": (
        {"config", "core", "distributed", "errors", "storage.paths", "storage.contracts", "storage.tables", "udfs"},
        NUMERIC | {"pandas", "py4j", "pyarrow", "pyspark"},
    ),
    "alignment": (
        {"config", "core", "distributed", "errors", "formatting", "spark", "storage.contracts", "storage.tables", "udfs"},
        NUMERIC | {"pyarrow", "pyspark", "sklearn"},
    ),
    "generation": (
        {"config", "core", "errors", "progress", "storage.contracts", "storage.paths", "storage.tables"},
        {"aiohttp", "json_repair", "openai", "pyarrow", "pydantic", "ray", "tenacity", "xllamacpp"},
    ),
    "report": (
        {"alignment", "config", "core", "errors", "formatting", "spark", "storage", "udfs"},
        NUMERIC | {"jinja2", "markupsafe", "matplotlib", "pyarrow", "pyspark", "sklearn", "yaml"},
    ),
    "pipeline": (
        {"alignment", "config", "core", "errors", "formatting", "generation", "logs", "progress", "report", "spark", "storage", "udfs"},
        {"numpy", "pyarrow", "pyspark", "rich"},
    ),
    "api": (
        {"alignment", "config", "core", "errors", "formatting", "generation", "pipeline", "progress", "spark", "storage", "udfs"},
        NUMERIC | {"pandas", "pyarrow", "pyspark", "rich"},
    ),
    "ml": (
        {"alignment", "api", "config", "core", "errors", "spark", "storage.tables", "udfs"},
        NUMERIC | {"pyarrow", "pydantic", "pyspark"},
    ),
    "cli": (
        {"api", "config", "errors", "formatting", "generation", "logs", "pipeline", "progress", "report", "spark", "storage", "udfs"},
        {"pyarrow", "pyspark", "ray", "rich", "typer", "yaml"},
    ),
    "__main__": ({"cli"}, set()),
    "__init__": ({"alignment", "api", "ml"}, set()),
}  # fmt: skip
JOBS_MAY = {"synalign_spark.cli.submit"}


def python_files(place: str) -> list[Path]:
    """Files of a package or module; ``rglob`` does not follow links, so that udfs is named by its own folder."""
    path = ROOT / place
    return [path.with_suffix(".py")] if path.with_suffix(".py").is_file() else sorted(path.rglob("*.py"))


def imports(path: Path) -> set[str]:
    """Every module that a file imports, anywhere in it; of ``from a import b`` both ``a`` and ``a.b``."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def broken(path: Path, layer: str) -> set[str]:
    """Imports of a file that its layer does not allow."""
    ours, others = ALLOWED[layer]
    mine = {f"{OURS}.{name}" for name in ours | {layer}} | {f"{OURS}.__version__"}
    found = set()
    for module in imports(path):
        top = module.split(".")[0]
        if top == OURS:
            fine = any(module == name or module.startswith(f"{name}.") for name in mine)
        else:
            fine = top in others or top in sys.stdlib_module_names
        if not fine:
            found.add(module)
    return found


@pytest.mark.parametrize("layer", ALLOWED)
def test_a_layer_imports_only_what_it_may(layer):
    files = python_files("udfs" if layer == "udfs" else f"{OURS}/{layer}")
    assert files, f"{layer} is gone: update this test"
    assert {str(path.relative_to(ROOT)): found for path in files if (found := broken(path, layer))} == {}


def test_every_file_has_a_layer():
    there = {path.relative_to(ROOT / OURS).parts[0].removesuffix(".py") for path in (ROOT / OURS).rglob("*.py")} | {"udfs"}
    assert there == set(ALLOWED)


def test_layers_form_no_circle():
    """Each layer comes after those that it may import."""
    before: set[str] = set()
    for layer, (ours, _) in ALLOWED.items():
        assert {name.split(".")[0] for name in ours} <= before, layer
        before.add(layer)


def test_the_rule_finds_a_forbidden_import(tmp_path):
    guilty = tmp_path / "guilty.py"
    guilty.write_text(
        "def f():\n    from pyspark.sql import functions as F\n    from synalign_spark import storage\n    import numpy\n    return F\n"
    )
    assert broken(guilty, "core") == {"pyspark.sql.functions", "synalign_spark.storage"}


def test_generation_and_the_command_line_need_no_spark_to_be_imported():
    code = "import sys, synalign_spark.generation.engine, synalign_spark.cli.main; print([m for m in sys.modules if m in ('pyspark', 'torch')])"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_udfs_use_only_the_functions_and_types_of_pyspark():
    allowed = ("pyspark.sql.functions", "pyspark.sql.types", "pyspark.sql.column", "pyspark.sql")
    found = {
        f"{path.name}: {module}"
        for path in python_files("udfs")
        for module in imports(path)
        if module.split(".")[0] == "pyspark" and not module.startswith(allowed)
    }
    assert found == set()


@pytest.mark.parametrize("package", ["spark", "alignment"])
def test_transformations_use_no_rdd_and_no_spark_context(package):
    """So that Spark Connect works."""
    words = (".rdd", "sparkContext", "SparkContext", "._jvm", "._jdf", "._jsc")
    found = [
        f"{path.name}: {word}" for path in python_files(f"{OURS}/{package}") for word in words if word in path.read_text(encoding="utf-8")
    ]
    assert found == []


def test_jobs_are_thin():
    files = python_files("jobs")
    assert {path.stem for path in files} == {"align", "cluster", "embed", "generate", "ingest", "pipeline", "report", "resample", "select"}
    for path in files:
        assert {name.rpartition(".")[0] for name in imports(path) - {"sys"}} == JOBS_MAY
        assert len(path.read_text().splitlines()) < 15


def test_a_job_named_as_a_module_of_pythons_own_does_not_shadow_it():
    """``spark-submit jobs/select.py`` puts jobs/ first on the path, and ``select`` is a module that subprocess needs."""
    done = subprocess.run([sys.executable, ROOT / "jobs" / "select.py", "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "spark-submit select" in done.stdout


def test_every_package_is_shipped():
    from setuptools import find_packages

    shipped = set(find_packages(str(ROOT), include=[f"{OURS}*"]))
    there = {".".join(path.parent.relative_to(ROOT).parts) for path in (ROOT / OURS).rglob("*.py")} | {f"{OURS}.udfs"}
    assert there - shipped == set()
