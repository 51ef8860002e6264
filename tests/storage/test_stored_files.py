"""What counts as there of a run's tables, on a local disk; no JVM."""

import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake

from synalign_spark.storage.stored_files import entry_is_there, files_of, own_files


def parquet(folder, *names):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        pq.write_table(pa.table({"text": ["a"]}), folder / name)


def delta(path, run, n=1):
    rows = pa.table({"run_id": [run] * n, "text": [f"row {i}" for i in range(n)]})
    write_deltalake(path, rows, mode="append", partition_by=["run_id"])


@pytest.mark.parametrize("format", ["parquet", "delta"])
def test_rows_of_another_run_are_not_this_runs(tmp_path, format):
    if format == "parquet":
        parquet(tmp_path / "corpus" / "run_id=other", "a.parquet")
    else:
        delta(str(tmp_path / "corpus"), "other")
    assert own_files(str(tmp_path), "corpus", "other", format) is not None
    assert not entry_is_there({"tables": ["corpus"], "files": {"corpus": {"run_id=r": 1}}}, str(tmp_path), "r", format)
    if format == "parquet":  # an entry of an earlier release, which tells no files
        assert not entry_is_there({"tables": ["corpus"]}, str(tmp_path), "r", format)


def test_a_parquet_table_that_lost_a_file_or_a_scope_is_not_there(tmp_path):
    run = tmp_path / "embeddings" / "run_id=r"
    parquet(run / "origin=real", "a.parquet", "b.parquet")
    real = {"tables": ["embeddings"], "files": files_of(["embeddings"], {}, str(tmp_path), "r", "parquet")}
    parquet(run / "origin=synthetic", "c.parquet")
    both = {"tables": ["embeddings"], "files": files_of(["embeddings"], {}, str(tmp_path), "r", "parquet")}
    assert both["files"] == {"embeddings": {"run_id=r/origin=real": 2, "run_id=r/origin=synthetic": 1}}
    assert all(entry_is_there(entry, str(tmp_path), "r", "parquet") for entry in (real, both))
    shutil.rmtree(run / "origin=synthetic")
    assert entry_is_there(real, str(tmp_path), "r", "parquet")
    assert not entry_is_there(both, str(tmp_path), "r", "parquet")
    (run / "origin=real" / "a.parquet").unlink()
    assert not entry_is_there(real, str(tmp_path), "r", "parquet")


def test_what_another_step_writes_of_a_table_is_not_a_steps_own(tmp_path):
    """The real rows embedded anew, beside synthetic ones of before, which then come as fewer files."""
    run = tmp_path / "embeddings" / "run_id=r"
    parquet(run / "origin=real", "a.parquet")
    parquet(run / "origin=synthetic", "b.parquet", "c.parquet")
    real = {"tables": ["embeddings"], "files": files_of(["embeddings"], {"origin": "real"}, str(tmp_path), "r", "parquet")}
    assert real["files"] == {"embeddings": {"run_id=r/origin=real": 1}}
    (run / "origin=synthetic" / "c.parquet").unlink()
    assert entry_is_there(real, str(tmp_path), "r", "parquet")


@pytest.mark.parametrize("format", ["parquet", "delta"])
def test_a_table_that_could_not_be_seen_is_not_there(tmp_path, format):
    """As where Spark writes where this machine cannot look."""
    assert files_of(["corpus"], {}, str(tmp_path), "r", format) == {}
    assert not entry_is_there({"tables": ["corpus"], "files": {}}, str(tmp_path), "r", format)


def test_a_run_that_wrote_no_row_has_its_table(tmp_path):
    (tmp_path / "rejects" / "run_id=r").mkdir(parents=True)
    (tmp_path / "rejects" / "run_id=r" / "_SUCCESS").touch()
    assert files_of(["rejects"], {}, str(tmp_path), "r", "parquet") == {"rejects": {}}
    assert entry_is_there({"tables": ["rejects"], "files": {"rejects": {}}}, str(tmp_path), "r", "parquet")
    delta(str(tmp_path / "attributes"), "other")
    assert own_files(str(tmp_path), "attributes", "r", "delta") == {}


def test_a_delta_table_is_there_while_every_file_of_its_log_is(tmp_path):
    for _ in range(2):
        delta(str(tmp_path / "corpus"), "r")
        delta(str(tmp_path / "corpus"), "other")
    entry = {"tables": ["corpus"], "files": files_of(["corpus"], {}, str(tmp_path), "r", "delta")}
    assert entry["files"] == {"corpus": {"run_id=r": 2}}
    DeltaTable(str(tmp_path / "corpus")).optimize.compact()
    assert own_files(str(tmp_path), "corpus", "r", "delta") == {"run_id=r": 1}
    assert entry_is_there(entry, str(tmp_path), "r", "delta"), "joined files have the same rows"
    shutil.rmtree(tmp_path / "corpus" / "run_id=other")
    assert entry_is_there(entry, str(tmp_path), "r", "delta"), "another run's loss is not this one's"
    shutil.rmtree(tmp_path / "corpus" / "run_id=r")
    assert not entry_is_there(entry, str(tmp_path), "r", "delta"), "a log alone is no table"


def test_a_delta_table_without_its_log_is_none(tmp_path):
    delta(str(tmp_path / "corpus"), "r")
    shutil.rmtree(tmp_path / "corpus" / "_delta_log")
    assert own_files(str(tmp_path), "corpus", "r", "delta") is None
    (tmp_path / "corpus" / "_delta_log").mkdir()
    assert own_files(str(tmp_path), "corpus", "r", "delta") is None
