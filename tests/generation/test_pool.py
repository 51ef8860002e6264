"""Both backends against a real server: the same tables, limits that hold over all callers, and a killed run that pays for nothing twice."""

import os
import signal
import subprocess
import sys
import threading
import time

import pyarrow as pa
import pytest
from ledgers import read_ledger
from loopback import Behaviour, loopback, misbehave

from synalign_spark.config import GenerateConfig, LlmConfig
from synalign_spark.errors import DistributedError, EndpointError
from synalign_spark.generation.backends.loop import NAME
from synalign_spark.generation.backends.pool import open_pool
from synalign_spark.generation.backends.ray_session import ray_session
from synalign_spark.generation.calls import make_request
from synalign_spark.generation.engine import generate
from synalign_spark.generation.limits import Budget
from synalign_spark.generation.prices import Prices
from synalign_spark.generation.prompts import Prompter
from synalign_spark.generation.waiting import Waiting

BACKENDS = ["ray", "in_process"]
EACH = ["ray", pytest.param("in_process", marks=pytest.mark.slow)]
COUNTS = {"good": 75, "bad": 25}
CHILD = """
import sys, pyarrow as pa
from rich.console import Console
from synalign_spark.config import GenerateConfig
from synalign_spark.generation.engine import generate
from synalign_spark.progress import Progress
cfg, demonstrations, ledger = GenerateConfig.model_validate_json(sys.argv[1]), pa.ipc.open_file(sys.argv[2]).read_all(), sys.argv[3]
generate(demonstrations, {"good": 75, "bad": 25}, cfg, 0, ledger, Progress(Console(quiet=True), live=False))
"""


def content(result):
    calls = result.calls.drop_columns(["latency_s", "finished_at", "attempts", "error", "endpoint"])
    return [t.to_pylist() for t in (result.attributes, result.synthetic, result.refusals, calls)]


@pytest.mark.usefixtures("ray_runtime")
def test_both_backends_give_the_same_tables(demonstrations, make_config, quiet, tmp_path):
    results = {}
    for backend in BACKENDS:
        with loopback(Behaviour(fault=misbehave)) as server:  # one each: a fault that a retry mends costs tokens
            cfg = make_config(server.base_url, {"backend": backend, "actors": 2, "concurrency": 6}, target_rows=40)
            results[backend] = generate(demonstrations, COUNTS, cfg, 0, str(tmp_path / backend), quiet)
            assert server.most_flying <= 6
    assert content(results["ray"]) == content(results["in_process"])
    assert results["ray"].summary["accepted"] == 40
    assert [len(list((tmp_path / backend).glob("*.jsonl"))) for backend in BACKENDS] == [3, 2]  # a file a caller, and one of probes


@pytest.mark.usefixtures("ray_runtime")
@pytest.mark.parametrize("backend", EACH)
def test_one_rate_limit_over_all_callers(backend, demonstrations, make_config, quiet, tmp_path):
    """240 requests a minute: no window of the server's log sees more than the bucket and its refill."""
    with loopback() as server:
        llm, limits = {"backend": backend, "actors": 2, "concurrency": 8}, {"requests_per_minute": 240}
        cfg = make_config(server.base_url, llm, target_rows=40, limits=limits)
        generate(demonstrations, COUNTS, cfg, 0, str(tmp_path / "ledger"), quiet)
    times = sorted(server.chat_times())
    assert len(times) >= 15
    burst, per_second, late = (
        240 / 60,
        (240 - 240 / 60) / 60,
        4,
    )  # late: requests that were on their way, more of them where the cores are busy
    for first, start in enumerate(times):
        for last in range(first, len(times)):
            assert last - first + 1 <= burst + per_second * (times[last] - start) + late


@pytest.mark.parametrize("backend", EACH)
def test_killed_run_resumes_without_repeating_a_finished_call(backend, demonstrations, make_config, quiet, tmp_path):
    with pa.ipc.new_file(str(tmp_path / "demos.arrow"), demonstrations.schema) as sink:
        sink.write_table(demonstrations)
    ledger = str(tmp_path / "ledger")
    with loopback(Behaviour(delay_s=0.15)) as server:
        killed = make_config(server.base_url, {"backend": backend, "concurrency": 4}, target_rows=160)
        child = subprocess.Popen([sys.executable, "-c", CHILD, killed.model_dump_json(), str(tmp_path / "demos.arrow"), ledger])
        deadline = time.monotonic() + 120
        while len([1 for i in server.finished if i]) < 12:
            assert time.monotonic() < deadline, "the child made no calls"
            assert child.poll() is None, "the child ended too early"
            time.sleep(0.05)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        _wait_until_quiet(server)
        stored, finished = read_ledger(ledger), {i for i in server.finished if i}
        resumed = generate(demonstrations, COUNTS, make_config(server.base_url, target_rows=160), 0, ledger, quiet)
    assert 12 <= len(finished) < resumed.calls.num_rows
    # Ray's actors outlive the process and store what they have; a thread dies with it, an answer a hair's breadth from the disk too.
    lost = 0 if backend == "ray" else killed.llm.concurrency
    assert len(finished - set(stored)) <= lost
    assert sum(n - 1 for i, n in server.finished.items() if i) <= lost
    with loopback() as server:
        undisturbed = generate(demonstrations, COUNTS, make_config(server.base_url, target_rows=160), 0, str(tmp_path / "u"), quiet)
    assert content(undisturbed) == content(resumed)


def test_a_pool_that_is_left_early_cancels_its_calls_and_keeps_its_answers(make_config, tmp_path):
    with loopback(Behaviour(delay_s=0.05)) as server:
        cfg: GenerateConfig = make_config(server.base_url, {"concurrency": 3})
        prompt = Prompter(cfg, ["good"]).rows("good")
        requests = [make_request("rows", "good", prompt, cfg.llm, str(i)) for i in range(40)]
        with open_pool(cfg, str(tmp_path)) as pool:
            first = next(iter(pool.run(Waiting(requests), Budget(cfg.limits, Prices([cfg.llm])), lambda: None)))
        _wait_until_quiet(server)
        assert len(server.finished) < 12
    assert first.request_id in read_ledger(str(tmp_path))
    assert NAME not in {thread.name for thread in threading.enumerate()}


@pytest.mark.parametrize("code", [401, 402, 404])
def test_an_endpoint_that_has_answered_may_say_for_a_moment_that_it_cannot(code, run):
    """A gateway that starts anew: each call gets it once."""
    first = lambda i, body, n: (code, {}, "") if i and n == 1 and len(server.finished) > 8 else None  # noqa: E731
    with loopback(Behaviour(fault=first)) as server:
        result = run(server, target_rows=60)
    assert result.summary["accepted"] == 60
    assert result.summary["calls"].keys() == {"ok"}
    assert max(server.seen.values()) > 1


def test_after_an_error_what_is_in_flight_is_waited_for_and_kept(run, tmp_path):
    """One call is refused for good while others are on their way."""
    twelfth = lambda i, body, n: (401, {}, "withdrawn") if i and [*server.seen].index(i) == 12 else None  # noqa: E731
    with loopback(Behaviour(fault=twelfth, delay_s=0.3)) as server:
        with pytest.raises(EndpointError, match="withdrawn"):
            run(server, {"concurrency": 8, "max_attempts": 1}, target_rows=400)
        assert server.flying == 0
        assert len(server.finished) >= 11  # what came before the refused one; how many were on their way is a matter of speed
        assert set(server.finished) == set(read_ledger(str(tmp_path / "ledger")))


@pytest.mark.timeout(120)  # Ray alone would ask for minutes
@pytest.mark.parametrize("address", ["127.0.0.1:1", "no-such-host.invalid:6379", "ray://127.0.0.1:1"])
def test_a_ray_cluster_that_is_not_there_is_an_error_soon(address, monkeypatch):
    import ray

    monkeypatch.setattr(ray, "is_initialized", lambda: False)  # other tests keep a Ray in this process
    message = f"generate.llm.ray_address: the Ray cluster at '{address}' cannot be used"
    with pytest.raises(DistributedError, match=message), ray_session(LlmConfig(ray_address=address)):
        pass


def test_an_address_of_ray_without_its_backend_is_refused(make_config):
    with pytest.raises(ValueError, match="llm.ray_address is set but llm.backend is 'in_process'"):
        make_config("http://127.0.0.1:1/v1", {"ray_address": "127.0.0.1:6379"})


def _wait_until_quiet(server):
    """Until the killed run's actors are gone: no request for a second."""
    seen = -1
    while seen != len(server.log) or server.flying:
        seen = len(server.log)
        time.sleep(1.0)
