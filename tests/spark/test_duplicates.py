"""Copies and near-copies: against brute force, on rows made by hand, and for every partitioning."""

import itertools

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import functions as F

from synalign_spark.core.minhash import SHINGLE
from synalign_spark.core.nearest_earlier import nearest_earlier
from synalign_spark.spark import duplicates

WORDS = [f"w{i}" for i in range(4_000)]
SEA = "the old man went down to the sea and came back with one fish that nobody wanted to buy from him"
DOG = "a dog that sleeps by the fire all winter long hears nothing of the wolves that howl on the hill above"


def frame(spark, rows, ddl="side string, doc_id string, label string, text string"):
    return spark.createDataFrame(rows, ddl)


def runs(text):
    found = text.split()
    return {tuple(found[i : i + SHINGLE]) for i in range(len(found) - SHINGLE + 1)}


def jaccard(a, b):
    """Of two texts, or of their runs."""
    one, other = (runs(text) if isinstance(text, str) else text for text in (a, b))
    return len(one & other) / len(one | other)


@pytest.fixture(scope="module")
def edited():
    """500 texts of 60 words: copies of copies with 0 to 6 changed words, and strangers. (id, text)"""
    rng = np.random.default_rng(3)
    texts = []
    while len(texts) < 500:
        words = list(rng.choice(WORDS, 60))
        for _ in range(int(rng.integers(1, 5))):
            texts.append(" ".join(words))
            for place in rng.choice(60, int(rng.integers(0, 4)), replace=False):
                words[place] = str(rng.choice(WORDS))
    return [(f"0{i:04d}", text) for i, text in enumerate(rng.permutation(texts[:500]).tolist())]


def parted(rows, partitions):
    """The rows in so many partitions; 0: in one, beside an empty one."""
    return rows.repartition(partitions) if partitions else rows.coalesce(1).unionByName(rows.where("false").coalesce(1))


def lexical(spark, rows, least, partitions):
    found = duplicates.shingled(parted(frame(spark, rows, "id string, text string"), partitions)).cache()
    answer = sorted(map(tuple, duplicates.lexical(found, found, least).collect()))
    found.unpersist()
    return answer


def test_lexical_pairs_are_those_of_brute_force(spark, edited):
    found = lexical(spark, edited, 0.8, 2)
    texts = {key: runs(text) for key, text in edited}
    assert all(of < one and similarity == jaccard(texts[one], texts[of]) >= 0.8 for one, of, similarity in found)
    wanted = {}
    for a, b in itertools.combinations(texts, 2):
        similarity = jaccard(texts[a], texts[b])
        if similarity >= 0.8:
            wanted[b] = min(wanted.get(b, (0.0, "")), (-similarity, a))
    assert len(wanted) > 60
    best = {one: (-similarity, of) for one, of, similarity in found}
    assert sum(best.get(one) == pair for one, pair in wanted.items()) >= 0.95 * len(wanted)


def test_a_bucket_of_many_is_compared_with_the_first(spark, monkeypatch):
    monkeypatch.setattr(duplicates, "MOST_IN_BUCKET", 2)
    rows = [(f"0{i:03d}", SEA) for i in range(40)]
    assert lexical(spark, rows, 0.8, 2) == [(f"0{i:03d}", "0000", 1.0) for i in range(1, 40)]


def vectors(n=400, d=8):
    """Unit vectors in pairs that are close, in groups about eight axes."""
    rng = np.random.default_rng(5)
    x = np.eye(d)[rng.integers(0, d, n // 2)] * 3 + rng.normal(size=(n // 2, d))
    x = np.vstack([x, x + rng.normal(scale=0.3, size=x.shape)])
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def semantic(spark, x, least, partitions, wanted=True):
    rows = [(f"0{i:04d}", row.tolist()) for i, row in enumerate(x)]
    found = parted(frame(spark, rows, "id string, embedding array<float>"), partitions)
    return sorted(map(tuple, duplicates.semantic(found, np.eye(x.shape[1]), least, F.lit(wanted)).collect()))


@pytest.mark.parametrize("most", [10_000, 20])  # whole clusters, and clusters in parts
def test_semantic_pairs_are_those_of_brute_force_within_a_cluster(spark, monkeypatch, most):
    monkeypatch.setattr(duplicates, "MOST_AT_ONCE", most)
    x = vectors()
    cluster = np.argmax(x, axis=1)  # the nearest of unit axes
    cosine = x.astype(np.float64) @ x.T.astype(np.float64)
    wanted = {}
    for i in range(len(x)):
        near = [j for j in range(i) if cluster[j] == cluster[i] and cosine[i, j] >= 0.95]
        if near:
            wanted[f"0{i:04d}"] = f"0{max(near, key=lambda j: cosine[i, j]):04d}"
    found = semantic(spark, x, 0.95, 2)
    assert len(wanted) > 50
    assert {one: of for one, of, _ in found} == wanted
    assert all(similarity == pytest.approx(cosine[int(one), int(of)], abs=2e-6) for one, of, similarity in found)


def test_no_row_is_asked_for_that_is_not_wanted(spark):
    assert semantic(spark, vectors(40), 0.95, 1, wanted=False) == []
    assert [len(part) for part in nearest_earlier(np.ones((1, 2), np.float32), 0.5, np.ones(1, bool))] == [0, 0, 0]


def test_what_is_found_does_not_depend_on_partitions(spark, edited):
    rows, x = edited[:60], vectors(60)
    by_words, by_vectors = lexical(spark, rows, 0.7, 1), semantic(spark, x, 0.9, 1)
    assert len(by_words) > 5
    assert len(by_vectors) > 5
    for partitions in (2, 7, 0):
        assert lexical(spark, rows, 0.7, partitions) == by_words
        assert semantic(spark, x, 0.9, partitions) == by_vectors


def test_rows_made_by_hand(spark):
    """A real row, copies of it, a row of another label; of a chain of near-copies each points to the most similar before it."""
    rows = frame(
        spark,
        [
            ("real", "a", "x", SEA),
            ("real", "b", "x", SEA.upper() + "!"),  # the same words
            ("real", "c", "x", DOG),
            ("real", "c-2", "y", DOG),  # a text of two labels is a row of each
            ("synthetic", "a", "x", SEA),
            ("synthetic", "d", "x", DOG.replace("fire", "stove")),
            ("synthetic", "e", "x", DOG.replace("fire", "stove") + " "),  # another white space
            ("synthetic", "f", "x", "?!"),
        ],
    )
    known = duplicates.keyed(rows).cache()
    exact = {(row["side"], row["doc_id"], row["duplicate_of"]) for row in duplicates.exact(known).collect()}
    assert exact == {("synthetic", "a", "a"), ("synthetic", "e", "d")}
    texts = known.where("id = text_id").join(rows, ["side", "doc_id"]).select("id", "text")
    found = duplicates.shingled(texts).cache()
    alike = duplicates.marks(known.where("exact_of IS NULL"), duplicates.lexical(found, found, 0.6), "lexical").collect()
    assert {(row["side"], row["doc_id"], row["duplicate_of"]) for row in alike} == {("real", "b", "a"), ("synthetic", "d", "c")}
    assert {row["doc_id"]: row["similarity"] for row in alike} == {"b": 1.0, "d": pytest.approx(jaccard(DOG, DOG.replace("fire", "stove")))}

    sets = [
        ("one.jsonl", frame(spark, [("?!",), (SEA + " then",), (None,), ("",)], "text string")),
        ("two.jsonl", frame(spark, [("?!",)], "text string")),
    ]
    evaluation = duplicates.evaluation_texts(iter(sets)).cache()
    assert evaluation.count() == 2
    marked = duplicates.contaminated(known, found, evaluation, 0.8).collect()
    assert {(row["side"], row["doc_id"], row["evaluation_set"]) for row in marked} == {
        ("real", "a", "one.jsonl"), ("real", "b", "one.jsonl"), ("synthetic", "a", "one.jsonl"), ("synthetic", "f", "one.jsonl"),
    }  # fmt: skip
    assert {row["similarity"] for row in marked if row["doc_id"] == "f"} == {1.0}
    for one in (known, found, evaluation):
        one.unpersist()


def test_no_rows_have_no_duplicates(spark):
    none = duplicates.shingled(frame(spark, [], "id string, text string"))
    assert duplicates.lexical(none, none, 0.8).collect() == []
    empty = spark.createDataFrame(pa.table({"id": pa.array([], pa.string()), "embedding": pa.array([], pa.list_(pa.float32()))}))
    assert duplicates.semantic(empty, np.eye(2), 0.9, F.lit(True)).collect() == []
