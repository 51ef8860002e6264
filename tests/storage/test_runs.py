"""Manifest and lock of a run: survives kills, damage and rivals."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from synalign_spark.errors import LakeError, RunLockedError
from synalign_spark.storage import runs
from synalign_spark.storage.holder import this_process
from synalign_spark.storage.runs import RunStore

HOLD = """
import sys, time
from synalign_spark.errors import RunLockedError
from synalign_spark.storage.runs import RunStore
store = RunStore(sys.argv[1], "r")
while time.time() < float(sys.argv[2]):  # everybody starts at the same moment
    pass
try:
    with store.lock():
        print("held", flush=True)
        time.sleep(float(sys.argv[3]))
except RunLockedError as err:
    print("refused", err, flush=True)
"""


def start(path, seconds, at=0.0):
    return subprocess.Popen([sys.executable, "-c", HOLD, str(path), str(at), str(seconds)], stdout=subprocess.PIPE, text=True)


def left_behind(store, holder):
    """A lock file as another process wrote it."""
    (Path(store.paths.folder) / runs.LOCK).write_text(json.dumps(asdict(holder)))


def test_steps_are_recorded_in_the_order_they_finished_and_forgotten_by_name(tmp_path):
    store = RunStore(str(tmp_path), "r")
    assert store.manifest() == {}
    store.record("ingest", {"produced": "a"})
    store.record("embed", {"produced": "b"})
    store.record("ingest", {"produced": "c", "summary": {"mean": float("inf")}})
    again = RunStore(str(tmp_path), "r").manifest()
    assert list(again) == ["embed", "ingest"]
    assert again["ingest"] == {"produced": "c", "summary": {"mean": float("inf")}}
    store.forget(["embed", "unknown"])
    assert list(store.manifest()) == ["ingest"]
    assert RunStore(str(tmp_path), "other").manifest() == {}
    assert [file.name for file in (tmp_path / "_synalign" / "r").iterdir()] == ["manifest.json"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'{"steps": 3}',
        b'{"steps": {"ingest": 3}}',
        b"\xff\xfe",
        b'{"steps": {"ingest": {"tables": 3}}}',
        b'{"steps": {"ingest": {"files": []}}}',
        b'{"steps": {"ingest": {"files": {"corpus": {"run_id=a": "x"}}}}}',
        b'{"steps": {"ingest": {"settings": []}}}',
    ],
)
def test_a_damaged_manifest_says_how_to_mend_it(tmp_path, content):
    store = RunStore(str(tmp_path), "r")
    (tmp_path / "_synalign" / "r" / "manifest.json").write_bytes(content)
    with pytest.raises(LakeError, match=r"manifest.json is damaged.*delete it"):
        store.manifest()


def test_a_folder_that_cannot_be_written_is_an_error_with_the_path(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(LakeError, match=r"file/_synalign/r' cannot be written"):
        RunStore(str(tmp_path / "file"), "r")


def test_a_write_that_dies_half_way_leaves_the_old_manifest(tmp_path, monkeypatch):
    store = RunStore(str(tmp_path), "r")
    store.record("ingest", {"produced": "a"})

    def full(*_):
        raise OSError("no space left")

    monkeypatch.setattr(runs.os, "fsync", full)
    with pytest.raises(LakeError, match=r"cannot be written .no space left"):
        store.record("embed", {})
    assert list(store.manifest()) == ["ingest"]


def test_the_lock_is_given_back_even_after_an_error(tmp_path):
    store = RunStore(str(tmp_path), "r")
    with pytest.raises(KeyError), store.lock():
        raise KeyError
    with store.lock(), pytest.raises(RunLockedError, match=f"run.id 'r' is being executed by process {os.getpid()}"), store.lock():
        pass
    with store.lock(), RunStore(str(tmp_path), "other").lock():
        pass


def test_a_killed_holder_is_taken_over(tmp_path):
    holder = start(tmp_path, 60)
    assert holder.stdout.readline() == "held\n"
    store = RunStore(str(tmp_path), "r")
    with pytest.raises(RunLockedError, match=f"process {holder.pid} on "), store.lock():
        pass
    holder.send_signal(signal.SIGKILL)
    time.sleep(0.2)  # not yet waited for: a zombie holds nothing
    with store.lock():
        pass
    holder.wait()


def test_of_processes_that_race_exactly_one_holds_the_lock(tmp_path):
    dead = replace(this_process("t"), pid=2**22 + 1)
    left_behind(RunStore(str(tmp_path), "r"), dead)  # all of them must evict first
    racers = [start(tmp_path, 1.5, at=time.time() + 2.5) for _ in range(3)]
    said = sorted(racer.communicate()[0].split()[0] for racer in racers)
    assert said == ["held", "refused", "refused"]


@pytest.mark.parametrize(("age", "free"), [(5, False), (61, True)])
def test_a_holder_on_another_host_is_known_by_its_heartbeat(tmp_path, age, free):
    store = RunStore(str(tmp_path), "r")
    far = replace(this_process("t"), host="elsewhere", heartbeat=time.time() - age)
    left_behind(store, far)
    if free:
        with store.lock():
            assert store.holder().pid == os.getpid()
    else:
        with pytest.raises(RunLockedError, match="on elsewhere"), store.lock():
            pass


def test_a_reused_pid_holds_nothing(tmp_path):
    store = RunStore(str(tmp_path), "r")
    current = this_process("t")
    left_behind(store, replace(current, started=current.started - 1))
    with store.lock():
        assert store.holder().started == current.started


def test_the_heartbeat_moves_on_and_damage_to_the_lock_is_no_holder(tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "HEARTBEAT_S", 0.02)
    store = RunStore(str(tmp_path), "r")
    (tmp_path / "_synalign" / "r" / "lock.json").write_text("{")
    with store.lock():
        first = store.holder().heartbeat
        deadline = time.monotonic() + 60
        while store.holder().heartbeat == first:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert json.loads((tmp_path / "_synalign" / "r" / "lock.json").read_text())["pid"] == os.getpid()


@pytest.mark.parametrize("content", ["[]", "3", '{"pid": "x"}', "PIDS", "null"])
def test_a_lock_of_wrong_types_holds_nobody_off(tmp_path, content):
    store = RunStore(str(tmp_path), "r")
    mine = asdict(this_process("t"))
    text = json.dumps({**mine, "pid": "x", "heartbeat": []}) if content == "PIDS" else content
    (tmp_path / "_synalign" / "r" / runs.LOCK).write_text(text)
    with store.lock():
        assert store.holder().pid == mine["pid"]


@pytest.mark.parametrize(("age", "free"), [(5, False), (120, True)])
def test_a_holder_in_another_container_of_the_same_host_name_is_known_by_its_heartbeat(tmp_path, age, free):
    """There its pid means another process, or none."""
    store = RunStore(str(tmp_path), "r")
    mine = this_process("theirs")
    left_behind(store, replace(mine, pid=2**22 + 1, heartbeat=time.time() - age, space="boot pid:[4026530000]"))
    with nullcontext() if free else pytest.raises(RunLockedError), store.lock():
        pass


def test_a_lock_of_an_earlier_release_is_read(tmp_path):
    store = RunStore(str(tmp_path), "r")
    held = asdict(this_process("theirs"))
    del held["space"]
    (Path(store.paths.folder) / runs.LOCK).write_text(json.dumps(held))
    assert store.holder().alive
    with pytest.raises(RunLockedError, match="is being executed"), store.lock():
        pass


def test_a_lock_that_is_given_back_meanwhile_is_taken(tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "LOOK_AGAIN_S", 0.05)
    store, said = RunStore(str(tmp_path), "r"), []
    held = store.lock()
    held.__enter__()
    threading.Timer(0.2, held.__exit__, (None, None, None)).start()
    with store.lock(30, said.append):
        pass
    assert len(said) == 1
    assert "waiting, 30 s at most" in said[0]
