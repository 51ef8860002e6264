"""p(label | text) by a logistic regression on hashed words and word pairs: which label a text sounds like."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from synalign_spark.core.strength.classifiers import Float64Array, Labels, hashed_ngrams

INVERSE_REGULARIZATION = 10.0  # unit vectors of many features want more than the library's 1; the larger of classifiers.REGULARIZATIONS


def fit_text_labels(texts: Sequence[str], labels: Sequence[str]) -> Callable[[Sequence[str], Labels], Float64Array]:
    """A function of (texts, labels) that gives p(label | text) of each, shape (n,): 0 for a label that it never saw.

    texts, labels: n each, of two labels at least (ValueError otherwise). The same rows in the same order give the same function."""
    if len(set(labels)) < 2:
        raise ValueError(f"labels: a classifier needs two at least, got {sorted(set(labels))}")
    counts = hashed_ngrams(list(texts))
    scale = TfidfTransformer(sublinear_tf=True).fit(counts)
    with threadpool_limits(1):  # else the number of cores changes the last digits
        model = LogisticRegression(C=INVERSE_REGULARIZATION, max_iter=200, tol=1e-3).fit(scale.transform(counts), np.array(labels))
    place = {str(label): column for column, label in enumerate(model.classes_)}

    def probability(asked: Sequence[str], asked_labels: Labels) -> Float64Array:
        p = np.asarray(model.predict_proba(scale.transform(hashed_ngrams(list(asked)))), dtype=np.float64)  # (n, C)
        column: npt.NDArray[np.int64] = np.array([place.get(str(label), -1) for label in asked_labels], dtype=np.int64)
        return np.where(column < 0, 0.0, p[np.arange(len(p)), np.maximum(column, 0)])

    return probability
