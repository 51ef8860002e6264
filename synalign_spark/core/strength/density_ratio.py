"""How much more likely a synthetic row is among the real rows of its label than among the synthetic ones.

A classifier of real against synthetic rows estimates the ratio of their densities (Sugiyama, Suzuki and Kanamori 2012, chapter 4). It reads
words and word pairs, the whole text of them, or embeddings, which often see the beginning only: the ratios enter the base measure, and
matching the embeddings goes on from there.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from synalign_spark.core.defaults import DENSITY_RATIO_ROWS, LARGEST_LOG_RATIO, ROWS_A_REAL_ROW

Float64Array = npt.NDArray[np.float64]
Groups = npt.NDArray[np.object_]
Features = Any  # (n, buckets) counts of n-grams as csr_matrix, which has no types, or (n, d) embeddings


@dataclass(frozen=True)
class RatioRows:
    """Some rows of one side. features: (n, p); group: (n,); weight: (n,) >= 0; half: (n,), see ``fit_density_ratio``."""

    features: Features
    group: Groups
    weight: Float64Array
    half: npt.NDArray[np.bool_]

    def take(self, rows: npt.NDArray[np.bool_]) -> "RatioRows":
        """The rows where the mask is true."""
        return RatioRows(self.features[rows], self.group[rows], self.weight[rows], self.half[rows])


@dataclass(frozen=True)
class DensityRatio:
    """The fitted classifiers, two a group. coef: (2 * groups, p), by group and half; intercept: (2 * groups,); groups: sorted;
    tfidf: weighs n-grams, None for embeddings and for counts as they are."""

    coef: Features
    intercept: Float64Array
    groups: tuple[str, ...]
    tfidf: TfidfTransformer | None = None

    def log_ratio(self, features: Features, group: Groups, half: npt.NDArray[np.bool_]) -> Float64Array:
        """log p(row | real) - log p(row | synthetic) within the row's group, by the classifier that did not see the row.

        features: (n, p), as the classifiers were fitted on; group, half: (n,). Returns (n,) between -10 and 10; 0 for a group without
        classifiers."""
        if not len(group):
            return np.empty(0)
        scores = _dense(_weighed(self.tfidf, features) @ self.coef.T) + self.intercept  # (n, 2 * groups)
        place = {name: 2 * i for i, name in enumerate(self.groups)}
        own = np.array([place.get(name, -1) for name in group], dtype=np.int64)
        found = np.where(own < 0, 0.0, scores[np.arange(len(own)), np.maximum(own, 0) + half])
        return np.clip(found, -LARGEST_LOG_RATIO, LARGEST_LOG_RATIO)


def fit_density_ratio(real: RatioRows, synthetic: RatioRows, groups: Sequence[str]) -> DensityRatio | None:
    """Fits the classifiers of every group in which both sides have rows with weight; None where there is none.

    half: which classifier a synthetic row is left out of, the one that then scores it, so that no row counts as synthetic because it
    was learnt as such; of the real rows it is not used. Both sides weigh the same, so a logit is the log ratio of densities."""
    real, synthetic = real.take(real.weight > 0), synthetic.take(synthetic.weight > 0)
    usable = [name for name in sorted(groups) if (real.group == name).any() and _in_both_halves(synthetic, name)]
    if not usable:
        return None
    words = sparse.issparse(real.features)
    tfidf = TfidfTransformer(sublinear_tf=True).fit(sparse.vstack([real.features, synthetic.features])) if words else None
    rows, intercepts = [], []
    with threadpool_limits(1):  # else the number of cores changes the last digits
        for name, half in itertools.product(usable, (False, True)):
            others = synthetic.take((synthetic.group == name) & (synthetic.half != half))
            coef, intercept = _fitted(tfidf, real.take(real.group == name), others)
            rows.append(coef)
            intercepts.append(intercept)
    stacked = sparse.vstack(rows, format="csr") if words else np.concatenate(rows)
    return DensityRatio(stacked, np.array(intercepts), tuple(usable), tfidf)


def _in_both_halves(rows: RatioRows, name: str) -> bool:
    return len(set(rows.half[rows.group == name].tolist())) == 2


def _fitted(tfidf: TfidfTransformer | None, real: RatioRows, synthetic: RatioRows) -> tuple[Features, float]:
    """Coefficients (1, p) and intercept of real (1) against synthetic (0)."""
    both = (real.features, synthetic.features)
    x = _weighed(tfidf, sparse.vstack(both) if tfidf else np.concatenate(both))
    rows = min(DENSITY_RATIO_ROWS, ROWS_A_REAL_ROW * float(real.weight.sum() ** 2 / np.sum(real.weight**2)))
    weight = np.concatenate([side.weight * (rows / side.weight.sum()) for side in (real, synthetic)])
    is_real = np.arange(x.shape[0]) < len(real.group)
    met = np.flatnonzero(np.diff(x.tocsc().indptr)) if tfidf else np.arange(x.shape[1])  # the others keep the coefficient 0
    model = LogisticRegression(max_iter=1_000, tol=1e-5).fit(x[:, met], is_real, sample_weight=weight)
    if tfidf is None:
        return np.asarray(model.coef_, dtype=np.float64), float(model.intercept_[0])
    values = model.coef_[0].astype(np.float32)
    return sparse.csr_matrix((values, (np.zeros(len(met), dtype=np.int64), met)), shape=(1, x.shape[1])), float(model.intercept_[0])


def _weighed(tfidf: TfidfTransformer | None, features: Features) -> Features:
    """Features as the classifiers read them."""
    if tfidf is not None:
        return tfidf.transform(features)
    return features if sparse.issparse(features) else np.asarray(features, dtype=np.float64)


def _dense(scores: Features) -> Float64Array:
    return np.asarray(scores.toarray() if sparse.issparse(scores) else scores, dtype=np.float64)
