"""The two models that are trained on rows to validate them, and the ways of training.

Logistic regression on embeddings sees what the alignment sees; the same on TF-IDF sees another space, so it shows a method
that fitted itself to the embedding. Both with scikit-learn's own defaults: nothing is tuned to any task.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer
from sklearn.linear_model import LogisticRegression

from synalign_spark.core.strength.mixing_weight import sample_weights
from tests.bench.support.draws import by_keys, by_weight
from tests.bench.support.hits import Hits
from tests.bench.support.methods import Weighting

Int64Array = npt.NDArray[np.int64]
Float64Array = npt.NDArray[np.float64]

VOCABULARY = 20_000  # words and pairs of words, the most frequent in the training rows
MAX_ITER = 1_000


@dataclass(frozen=True)
class Stack:
    """All rows of a task, one table after another, so that a training set is a list of places.

    x: (n, d) embeddings; counts: (n, v) of words and pairs of words; labels: (n,)."""

    x: npt.NDArray[np.float32]
    counts: sp.csr_matrix
    labels: npt.NDArray[np.str_]


def stack(x: npt.NDArray[np.float32], texts: Sequence[str], labels: npt.NDArray[np.str_]) -> Stack:
    """Counts every word once, for all training sets to come. Which columns a downstream classifier sees is decided by its training rows."""
    counts = CountVectorizer(ngram_range=(1, 2), dtype=np.float32).fit_transform(texts)
    return Stack(x, sp.csr_matrix(counts), labels)


@dataclass(frozen=True)
class TrainingSet:
    """rows: (m,) places in the stack, a place twice is a row twice; weight: (m,) sample weights."""

    rows: Int64Array
    weight: Float64Array


def training_sets(
    weighting: Weighting, labels: npt.NDArray[np.str_], real: Int64Array, offset: int, draws: int, seed: int
) -> Mapping[str, TrainingSet]:
    """The three ways of training on weighted synthetic rows.

    labels: (n,) of the synthetic rows, which lie at ``offset`` and after it in the stack; real: places of the real rows.
    drawn: ``draws`` rows by weight; weighted: every row with its weight, mean 1; with_real: real rows and the drawn ones, of weight 1 or, where the method says how much synthetic rows count, of that."""
    if weighting.without_replacement:
        drawn = by_keys(weighting.log_weight, weighting.weight, labels, draws, seed)
    else:
        drawn = by_weight(weighting.weight, labels, draws, seed)
    drawn = drawn + offset
    used = np.flatnonzero(weighting.weight > 0)
    both = np.concatenate([real, drawn])
    real_weight, synthetic_weight = sample_weights(len(real), len(drawn), weighting.mixing_weight)
    return {
        "drawn": TrainingSet(drawn, np.ones(len(drawn))),
        "weighted": TrainingSet(used + offset, weighting.weight[used] * len(used) / weighting.weight[used].sum()),
        "with_real": TrainingSet(both, np.repeat([real_weight, synthetic_weight], [len(real), len(drawn)])),
    }


def on_embeddings(data: Stack, training: TrainingSet, test: Int64Array) -> Hits:
    """Which of the test rows logistic regression on the embeddings has right: (test,)."""
    return _hits(data.x[training.rows], data.x[test], data, training, test)


def on_tfidf(data: Stack, training: TrainingSet, test: Int64Array) -> Hits:
    """The same on TF-IDF; vocabulary and document frequencies are those of the training rows alone."""
    counts = data.counts[training.rows]
    frequency = np.asarray(counts.sum(axis=0)).ravel()  # (v,)
    known = np.flatnonzero(frequency)
    kept = np.sort(known[np.argsort(-frequency[known], kind="stable")[:VOCABULARY]])
    tfidf = TfidfTransformer(sublinear_tf=True)
    x = tfidf.fit_transform(counts[:, kept])
    return _hits(x, tfidf.transform(data.counts[test][:, kept]), data, training, test)


def _hits(x: object, x_test: object, data: Stack, training: TrainingSet, test: Int64Array) -> Hits:
    y = data.labels[training.rows]
    if len(set(y.tolist())) < 2:
        return np.asarray(data.labels[test] == y[0])  # scikit-learn refuses one class; a downstream classifier then knows but one
    model = LogisticRegression(max_iter=MAX_ITER).fit(x, y, sample_weight=training.weight)
    return np.asarray(model.predict(x_test) == data.labels[test])


CLASSIFIERS: Mapping[str, Callable[[Stack, TrainingSet, Int64Array], Hits]] = {"embeddings": on_embeddings, "tfidf": on_tfidf}
