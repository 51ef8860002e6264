"""A small task without corpora or encoder: texts drawn from word lists, and vectors that follow from the words.

A row is of one of the two sides of a topic and takes its words; synthetic rows know but half of them, and a share of their labels is wrong.
"""

import dataclasses
import hashlib

import numpy as np
import numpy.typing as npt
from sklearn.feature_extraction.text import HashingVectorizer

from tests.bench.support.corpora import Corpus
from tests.bench.support.tasks import Dataset

TOPICS, SIDES, SIDE_WORDS, COMMON_WORDS = ("arts", "money", "sport"), 2, 8, 200
WORDS_A_ROW, OWN, OTHER = 12, 0.35, 0.08  # shares of the words that are of the row's own topic, and of each other one
WRONG = 0.1  # of the synthetic labels
BUCKETS, WIDTH = 2**12, 32


def simulated(real: int, synthetic: int, test: int, seed: int = 0) -> Dataset:
    """The task. real, synthetic, test: rows."""
    rng = np.random.default_rng([seed, 0x51A])
    tables = [_rows(real, SIDE_WORDS, 0.0, rng), _rows(synthetic, SIDE_WORDS // 2, WRONG, rng), _rows(test, SIDE_WORDS, 0.0, rng)]
    return Dataset("simulated", *tables, removed={})


def elsewhere(rows: int) -> Corpus:
    """Rows of which every word is unknown to the task."""
    found = simulated(0, rows, 0, seed=1).synthetic
    texts = [" ".join(f"un{word}" for word in text.split()) for text in found.texts]
    return dataclasses.replace(found, texts=texts, x=vectors(texts))


def vectors(texts: list[str]) -> npt.NDArray[np.float32]:
    """(n, WIDTH) unit vectors: the sum of a fixed random vector of each word."""
    if not texts:
        return np.empty((0, WIDTH), dtype=np.float32)
    counts = HashingVectorizer(n_features=BUCKETS, norm=None, alternate_sign=False).transform(texts)  # (n, BUCKETS)
    x = np.asarray(counts @ np.random.default_rng(0x3EC).normal(size=(BUCKETS, WIDTH)))
    unit: npt.NDArray[np.float32] = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    return unit


def _rows(n: int, known: int, wrong: float, rng: np.random.Generator) -> Corpus:
    """n rows in the order of their ids. known: words of a side that they take; wrong: share of the labels."""
    topics, sides = rng.integers(len(TOPICS), size=n), rng.integers(SIDES, size=n)
    texts = [" ".join(_word(*row, known, rng) for _ in range(WORDS_A_ROW)) for row in zip(topics.tolist(), sides.tolist(), strict=True)]
    said = np.where(rng.random(n) < wrong, rng.integers(len(TOPICS), size=n), topics)
    ids = np.array([hashlib.sha256(text.encode()).hexdigest() for text in texts])
    table = Corpus(ids, texts, np.array(TOPICS)[said], vectors(texts))
    return table.take(np.argsort(ids, kind="stable"))


def _word(topic: int, side: int, known: int, rng: np.random.Generator) -> str:
    """One of the row's own topic, of another one, or of all."""
    drawn, others = rng.random(), len(TOPICS) - 1
    if drawn < OWN + OTHER * others:
        of = topic if drawn < OWN else (topic + 1 + int((drawn - OWN) / OTHER)) % len(TOPICS)
        return f"{TOPICS[of]}{side * SIDE_WORDS + int(rng.integers(known))}"
    return f"word{int(COMMON_WORDS * rng.random() ** 2)}"
