"""How much more likely the words of a synthetic row are among the real rows of its label than among the synthetic ones.

A classifier of real against synthetic rows estimates the ratio of their densities (Sugiyama, Suzuki and Kanamori 2012, chapter 4). Here it
reads words and word pairs, the whole text of them, where the alignment reads an embedding, which often sees its beginning only: the ratio
enters the base measure, and matching the embeddings goes on from there.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from synalign_spark.core.defaults import DENSITY_RATIO_ROWS, LARGEST_LOG_RATIO

Float64Array = npt.NDArray[np.float64]
Groups = npt.NDArray[np.object_]


@dataclass(frozen=True)
class Texts:
    """Some rows of one side. ngrams: (n, buckets) counts; group: (n,); weight: (n,) >= 0; half: (n,), see ``fit_density_ratio``."""

    ngrams: sparse.csr_matrix
    group: Groups
    weight: Float64Array
    half: npt.NDArray[np.bool_]

    def take(self, rows: npt.NDArray[np.bool_]) -> "Texts":
        """The rows where the mask is true."""
        return Texts(self.ngrams[rows], self.group[rows], self.weight[rows], self.half[rows])


def joined(parts: Sequence[Texts]) -> Texts:
    """The rows of several."""
    ngrams = sparse.vstack([part.ngrams for part in parts], format="csr")
    group, weight, half = (np.concatenate([getattr(part, name) for part in parts]) for name in ("group", "weight", "half"))
    return Texts(ngrams, group, weight, half)


@dataclass(frozen=True)
class DensityRatio:
    """The fitted classifiers, two a group. tfidf: weighs n-grams; coef: (2 * groups, buckets), by group and half; intercept:
    (2 * groups,); groups: sorted."""

    tfidf: TfidfTransformer
    coef: sparse.csr_matrix
    intercept: Float64Array
    groups: tuple[str, ...]

    def log_ratio(self, ngrams: sparse.csr_matrix, group: Groups, half: npt.NDArray[np.bool_]) -> Float64Array:
        """log p(words | real) - log p(words | synthetic) within the row's group, by the classifier that did not see the row.

        ngrams: (n, buckets) counts; group, half: (n,). Returns (n,) between -10 and 10; 0 for a group without classifiers."""
        if not len(group):
            return np.empty(0)
        scores = (self.tfidf.transform(ngrams) @ self.coef.T).toarray() + self.intercept  # (n, 2 * groups)
        place = {name: 2 * i for i, name in enumerate(self.groups)}
        own = np.array([place.get(name, -1) for name in group], dtype=np.int64)
        found = np.where(own < 0, 0.0, scores[np.arange(len(own)), np.maximum(own, 0) + half])
        return np.clip(found, -LARGEST_LOG_RATIO, LARGEST_LOG_RATIO)


def fit_density_ratio(real: Texts, synthetic: Texts, groups: Sequence[str]) -> DensityRatio | None:
    """Fits the classifiers of every group in which both sides have rows with weight; None where there is none.

    half: which classifier a synthetic row is left out of, the one that then scores it, so that no row counts as synthetic because it
    was learnt as such; of the real rows it is not used. Both sides weigh the same, so a logit is the log ratio of densities."""
    real, synthetic = real.take(real.weight > 0), synthetic.take(synthetic.weight > 0)
    usable = [name for name in sorted(groups) if (real.group == name).any() and _in_both_halves(synthetic, name)]
    if not usable:
        return None
    tfidf = TfidfTransformer(sublinear_tf=True).fit(sparse.vstack([real.ngrams, synthetic.ngrams]))
    rows, intercepts = [], []
    for name in usable:
        real_rows = real.take(real.group == name)
        for half in (False, True):
            synthetic_rows = synthetic.take((synthetic.group == name) & (synthetic.half != half))
            coef, intercept = _fitted(tfidf, real_rows, synthetic_rows)
            rows.append(coef)
            intercepts.append(intercept)
    return DensityRatio(tfidf, sparse.vstack(rows, format="csr"), np.array(intercepts), tuple(usable))


def _in_both_halves(rows: Texts, name: str) -> bool:
    return len(set(rows.half[rows.group == name].tolist())) == 2


def _fitted(tfidf: TfidfTransformer, real: Texts, synthetic: Texts) -> tuple[sparse.csr_matrix, float]:
    """Coefficients (1, buckets) and intercept of real (1) against synthetic (0)."""
    x = tfidf.transform(sparse.vstack([real.ngrams, synthetic.ngrams])).tocsc()
    met = np.flatnonzero(np.diff(x.indptr))  # the others keep the coefficient 0
    weight = np.concatenate([side.weight * (DENSITY_RATIO_ROWS / side.weight.sum()) for side in (real, synthetic)])
    is_real = np.arange(x.shape[0]) < real.ngrams.shape[0]
    with threadpool_limits(1):  # else the number of cores changes the last digits
        model = LogisticRegression(max_iter=1_000, tol=1e-5).fit(x[:, met].tocsr(), is_real, sample_weight=weight)
    values = model.coef_[0].astype(np.float32)
    return sparse.csr_matrix((values, (np.zeros(len(met), dtype=np.int64), met)), shape=(1, x.shape[1])), float(model.intercept_[0])
