"""What Spark's JVM says on standard error: removed after a run that went well, kept and named where one failed."""

import contextlib
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from synalign_spark.config.files import configured
from synalign_spark.errors import BudgetError, DataError, LakeError
from synalign_spark.pipeline import jvm_log, session
from synalign_spark.pipeline.jvm_log import JvmLog, log_of_process

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def cfg(tmp_path):
    (tmp_path / "lake" / "_synalign" / "default").mkdir(parents=True)
    return configured({"source": {"path": "x"}, "lake": {"path": str(tmp_path / "lake")}})


def said(*lines):
    """A log of a JVM that greets, and then says the lines."""
    log = JvmLog()
    with log.taking_stderr():
        os.write(2, b"WARNING: Using incubator modules\n")
    with open(log.path, "a") as file:
        file.writelines(f"{line}\n" for line in lines)
    return log


def test_what_spark_said_of_a_failure_is_kept_without_secrets_for_its_owner_alone(cfg, tmp_path):
    err = LakeError("x")
    said("ERROR disk gone", "ERROR at s3a://me:hunter2@bucket/x").keep(cfg, err)
    kept = tmp_path / "lake" / "_synalign" / "default" / "jvm.log"
    assert err.__notes__ == [f"Spark's own log is kept: {kept}"]
    assert kept.read_text().splitlines()[1:] == ["ERROR disk gone", "ERROR at s3a://[hidden]@bucket/x"]
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600


@pytest.mark.parametrize(("err", "lines"), [(DataError("x"), []), (BudgetError("x"), ["ERROR"]), (KeyboardInterrupt(), ["ERROR"])])
def test_where_spark_said_nothing_and_where_the_run_was_stopped_nothing_is_kept(err, lines, cfg, tmp_path):
    said(*lines).keep(cfg, err)
    assert not hasattr(err, "__notes__")
    assert list((tmp_path / "lake" / "_synalign" / "default").iterdir()) == []


@pytest.mark.parametrize("lake", ["s3a://bucket/lake", "{tmp}/none"])
def test_of_a_lake_elsewhere_it_stays_where_it_is(lake, tmp_path):
    code = (
        "import sys\nfrom synalign_spark.config.files import configured\nfrom synalign_spark.errors import LakeError\n"
        "from tests.pipeline.test_jvm_log import said\n"
        "log, other, err = said('ERROR s3a://me:hunter2@b'), said('ERROR'), LakeError('x')\n"
        "log.keep(configured({'source': {'path': 'x'}, 'lake': {'path': sys.argv[1]}}), err)\n"
        "print(*err.__notes__)\nprint(other.path)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, lake.format(tmp=tmp_path)], cwd=ROOT, capture_output=True, text=True, check=True, timeout=120
    )
    note, other = done.stdout.splitlines()
    kept = Path(note.removeprefix("Spark's own log is kept: "))
    assert kept.read_text().splitlines()[1:] == ["ERROR s3a://[hidden]@b"]
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    kept.unlink()
    assert not Path(other).exists()


def test_a_secret_that_the_beginning_of_what_is_kept_would_cut_is_not_shown(cfg, monkeypatch):
    monkeypatch.setattr(jvm_log, "MOST_KEPT", 40)
    log = said("password=hunter2-hunter2-hunter2", "ERROR disk gone", "ERROR again")
    assert log.tail(1_500) == "ERROR disk gone\nERROR again\n"
    monkeypatch.undo()
    assert "hunter2" not in log.tail(40)


def test_a_later_session_of_the_process_has_what_the_one_jvm_says_of_it_alone(cfg, tmp_path):
    log = said("ERROR of the first")
    log.begin()
    with log.taking_stderr():
        pass
    silent = LakeError("x")
    log.keep(cfg, silent)
    assert not hasattr(silent, "__notes__")
    with open(log.path, "a") as file:
        file.write("ERROR of the second\n")
    log.keep(cfg, LakeError("x"))
    assert (tmp_path / "lake" / "_synalign" / "default" / "jvm.log").read_text() == "ERROR of the second\n"
    assert log_of_process() is log_of_process()


@pytest.mark.parametrize("failing", [True, False])
def test_a_run_that_fails_within_a_session_of_ours_keeps_it_once_spark_is_stopped(failing, cfg, tmp_path, monkeypatch):
    class Spark:
        def __init__(self, log):
            self.log = log

        def stop(self):
            self.log.path.write_text(f"{self.log.path.read_text()}ERROR while stopping\n")

    def start(cfg, log):
        with log.taking_stderr():
            os.write(2, b"WARNING: Using incubator modules\n")
        return Spark(log)

    monkeypatch.setattr(session, "start_spark", start)
    kept = tmp_path / "lake" / "_synalign" / "default" / "jvm.log"
    with pytest.raises(LakeError) if failing else contextlib.nullcontext(), session.spark_session(cfg):
        if failing:
            raise LakeError("x")
    assert kept.exists() == failing
    assert not failing or "ERROR while stopping" in kept.read_text()
