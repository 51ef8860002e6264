"""Without an extra, what does not need it works, and what does names it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from synalign_spark.errors import InstallationError
from synalign_spark.extras import EXTRA_OF, extras_named

ROOT = Path(__file__).resolve().parents[1]
WITHOUT = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in %r:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Missing())
"""


def python(code: str, *missing: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", WITHOUT % (missing,) + code], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )


def test_frames_are_aligned_without_any_extra():
    code = (
        "import numpy as np, pandas as pd, synalign_spark as sa\n"
        "rng = np.random.default_rng(0)\n"
        "frames = [pd.DataFrame({'id': [f'{i}' for i in range(60)], 'v': list(rng.normal(size=(60, 3)))}) for _ in range(2)]\n"
        "print(len(sa.align(*frames, text=None, embedding='v', id='id', label=None, n_features=32).weights))"
    )
    done = python(code, *EXTRA_OF)
    assert done.stdout.strip() == "60", done.stderr[-1500:]


def test_every_stage_is_imported_with_sparks_extra_alone():
    stages = ("ingest", "embed", "cluster", "select", "generate", "align", "resample", "evaluate", "report")
    modules = ["cli.main", "pipeline.runner", "pipeline.session", "storage.lake", *(f"pipeline.stages.{name}" for name in stages)]
    done = python("\n".join(f"import synalign_spark.{name}" for name in modules) + "\nprint('all')", *EXTRA_OF.keys() - {"pyspark"})
    assert done.stdout.strip() == "all", done.stderr[-1500:]


def test_the_command_line_names_the_extra_in_one_line(tmp_path):
    (tmp_path / "real.csv").write_text("text\nfine\n")
    code = f"sys.argv = ['synalign', 'run', '--set', 'source.path={tmp_path}/real.csv', '--set', 'lake.path={tmp_path}/lake']\n"
    done = python(code + "from synalign_spark.cli.main import main\nmain()", "pyspark")
    assert done.returncode == 2
    assert "InstallationError: the package pyspark is not installed; pip install 'synalign-spark[spark]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_other_modules_are_left_to_python():
    with pytest.raises(ModuleNotFoundError), extras_named():
        raise ModuleNotFoundError("No module named 'yours'", name="yours")
    with pytest.raises(InstallationError, match=r"synalign-spark\[embed\]"), extras_named():
        raise ModuleNotFoundError("No module named 'torch.distributed'", name="torch.distributed")


def test_every_package_stands_in_its_extra():
    """setup.py is read as text: what runs it is setuptools."""
    setup = (ROOT / "setup.py").read_text()
    brought_by_another = {"transformers", "delta"}  # sentence-transformers and delta-spark
    for package, extra in EXTRA_OF.items():
        wanted = re.search(rf"^{extra.upper()} = \[(.*?)\]\n", setup, re.MULTILINE | re.DOTALL).group(1)
        if package not in brought_by_another:
            assert f'"{package.replace("_", "-")}' in wanted, package
