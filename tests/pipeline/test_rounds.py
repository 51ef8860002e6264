"""The closed loop on real text, with a server that answers from rows that a language model wrote: what ends it, and that a killed one goes on."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from synalign_spark.api.run import run
from synalign_spark.errors import SynalignError
from synalign_spark.pipeline import steps
from synalign_spark.storage import tables
from tests.pipeline.films import parquet, quiet, write_jsonl
from tests.pipeline.pool import Pool, labelled_rows

sys.path.insert(0, str(Path(__file__).parents[1] / "generation"))
import itertools

from loopback import Behaviour, loopback

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
ROUNDS, ROWS = 3, 90


@pytest.fixture(scope="module")
def corpus(real_data, tmp_path_factory) -> Path:
    """240 news; the server has others, written by Llama-3.1-8B."""
    path = tmp_path_factory.mktemp("news") / "real.jsonl"
    return write_jsonl(list(labelled_rows(real_data / "agnews" / "train_subset.jsonl.gz"))[::114], path)


@pytest.fixture(scope="module")
def written(real_data) -> list[dict[str, str]]:
    return list(labelled_rows(real_data / "agnews_synthetic" / "fewshot_generated_llama.jsonl.gz"))[::12]


@contextlib.contextmanager
def serving(written):
    """A pool and the server that answers from it."""
    pool = Pool(written)
    with loopback(Behaviour(fault=pool)) as server:
        yield pool, server


def config(corpus, lake, server, limits=None, **loop):
    llm = {"provider": "openai", "base_url": server.base_url, "model": "pool", "backend": "in_process", "concurrency": 4}
    return {
        "run": {"id": "news"},
        "lake": {"path": str(lake), "format": "parquet"},
        "source": {"path": str(corpus), "label_column": "label"},
        "embed": {"model": "hashing"},
        "cluster": {"k": 12},
        "generate": {"strategy": "fewshot", "target_rows": ROWS, "llm": llm, "limits": limits or {}},
        "align": {
            "n_features": 64,
            "permutations": 99,
            "mixing_weight": 0,
            "label_confidence": 0,
            "density_ratio": 0,
            "embedding_ratio": 0,
        },
        "loop": {"rounds": ROUNDS, "min_gain": 0, **loop},
        "report": {"downstream": False},
    }


def contents(lake):
    """What a run leaves, as plain values."""
    shown = {
        tables.DEMONSTRATIONS: ("round", "label", "set_rank", "cluster_id", "doc_id"),
        tables.SYNTHETIC: ("doc_id", "label", "round", "set_rank", "cluster_id"),
        tables.WEIGHTS: ("doc_id", "weight"),
        tables.ROUNDS: ("round", "last_set_round", "rows", "mmd2", "gain", "missing_share", "stopped_by"),
        tables.CALLS: ("request_id", "status"),
    }
    return {table.name: parquet(lake, table).select(names).to_pylist() for table, names in shown.items()}


def stopped_by(done):
    return [row["stopped_by"] for row in done.manifest["rounds"]["summary"]["rounds_over"]]


def asked_once(server):
    return set(server.finished.values()) == {1}


@pytest.fixture(scope="module")
def undisturbed(spark, corpus, written, tmp_path_factory):
    lake = tmp_path_factory.mktemp("undisturbed")
    with serving(written) as (_, server):
        done = run(config(corpus, lake, server), spark=spark, progress=quiet())
    return lake, done, server


def test_each_round_shows_rows_of_clusters_that_lacked_them_and_brings_its_share(undisturbed):
    lake, done, server = undisturbed
    rounds = parquet(lake, tables.ROUNDS).to_pylist()
    assert [row["round"] for row in rounds] == [0, 1, 2]
    assert [row["rows"] for row in rounds] == [30, 60, 90]
    assert stopped_by(done) == [None, None, "rounds"]
    assert asked_once(server)
    assert rounds[-1]["calls"] == len(server.finished) == parquet(lake, tables.CALLS).num_rows
    assert rounds[-1]["missing_share"] < rounds[0]["missing_share"]
    assert [row["gain"] for row in rounds] == [
        None,
        *(pytest.approx(a["mmd2"] - b["mmd2"]) for a, b in itertools.pairwise(rounds)),
    ]
    shown = parquet(lake, tables.DEMONSTRATIONS).to_pylist()
    last = [row["last_set_round"] for row in rounds]
    assert last == sorted(set(last))
    assert max(row["round"] for row in shown) == last[-1]
    sets = Counter((row["label"], row["cluster_id"], row["doc_id"]) for row in shown)
    assert max(sets.values()) == 1  # a cluster that is picked again shows other rows
    of_round = Counter(sum(row["round"] > end for end in last) for row in parquet(lake, tables.SYNTHETIC).to_pylist())
    assert of_round == {0: 30, 1: 30, 2: 30}
    assert steps.left_to_run(done.manifest) == []
    page = Path(done.manifest["report"]["summary"]["report"]).read_text()
    assert "What each round brought" in page


def test_what_ends_the_loop_and_that_it_goes_on_where_it_was_with_other_terms(spark, corpus, written, tmp_path, undisturbed):
    with serving(written) as (pool, server):
        done = run(config(corpus, tmp_path, server, max_mmd2=1.0), spark=spark, progress=quiet())
        assert stopped_by(done) == ["mmd2"]
        one_round = pool.calls
        assert run(config(corpus, tmp_path, server, max_mmd2=1.0), spark=spark, progress=quiet()).manifest == done.manifest
        done = run(config(corpus, tmp_path, server, min_gain=1e6), spark=spark, progress=quiet(), redo=True)
        assert stopped_by(done) == [None, "gain"]
        assert pool.calls > one_round
        done = run(config(corpus, tmp_path, server), spark=spark, progress=quiet(), redo=True)
        assert stopped_by(done) == [None, None, "rounds"]
        assert asked_once(server)
    assert contents(tmp_path) == contents(undisturbed[0])


def test_a_label_that_was_given_up_does_not_end_the_rounds_of_the_others(spark, corpus, written, tmp_path):
    pool = Pool(written)

    def refusing(request_id, body, n):
        answer = pool(request_id, body, n)
        return answer and (200, {}, "prose" if 'with the label "Sports"' in body["messages"][-1]["content"] else answer[2])

    with loopback(Behaviour(fault=refusing)) as server:
        done = run(config(corpus, tmp_path, server), spark=spark, progress=quiet())
    assert stopped_by(done) == [None, None, "rounds"]
    assert set(done.manifest["generate"]["summary"]["labels_given_up"]) == {"Sports"}
    rows = [row["rows"] for row in parquet(tmp_path, tables.ROUNDS).to_pylist()]
    assert 20 <= rows[0] < rows[1] < rows[2] <= ROWS


def test_a_budget_ends_the_loop_and_a_larger_one_goes_on(spark, corpus, written, tmp_path, undisturbed):
    enough = undisturbed[1].manifest["rounds"]["summary"]["rounds_over"][0]["calls"] + 3
    with serving(written) as (_pool, server):
        done = run(config(corpus, tmp_path, server, limits={"max_requests": enough}), spark=spark, progress=quiet())
        assert stopped_by(done) == [None, "limits.max_requests"]
        assert len(server.finished) <= enough
        done = run(config(corpus, tmp_path, server), spark=spark, progress=quiet())
        assert stopped_by(done)[-1] == "rounds"
        assert asked_once(server)
    assert contents(tmp_path) == contents(undisturbed[0])


@pytest.mark.parametrize("cut_in", [1, 2])
def test_a_loop_that_is_cut_off_in_any_stage_of_a_round_goes_on_in_it(spark, corpus, written, tmp_path, undisturbed, monkeypatch, cut_in):
    """cut_in: the round. Each stage fails once, before it has written anything."""
    load, waiting, begun = steps.Step.load, ["select", "generate", "embed-synthetic", "align", "rounds"], Counter()

    def failing(step):
        begun[step.name] += 1
        if waiting and step.name == waiting[0] and begun["select"] > cut_in:
            waiting.pop(0)
            raise SynalignError(f"cut off in {step.name}")
        return load(step)

    monkeypatch.setattr(steps.Step, "load", failing)
    with serving(written) as (_, server):
        cfg = config(corpus, tmp_path, server)
        while waiting:
            with pytest.raises(SynalignError, match=f"cut off in {waiting[0]}"):
                run(cfg, spark=spark, progress=quiet())
        run(cfg, spark=spark, progress=quiet())
        assert asked_once(server)
    assert begun["align"] == ROUNDS + 1
    assert begun["select"] == ROUNDS + 1
    assert contents(tmp_path) == contents(undisturbed[0])


def test_a_loop_killed_while_a_later_round_generates_repeats_no_finished_call(corpus, written, tmp_path, undisturbed):
    first_round = undisturbed[1].manifest["rounds"]["summary"]["rounds_over"][0]["calls"]
    with serving(written) as (pool, server):
        server.behaviour.delay_s = 0.3
        path = tmp_path / "cfg.json"
        path.write_text(json.dumps({**config(corpus, tmp_path / "lake", server), "spark": {"master": "local[2]", "driver_memory": "2g"}}))
        command = [sys.executable, "-m", "synalign_spark", "run", "--config", str(path)]
        started = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 500
        while pool.calls < first_round + 3:
            assert started.poll() is None, "the run ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.02)
        os.kill(started.pid, signal.SIGKILL)
        started.wait()
        flying = server.most_flying
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        assert "done before: ingest, embed, cluster, select" in done.stdout
        assert sum(n - 1 for n in server.finished.values()) <= flying  # those that left the server in the instant of the kill
    assert contents(tmp_path / "lake") == contents(undisturbed[0])
