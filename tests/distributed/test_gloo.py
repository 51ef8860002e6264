"""The gloo communicator between real processes, without Spark."""

import contextlib
import multiprocessing
import os
import signal
import socket
import time

import numpy as np
import psutil
import pytest

from synalign_spark.distributed.gloo import gloo_group, gloo_store, interface_of
from synalign_spark.errors import PeerLostError

HOST = "127.0.0.1"
RANKS = multiprocessing.get_context("forkserver")  # forked from one process that has imported torch: no rank waits for its own import
RANKS.set_forkserver_preload(["synalign_spark.distributed.gloo", "tests.distributed.test_gloo"])
JOIN_S = 60.0  # a machine under load starts a process with torch in several seconds


def member(rank, size, pipe, job, timeout_s):
    """One process: joins, says so, runs ``job(comm)`` and sends what it gave or raised, with the seconds it took."""
    with contextlib.ExitStack() as stack:
        place = None
        if rank == 0:
            place, port = stack.enter_context(gloo_store(HOST, JOIN_S))
            pipe.send(port)
        else:
            place = (HOST, pipe.recv())
        start = time.monotonic()
        try:
            with gloo_group(rank, size, HOST, place, timeout_s) as comm:
                start = time.monotonic()
                answer = job(comm)
        except Exception as err:
            answer = err
        pipe.send((answer, time.monotonic() - start))
        if rank == 0:
            pipe.recv()  # the store lives until the others are done


def run(job, size, timeout_s=JOIN_S, wait_for=None):
    """Runs ``job`` on ``size`` processes. Returns rank -> (answer or exception, seconds), of the ranks in ``wait_for``."""
    wait_for = range(size) if wait_for is None else wait_for
    pipes = [RANKS.Pipe() for _ in range(size)]
    members = [RANKS.Process(target=member, args=(rank, size, pipes[rank][1], job, timeout_s)) for rank in range(size)]
    try:
        for process in members:
            process.start()
        assert pipes[0][0].poll(120), "rank 0 opens no store"
        port = pipes[0][0].recv()
        for pipe, _ in pipes[1:]:
            pipe.send(port)
        answers = {}
        for rank in wait_for:
            assert pipes[rank][0].poll(120), f"rank {rank} hangs"
            answers[rank] = pipes[rank][0].recv()
        return answers
    finally:
        for process in members:
            process.kill()
            process.join()


def shards(size):
    """A float64 array a rank and shape, with numbers of very different size: their sum depends on its order."""
    rng = np.random.default_rng(3)
    shapes = [(), (1,), (0,), (3, 0), (7,), (2, 3, 5), (2048,), (129, 17)]
    return [[rng.normal(size=shape) * 10.0 ** rng.integers(-8, 8, size=shape) for shape in shapes] for _ in range(size)]


def exchange(comm):
    shard = shards(comm.size)[comm.rank]
    before = [values.copy() for values in shard]
    given = [
        [comm.all_reduce(values) for values in shard],
        [comm.all_reduce_max(values) for values in shard],
        [comm.broadcast(values, root=comm.size - 1) for values in shard],
        [comm.all_reduce(np.asfortranarray(shard[-1])), comm.all_reduce(shard[-1][::2, ::3]), comm.all_reduce(np.arange(4))],
    ]
    assert all(np.array_equal(a, b) for a, b in zip(shard, before, strict=True)), "an argument was changed"
    return comm.rank, comm.size, given


def test_sums_maxima_and_broadcasts_are_those_of_numpy_with_the_same_bits_on_all_ranks():
    size = 3
    answers = {rank: answer for rank, (answer, _) in run(exchange, size).items()}
    all_shards = shards(size)
    by_shape = list(zip(*all_shards, strict=True))
    for rank, answer in answers.items():
        assert answer[:2] == (rank, size)
        sums, maxima, sent, views = answer[2]
        for got, parts in zip(sums, by_shape, strict=True):
            assert (got.shape, got.dtype) == (parts[0].shape, np.float64)
            np.testing.assert_allclose(got, np.sum(parts, axis=0), rtol=1e-12, atol=1e-12 * np.max(np.abs(parts), initial=0))
        for got, parts in zip(maxima, by_shape, strict=True):
            np.testing.assert_array_equal(got, np.max(parts, axis=0))
        for got, wanted in zip(sent, all_shards[-1], strict=True):
            np.testing.assert_array_equal(got, wanted)
        np.testing.assert_array_equal(views[0], sums[-1])
        np.testing.assert_allclose(views[1], sums[-1][::2, ::3], rtol=1e-9)
        np.testing.assert_array_equal(views[2], size * np.arange(4.0))
        for got, first in zip([*sums, *views], [*answers[0][2][0], *answers[0][2][3]], strict=True):
            assert got.tobytes() == first.tobytes()


def leave_by(comm, how, come_after_s=(0.0, 0.0, 0.0)):
    """All ranks exchange once; then rank 1 goes, one way or another, while the others wait for it."""
    comm.all_reduce(np.ones(3))
    time.sleep(come_after_s[comm.rank])
    if comm.rank == 1:
        how()
    return comm.all_reduce(np.ones(2048))


def killed(comm):
    return leave_by(comm, lambda: os.kill(os.getpid(), signal.SIGKILL))


def stopped(comm):
    return leave_by(comm, lambda: os.kill(os.getpid(), signal.SIGSTOP))


def raised(comm):
    return leave_by(comm, lambda: 1 / 0)


def raised_before_the_last_comes(comm):
    """Rank 2 has already sent its part to rank 1 and waits for rank 0, which comes when rank 1 has gone and must
    tell rank 2 by leaving too, though the process that keeps its error lives on."""
    return leave_by(comm, lambda: 1 / 0, come_after_s=(0.6, 0.3, 0.0))


@pytest.mark.parametrize(("job", "limit_s"), [(killed, 5.0), (raised, 5.0), (raised_before_the_last_comes, 6.0), (stopped, 8.0)])
def test_a_rank_that_dies_stops_or_fails_is_one_clear_error_within_the_limit(job, limit_s):
    timeout_s = 1.5 if job is stopped else 30.0  # a closed connection is noticed long before the limit
    raises = job in (raised, raised_before_the_last_comes)
    others = [0, 1, 2] if raises else [0, 2]
    answers = run(job, 3, timeout_s, wait_for=others)
    for rank in (0, 2):
        error, seconds = answers[rank]
        assert isinstance(error, PeerLostError), error
        assert f"rank {rank} of 3 waited for all_reduce of 2,048 numbers" in str(error)
        assert f"{timeout_s:g} s" in str(error)
        assert seconds < limit_s
    if raises:
        assert isinstance(answers[1][0], ZeroDivisionError)  # its own error, not one about peers


def stop_before_joining(rank, size, pipe):
    """Rank 0 opens the store and stops; rank 1 tries to join."""
    if rank == 0:
        with gloo_store(HOST, JOIN_S) as (_, port):
            pipe.send(port)
            os.kill(os.getpid(), signal.SIGSTOP)
    start = time.monotonic()
    try:
        with gloo_group(rank, size, HOST, (HOST, pipe.recv()), 1.0):
            pipe.send(("joined", 0.0))
    except Exception as err:
        pipe.send((err, time.monotonic() - start))


@pytest.mark.parametrize("first", ["stopped", "absent"])
def test_joining_without_the_others_ends_within_the_limit(first):
    pipes = [RANKS.Pipe() for _ in range(2)]
    members = [RANKS.Process(target=stop_before_joining, args=(rank, 2, pipes[rank][1])) for rank in range(2)]
    try:
        for process in members:
            process.start()
        port = pipes[0][0].recv()
        if first == "absent":
            members[0].kill()
            members[0].join()
        pipes[1][0].send(port)
        assert pipes[1][0].poll(60), "rank 1 hangs"
        error, seconds = pipes[1][0].recv()
    finally:
        for process in members:
            process.kill()
            process.join()
    assert isinstance(error, PeerLostError), error
    assert "rank 1 of 2 waited for all ranks to join" in str(error)
    assert seconds < 6.0


def again(comm):
    return comm.all_reduce(np.array([comm.rank + 1.0]))


def test_a_process_can_join_one_group_after_another():
    """Spark uses its Python processes again. One rank is enough to show that nothing is left behind."""
    before = os.environ.get("GLOO_SOCKET_IFNAME")
    for _ in range(3):
        with gloo_store(HOST, 10.0) as (store, _), gloo_group(0, 1, HOST, store, 10.0) as comm:
            assert again(comm) == [1.0]
    with gloo_store(HOST, 10.0) as (store, _), pytest.raises(ZeroDivisionError), gloo_group(0, 1, HOST, store, 10.0):
        raise ZeroDivisionError
    with gloo_store(HOST, 10.0) as (store, _), gloo_group(0, 1, HOST, store, 10.0) as comm:
        assert again(comm) == [1.0]
    assert os.environ.get("GLOO_SOCKET_IFNAME") == before


@pytest.mark.parametrize(("rank", "timeout_s", "words"), [(2, 1.0, "rank must be"), (0, 0.0, "timeout_s must be")])
def test_wrong_arguments_are_named(rank, timeout_s, words):
    with pytest.raises(ValueError, match=words), gloo_group(rank, 2, HOST, (HOST, 1), timeout_s):
        pass


def test_an_interface_is_found_by_its_address():
    for name, addresses in psutil.net_if_addrs().items():
        for entry in addresses:
            if entry.family == socket.AF_INET:
                assert interface_of(entry.address) == name
    assert interface_of("127.0.1.1") == interface_of("localhost") == interface_of(HOST) is not None
    assert interface_of("198.51.100.1") is None
    assert interface_of("no such host") is None
