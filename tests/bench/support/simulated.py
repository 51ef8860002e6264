"""A small task without corpora or encoder: texts drawn from word lists, and vectors that follow from the words.

Real rows of a topic take its words; synthetic rows know but half of them, and a share of their labels is wrong.
"""

import dataclasses
import hashlib

import numpy as np
import numpy.typing as npt
from sklearn.feature_extraction.text import HashingVectorizer

from tests.bench.support.corpora import Corpus
from tests.bench.support.tasks import Dataset

TOPICS, TOPIC_WORDS, COMMON_WORDS = ("arts", "money", "sport"), 40, 200
WORDS_A_ROW, OWN, OTHER = 12, 0.35, 0.08  # shares of the words that are of the row's own topic, and of each other one
WRONG = 0.1  # of the synthetic labels
BUCKETS, WIDTH = 2**12, 32


def simulated(real: int, synthetic: int, test: int, seed: int = 0) -> Dataset:
    """The task. real, synthetic, test: rows."""
    rng = np.random.default_rng([seed, 0x51A])
    tables = [_rows(real, TOPIC_WORDS, 0.0, rng), _rows(synthetic, TOPIC_WORDS // 2, WRONG, rng), _rows(test, TOPIC_WORDS, 0.0, rng)]
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
    """n rows in the order of their ids. known: words of a topic that they take; wrong: share of the labels."""
    topics = rng.integers(len(TOPICS), size=n)
    texts = [" ".join(_word(topic, known, rng) for _ in range(WORDS_A_ROW)) for topic in topics.tolist()]
    said = np.where(rng.random(n) < wrong, rng.integers(len(TOPICS), size=n), topics)
    ids = np.array([hashlib.sha256(text.encode()).hexdigest() for text in texts])
    order = np.argsort(ids, kind="stable")
    table = Corpus(ids, texts, np.array(TOPICS)[said], vectors(texts))
    return table.take(order)


def _word(topic: int, known: int, rng: np.random.Generator) -> str:
    drawn = rng.random()
    if drawn < OWN + OTHER * (len(TOPICS) - 1):
        of = topic if drawn < OWN else (topic + 1 + int((drawn - OWN) / OTHER)) % len(TOPICS)
        return f"{TOPICS[of]}{chr(97 + int(rng.integers(known)) % 26)}{int(rng.integers(2))}"
    return f"word{int(COMMON_WORDS * rng.random() ** 2)}"
