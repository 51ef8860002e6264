"""The models that are trained on rows to validate them: the students of a comparison.

Logistic regression on embeddings sees what the alignment sees; the same on TF-IDF sees another space, so it shows a method
that fitted itself to the embedding. A linear SVM on character n-grams and a small neural network on embeddings are unlike every classifier
that the product chooses by. All with scikit-learn's own defaults where it has any: nothing is tuned to any task.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.svm import LinearSVC

from tests.bench.support.training import TrainingSet

Int64Array = npt.NDArray[np.int64]
Labels = npt.NDArray[np.str_]

VOCABULARY = 20_000  # words and pairs of words, the most frequent in the training rows
MAX_ITER = 1_000
CHARACTERS, BUCKETS = (2, 4), 2**18  # n-grams of characters within words
HIDDEN, STEPS, BATCH = 64, 600, 200  # of the neural network: as many steps for few rows as for many


@dataclass(frozen=True)
class Stack:
    """All rows of a task, one table after another, so that a training set is a list of places.

    x: (n, d) embeddings; texts: (n,); labels: (n,). Words and characters are counted once, for all training sets to come: which columns
    a classifier sees is decided by its training rows."""

    x: npt.NDArray[np.float32]
    texts: Sequence[str]
    labels: Labels

    @cached_property
    def words(self) -> sp.csr_matrix:
        """(n, v) counts of words and pairs of words."""
        return sp.csr_matrix(CountVectorizer(ngram_range=(1, 2), dtype=np.float32).fit_transform(self.texts))

    @cached_property
    def characters(self) -> sp.csr_matrix:
        """(n, BUCKETS) counts of character n-grams by hash."""
        hasher = HashingVectorizer(
            analyzer="char_wb", ngram_range=CHARACTERS, n_features=BUCKETS, norm=None, alternate_sign=False, dtype=np.float32
        )
        return sp.csr_matrix(hasher.transform(self.texts))


Student = Callable[[Stack, TrainingSet, Int64Array], Labels]


def on_embeddings(data: Stack, training: TrainingSet, test: Int64Array) -> Labels:
    """Labels of the test rows by logistic regression on the embeddings: (test,)."""
    return _answers(_logistic(), data.x[training.rows], data.x[test], data, training, test)


def on_tfidf(data: Stack, training: TrainingSet, test: Int64Array) -> Labels:
    """The same on TF-IDF; vocabulary and document frequencies are those of the training rows alone."""
    counts = data.words[training.rows]
    frequency = np.asarray(counts.sum(axis=0)).ravel()  # (v,)
    known = np.flatnonzero(frequency)
    kept = np.sort(known[np.argsort(-frequency[known], kind="stable")[:VOCABULARY]])
    tfidf = TfidfTransformer(sublinear_tf=True)
    x = tfidf.fit_transform(counts[:, kept])
    return _answers(_logistic(), x, tfidf.transform(data.words[test][:, kept]), data, training, test)


def on_characters(data: Stack, training: TrainingSet, test: Int64Array) -> Labels:
    """A linear SVM on TF-IDF of character n-grams, document frequencies by the training rows."""
    tfidf = TfidfTransformer(sublinear_tf=True)
    x = tfidf.fit_transform(data.characters[training.rows])
    return _answers(LinearSVC(random_state=0), x, tfidf.transform(data.characters[test]), data, training, test)


def by_network(data: Stack, training: TrainingSet, test: Int64Array) -> Labels:
    """A neural network of one hidden layer on the embeddings."""
    n = len(training.rows)
    epochs = -(-STEPS // -(-n // BATCH))
    model = MLPClassifier((HIDDEN,), batch_size=min(BATCH, n), max_iter=epochs, n_iter_no_change=epochs, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # it ends after so many steps by design
        return _answers(model, data.x[training.rows], data.x[test], data, training, test)


def _logistic() -> LogisticRegression:
    return LogisticRegression(max_iter=MAX_ITER)


def _answers(model: Any, x: Any, x_test: Any, data: Stack, training: TrainingSet, test: Int64Array) -> Labels:
    y = data.labels[training.rows]
    if len(set(y.tolist())) < 2:
        return np.full(len(test), y[0])  # scikit-learn refuses one class; a student then knows but one
    return np.asarray(model.fit(x, y, sample_weight=training.weight).predict(x_test))


CLASSIFIERS: Mapping[str, Student] = {"embeddings": on_embeddings, "tfidf": on_tfidf}
STUDENTS: Mapping[str, Student] = CLASSIFIERS | {"characters": on_characters, "network": by_network}
