"""Everything at once: faults, truncated and broken answers, actors that are killed, a Ray that dies."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest
from ledgers import read_ledger
from loopback import Behaviour, loopback
from loopback_answers import prompt_tokens

from synalign_spark.generation.engine import generate

CHILD = """
import sys
import pyarrow as pa
from rich.console import Console
from synalign_spark.cli.exits import exit_with
from synalign_spark.config import GenerateConfig
from synalign_spark.generation.engine import generate
from synalign_spark.progress import Progress
config, demonstrations, ledger = sys.argv[1:]
shown = pa.ipc.open_file(demonstrations).read_all()
exit_with(lambda: generate(shown, {"good": 75, "bad": 25}, GenerateConfig.model_validate_json(config), 0, ledger, Progress(Console(quiet=True), live=False)))
"""
ROWS = 8_000  # of 2,000 calls and more
FAULTS = [(429, {"Retry-After": "0.05"}, ""), (500, {}, ""), (503, {}, ""), (200, {}, "html")]


def faulty(request_id, body, n):
    """A tenth of the requests fails once, a twentieth is cut off, a twentieth is no JSON: by the hash of the call."""
    if not request_id:
        return None
    place = int(request_id[8:12], 16) % 20
    if place < 2:
        return FAULTS[int(request_id[12:14], 16) % 4] if n == 1 else None
    return {2: (200, {}, "truncated"), 3: (200, {}, "prose")}.get(place)


def descendants(of, called):
    """Processes below a process whose title or program begins so: their ids."""
    parents, names = {}, {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            names[int(process.name)] = (process / "cmdline").read_bytes().split(b"\0")[0].rpartition(b"/")[2].decode(errors="replace")
            parents[int(process.name)] = int((process / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue

    def below(pid):
        while pid in parents:
            pid = parents[pid]
            if pid == of:
                return True
        return False

    return [pid for pid, name in names.items() if name.startswith(called) and below(pid)]


@pytest.mark.slow
@pytest.mark.usefixtures("ray_runtime")
def test_every_request_ends_in_one_state_whatever_dies(demonstrations, make_config, quiet, tmp_path):
    kills, over = [], threading.Event()

    def killer():
        while not over.wait(1.5) and len(kills) < 6:
            senders = descendants(os.getpid(), "ray::RaySender")
            if senders and server.finished.total() > 100 * (len(kills) + 1):
                kills.append(senders[0])
                os.kill(senders[0], signal.SIGKILL)

    with loopback(Behaviour(fault=faulty, delay_s=0.05)) as server:
        llm = {"backend": "ray", "actors": 2, "concurrency": 32}
        cfg = make_config(server.base_url, llm, target_rows=ROWS, strategy="simprompt", gates=[])
        thread = threading.Thread(target=killer)
        thread.start()
        try:
            result = generate(demonstrations, {"good": 1, "bad": 1}, cfg, 0, str(tmp_path), quiet)
        finally:
            over.set()
            thread.join()
    assert len(kills) >= 3
    assert result.summary["accepted"] == ROWS
    calls = result.calls.to_pylist()
    assert max(Counter(call["request_id"] for call in calls).values()) == 1
    assert sum(result.summary["calls"].values()) == len(calls)
    assert {call["request_id"] for call in calls} == {entry["request_id"] for entry in server.log if entry["request_id"]}
    assert not {call["status"] for call in calls} & {"server_error", "rate_limited", "overloaded", "timeout"}  # another attempt mends them
    bodies = {entry["request_id"]: entry["body"] for entry in server.log if entry["request_id"]}
    at_once = [call for call in calls if not call["tokens_estimated"]]
    assert len(at_once) > 0.8 * len(calls)
    assert all(call["prompt_tokens"] == prompt_tokens(bodies[call["request_id"]]) for call in at_once)
    assert sum(n - 1 for n in server.finished.values() if n > 1) <= 32 * len(kills)  # what was in flight at a kill


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["ray", "in_process"])
@pytest.mark.parametrize(("asked", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_who_is_asked_to_end_waits_for_what_is_in_flight(asked, status, backend, demonstrations, make_config, tmp_path):
    with loopback(Behaviour(delay_s=0.5)) as server:
        child = start(server, backend, demonstrations, make_config, tmp_path)
        child.send_signal(asked)
        _, said = child.communicate(timeout=60)
        stored = read_ledger(str(tmp_path / "ledger"))
    assert child.returncode == status, said
    assert "the answers so far are stored, start it again" in said
    assert "***" not in said
    assert set(stored) == {i for i in server.seen if i}  # what had been sent has been waited for


def start(server, backend, demonstrations, make_config, tmp_path):
    """A run in a process of its own, once it has twelve answers."""
    with pa.ipc.new_file(str(tmp_path / "demos.arrow"), demonstrations.schema) as sink:
        sink.write_table(demonstrations)
    cfg = make_config(server.base_url, {"backend": backend, "actors": 2, "concurrency": 4}, target_rows=1_200)
    words = [sys.executable, "-c", CHILD, cfg.model_dump_json(), str(tmp_path / "demos.arrow"), str(tmp_path / "ledger")]
    child = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while len([1 for i in server.finished if i]) < 12:
        assert time.monotonic() < deadline, "the child made no calls"
        assert child.poll() is None, child.communicate()
        time.sleep(0.05)
    return child


@pytest.mark.slow
@pytest.mark.parametrize("dies", ["gcs_server", "raylet"])
def test_a_ray_that_dies_costs_what_was_in_flight_and_is_one_clear_line_at_most(dies, demonstrations, make_config, quiet, tmp_path):
    ledger = str(tmp_path / "ledger")
    with loopback(Behaviour(delay_s=0.2)) as server:
        child = start(server, "ray", demonstrations, make_config, tmp_path)
        killed = descendants(child.pid, dies)
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        _, said = child.communicate(timeout=120)
        stored = read_ledger(ledger)
        resumed = generate(demonstrations, {"good": 75, "bad": 25}, make_config(server.base_url, target_rows=1_200), 0, ledger, quiet)
    assert killed
    assert "Traceback" not in said
    if child.returncode:  # without its head the actors go on, as long as they live
        assert child.returncode == 5, said
        assert "EndpointError: " in said
        assert "stored answers are kept" in said
    assert len(stored) >= 8
    assert resumed.summary["accepted"] == 1_200
    assert sum(n - 1 for i, n in server.finished.items() if i) <= 8
