"""Downstream classifiers: how well does a model do on real rows that was trained on real and weighted synthetic ones?

Unlike ones, so that no weights win by suiting one of them: logistic regression on the embeddings, the space that the weights were made in; the
same on words and word pairs; naive Bayes on words; and a kernel average over the embeddings, which has nothing to fit.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.special import softmax
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from synalign_spark.core.strength.classifiers import Views, together

Float64Array = npt.NDArray[np.float64]

MOST_NGRAMS = 20_000  # for the classifiers of words: the most frequent
KERNEL_WIDTH = 0.05  # of exp((cosine - 1) / width): the few nearest of unit vectors
PRIOR_SHARE = 0.1  # of the labels' shares in a kernel average, so that a row far from all gets these
WORD_PRIOR = 0.1  # counts added to every n-gram in naive Bayes (Lidstone)
LEAST_LIKELY = 1e-3  # a classifier is never surer than that: one row must not decide a mean log-loss


@dataclass(frozen=True)
class Answers:
    """What the classifiers say of the validation rows. hits: (classifiers, n) whether the label is right; log_loss: (classifiers, n)."""

    hits: npt.NDArray[np.bool_]
    log_loss: Float64Array


class DownstreamClassifiers:
    """The classifiers on one set of training rows, whose sample weights vary."""

    def __init__(self, real: Views, synthetic: Views, validation: Views) -> None:
        """real, synthetic: the training rows, one after the other; validation: the rows to answer for."""
        rows = together(real, synthetic)
        self._labels = sorted({str(label) for views in (rows, validation) for label in views.labels})
        self._y = np.searchsorted(self._labels, rows.labels.astype(str))  # (n,)
        self._truth = np.searchsorted(self._labels, validation.labels.astype(str))
        self._x, self._x_validation = rows.x.astype(np.float64), validation.x.astype(np.float64)
        self._onehot = np.eye(len(self._labels))[self._y]  # (n, C)
        self._counts: tuple[sparse.csr_matrix, sparse.csr_matrix] | None = None
        if rows.ngrams is not None and validation.ngrams is not None:
            columns = _frequent(rows.ngrams)
            self._counts = (_log_counts(rows.ngrams[:, columns]), _log_counts(validation.ngrams[:, columns]))
            tfidf = TfidfTransformer(sublinear_tf=True).fit(rows.ngrams[:, columns])
            self._words, self._words_validation = (tfidf.transform(side[:, columns]) for side in (rows.ngrams, validation.ngrams))

    def answers(self, sample_weight: Float64Array) -> Answers:
        """Of classifiers trained with these sample weights. sample_weight: (n,) >= 0, real rows first."""
        shares = sample_weight @ self._onehot / sample_weight.sum()  # (C,)
        with threadpool_limits(1):  # else the number of cores changes the last digits
            found = [self._logistic(self._x, self._x_validation, sample_weight), self._kernel_average(sample_weight, shares)]
            if self._counts is not None:
                found += [
                    self._logistic(self._words, self._words_validation, sample_weight),
                    self._naive_bayes(*self._counts, sample_weight, shares),
                ]
        p = np.stack(found)  # (classifiers, validation, C)
        likely = p[:, np.arange(len(self._truth)), self._truth]
        floor = LEAST_LIKELY / len(self._labels)
        return Answers(p.argmax(axis=2) == self._truth, -np.log((1 - LEAST_LIKELY) * likely + floor))

    def usual_hits(self, sample_weight: Float64Array) -> npt.NDArray[np.bool_]:
        """(models, n) whether the label is right, by the models that users train most: logistic regression on embeddings, and on words.

        sample_weight: (n,) >= 0, real rows first."""
        with threadpool_limits(1):
            found = [self._logistic(self._x, self._x_validation, sample_weight)]
            if self._counts is not None:
                found.append(self._logistic(self._words, self._words_validation, sample_weight))
        hits: npt.NDArray[np.bool_] = np.stack(found).argmax(axis=2) == self._truth
        return hits

    @cached_property
    def _kernel(self) -> Float64Array:
        """(validation, n) of near rows."""
        return np.asarray(np.exp((_unit(self._x_validation) @ _unit(self._x).T - 1.0) / KERNEL_WIDTH))

    def _logistic(self, x: Any, x_validation: Any, sample_weight: Float64Array) -> Float64Array:
        """(validation, C) by logistic regression; with one label alone it is always that."""
        used = np.flatnonzero(sample_weight)
        p = np.zeros((len(self._truth), len(self._labels)))
        present = np.unique(self._y[used])
        if len(present) < 2:
            p[:, present] = 1.0
            return p
        model = LogisticRegression(max_iter=100, tol=1e-3).fit(x[used], self._y[used], sample_weight=sample_weight[used])
        p[:, model.classes_] = model.predict_proba(x_validation)
        return p

    def _kernel_average(self, sample_weight: Float64Array, shares: Float64Array) -> Float64Array:
        """(validation, C) labels of the near rows (Nadaraya-Watson). shares: (C,)."""
        near = self._kernel @ (self._onehot * sample_weight[:, None])
        near += PRIOR_SHARE * shares * near.sum(axis=1, keepdims=True) + np.finfo(np.float64).tiny
        p: Float64Array = near / near.sum(axis=1, keepdims=True)
        return p

    def _naive_bayes(self, counts: sparse.csr_matrix, validation: sparse.csr_matrix, sample_weight: Float64Array,
                     shares: Float64Array) -> Float64Array:  # fmt: skip
        """(validation, C) by multinomial naive Bayes; a text's evidence counts as that of the root of its length, for its words depend."""
        seen = (counts.T @ (self._onehot * sample_weight[:, None])).T + WORD_PRIOR  # (C, columns)
        log_words = np.log(seen / seen.sum(axis=1, keepdims=True))
        length = np.maximum(np.asarray(validation.sum(axis=1)), 1.0)  # (validation, 1)
        p: Float64Array = softmax(validation @ log_words.T / np.sqrt(length) + np.log(np.maximum(shares, 1e-9)), axis=1)
        return p


def _unit(x: Float64Array) -> Float64Array:
    found: Float64Array = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
    return found


def _log_counts(counts: sparse.csr_matrix) -> sparse.csr_matrix:
    return counts.astype(np.float64).log1p()


def _frequent(counts: sparse.csr_matrix) -> npt.NDArray[np.int64]:
    """Columns that stand in two rows at least, the most frequent MOST_NGRAMS of them: the rest costs time and tells little."""
    rows_with = np.bincount(counts.indices, minlength=counts.shape[1])
    often = np.flatnonzero(rows_with >= 2)
    kept: npt.NDArray[np.int64] = np.sort(often[np.argsort(-rows_with[often], kind="stable")[:MOST_NGRAMS]])
    return kept if len(kept) else np.zeros(1, dtype=np.int64)  # one column for the library, which tells nothing
