"""``run.metrics_file``: what Prometheus reads of a run while it goes on and after each kind of end. The stages are stand-ins."""

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from prometheus_client.core import CounterMetricFamily
from prometheus_client.parser import text_string_to_metric_families

from synalign_spark.errors import EndpointDownError
from synalign_spark.pipeline import metrics_file
from tests.cli.stand_ins import NAMES, ROWS, SUMMARIES, fails

ROOT = Path(__file__).resolve().parents[2]


def read(path):
    """{(name, labels without run_id as sorted values): value}; every sample is of the run."""
    samples = [sample for family in text_string_to_metric_families(path.read_text()) for sample in family.samples]
    assert {sample.labels["run_id"] for sample in samples} == {"default"}
    return {(one.name, *(value for key, value in sorted(one.labels.items()) if key != "run_id")): one.value for one in samples}


@pytest.fixture
def file(tmp_path):
    return tmp_path / "synalign.prom"


@pytest.fixture
def start(run, file):
    return lambda *words: run("--set", f"run.metrics_file={file}", *words)


def test_a_run_that_is_done_has_every_stage_its_rows_and_its_cost(start, file):
    before = time.time()
    assert start().exit_code == 0
    found = read(file)
    assert {name: found["synalign_stage_done", name] for name in NAMES} == dict.fromkeys(NAMES, 1)
    assert {name: found["synalign_stage_running", name] for name in NAMES} == dict.fromkeys(NAMES, 0)
    assert all(found["synalign_stage_duration_seconds", name] >= 0 for name in NAMES)
    assert before <= found["synalign_stage_start_timestamp_seconds", "align"] <= time.time()
    assert found["synalign_progress_done", "embed", "embed", "rows"] == 1
    assert found["synalign_progress_expected", "embed", "embed", "rows"] == ROWS
    assert (found["synalign_run_running",], found["synalign_run_exit_code",]) == (0, 0)
    kinds = {key[1]: value for key, value in found.items() if key[0] == "synalign_run_exit"}
    assert kinds["done"] == 1
    assert sum(kinds.values()) == 1
    assert before <= found["synalign_run_last_success_timestamp_seconds",] <= found["synalign_run_heartbeat_timestamp_seconds",]


def test_calls_tokens_cost_and_refused_rows_are_those_of_the_manifest(start, file, monkeypatch):
    more = {"accepted_by_label": {"good": 2, "bad": 1}, "refused": {"copied": 7}, "target_rows": 5}
    monkeypatch.setitem(SUMMARIES, "generate", SUMMARIES["generate"] | more)
    monkeypatch.setitem(SUMMARIES, "embed", {"requests": 3, "tokens": 400, "cost_usd": None})
    monkeypatch.setitem(SUMMARIES, "ingest", {"rows_accepted": 3, "rejected_by_reason": {"empty": 4}})
    wanted = {
        ("synalign_calls_total", "generate", "ok"): 4,
        ("synalign_tokens_total", "generate"): 15,
        ("synalign_cost_usd_total", "generate"): 0.5,
        ("synalign_rows_refused_total", "copied", "generate"): 7,
        ("synalign_rows_accepted", "good", "generate"): 2,
        ("synalign_rows_target", "generate"): 5,
        ("synalign_tokens_total", "embed"): 400,
        ("synalign_requests_total", "embed"): 3,
        ("synalign_rows_rejected", "empty", "ingest"): 4,
    }
    for _ in range(2):  # made, and found done
        assert start().exit_code == 0
        assert {key: read(file).get(key) for key in wanted} == wanted


@pytest.mark.parametrize("last_success", [False, True])
def test_a_failure_says_where_and_why_and_keeps_the_last_success(last_success, start, stages, file):
    if last_success:
        assert start().exit_code == 0
    before = read(file).get(("synalign_run_last_success_timestamp_seconds",)) if last_success else None
    stages.do["align"] = fails(EndpointDownError("no text of this is told"))
    assert start("--redo", "--set", "align.n_features=64").exit_code == 5
    found = read(file)
    assert (found["synalign_stage_failed", "align"], found["synalign_stage_failed", "embed"]) == (1, 0)
    assert (found["synalign_stage_done", "embed"], found["synalign_stage_done", "align"]) == (1, 0)
    assert (found["synalign_run_exit", "unavailable"], found["synalign_run_exit_code",]) == (1, 5)
    assert found["synalign_run_running",] == found["synalign_stage_running", "align"] == 0
    assert found.get(("synalign_run_last_success_timestamp_seconds",)) == before
    assert "no text of this" not in file.read_text()


def test_a_start_that_was_asked_to_end_and_one_out_of_budget_say_so(start, stages, file, monkeypatch):
    def asked(ctx):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)

    stages.do["cluster"] = asked
    assert start().exit_code == 143
    assert read(file)["synalign_run_exit", "terminated"] == 1
    del stages.do["cluster"]
    monkeypatch.setitem(SUMMARIES, "generate", SUMMARIES["generate"] | {"stopped_by": "limits.max_requests"})
    assert start().exit_code == 6
    assert read(file)["synalign_run_exit", "budget"] == 1
    assert ("synalign_run_last_success_timestamp_seconds",) not in read(file)


def test_what_fails_while_a_stopped_start_is_cleared_away_is_not_why_it_ended(start, stages, file):
    def asked(ctx):
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
        finally:
            raise ConnectionError("the JVM got the signal too")

    stages.do["cluster"] = asked
    assert start().exit_code == 143
    assert read(file)["synalign_run_exit", "terminated"] == 1


def test_while_a_stage_runs_the_file_tells_how_far_it_is(start, stages, file, monkeypatch):
    monkeypatch.setattr(metrics_file, "SECONDS_BETWEEN_WRITES", 0.02)
    seen = {}

    def looked_at(ctx):
        def collect():
            yield CounterMetricFamily("synalign_calls", "Ended calls by status", 2)

        with ctx.progress.measured("generate", collect):
            began = time.monotonic()
            while ("synalign_calls_total", "generate") not in read(file) and time.monotonic() < began + 10:
                time.sleep(0.02)
            seen.update(read(file))

    stages.do["generate"] = looked_at
    assert start().exit_code == 0
    assert seen["synalign_run_running",] == seen["synalign_stage_running", "generate"] == 1
    assert seen["synalign_calls_total", "generate"] == 2
    assert seen["synalign_progress_done", "generate", "generate", "rows"] == 1
    assert seen["synalign_stage_duration_seconds", "generate"] > 0
    assert not [key for key in seen if key[0].startswith("synalign_run_exit")]


def test_what_was_spent_is_told_of_a_generation_that_failed(start, stages, file):
    spent = [1]

    def failing(ctx):
        with ctx.progress.measured("generate", lambda: [CounterMetricFamily("synalign_calls", "Ended calls", spent[0])]):
            spent[0] = 9
            raise EndpointDownError("x")

    stages.do["generate"] = failing
    assert start().exit_code == 5
    assert read(file)["synalign_calls_total", "generate"] == 9


def test_a_start_that_finds_the_run_locked_leaves_the_file_of_the_one_that_has_it(start, stages, file):
    texts = []

    def another(ctx):
        before = file.read_text()
        assert start().exit_code == 4
        texts.append((before, file.read_text()))

    stages.do["embed"] = another
    assert start().exit_code == 0
    assert texts[0][0].partition("heartbeat")[0] == texts[0][1].partition("heartbeat")[0]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("source: {path: x}\n", "holds other things than metrics of a run"),
        ("# HELP up x\n# TYPE up gauge\nup 1\n", "holds other things"),
        (None, "cannot be written"),
    ],
)
def test_a_file_of_something_else_is_not_replaced(content, says, start, file, run, stages):
    if content is None:
        done = run("--set", "run.metrics_file=/nowhere/a.prom")
    else:
        file.write_text(content)
        done = start()
        assert file.read_text() == content
    assert done.exit_code == 2
    assert says in done.stderr.replace("\n", " ")
    assert stages.ran == []


def test_a_folder_that_goes_away_meanwhile_ends_the_file_and_not_the_run(run, stages, tmp_path):
    folder = tmp_path / "textfiles"
    folder.mkdir()

    def gone(ctx):
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()

    stages.do["embed"] = gone
    done = run("--set", f"run.metrics_file={folder}/a.prom")
    assert done.exit_code == 0
    assert done.stderr.count("is not renewed at the moment") == 1


def test_a_figure_that_cannot_be_told_ends_the_file_and_not_the_run(start, stages, monkeypatch):
    monkeypatch.setitem(SUMMARIES, "embed", {"requests": 3})  # and no tokens
    done = start()
    assert done.exit_code == 0
    assert stages.ran == NAMES
    assert done.stderr.count("is not renewed at the moment (KeyError)") == 1


def test_a_pipe_or_a_device_is_not_replaced(start, stages, file):
    os.mkfifo(file)
    done = start()
    assert done.exit_code == 2
    assert "is there, and is no file; name a file" in done.stderr.replace("\n", " ")
    assert stat.S_ISFIFO(file.stat().st_mode)
    assert stages.ran == []


def test_the_home_of_nobody_is_no_folder(run, stages):
    done = run("--set", "run.metrics_file=~nobody-of-that-name/a.prom")
    assert done.exit_code == 2
    assert "names no folder" in done.stderr.replace("\n", " ")
    assert stages.ran == []


def test_lineage_that_cannot_be_sent_is_an_end_as_any_other(start, file, monkeypatch):
    assert start().exit_code == 0
    monkeypatch.setenv("OPENLINEAGE_PARENT_ID", "no parent")
    monkeypatch.setenv("OPENLINEAGE_URL", "http://127.0.0.1:9")
    assert start("--set", "run.lineage_job=reviews").exit_code == 2
    assert read(file)["synalign_run_exit", "configuration"] == 1


KILLED = """
import sys, time
from types import SimpleNamespace
from synalign_spark.config.files import configured
from synalign_spark.pipeline import metrics_file
from synalign_spark.pipeline.observer import Silent
from synalign_spark.pipeline.steps import STEPS
metrics_file.SECONDS_BETWEEN_WRITES = 0.0
cfg = configured({"source": {"path": "x"}, "run": {"metrics_file": sys.argv[1]}})
told = metrics_file.MetricsFile(Silent(), cfg)
told.began()
for step in STEPS:
    told.started(step)
with told.progress.task("rows", total=10) as task:
    while True:
        task.update(5)
        time.sleep(0.001)
"""


def test_every_reader_finds_a_whole_file_also_after_a_kill(file):
    worker = subprocess.Popen([sys.executable, "-c", KILLED, str(file)], cwd=ROOT)
    try:
        deadline = time.monotonic() + 60
        while not file.exists() or "synalign_progress_expected{" not in file.read_text():
            assert worker.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        for _ in range(300):
            found = read(file)
            assert found["synalign_progress_expected", "report", "rows", "rows"] == 10
    finally:
        worker.kill()
        worker.wait()
    found = read(file)
    assert (found["synalign_run_running",], found["synalign_progress_done", "report", "rows", "rows"]) == (1, 5)
    assert time.time() - found["synalign_run_heartbeat_timestamp_seconds",] < 30
