"""Where a run keeps what is not a table, and which runs a lake has. No Spark."""

from synalign_spark.storage.paths import RunPaths
from synalign_spark.storage.runs import RunStore, run_names


def test_everything_of_a_run_lies_in_its_folder(tmp_path):
    paths = RunPaths(f"{tmp_path}/", "r")
    assert paths.folder == f"{tmp_path}/_synalign/r"
    assert {paths.ledger, paths.scratch} == {f"{paths.folder}/{name}" for name in ("ledger", "doctor")}
    assert paths.local_folder == paths.folder
    assert RunPaths("s3a://bucket/lake", "r").local_folder is None


def test_a_run_is_known_by_its_manifest(tmp_path):
    assert run_names(str(tmp_path / "none")) == []
    for name in ("b", "a"):
        RunStore(str(tmp_path), name).record("ingest", {})
    RunStore(str(tmp_path), "started")  # nothing finished yet
    assert run_names(str(tmp_path)) == ["a", "b"]
