"""Rows of two labels with two topics each, some with the other label's name."""

import numpy as np

from synalign_spark.core.strength.base_measure import SideRows
from synalign_spark.core.strength.classifiers import Views, hashed_ngrams

CENTRES = 2.0 * np.random.default_rng(3).standard_normal((2, 2, 12))  # label, topic
WORDS = [["good", "fine", "lovely", "great"], ["bad", "dull", "awful", "poor"]]


def rows(seed, n, noise=0.0, topics=(0.5, 0.5), spread=1.0):
    """(x, texts, labels, wrong). noise: share of rows with the other label's name; spread: of the vectors about their centre."""
    rng = np.random.default_rng(seed)
    truth, topic = rng.integers(0, 2, n), rng.choice(2, n, p=topics)
    x = CENTRES[truth, topic] + spread * rng.standard_normal((n, 12))
    texts = [
        f"{WORDS[t][rng.integers(4)]} film about topic{k} with {WORDS[t][rng.integers(4)]} cast" for t, k in zip(truth, topic, strict=True)
    ]
    wrong = rng.random(n) < noise
    labels = np.array(["bad" if flip != (t == 1) else "good" for t, flip in zip(truth, wrong, strict=True)], dtype=object)
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32), texts, labels, wrong


def side(x, texts, labels, weight=None, words=True):
    """The rows as a side, in two halves."""
    n = len(labels)
    views = Views(x, hashed_ngrams(list(texts)) if words else None, labels, np.ones(n) if weight is None else weight)
    return SideRows(views, np.array([f"={label}" for label in labels], dtype=object), np.arange(n) % 2 == 0)
