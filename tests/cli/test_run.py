"""``synalign run`` as a scheduler sees it: statuses, the result, events, signals, time. The stages are stand-ins; no Spark is started."""

import json
import os
import signal
import time

import pytest

from synalign_spark.cli.submit import main as submit
from synalign_spark.errors import EndpointDownError
from synalign_spark.pipeline import steps
from synalign_spark.pipeline.context import Deadline
from synalign_spark.storage.runs import RunStore
from tests.cli.stand_ins import GENERATE, NAMES, ROWS, SUMMARIES, fails


def test_the_result_is_one_object_and_words_go_to_standard_error(run, tmp_path):
    done = run("--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert (found["status"], found["exit_code"], found["error"], found["run_id"]) == ("done", 0, None, "default")
    assert [(stage["stage"], stage["ran"]) for stage in found["stages"]] == [(name, True) for name in NAMES]
    assert found["stages"][0]["rows"] == {"corpus": ROWS, "rejects": ROWS}
    assert all(stage["seconds"] >= 0 for stage in found["stages"])
    assert (found["left"], found["verdict"]) == ([], "closer")
    assert {key: found["budget"][key] for key in ("stopped_by", "calls", "tokens", "cost_usd")} == {
        "stopped_by": "target",
        "calls": 4,
        "tokens": 15,
        "cost_usd": 0.5,
    }
    assert found["tables"]["weights"] == f"{tmp_path / 'lake'}/weights"
    assert found["report"] == "s3a://[hidden]@bucket/report.html"
    assert "ok ingest" in done.stderr
    again = json.loads(run("--json").stdout)
    assert [stage["ran"] for stage in again["stages"]] == [False] * len(NAMES)


def test_without_json_words_go_to_standard_output(run):
    done = run()
    assert "ok ingest" in done.stdout
    assert "{" not in done.stdout


@pytest.mark.parametrize(
    ("words", "status", "kind"),
    [
        (["--set", "algin.x=1"], "configuration", "ConfigError"),
        (["--set", "source.path=/nowhere/x.csv"], "data", "DataError"),
        (["--events", "/nowhere/x.jsonl"], "configuration", "ConfigError"),
    ],
)
def test_the_result_of_a_failure_says_why(run, words, status, kind):
    done = run("--json", *words)
    found = json.loads(done.stdout)
    assert (found["status"], found["error"]["kind"], found["error"]["retryable"]) == (status, kind, False)
    assert found["exit_code"] == done.exit_code
    assert found["error"]["message"] in done.stderr


def test_what_is_done_and_what_is_left_is_told_of_a_failure_too(run, stages):
    stages.do["generate"] = fails(EndpointDownError("503 at https://me:hunter2@host/v1"))
    done = run("--json")
    found = json.loads(done.stdout)
    assert (done.exit_code, found["status"], found["error"]["retryable"]) == (5, "unavailable", True)
    assert [stage["stage"] for stage in found["stages"]] == NAMES[:4]
    assert found["left"] == NAMES[4:]
    assert found["verdict"] is None
    assert "hunter2" not in done.output


def test_a_fault_of_the_code_has_a_result_and_a_trace(run, stages):
    stages.do["embed"] = fails(ZeroDivisionError("of ours"))
    done = run("--json")
    found = json.loads(done.stdout)
    assert isinstance(done.exception, ZeroDivisionError)
    assert (found["exit_code"], found["error"]["kind"]) == (1, "ZeroDivisionError")


def test_events_follow_the_run_and_end_with_its_result(run, stages, tmp_path):
    file = tmp_path / "events.jsonl"
    stages.do["align"] = fails(EndpointDownError("x"))
    assert run("--events", str(file)).exit_code == 5
    del stages.do["align"]
    assert run("--events", str(file)).exit_code == 0
    events = [json.loads(line) for line in file.read_text().splitlines()]
    first = events[: next(i for i, event in enumerate(events) if event["event"] == "run_finished") + 1]
    assert first[0]["todo"] == NAMES
    told = [(event["event"], event["stage"]) for event in first if event["event"].startswith("stage_")]
    assert told == [pair for name in NAMES[:6] for pair in (("stage_started", name), ("stage_finished", name))] + [
        ("stage_started", "align"),
        ("stage_failed", "align"),
    ]
    assert {"task": "ingest", "done": 1, "total": ROWS, "unit": "rows", "note": "on its way"}.items() <= next(
        event for event in first if event["event"] == "progress"
    ).items()
    assert (first[-1]["exit_code"], events[-1]["event"], events[-1]["exit_code"]) == (5, "run_finished", 0)
    assert {event["run_id"] for event in events} == {"default"}


def test_events_of_a_start_that_never_began_are_its_end_alone(run, tmp_path):
    file = tmp_path / "events.jsonl"
    assert run("--events", str(file), "--set", "algin.x=1").exit_code == 2
    (only,) = map(json.loads, file.read_text().splitlines())
    assert (only["event"], only["exit_code"], only["run_id"]) == ("run_finished", 2, None)


def test_events_on_standard_output_end_with_the_result(run):
    lines = [json.loads(line) for line in run("--events", "-", "--json").stdout.splitlines()]
    assert [lines[0]["event"], lines[-2]["event"]] == ["run_started", "run_finished"]
    assert {key: value for key, value in lines[-2].items() if key not in ("event", "time")} == lines[-1]


def test_the_jobs_of_spark_submit_take_the_same_options(stages, tmp_path, capsys):
    words = [
        "--set",
        f"source.path={tmp_path / 'x.csv'}",
        "--set",
        f"lake.path={tmp_path / 'lake'}",
        "--set",
        "lake.format=parquet",
        "--json",
    ]
    submit("ingest", [*words, "--events", str(tmp_path / "events")])
    assert json.loads(capsys.readouterr().out)["left"] == NAMES[1:]
    with pytest.raises(SystemExit) as ended:
        submit("algin", words)
    assert ended.value.code == 2


@pytest.mark.parametrize("stage", NAMES)
def test_a_run_that_is_asked_to_end_ends_cleanly_in_any_stage_and_goes_on(stage, run, stages, tmp_path):
    def asked(ctx):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)

    stages.do[stage] = asked
    done = run("--json")
    found = json.loads(done.stdout)
    assert (done.exit_code, found["status"], found["left"]) == (143, "terminated", NAMES[NAMES.index(stage) :])
    assert "start it again" in done.stderr
    assert found["error"]["message"] == "stopped; start it again with the same command and it goes on where it was"
    assert RunStore(str(tmp_path / "lake"), "default").holder() is None
    del stages.do[stage]
    stages.ran.clear()
    assert run().exit_code == 0
    assert stages.ran == NAMES[NAMES.index(stage) :]


def test_a_run_of_another_process_is_waited_for_as_long_as_said(run, tmp_path):
    with RunStore(str(tmp_path / "lake"), "default").lock():
        assert run().exit_code == 4
        waited = run("--set", "run.lock_wait_s=0.2", "--json")
    assert waited.exit_code == 4
    assert json.loads(waited.stdout)["error"]["retryable"]
    assert "waiting, 0 s at most" in waited.stderr


def test_time_that_is_over_ends_a_start_between_stages_and_each_gets_further(run, stages, monkeypatch):
    monkeypatch.setattr(Deadline, "after", classmethod(lambda cls, minutes: cls(minutes, time.monotonic())))
    for name in NAMES[:2]:
        stages.ran.clear()
        done = run("--set", "run.max_minutes=30", "--json")
        found = json.loads(done.stdout)
        assert (done.exit_code, found["status"], stages.ran) == (6, "budget", [name])
        assert found["error"]["message"].startswith("run.max_minutes: 30 minutes are over")
        assert found["left"] == NAMES[NAMES.index(name) + 1 :]


@pytest.mark.parametrize(("words", "status"), [([], 6), (["--stage", "align"], 0)])
def test_a_budget_that_ended_the_generation_leaves_work(words, status, run, monkeypatch):
    assert run().exit_code == 0
    monkeypatch.setitem(SUMMARIES, "generate", GENERATE | {"stopped_by": "limits.max_requests", "missing_by_label": {"b": 7}})
    assert run("--redo", "--set", "generate.target_rows=10").exit_code == 6
    done = run("--set", "generate.target_rows=10", "--json", *words)
    assert done.exit_code == status
    budget = json.loads(done.stdout)["budget"]
    assert (budget["stopped_by"], budget["missing_rows"]) == ("limits.max_requests", 7)


def test_another_algorithm_of_a_stage_is_another_configuration(run, monkeypatch):
    assert run().exit_code == 0
    monkeypatch.setattr("synalign_spark.pipeline.runner.__version__", "9.9.9")
    assert run().exit_code == 0  # the release alone is none
    monkeypatch.setitem(steps.ALGORITHMS, "align", steps.ALGORITHMS["align"] + 1)
    refused = run("--json")
    assert (refused.exit_code, json.loads(refused.stdout)["error"]["kind"]) == (2, "ForeignLakeError")
    again = json.loads(run("--json", "--redo").stdout)
    assert [stage["stage"] for stage in again["stages"] if stage["ran"]] == ["align", "resample", "report"]
