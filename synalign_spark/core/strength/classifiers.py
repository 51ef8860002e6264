"""p(label | row) by classifiers of embeddings, and the views of the rows that classifiers read: embeddings, and hashed words and word pairs."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedKFold
from threadpoolctl import threadpool_limits

from synalign_spark.core.defaults import SMALLEST_PROBABILITY
from synalign_spark.core.grams import lexical_tokens

Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
Labels = npt.NDArray[np.object_]
Labelled = tuple[npt.NDArray[np.floating], Labels, Float64Array]  # embeddings (n, d), labels (n,), sample weights (n,)

NGRAM_BUCKETS = 2**18  # 2 MB of coefficients a label; a fourth of scikit-learn's default
REGULARIZATIONS = (1.0, 10.0)  # inverse regularisation; unit vectors of 384 numbers often want more than the library's 1
CV_FOLDS, CV_ROWS = 3, 2_000


@dataclass(frozen=True)
class LabelClassifier:
    """Multinomial logistic regression on embeddings. coef: (C, d); intercept: (C,); labels: (C,), sorted."""

    coef: Float64Array
    intercept: Float64Array
    labels: tuple[str, ...]

    def probabilities(self, x: npt.NDArray[np.floating]) -> Float64Array:
        """p(label | row) of every label. x: (n, d). Returns (n, C)."""
        logits = x.astype(np.float64) @ self.coef.T + self.intercept  # (n, C)
        logits -= logits.max(axis=1, keepdims=True)
        p: Float64Array = np.exp(logits)
        p /= p.sum(axis=1, keepdims=True)
        return p

    def predict(self, x: npt.NDArray[np.floating]) -> Labels:
        """The likeliest label of each row. x: (n, d). Returns (n,)."""
        found: Labels = np.array(self.labels, dtype=object)[self.probabilities(x).argmax(axis=1)]
        return found

    def confidence(self, x: npt.NDArray[np.floating], labels: Labels) -> Float64Array:
        """p(label | row) of the label that each row has. x: (n, d); labels: (n,). Returns (n,) in [1e-6, 1]; 1 for a label it never saw."""
        p = self.probabilities(x)
        place = {label: i for i, label in enumerate(self.labels)}
        column = np.array([place.get(label, -1) for label in labels], dtype=np.int64)
        found = np.where(column < 0, 1.0, p[np.arange(len(p)), np.maximum(column, 0)]) if len(p) else np.empty(0)
        return np.maximum(found, SMALLEST_PROBABILITY)


@dataclass(frozen=True)
class SharedClassifiers:
    """The label classifier where real rows are few: one alone has much to be unsure of, so the synthetic rows are asked too.

    real: of the real rows; shared: of the real rows and of one half of the synthetic rows each, the half ``False`` first; ratio: they are of
    synthetic rows alone, and the confidence is the importance p_real / p_synthetic of the method imp (Kuo et al. 2025)."""

    real: LabelClassifier
    shared: tuple[LabelClassifier, LabelClassifier]
    ratio: bool = False

    def confidence(self, x: npt.NDArray[np.floating], labels: Labels, half: npt.NDArray[np.bool_]) -> Float64Array:
        """The geometric mean of p(label | row) by the classifier of the real rows and by the shared one that did not see the row.

        x: (n, d); labels: (n,); half: (n,) that each row is in. Returns (n,) in [1e-6, 1], a ratio in [1e-6, 1e6]."""
        others = np.where(half, self.shared[0].confidence(x, labels), self.shared[1].confidence(x, labels))
        real = self.real.confidence(x, labels)
        return real / others if self.ratio else np.sqrt(real * others)

    def other_labels(self, x: npt.NDArray[np.floating], labels: Labels, half: npt.NDArray[np.bool_]) -> Labels:
        """The label with the largest ``confidence`` where it is not the row's own, None elsewhere, for labels that the real rows do not
        have, and everywhere where the confidence is a ratio. A tie is the row's own label's. x: (n, d); labels, half: (n,). Returns (n,)."""
        found: Labels = np.full(len(x), None, dtype=object)
        if self.ratio or not len(x):
            return found
        of_all = [self.confidence(x, np.full(len(x), name, dtype=object), half) for name in self.real.labels]
        of_all.append(np.where(np.isin(labels.astype(str), self.real.labels), self.confidence(x, labels, half), np.inf))
        best = np.argmax(of_all[::-1], axis=0)  # the row's own label comes first
        other = best > 0
        found[other] = np.array(self.real.labels[::-1], dtype=object)[best[other] - 1]
        return found


def fit_label_classifier(x: npt.NDArray[np.floating], labels: Labels, weight: Float64Array | None = None) -> LabelClassifier:
    """The classifier of labelled rows. x: (n, d); labels: (n,), two different ones at least (ValueError otherwise); weight: (n,) > 0.

    Its regularisation is the one with the smallest log-loss under cross-validation: probabilities, not just decisions, must be right."""
    names = sorted(set(labels))
    if len(names) < 2:
        raise ValueError(f"labels: a classifier needs two at least, got {names}")
    weight = np.ones(len(x)) if weight is None else weight * (len(x) / weight.sum())
    return _fitted(x, labels.astype(str), weight, _best_c(x, labels.astype(str), weight))


def fit_shared_classifiers(real: Labelled, synthetic: Labelled, half: npt.NDArray[np.bool_]) -> SharedClassifiers:
    """The classifiers of few real rows. half: (n,) that each synthetic row is in.

    Both sides weigh the same in the two shared classifiers, however many rows each has. Raises ValueError as ``fit_label_classifier`` does."""
    shared = []
    for rows in (~half, half):
        x, labels = (np.concatenate([r, s[rows]]) for r, s in zip(real[:2], synthetic[:2], strict=True))
        sides = [side / side.sum() for side in (real[2], synthetic[2][rows]) if len(side)]
        shared.append(_fitted(x, labels.astype(str), np.concatenate(sides) * (len(x) / 2), 1.0))
    return SharedClassifiers(fit_label_classifier(*real), (shared[0], shared[1]))


def fit_importance_classifiers(real: Labelled, synthetic: Labelled, half: npt.NDArray[np.bool_]) -> SharedClassifiers:
    """Classifiers of the real rows and of each half of the synthetic ones, for p_real / p_synthetic; with one half alone that stands for both.

    half: (n,) that each synthetic row is in. Raises ValueError as ``fit_label_classifier`` does."""
    parts = [np.flatnonzero(rows) if len(set(synthetic[1][rows])) > 1 else np.arange(len(half)) for rows in (~half, half)]
    first, second = (fit_label_classifier(synthetic[0][rows], synthetic[1][rows], synthetic[2][rows]) for rows in parts)
    return SharedClassifiers(fit_label_classifier(*real), (first, second), ratio=True)


def _fitted(x: npt.NDArray[np.floating], labels: npt.NDArray[np.str_], weight: Float64Array, c: float) -> LabelClassifier:
    with threadpool_limits(1):  # else the number of cores changes the last digits, and with them where the descent stops
        model = LogisticRegression(max_iter=1_000, tol=1e-6, C=c).fit(x, labels, sample_weight=weight)
    coef, intercept = np.asarray(model.coef_, dtype=np.float64), np.asarray(model.intercept_, dtype=np.float64)
    if len(model.classes_) == 2:  # one row of scores for the second class
        coef, intercept = np.concatenate([np.zeros_like(coef), coef]), np.concatenate([np.zeros(1), intercept])
    return LabelClassifier(coef, intercept, tuple(str(name) for name in model.classes_))


def _best_c(x: npt.NDArray[np.floating], labels: npt.NDArray[np.str_], weight: Float64Array) -> float:
    """Of REGULARIZATIONS by the log-loss of three folds over at most CV_ROWS rows; 1 where a label has fewer rows than folds."""
    rows = np.linspace(0, len(x) - 1, min(len(x), CV_ROWS)).astype(np.int64)
    x, y, weight = x[rows], labels[rows], weight[rows]
    if np.unique(y, return_counts=True)[1].min() < CV_FOLDS or set(y) != set(labels):
        return 1.0
    folds = list(StratifiedKFold(CV_FOLDS).split(x, y))

    def loss(c: float, seen: Any, unseen: Any) -> float:
        model = LogisticRegression(max_iter=200, C=c, tol=1e-2).fit(x[seen], y[seen], sample_weight=weight[seen])
        return float(log_loss(y[unseen], model.predict_proba(x[unseen]), sample_weight=weight[unseen], labels=model.classes_))

    with threadpool_limits(1):
        losses = [np.mean([loss(c, seen, unseen) for seen, unseen in folds]) for c in REGULARIZATIONS]
    return REGULARIZATIONS[int(np.argmin(losses))]


def hashed_ngrams(texts: list[str]) -> sparse.csr_matrix:
    """(n, 2^18) counts of words and word pairs by hash; no vocabulary, so nothing is learnt from the rows."""
    hasher = HashingVectorizer(
        n_features=NGRAM_BUCKETS,
        ngram_range=(1, 2),
        norm=None,
        alternate_sign=False,
        dtype=np.float32,
        tokenizer=lexical_tokens,
        token_pattern=None,
    )
    return hasher.transform(texts) if texts else sparse.csr_matrix((0, NGRAM_BUCKETS), dtype=np.float32)


@dataclass(frozen=True)
class Views:
    """The views of some rows. x: (n, d) embeddings; ngrams: (n, buckets) counts, None where there are no texts; labels: (n,);
    weight: (n,) >= 0, how much each counts where the rows validate or train a classifier."""

    x: Float32Array
    ngrams: sparse.csr_matrix | None
    labels: Labels
    weight: Float64Array

    @property
    def labelled(self) -> Labelled:
        """Embeddings, labels and weights."""
        return self.x, self.labels, self.weight

    def take(self, rows: npt.NDArray[Any]) -> "Views":
        """The rows at these places, or where a mask is true."""
        return Views(self.x[rows], None if self.ngrams is None else self.ngrams[rows], self.labels[rows], self.weight[rows])


def together(first: Views, second: Views) -> Views:
    """The rows of both, one after the other."""
    x, labels, weight = (np.concatenate([getattr(first, name), getattr(second, name)]) for name in ("x", "labels", "weight"))
    texts = first.ngrams is not None and second.ngrams is not None
    return Views(x, sparse.vstack([first.ngrams, second.ngrams], format="csr") if texts else None, labels, weight)
