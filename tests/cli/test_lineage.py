"""``run.lineage_job``: the OpenLineage events of a run whose stages are stand-ins, at a server on loopback and in a file."""

import json
import os
import signal
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from synalign_spark.errors import DataError
from synalign_spark.pipeline.lineage import sender
from synalign_spark.storage.tables import BY_NAME
from tests.cli.stand_ins import NAMES, ROWS, fails

SECRET = "hunter2-of-the-run"
PARENT = "airflow/dag.task/0191f2a4-0000-7000-8000-000000000001"


class Backend:
    """Collects what is posted. status: what it answers; wait_s: before that."""

    def __init__(self, status=200, wait_s=0.0):
        self.events, self.paths = [], []
        backend = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                time.sleep(wait_s)
                backend.paths.append(self.path)
                backend.events.append(json.loads(body))
                self.send_response(status)
                self.end_headers()

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def backend(monkeypatch, tmp_path):
    """A server that the environment names, as a user's does."""
    for name in list(os.environ):
        if name.startswith("OPENLINEAGE"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    made = []

    def start(**behaviour):
        made.append(Backend(**behaviour))
        point_at(monkeypatch, made[-1].url)
        return made[-1]

    yield start
    for one in made:
        one.server.shutdown()
        one.server.server_close()


def point_at(monkeypatch, url):
    """The client keeps what it read of the environment there, under another name."""
    monkeypatch.setenv("OPENLINEAGE_URL", url)
    monkeypatch.setenv("OPENLINEAGE__TRANSPORT__TRANSPORTS__DEFAULT_HTTP__TYPE", "http")
    monkeypatch.setenv("OPENLINEAGE__TRANSPORT__TRANSPORTS__DEFAULT_HTTP__URL", url)


@pytest.fixture
def start(run):
    return lambda *words: run("--set", "run.lineage_job=reviews", *words)


def told(events):
    return [(event["job"]["name"], event["eventType"]) for event in events]


def parent(event):
    facet = event["run"]["facets"]["parent"]
    return facet["job"]["namespace"], facet["job"]["name"], facet["run"]["runId"]


def test_a_run_and_each_stage_start_and_are_completed_in_that_order(start, backend):
    server = backend()
    assert start().exit_code == 0
    stages = [pair for name in NAMES for pair in ((f"reviews.{name}", "START"), (f"reviews.{name}", "COMPLETE"))]
    assert told(server.events) == [("reviews", "START"), *stages, ("reviews", "COMPLETE")]
    assert set(server.paths) == {"/api/v1/lineage"}
    whole, *within, last = server.events
    assert last["run"]["runId"] == whole["run"]["runId"]
    assert {parent(event) for event in within} == {("default", "reviews", whole["run"]["runId"])}
    assert "parent" not in whole["run"]["facets"]
    for begun, ended in zip(within[::2], within[1::2], strict=True):
        assert begun["run"]["runId"] == ended["run"]["runId"]
        assert begun["eventTime"] <= ended["eventTime"]
    assert len({event["run"]["runId"] for event in server.events}) == len(NAMES) + 1
    assert {event["job"]["facets"]["jobType"]["jobType"] for event in (whole, last)} == {"PIPELINE"}
    assert within[0]["run"]["facets"]["tags"]["tags"][0]["value"] == "default"


def test_outputs_have_the_contracts_schema_and_their_rows(start, backend, tmp_path):
    server = backend()
    assert start().exit_code == 0
    done = {event["job"]["name"]: event for event in server.events if event["eventType"] == "COMPLETE"}
    corpus = done["reviews.ingest"]["outputs"][0]
    assert (corpus["namespace"], corpus["name"]) == ("file", f"{tmp_path}/lake/corpus")
    fields = {field["name"]: field["type"] for field in corpus["facets"]["schema"]["fields"]}
    assert fields == {"run_id": "string"} | {column.name: column.dtype for column in BY_NAME["corpus"].columns}
    assert corpus["outputFacets"]["outputStatistics"]["rowCount"] == ROWS
    assert [(one["namespace"], one["name"]) for one in done["reviews.ingest"]["inputs"]] == [("file", f"{tmp_path}/x.csv")]
    assert [(one["namespace"], one["name"]) for one in done["reviews"]["inputs"]] == [("file", f"{tmp_path}/x.csv")]
    assert f"{tmp_path}/lake/augmented" in {one["name"] for one in done["reviews"]["outputs"]}


def test_a_lake_with_names_tells_them_too(start, backend, monkeypatch):
    server = backend()
    monkeypatch.setattr("synalign_spark.pipeline.runner._names", lambda *args: None)
    assert start("--set", "lake.schema=synth", "--set", "lake.catalog=main", "--set", "lake.prefix=a_", "--stage", "ingest").exit_code == 0
    corpus = next(event for event in server.events if event["eventType"] == "COMPLETE")["outputs"][0]
    (name,) = corpus["facets"]["symlinks"]["identifiers"]
    assert (name["namespace"], name["name"], name["type"]) == ("spark://main", "synth.a_corpus", "TABLE")


def test_a_stage_that_fails_fails_the_run_and_no_message_is_told(start, backend, stages):
    server = backend()
    stages.do["embed"] = fails(DataError(f"the text 'a secret review of {SECRET}' is too long"))
    assert start().exit_code == 3
    assert told(server.events)[-2:] == [("reviews.embed", "FAIL"), ("reviews", "FAIL")]
    message = server.events[-2]["run"]["facets"]["errorMessage"]["message"]
    assert message.startswith("DataError; log.jsonl in file/")
    assert SECRET not in json.dumps(server.events)


def test_a_source_that_is_missing_fails_the_run(start, backend):
    server = backend()
    assert start("--set", "source.path=/nowhere/x.csv").exit_code == 3
    assert told(server.events) == [("reviews", "START"), ("reviews", "FAIL")]


def test_sigterm_aborts_the_stage_and_the_run(start, backend, stages):
    server = backend()

    def asked(ctx):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)

    stages.do["align"] = asked
    assert start().exit_code == 143
    assert told(server.events)[-2:] == [("reviews.align", "ABORT"), ("reviews", "ABORT")]


@pytest.mark.parametrize("dead", ["refused", "500", "silent"])
def test_a_backend_that_is_down_costs_a_line_and_some_seconds_and_no_run(dead, start, backend, monkeypatch, stages):
    monkeypatch.setattr(sender, "SECONDS_AT_THE_END", 1.0)
    if dead == "refused":
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            backend()
            point_at(monkeypatch, f"http://127.0.0.1:{probe.getsockname()[1]}")
    else:
        backend(status=500 if dead == "500" else 200, wait_s=30.0 if dead == "silent" else 0.0)
    began = time.monotonic()
    done = start()
    assert time.monotonic() - began < 10
    assert done.exit_code == 0
    assert stages.ran == NAMES
    assert done.stderr.count("run.lineage_job") == 1, done.stderr
    assert "the run goes on without" in done.stderr.replace("\n", " ")


def test_the_metrics_are_written_before_a_slow_backend_is_waited_for(start, backend, monkeypatch, tmp_path):
    backend()
    seen = []
    close = sender.Sender.close
    monkeypatch.setattr(sender.Sender, "close", lambda self: (seen.append((tmp_path / "a.prom").read_text()), close(self)))
    assert start("--set", f"run.metrics_file={tmp_path}/a.prom").exit_code == 0
    assert 'synalign_run_exit_code{run_id="default"} 0.0' in seen[0]


def test_an_event_that_cannot_be_made_is_left_out(start, backend, monkeypatch):
    server = backend()
    monkeypatch.setattr("synalign_spark.pipeline.lineage.datasets.table_written", lambda *args: 1 / 0)
    done = start()
    assert done.exit_code == 0
    assert told(server.events) == [("reviews", "START"), ("reviews", "COMPLETE")]
    assert done.stderr.count("an event could not be made (ZeroDivisionError)") == 1


def test_the_run_that_started_ours_is_named(start, backend, monkeypatch):
    server = backend()
    monkeypatch.setenv("OPENLINEAGE_NAMESPACE", "team")
    monkeypatch.setenv("OPENLINEAGE_PARENT_ID", PARENT)
    assert start("--stage", "ingest").exit_code == 0
    assert parent(server.events[0]) == ("airflow", "dag.task", PARENT.rpartition("/")[2])
    assert parent(server.events[1])[:2] == ("team", "reviews")
    root = server.events[1]["run"]["facets"]["parent"]["root"]
    assert (root["job"]["name"], root["run"]["runId"]) == ("dag.task", PARENT.rpartition("/")[2])
    monkeypatch.setenv("OPENLINEAGE_PARENT_ID", "airflow/dag.task/today")
    refused = start()
    assert refused.exit_code == 2
    assert "OPENLINEAGE_PARENT_ID must be namespace/job/run" in refused.stderr


def test_events_go_where_the_clients_own_file_says(start, backend, tmp_path, monkeypatch):
    (tmp_path / "openlineage.yml").write_text(f"transport: {{type: file, log_file_path: {tmp_path}/events.jsonl, append: true}}\n")
    assert start("--stage", "ingest").exit_code == 0
    lines = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert told(lines) == [
        (name, kind)
        for name, kind in (("reviews", "START"), ("reviews.ingest", "START"), ("reviews.ingest", "COMPLETE"), ("reviews", "COMPLETE"))
    ]
    monkeypatch.setenv("OPENLINEAGE_DISABLED", "true")
    assert start("--stage", "ingest").exit_code == 0
    assert len((tmp_path / "events.jsonl").read_text().splitlines()) == len(lines)


def test_without_a_place_for_events_nothing_is_done(start, backend, stages):
    done = start()
    assert done.exit_code == 2
    assert "nothing says to where OpenLineage's events go; set OPENLINEAGE_URL" in done.stderr.replace("\n", " ")
    assert stages.ran == []


def test_neither_keys_nor_the_address_of_a_repository_are_told(start, backend, stages, tmp_path, monkeypatch):
    server = backend()
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "config").write_text(f'[remote "origin"]\n\turl = https://me:{SECRET}@host/x.git\n')
    monkeypatch.setenv("OPENLINEAGE_API_KEY", SECRET)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    assert start().exit_code == 0
    assert len(server.events) == 2 * len(NAMES) + 2
    assert SECRET not in json.dumps(server.events)


def test_the_command_line_names_the_extra(start, monkeypatch, stages, backend):
    backend()
    monkeypatch.setitem(__import__("sys").modules, "openlineage.client.event_v2", None)
    monkeypatch.delitem(__import__("sys").modules, "synalign_spark.pipeline.lineage.events", raising=False)
    done = start()
    assert done.exit_code == 2
    assert "pip install 'synalign-spark[lineage]'" in done.stderr
    assert stages.ran == []
