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
    "scrubbing": (set(), set()),
    "sql_names": (set(), set()),
    "errors": ({"scrubbing"}, set()),
    "extras": ({"errors"}, set()),
    "formatting": (set(), set()),
    "detector": (set(), {"py3langid"}),
    "spark_errors": ({"errors"}, set()),
    "spark_jobs": (set(), set()),
    "exit_status": ({"errors", "extras", "spark_errors"}, set()),
    "compat": ({"errors"}, {"pandas", "pyarrow", "pyspark"}),
    "logs": ({"scrubbing"}, {"structlog"}),
    "console": ({"formatting", "scrubbing"}, {"rich"}),
    "progress": ({"console"}, {"rich"}),
    "core": (set(), NUMERIC | {"numba", "sklearn", "threadpoolctl", "torch", "xxhash"}),
    "config": ({"core.defaults", "core.text", "errors", "formatting", "scrubbing", "sql_names"}, {"iso639", "pydantic", "pydantic_core", "yaml"}),
    "storage": ({"compat", "errors", "formatting", "spark_errors", "spark_jobs", "sql_names"}, {"delta", "deltalake", "py4j", "pyarrow", "pyspark"}),
    "udfs": ({"compat", "config", "core", "errors"}, NUMERIC | {"huggingface_hub", "onnxruntime", "pandas", "pyarrow", "pyspark", "sentence_transformers", "torch", "transformers"}),
    "distributed": ({"compat", "core", "errors", "logs", "spark_errors", "storage.paths"}, NUMERIC | {"psutil", "pyarrow", "pyspark", "torch"}),
    "spark": (
        {"compat", "config", "core", "detector", "distributed", "errors", "formatting", "spark_errors", "sql_names", "storage.paths", "storage.contracts", "storage.tables", "udfs"},
        NUMERIC | {"pandas", "py4j", "pyarrow", "pyspark"},
    ),
    "alignment": (
        {"compat", "config", "core", "distributed", "errors", "formatting", "spark", "storage.contracts", "storage.tables", "udfs"},
        NUMERIC | {"pyarrow", "pyspark", "sklearn"},
    ),
    "evaluation": ({"core", "errors", "formatting"}, NUMERIC | {"pandas", "sacrebleu", "sklearn"}),
    "generation": (
        {"config", "core", "detector", "errors", "progress", "scrubbing", "storage.contracts", "storage.durable", "storage.paths", "storage.tables"},
        {"aiohttp", "gguf", "httpx2", "jinja2", "joblib", "json_repair", "numpy", "openai", "phonenumbers", "prometheus_client", "pyarrow", "pydantic", "pyspark", "ray", "tenacity", "xllamacpp"},
    ),
    "report": (
        {"alignment", "compat", "config", "core", "errors", "evaluation", "formatting", "spark", "storage", "udfs"},
        NUMERIC | {"jinja2", "markupsafe", "matplotlib", "pyarrow", "pyspark", "sklearn", "yaml"},
    ),
    "pipeline": (
        {"alignment", "compat", "config", "console", "core", "errors", "evaluation", "exit_status", "formatting", "generation", "logs", "progress", "report", "scrubbing", "spark", "spark_errors", "spark_jobs", "storage", "udfs"},
        {"numpy", "openlineage", "prometheus_client", "pyarrow", "pyspark", "rich"},
    ),
    "exports": ({"config", "errors", "formatting", "pipeline.steps", "scrubbing", "storage"}, {"jinja2", "pyarrow", "yaml"}),
    "api": (
        {"alignment", "compat", "config", "console", "core", "errors", "evaluation", "exports", "extras", "formatting", "generation", "pipeline", "progress", "spark", "spark_errors", "sql_names", "storage", "udfs"},
        NUMERIC | {"pandas", "pyarrow", "pyspark", "rich"},
    ),
    "ml": (
        {"alignment", "api", "compat", "config", "core", "errors", "spark", "storage.tables", "udfs"},
        NUMERIC | {"pyarrow", "pydantic", "pyspark"},
    ),
    "cli": (
        {"api", "config", "console", "core.defaults", "errors", "evaluation", "exit_status", "extras", "formatting", "generation", "logs", "pipeline", "progress", "report", "scrubbing", "spark", "spark_errors", "storage", "udfs"},
        {"joblib", "pyarrow", "pyspark", "ray", "rich", "typer", "yaml"},
    ),
    "__main__": ({"cli"}, set()),
    "__init__": ({"alignment", "api", "evaluation", "extras", "ml"}, set()),
}  # fmt: skip
JOBS_MAY = {"synalign_spark.cli.submit"}
OUTSIDE = {"glob", "http", "os", "pathlib", "shutil", "socket", "subprocess", "tempfile", "urllib"}  # not for core
MAY_ASK_OS = {  # what these files of core ask of the operating system
    "solver/shard.py": {"os", "os.sched_getaffinity", "os.cpu_count"},  # usable_threads: the cores that this process may use
    "solver/fused_pass.py": {"os", "os.path", "os.path.exists"},  # whether the code lies in an archive, which numba cannot cache beside
}
SPARK_CONTEXT = {"rdd", "sparkContext", "SparkContext", "_jvm", "_jdf", "_jsc"}  # what Spark Connect does not have


def python_files(place: str) -> list[Path]:
    """Files of a package or module; ``rglob`` does not follow links, so that udfs is named by its own folder."""
    path = ROOT / place
    return [path.with_suffix(".py")] if path.with_suffix(".py").is_file() else sorted(path.rglob("*.py"))


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path: Path) -> set[str]:
    """Every module that a file imports, anywhere in it; of ``from a import b`` it is ``a.b``, and a relative one begins with a dot."""
    found: set[str] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{'.' * node.level}{node.module or ''}.{alias.name}" for alias in node.names}
    return found


def broken(path: Path, layer: str) -> set[str]:
    """Imports of a file that its layer does not allow, and relative ones: they would hide the layer that they lead to."""
    ours, others = ALLOWED[layer]
    allowed = {f"{OURS}.{name}" for name in ours | {layer}} | {f"{OURS}.__version__"}
    found = set()
    for module in imports(path):
        top = module.split(".")[0]
        if top == OURS:
            fine = any(module == name or module.startswith(f"{name}.") for name in allowed)
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
    layers = {path.relative_to(ROOT / OURS).parts[0].removesuffix(".py") for path in (ROOT / OURS).rglob("*.py")} | {"udfs"}
    assert layers == set(ALLOWED)


def test_layers_form_no_circle():
    """Each layer comes after those that it may import."""
    before: set[str] = set()
    for layer, (ours, _) in ALLOWED.items():
        assert {name.split(".")[0] for name in ours} <= before, layer
        before.add(layer)


def test_the_rule_finds_a_forbidden_import(tmp_path):
    guilty = tmp_path / "guilty.py"
    guilty.write_text(
        "def f():\n    from pyspark.sql import functions as F\n    from synalign_spark import storage\n    import numpy\n"
        "    from . import x\n    from ..storage import lake\n    return F\n"
    )
    assert broken(guilty, "core") == {"pyspark.sql.functions", "synalign_spark.storage", "..x", "..storage.lake"}


def outside(path: Path) -> set[str]:
    """Modules of file system and network that a file uses, ``open``, and what it asks of ``os``."""
    nodes = list(ast.walk(tree(path)))
    modules = {module.split(".")[0] for module in imports(path)} & OUTSIDE
    calls = {node.func.id for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    dotted = {ast.unparse(node) for node in nodes if isinstance(node, ast.Attribute)}
    return modules | (calls & {"open"}) | {name for name in dotted if name.startswith("os.")}


def test_the_core_uses_no_file_system_and_no_network():
    """Mathematics only: what it needs it is given."""
    core = ROOT / OURS / "core"
    files = {str(path.relative_to(core)): path for path in core.rglob("*.py")}
    assert {name: found for name, path in files.items() if (found := outside(path) - MAY_ASK_OS.get(name, set()))} == {}


def test_generation_and_the_command_line_need_no_spark_to_be_imported():
    code = "import sys, synalign_spark.generation.engine, synalign_spark.cli.main; print([m for m in sys.modules if m in ('pyspark', 'torch')])"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_versions_of_spark_differ_in_one_file():
    """What Spark 3.5 or 4.0 lack is called by ``compat`` alone, which has something in its place."""
    newer = {"arrow_udf", "toArrow", "try_cast", "make_valid_utf8", "PySparkLogger", "VariantType", "pyspark.__version__"} | {
        "applyInArrow",
        "fromDDL",
        "repartitionById",
        "schema_of_variant",
        "try_variant_get",
    }
    found = {}
    for path in [*(ROOT / OURS).rglob("*.py"), *python_files("udfs"), *python_files("jobs")]:
        used = {node.attr for node in ast.walk(tree(path)) if isinstance(node, ast.Attribute)}
        used |= {name.rpartition(".")[2] for name in imports(path) if name.startswith("pyspark")}
        used |= {dotted for node in ast.walk(tree(path)) if isinstance(node, ast.Attribute) and (dotted := ast.unparse(node)) in newer}
        if path.name != "compat.py" and used & newer:
            found[str(path.relative_to(ROOT))] = used & newer
    of_json = {"VariantType", "schema_of_variant", "try_variant_get"}  # behind compat.require_variants
    assert {name: left for name, used in found.items() if (left := used - of_json)} == {}


def test_udfs_use_only_the_functions_and_types_of_pyspark():
    allowed = ("pyspark.sql.functions", "pyspark.sql.types", "pyspark.sql.column", "pyspark.sql")
    found = {
        f"{path.name}: {module}"
        for path in python_files("udfs")
        for module in imports(path)
        if module.split(".")[0] == "pyspark" and not module.startswith(allowed)
    }
    assert found == set()


@pytest.mark.parametrize("package", ["alignment", "api", "ml", "spark", "udfs"])
def test_transformations_use_no_rdd_and_no_spark_context(package):
    """So that Spark Connect works."""
    found = {}
    for path in python_files("udfs" if package == "udfs" else f"{OURS}/{package}"):
        names = {node.attr for node in ast.walk(tree(path)) if isinstance(node, ast.Attribute)}
        names |= {node.id for node in ast.walk(tree(path)) if isinstance(node, ast.Name)}
        if names & SPARK_CONTEXT:
            found[path.name] = names & SPARK_CONTEXT
    assert found == {}


def test_jobs_are_thin():
    files = python_files("jobs")
    assert {path.stem for path in files} == {
        "align",
        "cluster",
        "dedup",
        "doctor",
        "embed",
        "evaluate",
        "generate",
        "ingest",
        "pipeline",
        "report",
        "resample",
        "rounds",
        "select",
    }
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
    packages = {".".join(path.parent.relative_to(ROOT).parts) for path in (ROOT / OURS).rglob("*.py")} | {f"{OURS}.udfs"}
    assert packages - shipped == set()
