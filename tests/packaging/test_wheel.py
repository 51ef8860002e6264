"""The wheel: one import name, everything that the code reads at run time, and one version."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from synalign_spark import __version__

ROOT = Path(__file__).resolve().parents[2]
BUILD = "import sys; from setuptools import build_meta; print(build_meta.build_wheel(sys.argv[1]))"
DATA = {
    "synalign_spark/conf/cluster.yaml",
    "synalign_spark/conf/local.yaml",
    "synalign_spark/conf/log4j2.properties",
    "synalign_spark/conf/quickstart.yaml",
    "synalign_spark/exports/card.md.j2",
    "synalign_spark/generation/prompts/templates/_label.j2",
    "synalign_spark/generation/prompts/templates/attributes.j2",
    "synalign_spark/generation/prompts/templates/completion_attributes.j2",
    "synalign_spark/generation/prompts/templates/completion_rows.j2",
    "synalign_spark/generation/prompts/templates/rows.j2",
    "synalign_spark/generation/prompts/templates/system.j2",
    "synalign_spark/py.typed",
    "synalign_spark/report/comparison.html.j2",
    "synalign_spark/report/details.html.j2",
    "synalign_spark/report/findings.html.j2",
    "synalign_spark/report/frame.html.j2",
    "synalign_spark/report/macros.html.j2",
    "synalign_spark/report/map.html.j2",
    "synalign_spark/report/page.css",
    "synalign_spark/report/page.html.j2",
    "synalign_spark/report/page.js",
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> zipfile.ZipFile:
    """Built from a copy, so that the working tree gets no build folder; by the installed setuptools, so that no index is asked."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    unneeded = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for folder in ("synalign_spark", "udfs", "conf", "jobs"):
        shutil.copytree(ROOT / folder, source / folder, symlinks=True, ignore=unneeded)
    for file in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, source / file)
    done = subprocess.run([sys.executable, "-c", BUILD, str(out)], cwd=source, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return zipfile.ZipFile(next(out.glob("*.whl")))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """What ``pip install --no-deps --target`` makes of a pure Python wheel: its files, unpacked."""
    folder = tmp_path_factory.mktemp("site")
    wheel.extractall(folder)
    return folder


def test_the_wheel_has_one_import_name(wheel):
    top = {name.split("/")[0] for name in wheel.namelist()}
    assert top == {"synalign_spark", f"synalign_spark-{__version__}.dist-info"}
    assert wheel.read(f"synalign_spark-{__version__}.dist-info/top_level.txt").decode().split() == ["synalign_spark"]


def test_the_wheel_holds_every_module_and_the_files_read_at_run_time(wheel):
    names = set(wheel.namelist())
    linked = [(ROOT / "udfs", "synalign_spark/udfs"), (ROOT / "synalign_spark", "synalign_spark")]
    modules = {f"{place}/{path.relative_to(folder)}" for folder, place in linked for path in folder.rglob("*.py")}
    assert modules - names == set()
    assert DATA - names == set()


def test_the_installed_command_is_not_confused_by_folders_of_the_users(installed, tmp_path):
    for name in ("jobs", "udfs", "conf", "tests"):
        (tmp_path / name).mkdir()
    found = run(installed, tmp_path, "-m", "synalign_spark", "--help")
    assert "Synthetic text from an LLM" in found
    assert run(installed, tmp_path, "-m", "synalign_spark", "--version").strip() == __version__
    code = (
        "import synalign_spark.udfs.arrow as udfs, synalign_spark.pipeline.session as session; print(udfs.__file__, session.LOG4J.exists())"
    )
    assert run(installed, tmp_path, "-c", code).split() == [str(installed / "synalign_spark" / "udfs" / "arrow.py"), "True"]


def run(installed: Path, cwd: Path, *words: str) -> str:
    """Python with the installed wheel before everything else, in a folder that is not the project's."""
    env = os.environ | {"PYTHONPATH": str(installed)}
    done = subprocess.run([sys.executable, *words], cwd=cwd, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout
