"""Runs by batch that are killed, interrupted or stopped: the next start finds the batch again, and none is paid for twice."""

import json
import time
from types import SimpleNamespace

import pytest
from loopback import Behaviour, loopback
from loopback_batches import Batches

from synalign_spark.errors import EndpointError
from synalign_spark.generation.backends import batch_callers
from synalign_spark.generation.batches import notes

BATCH = {"mode": "batch"}
pytestmark = pytest.mark.usefixtures("no_pauses")


def content(result):
    calls = result.calls.drop_columns(["latency_s", "finished_at", "attempts", "error", "endpoint"])
    return [t.to_pylist() for t in (result.attributes, result.synthetic, result.refusals, calls)]


class Killed(BaseException):
    """Ends a run where a kill would."""


def killed_at(monkeypatch, cls, method, run):
    """Runs until a method of a class is called, which does nothing."""

    def kill(*args):
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(cls, method, kill)
        with pytest.raises(Killed):
            run()


@pytest.mark.parametrize("place", ["made", "look", "remove"])
def test_a_killed_run_finds_its_batch_again(place, run, monkeypatch):
    """Killed before the batch's id was noted, while it ran, and when its answers were stored."""
    batches = Batches()
    with loopback(Behaviour(batches=batches)) as server:
        whole = run(server, BATCH, ledger="whole")
        calls, made = dict(server.finished), len(batches.batches)
        cls = batch_callers.BatchApi if place == "look" else batch_callers.Notes
        killed_at(monkeypatch, cls, place, lambda: run(server, BATCH))
        assert len(batches.batches) == made + 1
        resumed = run(server, BATCH)
        assert len(batches.batches) == 2 * made
        assert {i: n for i, n in server.finished.items() if n != 2 * calls[i]} == {}
    assert content(resumed) == content(whole)


def test_a_batch_is_made_once_its_note_would_survive_a_power_loss(run, monkeypatch):
    synced, made = [], []

    def sync(files, path, content):
        write(files, path, content)
        synced.append(json.loads(content)["file_id"])

    def create(api, file_id, continues):
        made.append((file_id, list(synced)))
        return make(api, file_id, continues)

    write, make = notes.write_whole, batch_callers.BatchApi.create
    monkeypatch.setattr(notes, "write_whole", sync)
    monkeypatch.setattr(batch_callers.BatchApi, "create", create)
    with loopback(Behaviour(batches=Batches())) as server:
        run(server, BATCH)
    assert made
    assert all(file_id in durable for file_id, durable in made)


def test_a_creation_whose_reply_is_lost_makes_one_batch(run):
    batches = Batches(create=lambda n: 500 if n == 1 else 200)
    with loopback(Behaviour(batches=batches)) as server:
        result = run(server, BATCH)
        assert max(server.finished[i] for i in server.seen if i) == 1
    assert result.summary["accepted"] == 24
    files = [batch["input_file_id"] for batch in batches.batches.values()]
    assert len(set(files)) == len(files)  # the batch of which nobody heard was found


def test_a_file_of_which_no_batch_was_made_is_forgotten(run, tmp_path):
    batches = Batches(create=lambda n: 400 if n == 1 else 200)
    with loopback(Behaviour(batches=batches)) as server:
        with pytest.raises(EndpointError, match="a batch cannot be made: .*injected 400"):
            run(server, BATCH)
        assert len(list((tmp_path / "ledger").glob("batch-*.json"))) == 1
        assert run(server, BATCH).summary["accepted"] == 24
    assert not list((tmp_path / "ledger").glob("batch-*"))


def test_a_batch_that_somebody_cancelled_ends_the_run_and_its_answers_are_kept(run):
    batches = Batches(end=lambda n: "cancelled" if n == 1 else "completed", answered=lambda n: 0.5 if n == 1 else 1.0)
    with loopback(Behaviour(batches=batches)) as server:
        with pytest.raises(EndpointError, match="somebody has cancelled it"):
            run(server, BATCH)
        result = run(server, BATCH)
        assert max(server.finished[i] for i in server.seen if i) == 1
    assert result.summary["accepted"] == 24
    assert result.summary["answers_reused"] > 0


def test_a_time_limit_leaves_the_batch_running(run, monkeypatch):
    batches = Batches(held=True)
    with loopback(Behaviour(batches=batches)) as server:
        with pytest.raises(
            EndpointError, match=r"stopped by limits\.max_minutes; batch batch_1: 0 of \d+ calls done .*the next start takes it up"
        ):
            run(server, BATCH, limits={"max_minutes": 0.5 / 60})
        batches.held = False
        assert run(server, BATCH).summary["accepted"] == 24
        assert max(server.finished[i] for i in server.seen if i) == 1


def test_no_batch_is_made_after_the_last_moment(run, monkeypatch):
    """The first one expires just then, and its calls would go in another one."""
    monkeypatch.setattr(batch_callers, "FIRST_LOOK_S", 60.0)  # the one look is at the last moment
    batches = Batches(end=lambda n: "expired", answered=lambda n: 0.0, looks=1)
    with loopback(Behaviour(batches=batches)) as server, pytest.raises(EndpointError, match=r"stopped by limits\.max_minutes; raise "):
        run(server, BATCH, limits={"max_minutes": 0.5 / 60})
    assert len(batches.batches) == 1


def test_an_interruption_leaves_the_batch_running(run):
    def interrupt(n):
        raise KeyboardInterrupt

    batches = Batches(held=True)
    with loopback(Behaviour(batches=batches)) as server, pytest.MonkeyPatch.context() as patched:
        patched.setattr(
            batch_callers, "time", SimpleNamespace(**vars(time) | {"sleep": interrupt})
        )  # of that module alone: other threads sleep too
        with pytest.raises(KeyboardInterrupt) as err:
            run(server, BATCH)
    assert "batch batch_1: 0 of 7 calls done (validating), and goes on: the next start takes it up" in str(err.value.__notes__)


def test_a_noted_batch_that_the_endpoint_does_not_know_names_its_note(run, monkeypatch):
    batches = Batches()
    with loopback(Behaviour(batches=batches)) as server:
        killed_at(monkeypatch, batch_callers.BatchApi, "look", lambda: run(server, BATCH))
        batches.batches.clear()
        with pytest.raises(
            EndpointError, match=r"batch batch_1 cannot be looked at \(remove .*/batch-\w+\.json to have its calls sent again"
        ):
            run(server, BATCH)


def test_calls_that_a_batch_answers_are_not_sent_by_themselves(run, monkeypatch, tmp_path):
    with loopback(Behaviour(batches=Batches())) as server:
        killed_at(monkeypatch, batch_callers.BatchApi, "look", lambda: run(server, BATCH))
        sent = len(server.log)
        with pytest.raises(
            EndpointError, match=r"batch_1 of an earlier start answers 7 of the calls, .*'batch' .*or remove batch-\w+\.json in"
        ):
            run(server)
        assert len(server.log) == sent
        assert run(server, {"temperature": 0.5}).summary["accepted"] == 24  # other calls are not concerned
        (note,) = (tmp_path / "ledger").glob("batch-*.json")
        note.unlink()
        assert run(server).summary["accepted"] == 24


def test_an_endpoint_that_is_down_is_waited_for_and_the_batch_found_again(run):
    batches = Batches(down=True)
    with loopback(Behaviour(batches=batches)) as server:
        message = r"batch batch_1 cannot be looked at .*tried for \d+ s \(generate\.limits\.max_outage_minutes\): .*injected 503"
        with pytest.raises(EndpointError, match=message):
            run(server, BATCH, limits={"max_outage_minutes": 0.2 / 60})
        assert batches.looked > 1
        batches.down = False
        assert run(server, BATCH).summary["accepted"] == 24
        assert max(server.finished[i] for i in server.seen if i) == 1
