"""The retriever example from end to end: queries that judge shape nothing, and the commands run."""

import doctest
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from examples.retriever import comparison, package_corpus
from tests.bench import retrieval
from tests.bench.support import retrieval_queries
from tests.bench.support.retrieval_queries import RULES, keywords, ruled_pairs, weight_parts

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "generation"))  # for the tests' loopback server
from loopback import loopback  # noqa: E402


@pytest.fixture(scope="module")
def data():
    return package_corpus.package_corpus(n_real=30, n_documents=80)


def encode(texts):
    """(n, 16) unit vectors of which every text has its own."""
    x = np.stack([np.random.default_rng(list(text.encode())).normal(size=16) for text in texts])
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def pairs_of(data):
    return pd.DataFrame({"doc_id": list(data.documents), "query": [" ".join(text.split()[:8]) for text in data.documents.values()]})


def test_queries_that_judge_shape_nothing(data, monkeypatch):
    """Neither weights nor training see one of their texts; they are encoded to be ranked, and nothing else."""
    seen: list[str] = []
    learnt: list[np.ndarray] = []
    weigh, tune = comparison.weigh, comparison.tune_adapter
    monkeypatch.setattr(comparison, "weigh", lambda real, queries, *rest: seen.extend([*real, *queries]) or weigh(real, queries, *rest))
    monkeypatch.setattr(comparison, "tune_adapter", lambda queries, *rest: learnt.append(queries) or tune(queries, *rest))
    settings = comparison.Settings(seeds=2, sessions=50, real_pairs=True)
    found = comparison.compare(data, pairs_of(data), encode, lambda: None, settings)
    judging = set(data.queries.values())
    assert len(seen) == 30 + len(data.documents)
    assert not judging & set(seen)
    n_real = sum(bool(known) for known in data.real_judgements.values())
    assert [len(rows) for rows in learnt] == [n_real, n_real + 80, n_real + 80] * 2
    unseen = encode(sorted(judging))
    assert not any((np.abs(rows[:, None] - unseen[None]).max(axis=2) < 1e-6).any() for rows in learnt)
    assert set(found["measures"]) == set(comparison.ARMS)
    assert found["differences"]["weighted-uniform"]["mrr"][1] <= found["differences"]["weighted-uniform"]["mrr"][2]
    assert "weighted-none: interleaved" in comparison.told(found)


def test_without_synthetic_or_real_pairs_the_encoder_is_as_it_comes(data):
    found = comparison.compare(data, pairs_of(data), encode, lambda: None, comparison.Settings(sessions=10))
    ids = list(data.documents)
    similar = encode(list(data.queries.values())) @ encode(list(data.documents.values())).T
    first = [data.judgements[name].get(ids[place], 0) > 0 for name, place in zip(data.queries, similar.argmax(axis=1), strict=True)]
    assert found["measures"]["none"]["mrr"] >= np.mean(first)


def test_queries_by_rule():
    documents = {
        "a": "on wings . the lift of wings is measured in a tunnel . short .",
        "b": "on heat . the flux of heat through a plate is found .",
    }
    found = ruled_pairs(documents).set_index(["doc_id", "rule"])["query"]
    assert set(found.index.get_level_values("rule")) == set(RULES)
    assert found["a", "sentence"] == "the lift of wings is measured in a tunnel"
    assert set(keywords(documents)["b"]) >= {"heat", "flux", "plate"}
    assert ruled_pairs(documents).equals(
        ruled_pairs(dict(reversed(documents.items()))).sort_values("doc_id", kind="stable", ignore_index=True)
    )


def test_parts_of_weights_make_them_up_and_are_arms_of_their_own(data):
    pairs = ruled_pairs(data.documents, ["title", "keywords"])
    found = {}

    def more(weight):
        found.update(weight=weight, **weight_parts(pairs, weight))
        return {"by_rule": found["by_rule"]}

    told = comparison.compare(data, pairs, encode, lambda: None, comparison.Settings(sessions=10), more)
    assert found["by_rule"] * found["in_rule"] == pytest.approx(found["weight"])
    assert {name: part.mean() for name, part in found.items() if name != "in_rule"} == pytest.approx(
        {"weight": 1, "by_rule": 1, "shuffled": 1}
    )
    assert sorted(found["shuffled"]) == sorted(found["weight"])
    assert set(told["measures"]) == {*comparison.ARMS, "by_rule"}
    assert set(told["differences"]) == {"weighted-uniform", "weighted-none", "by_rule-uniform"}
    for rule, mean in told["mean_weight"].items():
        assert found["by_rule"][pairs["rule"] == rule] == pytest.approx(mean, abs=1e-3)


def test_few_known_queries_are_part_of_many(data):
    few, more = retrieval.knowing(data, 5), retrieval.knowing(data, 12)
    assert len(few.real) == 5
    assert set(few.real) < set(more.real) < set(data.real)
    assert retrieval.knowing(data, None) is data


def command(words, **environment):
    """Runs a script of the project; its last line."""
    done = subprocess.run(
        [sys.executable, *words],
        env=os.environ | environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_the_benchmark_without_its_corpus_says_so(tmp_path):
    assert "qrels.tsv" in command(["tests/bench/retrieval.py", "--quick"], SYNALIGN_DATA=str(tmp_path))["skipped"]


@pytest.mark.slow
def test_the_command_asks_an_endpoint_and_keeps_the_retriever(tmp_path):
    with loopback() as server:
        found = command(
            [
                "-m", "examples.retriever", "--documents", "60", "--llm", server.base_url, "--model", "loopback", "--queries", "20",
                "--ledger", str(tmp_path / "answers"), "--seeds", "1", "--out", str(tmp_path / "retriever"),
            ]
        )  # fmt: skip
    assert found["synthetic_queries"] == 20
    assert any((tmp_path / "answers").iterdir())
    from sentence_transformers import SentenceTransformer

    kept = SentenceTransformer(str(tmp_path / "retriever"))
    assert kept.encode(["a query"]).shape == (1, 384)


@pytest.mark.slow
def test_the_whole_encoder_is_trained_from_a_file_of_pairs(tmp_path, data):
    pairs_of(data).head(20).to_json(tmp_path / "pairs.jsonl", orient="records", lines=True)
    words = ["--documents", "40", "--pairs", str(tmp_path / "pairs.jsonl"), "--tune", "encoder", "--seeds", "1"]
    found = command(["-m", "examples.retriever", *words])
    assert found["tune"] == "encoder"
    assert found["measures"]["uniform"] != found["measures"]["none"]


@pytest.mark.parametrize("name", ["beir", "interleaving", "measures", "sequential", "comparison", "training", "queries"])
def test_examples_in_docstrings(name):
    assert doctest.testmod(importlib.import_module(f"examples.retriever.{name}")).failed == 0


def test_examples_in_docstrings_of_the_rules():
    found = doctest.testmod(retrieval_queries)
    assert (found.failed, found.attempted) == (0, 3)
