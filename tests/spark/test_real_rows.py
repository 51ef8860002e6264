"""What the gates ask of the real rows: the same on any partitioning, in memory and by a pass over the corpus."""

import pytest

from synalign_spark.core.copy_index import CopyIndex
from synalign_spark.spark.real_rows import ScannedRows, copy_lookup, grams_at_most, sample_rows

TEXTS = [f"real row number {i} says that the film of the year {1900 + i} was a long one" for i in range(60)] + ["short one", "?!", ""]
ASKED = [
    TEXTS[3],
    TEXTS[4].upper() + "!",
    "real row number 9 says that the film of the year 1909 was bad",
    "short one",
    "short",
    "",
    "of its own",
]


@pytest.fixture(scope="module")
def corpus(spark):
    rows = [(f"{i:064x}", text, "even" if i % 2 else None) for i, text in enumerate(TEXTS)]
    return spark.createDataFrame(rows, "doc_id string, text string, label string")


@pytest.mark.parametrize("n_partitions", [1, 7, pytest.param(100, marks=pytest.mark.slow)])  # the last with empty ones
def test_in_memory_and_scanned_give_what_one_process_gives(corpus, n_partitions):
    expected = CopyIndex.of_texts(TEXTS).overlaps(ASKED)
    assert expected[:2] == [1.0, 1.0]
    assert 0.0 < expected[2] < 1.0
    parted = corpus.repartition(n_partitions)
    in_memory, scanned = copy_lookup(parted), copy_lookup(parted, most_grams=10)
    assert (in_memory.in_memory, scanned.in_memory) == (True, False)
    assert in_memory.overlaps(ASKED) == pytest.approx(expected)
    assert scanned.overlaps(ASKED) == pytest.approx(expected)


def test_an_empty_corpus(corpus):
    nobody = corpus.limit(0)
    assert copy_lookup(nobody).overlaps(ASKED) == [0.0] * len(ASKED)
    assert ScannedRows(nobody).overlaps(ASKED) == [0.0] * len(ASKED)
    assert sample_rows(nobody, 0, 10, 0) == []


def test_the_estimate_of_grams_is_no_less_than_there_are(spark):
    texts = ["one two three", "don't-stop the music", "\u6211\u559c\u6b22\u8fd9\u90e8\u7535\u5f71" * 6]
    frame = spark.createDataFrame([(text,) for text in texts], "text string")
    assert sum(CopyIndex.of_texts(texts).sizes) <= grams_at_most(frame) <= 80


def test_the_sample_is_drawn_by_hash(corpus):
    first = sample_rows(corpus, len(TEXTS), 20, 0)
    assert first == sample_rows(corpus.repartition(7), len(TEXTS), 20, 0)
    assert 5 <= len(first) <= 20
    assert first != sample_rows(corpus, len(TEXTS), 20, 1)
    assert set(sample_rows(corpus, len(TEXTS), 1000, 0)) == {(text, "even" if i % 2 else None) for i, text in enumerate(TEXTS)}
