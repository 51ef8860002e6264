"""Genuine rows of real corpora are hardly ever refused, and rows that models wrote amiss are."""

import gzip
import itertools
import json

import pytest

from synalign_spark.core.copy_index import CopyIndex
from synalign_spark.generation.gates import form, language, length, meta, pii, telephone
from synalign_spark.generation.gates.check import calibrated
from synalign_spark.generation.gates.near_duplicate import NearDuplicates
from synalign_spark.generation.gates.packaging import Packaging

CORPORA = ["sst2/train_sentences", "sst2/train_phrases", "agnews/test", "amazon_24cat/test", "imdb/test", "imdb_sentences/part-00"]
ROWS = 1_000
MOST = {"meta": 0.001, "language": 0.005, "form": 0.005, "pii": 0.005, "length": 0.01, "packaging": 0.005}  # share of genuine rows


def read(folder, name, n):
    """Every k-th row of the first 10,000, so that about n come from all labels of a sorted file."""
    with gzip.open(folder / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in itertools.islice(file, 10_000)]
    return [(row["text"], row.get("label")) for row in rows[:: max(1, len(rows) // n)]][:n]


@pytest.mark.parametrize("name", CORPORA)
def test_genuine_rows_pass(name, real_data):
    rows = read(real_data, name, ROWS)
    labels = sorted({label for _, label in rows})
    checks = calibrated([*form.checks(labels), *meta.checks(), *pii.checks("English"), *length.checks(rows)], rows).active
    refused = {gate: {text for text, label in rows for check in checks if check.gate == gate and check.find(text, label)} for gate in MOST}
    (other,) = language.checks("English")
    for spoken in telephone.REGIONS:  # numbers in English texts are prices, years and scores in any other language
        assert sum(next(telephone.numbers_of(spoken).spans(text), None) is not None for text, _ in rows) <= 1, spoken
    asked = rows[:500]
    refused["language"] = {text for text, _ in asked if other.find(text, None)}
    packaging = Packaging(labels, rows)
    refused["packaging"] = {text for text, label in rows if packaging.off([text], label) != [" ".join(text.split())]}
    for gate, texts in refused.items():
        n = len(asked) if gate == "language" else len(rows)
        assert len(texts) <= max(2, MOST[gate] * n), (gate, list(texts)[:5])


@pytest.mark.parametrize(("name", "most"), [("sst2/train_sentences", 0.01), ("imdb/test", 0.01), ("imdb_sentences/part-00", 0.02)])
def test_held_out_rows_are_no_copies(name, most, real_data):
    """imdb_sentences holds short sentences that many people write, word for word."""
    texts = list(dict.fromkeys(text for text, _ in read(real_data, name, 10_000)))[:6_000]
    shares = CopyIndex.of_texts(texts[::2]).overlaps(texts[1::2])
    assert sum(share >= 0.6 for share in shares) <= most * len(shares)
    seen, near = NearDuplicates(), 0
    for text in texts[:2_000]:
        near += seen.find(text) is not None
        seen.add(text)
    assert near <= 0.005 * 2_000


def test_news_that_two_agencies_sent_are_near_copies(real_data):
    texts = [text for text, _ in read(real_data, "agnews/test", 7_600)]
    shares = CopyIndex.of_texts(texts[::2]).overlaps(texts[1::2])
    assert 0.005 < sum(share >= 0.6 for share in shares) / len(shares) < 0.03


@pytest.mark.parametrize(
    ("name", "gate", "least"),
    [("agnews_synthetic/fewshot_generated_llama", "meta", 0.005), ("imdb_synthetic/fusegen_vicuna-7b-1.5v", "language", 0.01)],
)
def test_what_models_wrote_amiss_is_found(name, gate, least, real_data):
    rows = read(real_data, name, 1_000)
    checks = meta.checks() if gate == "meta" else language.checks("English")
    assert sum(any(check.find(text, label) for check in checks) for text, label in rows) > least * len(rows)
