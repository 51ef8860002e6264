"""Row shards in one barrier stage: the same answers as one process, failures that end in words, and retries."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from synalign_spark.core.communicator import LocalCommunicator
from synalign_spark.core.sampling.kmeans import fit
from synalign_spark.distributed.spmd import run_spmd
from synalign_spark.errors import DataError, DistributedError, PeerLostError
from synalign_spark.logs import logging_to

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 60.0  # generous: a machine under load; nothing waits this long unless something is wrong


def numbers(spark, n=50):
    return spark.createDataFrame(pa.table({"id": np.arange(n), "value": np.arange(n) * 0.5}))


def load_values(batches):
    """(n, 2) id and value, in the order they come."""
    parts = [np.column_stack([batch["id"].to_numpy(), batch["value"].to_numpy()]) for batch in batches]
    return np.concatenate(parts) if parts else np.empty((0, 2))


def sum_up(rows, comm, checkpoint):
    """The sum over all rows and how many rows each rank has."""
    counts = np.zeros(comm.size)
    counts[comm.rank] = len(rows)
    in_order = bool(np.all(np.diff(rows[:, 0]) > 0))
    found = {"sum": float(comm.all_reduce(rows.sum(axis=0))[1]), "rows": comm.all_reduce(counts).tolist(), "in_order": in_order}
    return json.dumps(found).encode()


@pytest.mark.parametrize(("tasks", "n"), [(1, 50), (2, 50), (2, 1)])
def test_a_sum_does_not_depend_on_the_number_of_tasks(spark, tasks, n):
    """One row on two tasks leaves one of them without rows."""
    found = json.loads(run_spmd(numbers(spark, n), "id", tasks, load_values, sum_up, timeout_s=LIMIT_S))
    assert found["sum"] == 0.25 * n * (n - 1)
    assert (len(found["rows"]), sum(found["rows"])) == (tasks, n)
    assert found["in_order"]
    if n == 50:
        assert min(found["rows"]) > 0


def test_no_rows_at_all_are_a_clear_error(spark):
    with pytest.raises(DataError, match="rows: there are none"):
        run_spmd(numbers(spark, 0), "id", 2, load_values, sum_up, timeout_s=LIMIT_S)


def load_vectors(batches):
    parts = [np.column_stack([batch[name].to_numpy() for name in ("id", "a", "b")]) for batch in batches]
    return np.concatenate(parts) if parts else np.empty((0, 3))


def k_means(rows, comm, checkpoint, k):
    found = fit(rows[:, 1:], (rows[:, 0] + 0.5) / 100, k, comm, seed=5)
    return np.column_stack([found.centroids, found.counts]).tobytes()


def test_k_means_in_a_barrier_stage_finds_what_one_process_finds(spark):
    rng = np.random.default_rng(0)
    centres = np.array([[0.0, 0.0], [8.0, 0.0], [0.0, 8.0], [8.0, 8.0]])
    x = np.repeat(centres, [40, 30, 20, 10], axis=0) + 0.1 * rng.normal(size=(100, 2))
    rows = spark.createDataFrame(pa.table({"id": np.arange(100), "a": x[:, 0], "b": x[:, 1]}))
    found = run_spmd(rows, "id", 2, load_vectors, partial(k_means, k=4), timeout_s=LIMIT_S)
    found = np.frombuffer(found).reshape(4, 3)
    expected = fit(x, (np.arange(100) + 0.5) / 100, 4, LocalCommunicator(), seed=5)
    assert found[:, 2].tolist() == expected.counts.tolist() == [40, 30, 20, 10]
    np.testing.assert_allclose(found[:, :2], expected.centroids, rtol=1e-12)


def count_up(rows, comm, checkpoint, folder, fail):
    """Ten steps of adding the sum of all rows, saved each step; at step 5 of the first attempt ``fail`` strikes rank 1.
    Every rank leaves a note of the step at which it began."""
    saved = checkpoint.load()
    step, total = json.loads(saved) if saved else (0, 0.0)
    attempt = sum(name.startswith(f"rank{comm.rank}") for name in os.listdir(folder)) + 1
    Path(folder, f"rank{comm.rank}-attempt{attempt}").write_text(str(step))
    while step < 10:
        if step == 5 and comm.rank == 1 and attempt == 1:
            fail()
        total += float(comm.all_reduce(rows.sum(axis=0))[1])
        step += 1
        checkpoint.save(json.dumps([step, total]).encode())
    return json.dumps(total).encode()


def break_down():
    raise RuntimeError("the disk of rank 1 is on fire")


def kill_self():
    os.kill(os.getpid(), signal.SIGKILL)


def logged(path):
    """Lines of a log."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def began(folder):
    return {path.name: int(path.read_text()) for path in folder.iterdir()}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fail", "scheme", "words"),
    [
        (break_down, "", "task 1 of the 2 .* RuntimeError: the disk of rank 1 is on fire"),
        (kill_self, "file://", "the Python process of a task was ended from outside"),
    ],
)
def test_a_second_attempt_goes_on_from_the_checkpoint(spark, tmp_path, fail, scheme, words):
    notes, state = tmp_path / "notes", tmp_path / "deep" / "state"
    notes.mkdir()
    solve = partial(count_up, folder=str(notes), fail=fail)
    log = tmp_path / "log.jsonl"
    with logging_to(str(log)):
        found = run_spmd(numbers(spark), "id", 2, load_values, solve, timeout_s=LIMIT_S, checkpoint=f"{scheme}{state}")
    assert json.loads(found) == 10 * 612.5
    assert began(notes) == {"rank0-attempt1": 0, "rank1-attempt1": 0, "rank0-attempt2": 5, "rank1-attempt2": 5}
    failures = [line for line in logged(log) if line["event"] == "barrier_stage_failed"]
    assert [line["attempt"] for line in failures] == [1]
    assert re.search(words, failures[0]["reason"])
    assert list(state.parent.iterdir()) == []  # removed after success, and nothing left beside it


def test_the_error_that_is_told_is_the_one_of_the_task_that_failed_first(spark, tmp_path):
    solve = partial(count_up, folder=str(tmp_path), fail=break_down)
    with pytest.raises(DistributedError, match="task 1 of the 2 .* RuntimeError: the disk of rank 1 is on fire") as caught:
        run_spmd(numbers(spark), "id", 2, load_values, solve, timeout_s=LIMIT_S, attempts=1)
    assert len(str(caught.value)) < 400  # words, not the trace
    assert caught.value.__cause__ is not None


def fault_of_the_data(rows, comm, checkpoint, folder):
    Path(folder, f"{time.time_ns()}").touch()
    comm.all_reduce(np.ones(1))
    if comm.rank == 1:
        raise DataError("labels: row 7 has none; give it one")
    return bytes(comm.all_reduce(np.ones(1)))


def test_a_fault_of_the_data_keeps_its_kind_and_is_not_tried_again(spark, tmp_path):
    with pytest.raises(DataError, match="^labels: row 7 has none; give it one$"):
        run_spmd(numbers(spark), "id", 2, load_values, partial(fault_of_the_data, folder=str(tmp_path)), timeout_s=LIMIT_S)
    assert len(list(tmp_path.iterdir())) == 2  # two ranks, once


def hang(rows, comm, checkpoint):
    comm.all_reduce(np.ones(1))
    if comm.rank == 1:
        time.sleep(600)
    return bytes(comm.all_reduce(np.ones(1)))


@pytest.mark.slow
def test_a_rank_that_hangs_is_a_clear_error_within_the_limit(spark):
    start = time.monotonic()
    with pytest.raises(PeerLostError, match="rank 0 of 2 waited for all_reduce of 1 numbers .* 2 s"):
        run_spmd(numbers(spark), "id", 2, load_values, hang, timeout_s=2.0, attempts=1)
    assert time.monotonic() - start < 30


def load_slowly(batches):
    rows = load_values(batches)
    if len(rows) and rows[0, 0] == 0:  # the shard with id 0
        time.sleep(3)
    return rows


@pytest.mark.slow
def test_a_slow_loader_does_not_count_as_a_lost_rank(spark):
    found = json.loads(run_spmd(numbers(spark), "id", 2, load_slowly, sum_up, timeout_s=2.0, attempts=1))
    assert found["sum"] == 612.5


@pytest.mark.slow
def test_a_checkpoint_that_cannot_be_written_is_one_warning(spark, tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "notes").mkdir()
    solve = partial(count_up, folder=str(tmp_path / "notes"), fail=lambda: None)
    log = tmp_path / "log.jsonl"
    with logging_to(str(log)):
        found = run_spmd(numbers(spark), "id", 2, load_values, solve, timeout_s=LIMIT_S, checkpoint=str(tmp_path / "file" / "state"))
    assert json.loads(found) == 10 * 612.5
    warnings = [line["reason"] for line in logged(log) if line["event"] == "checkpoint"]
    assert [str(tmp_path / "file" / "state") in warning and "cannot be written" in warning for warning in warnings[:1]] == [True]
    assert len(warnings) == 1


def test_too_few_slots_are_an_error_at_once(spark):
    start = time.monotonic()
    with pytest.raises(DistributedError, match=r"tasks is 3, but only 2 can run at once \(master local\[2\]"):
        run_spmd(numbers(spark), "id", 3, load_values, sum_up, timeout_s=LIMIT_S)
    assert time.monotonic() - start < 10


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"key": "no"}, "key must be a column"),
        ({"tasks": 0}, "tasks must be"),
        ({"timeout_s": 0}, "timeout_s must be"),
        ({"attempts": 0}, "attempts must be"),
    ],
)
def test_wrong_arguments_are_named(spark, changed, words):
    given = {"key": "id", "tasks": 1, "timeout_s": 1.0, "attempts": 1} | changed
    with pytest.raises(ValueError, match=words):
        run_spmd(numbers(spark), load=load_values, solve=sum_up, **given)


ON_TWO_EXECUTORS = """
import json, os, sys
sys.path.insert(0, sys.argv[1])
from synalign_spark.pipeline.session import spark_session
from synalign_spark.config import Config
from synalign_spark.distributed.spmd import run_spmd

def load(batches):
    return sum(batch.num_rows for batch in batches)

def solve(rows, comm, checkpoint):
    import numpy as np
    pids = np.zeros(comm.size)
    pids[comm.rank] = os.getppid()
    return json.dumps([comm.all_reduce(np.array([float(rows)]))[0], sorted(comm.all_reduce(pids))]).encode()

conf = {"master": "local-cluster[2,1,2048]", "conf": {"spark.executorEnv.PYTHONPATH": sys.argv[1]}}
with spark_session(Config.model_validate({"source": {"path": "x"}, "lake": {"format": "parquet"}, "spark": conf})) as spark:
    print("ANSWER", run_spmd(spark.range(1000), "id", 2, load, solve, timeout_s=60.0).decode())
"""


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_two_executors_reduce_over_the_network(tmp_path):
    script = tmp_path / "job.py"
    script.write_text(ON_TWO_EXECUTORS)
    environment = {name: value for name, value in os.environ.items() if name != "PYSPARK_GATEWAY_PORT"}
    done = subprocess.run(
        [sys.executable, str(script), str(ROOT)], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    rows, parents = json.loads(done.stdout.split("ANSWER", 1)[1])
    assert rows == 1000
    assert len(set(parents)) == 2  # each executor has its own Python daemon
