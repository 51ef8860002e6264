"""The paper's comparison: the budget holds, a killed run pays for nothing twice, and the table says what was measured."""

import sys
from pathlib import Path

import numpy as np
import pytest

from synalign_spark.errors import ConfigError
from tests.bench import paper
from tests.bench.support import paper_rows
from tests.bench.support.corpora import Corpus
from tests.bench.support.paper_table import GOLD, mean_and_error, summarised, text_table

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "generation"))  # for the loopback server
from loopback import loopback

ENDPOINT = """\
generate:
  rows_per_request: 5
  gates: []
  llm: {{base_url: "{address}", model: m, price_input_usd: 1.0, price_output_usd: 1.0}}
  limits: {{max_cost_usd: {budget}}}
"""


def corpus(n, seed):
    rng = np.random.default_rng(seed)
    labels = np.array(["negative", "positive"] * (n // 2))
    x = rng.normal(size=(n, 8)) + 2.0 * (labels == "positive")[:, None]
    texts = [f"a {label} film number {seed} {i}, said at some length" for i, label in enumerate(labels)]
    return Corpus(
        np.array([f"{seed}-{i:04d}" for i in range(n)]), texts, labels, (x / np.linalg.norm(x, axis=1)[:, None]).astype(np.float32)
    )


@pytest.fixture
def given(monkeypatch):
    """A task of 80 real and 40 test rows, and rows written whose vectors need no model."""

    def corpus_of(ids, texts, labels):
        of_row = [
            np.random.default_rng(len(text)).normal(size=8) + 2.0 * (label == "positive") for text, label in zip(texts, labels, strict=True)
        ]
        return Corpus(np.array(ids), texts, np.array(labels), np.array(of_row, dtype=np.float32))

    monkeypatch.setattr(paper_rows, "corpus_of", corpus_of)
    return paper_rows.Given("sst2", "sst2", corpus(80, 0), corpus(40, 1))


def model_at(tmp_path, address, budget):
    path = tmp_path / "endpoint.yaml"
    path.write_text(ENDPOINT.format(address=address, budget=budget), encoding="utf-8")
    return paper_rows.Model.of_file(path)


def test_a_killed_comparison_asks_nothing_twice(given, tmp_path):
    with loopback() as server:
        model = model_at(tmp_path, server.base_url, 5.0)
        cases = paper_rows.share_budget(paper_rows.plan_cases(given, model, paper_rows.STRATEGIES, 1, 10), 5.0)
        assert not server.log  # the plan asks nothing
        first = [paper_rows.write(case, model, "paper", tmp_path / "answers") for case in cases]
        asked = len(server.bodies)
        again = [paper_rows.write(case, model, "paper", tmp_path / "answers") for case in cases]
        assert len(server.bodies) == asked > 0
    assert [rows.texts for rows, _ in again] == [rows.texts for rows, _ in first]
    assert all(told["accepted"] == 10 for _, told in first)


def test_the_parts_of_the_budget_hold_together(given, tmp_path):
    with loopback() as server:
        model = model_at(tmp_path, server.base_url, 0.05)
        cases = paper_rows.share_budget(paper_rows.plan_cases(given, model, paper_rows.STRATEGIES, 2, 200), 0.05)
        assert sum(case.budget_usd for case in cases) == pytest.approx(0.05)
        told = [paper_rows.write(case, model, "clusters", tmp_path / "answers")[1] for case in cases]
    assert {one["stopped_by"] for one in told} == {"limits.max_cost_usd"}
    assert sum(one["cost_usd"] for one in told) <= 0.05


@pytest.mark.parametrize(
    ("change", "message"), [(("max_cost_usd: 1", ""), "max_cost_usd is not set"), (("model: m, ", ""), "base_url and model")]
)
def test_an_endpoint_without_a_budget_or_a_model_is_refused(change, message, tmp_path):
    path = tmp_path / "endpoint.yaml"
    path.write_text(ENDPOINT.format(address="http://127.0.0.1:9/v1", budget=1).replace(*change), encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        paper_rows.Model.of_file(path)


def test_the_example_configuration_can_be_planned(given):
    model = paper_rows.Model.of_file(Path(__file__).resolve().parents[2] / "conf" / "paper-endpoint.yaml")
    cases = paper_rows.plan_cases(given, model, paper_rows.STRATEGIES, 1, 1_000)
    assert all(0 < case.plan["cost_usd"][0] <= case.plan["cost_usd"][1] for case in cases)


def test_rows_that_say_more_of_the_labels_score_more(given):
    data = paper.clean("sst2", given.real, corpus(60, 2), given.test)
    scores = [
        {"source": "s", "task": "sst2", **found}
        for found in [paper.gold(data, False), *paper.score_set(data, "SynAlign", 0, ["uniform"], False)]
    ]
    assert scores[0]["row"] == GOLD
    assert min(scores[0]["scores"]["embeddings"]["accuracy"], scores[1]["scores"]["embeddings"]["accuracy"]) > 0.9
    wrong = paper.clean("sst2", given.real, Corpus(*(lambda c: (c.ids, c.texts, c.labels[::-1], c.x))(corpus(60, 2))), given.test)
    [inverted] = paper.score_set(wrong, "SynAlign", 0, ["uniform"], False)
    assert inverted["scores"]["embeddings"]["accuracy"] < 0.1


def test_weights_of_a_small_set_reach_the_students(given, monkeypatch):
    """Of ten rows of about one weight as many draws are each row once; the students are to see the weights themselves."""
    rows, weight = corpus(10, 2), np.linspace(0.08, 0.12, 10)
    data, seen = paper.clean("sst2", given.real, rows, given.test), []
    monkeypatch.setattr(paper, "weighting", lambda *_: paper.Weighting(weight / weight.sum(), np.log(weight)))
    monkeypatch.setattr(paper, "scored", lambda stacked, training, test, finetune: seen.append(training))
    list(paper.score_set(data, "SynAlign", 0, ["mmd"], False))
    assert seen[0].weight == pytest.approx(10 * weight / weight.sum())
    assert len(set(seen[0].rows.tolist())) == 10


def test_the_table_has_means_errors_and_reasons():
    def score(row, seed, value):
        return {
            "source": "m",
            "task": "sst2",
            "row": row,
            "seed": seed,
            "rows": 10,
            "scores": {"tfidf": {"accuracy": value, "macro_f1": value / 2}},
        }

    failed = {"source": "m", "task": "sst2", "row": "AttrPrompt", "seed": 0, "rows": 0, "error": "no rows"}
    tables = summarised([score(GOLD, 0, 0.9), score("SimPrompt", 0, 0.5), score("SimPrompt", 1, 0.7), failed])
    assert tables[1]["accuracy"]["tfidf"] == [60.0, 10.0]
    assert mean_and_error([0.5]) == [50.0, None]
    text = text_table(tables)
    assert "| m | sst2 | SimPrompt | 10 | 60.0 ± 10.0 / 30.0 ± 5.0 |" in text
    assert "| m | sst2 | AttrPrompt | 0 | - / - |" in text
    assert text.endswith("sst2, AttrPrompt: no rows")
