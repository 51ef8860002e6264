"""The pool on a real Ray: actors store answers themselves, survive each other, and a killed run pays for nothing twice."""

import os
import signal
import subprocess
import sys
import time

import pytest
from local_pool import LocalPool
from loopback import Behaviour, loopback, misbehave

from synalign_spark.config import LlmConfig
from synalign_spark.errors import DistributedError
from synalign_spark.generation.backends.ray_pool import ray_session
from synalign_spark.generation.engine import generate
from synalign_spark.generation.ledger import read_ledger

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
    calls = result.calls.drop_columns(["latency_s", "finished_at", "attempts", "error"])
    return [t.to_pylist() for t in (result.attributes, result.synthetic, result.refusals, calls)]


@pytest.mark.usefixtures("ray_runtime")
def test_actors_give_the_tables_of_one_process(demonstrations, make_config, quiet, tmp_path):
    with loopback(Behaviour(fault=misbehave)) as server:
        cfg = make_config(server.base_url, {"actors": 2, "concurrency": 6}, target_rows=40)
        over_ray = generate(demonstrations, COUNTS, cfg, 0, str(tmp_path / "ray"), quiet)
        assert server.most_flying <= 6
        here = generate(demonstrations, COUNTS, cfg, 0, str(tmp_path / "here"), quiet, make_pool=LocalPool)
    assert content(over_ray) == content(here)
    assert len(list((tmp_path / "ray").glob("*.jsonl"))) == 2
    assert over_ray.summary["accepted"] == 40


@pytest.mark.usefixtures("ray_runtime")
def test_one_rate_limit_over_all_actors(demonstrations, make_config, quiet, tmp_path):
    """240 requests a minute: no window of the server's log sees more than the bucket and its refill."""
    with loopback() as server:
        cfg = make_config(server.base_url, {"actors": 2, "concurrency": 8}, target_rows=60, limits={"requests_per_minute": 240})
        generate(demonstrations, COUNTS, cfg, 0, str(tmp_path / "ledger"), quiet)
    times = sorted(server.chat_times())
    assert len(times) >= 20
    burst, per_second, late = 240 / 60, (240 - 240 / 60) / 60, 1  # late: one request may have been on its way
    for first, start in enumerate(times):
        for last in range(first, len(times)):
            assert last - first + 1 <= burst + per_second * (times[last] - start) + late


def test_killed_run_resumes_without_repeating_a_finished_call(demonstrations, make_config, quiet, tmp_path):
    import pyarrow as pa

    with pa.ipc.new_file(str(tmp_path / "demos.arrow"), demonstrations.schema) as sink:
        sink.write_table(demonstrations)
    ledger = str(tmp_path / "ledger")
    with loopback(Behaviour(delay_s=0.15)) as server:
        cfg = make_config(server.base_url, {"concurrency": 4}, target_rows=160)
        child = subprocess.Popen([sys.executable, "-c", CHILD, cfg.model_dump_json(), str(tmp_path / "demos.arrow"), ledger])
        deadline = time.monotonic() + 120
        while len([1 for i in server.finished if i]) < 12:
            assert time.monotonic() < deadline, "the child made no calls"
            assert child.poll() is None, "the child ended too early"
            time.sleep(0.05)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        _wait_until_quiet(server)
        stored, finished = read_ledger(ledger), {i for i in server.finished if i}
        resumed = generate(demonstrations, COUNTS, cfg, 0, ledger, quiet, make_pool=LocalPool)
    assert 12 <= len(finished) < resumed.calls.num_rows
    assert finished <= set(stored)
    assert max(n for i, n in server.finished.items() if i) == 1
    with loopback() as server:
        undisturbed = generate(
            demonstrations,
            COUNTS,
            cfg.model_copy(update={"llm": cfg.llm.model_copy(update={"base_url": server.base_url})}),
            0,
            str(tmp_path / "u"),
            quiet,
            make_pool=LocalPool,
        )
    assert content(undisturbed) == content(resumed)


@pytest.mark.timeout(120)  # Ray alone would ask for minutes
@pytest.mark.parametrize("address", ["127.0.0.1:1", "no-such-host.invalid:6379", "ray://127.0.0.1:1"])
def test_a_ray_cluster_that_is_not_there_is_an_error_soon(address, monkeypatch):
    import ray

    monkeypatch.setattr(ray, "is_initialized", lambda: False)  # other tests keep a Ray in this process
    told = f"generate.llm.ray_address: the Ray cluster at '{address}' cannot be used"
    with pytest.raises(DistributedError, match=told), ray_session(LlmConfig(ray_address=address)):
        pass


def _wait_until_quiet(server):
    """Until the killed run's actors are gone: no request for a second."""
    seen = -1
    while seen != len(server.log) or server.flying:
        seen = len(server.log)
        time.sleep(1.0)
