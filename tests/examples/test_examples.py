"""The notebooks, the script and the code of README and guides run as they stand, on real text."""

import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
from nbclient import NotebookClient

import synalign_spark as sa
from synalign_spark.config import EmbedConfig
from synalign_spark.udfs.encoder import encoder_info

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
sys.path.insert(0, str(ROOT / "tests" / "generation"))  # for the tests' loopback server
from loopback import loopback  # noqa: E402

ADDRESS = "http://localhost:8000/v1"  # of the documents; the server's real one takes its place
TOPICS = {"positive": ("warm", "bright", "tender"), "negative": ("dull", "weak", "flat")}


def reviews(rows: int, seed: int) -> pd.DataFrame:
    """Labelled texts of a few words, so that embedding them takes little time."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(list(TOPICS), rows)
    texts = [f"a {rng.choice(TOPICS[label])} {rng.choice(['film', 'story', 'cast', 'plot'])} {seed} {i}" for i, label in enumerate(labels)]
    return pd.DataFrame({"text": texts, "label": labels})


def python_blocks(page: str) -> list[str]:
    """The Python blocks of a page, in order."""
    return re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def run_code(code: str, **names):
    """Runs code as a script of the documents, with these names given. Returns what it leaves."""
    exec(compile(code, "<documents>", "exec"), names)
    return names


@pytest.fixture
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(path.name for path in EXAMPLES.glob("*.ipynb")))
def test_a_notebook_runs(name, empty_folder, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = nbformat.read(EXAMPLES / name, as_version=4)
    shown = [len(cell.outputs) for cell in notebook.cells if cell.cell_type == "code"]
    NotebookClient(notebook, timeout=500, resources={"metadata": {"path": str(empty_folder)}}).execute()
    assert sum(shown) > 0, "outputs are kept in the notebook: jupyter execute --inplace"
    text = str([output for cell in notebook.cells for output in cell.get("outputs", [])])
    assert "use these rows with sample_weight" in text


@pytest.mark.slow
def test_the_script_for_a_language_model_of_ones_own(empty_folder):
    with loopback() as server:
        command = [
            sys.executable,
            EXAMPLES / "own_llm.py",
            "--llm",
            server.base_url,
            "--model",
            "loopback",
            "--rows",
            "12",
            "--real-rows",
            "24",
        ]
        done = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert any((empty_folder / "own_llm_answers").iterdir()), "answers are kept, so that nothing is asked twice"
    weighted = pd.read_csv("own_llm.csv")
    assert len(weighted) == 12
    assert weighted["weight"].sum() == pytest.approx(1.0)
    assert set(weighted["label"]) == {"negative", "positive"}
    assert "all rows: " in done.stdout


def test_the_readmes_ten_lines_of_python(empty_folder):
    real, synthetic = reviews(60, 1), reviews(40, 2)
    real.to_parquet("real.parquet")
    synthetic.to_parquet("synthetic.parquet")
    ten_lines = python_blocks("README.md")[0]
    assert len([line for line in ten_lines.splitlines() if line.strip()]) <= 10
    with loopback() as server:
        found = run_code(ten_lines.replace(ADDRESS, server.base_url).replace("n=5_000", "n=20"))
    assert len(found["rows"]) == 20
    assert pd.read_parquet("weighted.parquet")["weight"].sum() == pytest.approx(1.0)


@pytest.fixture
def a_job(empty_folder):
    """In the folder: my.yaml for a small run on imported rows, and its sources. Returns the sources."""
    real, synthetic = reviews(60, 1), reviews(40, 2)
    for name, frame in (("real", real), ("synthetic", synthetic)):
        frame.to_json(f"{name}.jsonl.gz", orient="records", lines=True)
    source, imported = (f"path: {empty_folder}/{name}.jsonl.gz, label_column: label" for name in ("real", "synthetic"))
    Path("my.yaml").write_text(
        f"source: {{{source}}}\ngenerate: {{strategy: imported, imported: {{{imported}}}}}\n"
        f"lake: {{path: {empty_folder}/lake}}\ncluster: {{k: 4}}\n"
    )
    return real, synthetic


@pytest.mark.slow
def test_the_readmes_estimator_and_job(a_job, spark):
    real, synthetic = a_job
    found = run_code(python_blocks("README.md")[1], sa=sa, real=real, synthetic=synthetic, spark=spark)
    assert found["model"].weights["weight"].sum() == pytest.approx(1.0)
    assert found["run"].tables["augmented"] > 60
    assert spark.range(3).count() == 3, "the session is the caller's"


@pytest.mark.slow
def test_the_guides_to_jobs_and_imported_rows(a_job, spark):
    found = run_code("\n".join(python_blocks("docs/guide/corpus.md")), spark=spark)
    assert found["augmented"].count() > 60
    found = run_code("\n".join(python_blocks("docs/guide/imported.md")))
    assert len(found["weighted"]) == 40


@pytest.mark.slow
def test_the_guide_to_dataframes(a_job, spark):
    real, synthetic = a_job
    spark.createDataFrame(real).createOrReplaceTempView("reviews")
    with loopback() as server:
        code = "\n".join(python_blocks("docs/guide/dataframes.md")).replace(ADDRESS, server.base_url).replace("n=5_000", "n=20")
        found = run_code(code.replace("n=3_000", "n=12").replace("n=600", "n=12"), real=real, synthetic=synthetic, spark=spark)
    assert len(found["rows"]) == 20
    assert not set(found["shown"]["doc_id"]) & set(found["more"]["doc_id"])


@pytest.mark.slow
def test_the_guide_to_estimators(empty_folder, spark):
    real, synthetic, other = reviews(60, 1), reviews(40, 2), reviews(5, 3)
    vectors = spark.createDataFrame(real.assign(vec=[[float(i % 7 + 1), float(i % 3)] for i in range(len(real))]))
    code = "\n".join(python_blocks("docs/guide/estimators.md")).replace('"models/', f'"{empty_folder}/models/')
    found = run_code(code, real=real, synthetic=synthetic, other_rows=other, vectors=vectors, spark=spark)
    assert len(found["more"]) == 5
    assert found["again"].transform(other)["weight"].tolist() == found["more"]["weight"].tolist()
    assert found["reached"].filter("posterior_sd is null").count() == 0


@pytest.mark.slow
def test_the_guide_to_training(empty_folder):
    """All blocks in order, but for Spark's, on a result of sa.align."""
    import torch

    real, synthetic = reviews(40, 1), reviews(30, 2)
    result = sa.align(real, synthetic, text="text", label="label")
    blocks = [block for block in python_blocks("docs/guide/training.md") if "pyspark" not in block]
    parameter = torch.zeros(8, 2, requires_grad=True)
    given = {
        "real": real, "result": result, "logits": parameter * 1.0, "labels": torch.arange(8) % 2, "sample_weight": torch.ones(8),
        "dataset": list(range(8)), "encoder_folder": encoder_info(EmbedConfig()).location,
    }  # fmt: skip
    left = run_code("\n".join(blocks), **given)
    assert len(left["train"]) == 70
    assert left["train"]["sample_weight"].mean() == pytest.approx(1.0)
    assert parameter.grad is not None
    assert len(left["head"].classes_) == 2
