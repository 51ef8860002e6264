"""The ratio of densities by bags of n-grams: DSIR (Xie et al. 2023, section 4), the method of another paper, for comparison."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import sparse

from synalign_spark.core.strength.density_ratio import DensityRatio, RatioRows

Float64Array = npt.NDArray[np.float64]


def fit_bag_ratio(real: RatioRows, synthetic: RatioRows, groups: Sequence[str]) -> DensityRatio | None:
    """log p(n-gram | real) - log p(n-gram | synthetic) of each group, counts smoothed by one, to be added up over a row's n-grams; None
    where no group has rows on both sides. Only n-grams that a group's rows have count. real, synthetic: counts of hashed n-grams."""
    usable = [name for name in sorted(groups) if (real.group == name).any() and (synthetic.group == name).any()]
    if not usable:
        return None
    rows = []
    for name in usable:
        p, q = (_totals(side, name) for side in (real, synthetic))
        met = np.flatnonzero(p + q)
        log_ratio = np.log((p[met] + 1) / (p.sum() + len(met))) - np.log((q[met] + 1) / (q.sum() + len(met)))
        row = sparse.csr_matrix((log_ratio, (np.zeros(len(met), dtype=np.int64), met)), shape=(1, len(p)))
        rows += [row, row]  # both halves: nothing is learnt by heart
    return DensityRatio(sparse.vstack(rows, format="csr"), np.zeros(len(rows)), tuple(usable))


def _totals(side: RatioRows, name: str) -> Float64Array:
    """(buckets,) weighted counts of a group; weights of mean 1."""
    rows = side.group == name
    weight = side.weight[rows] * (rows.sum() / side.weight[rows].sum())
    found: Float64Array = np.asarray(side.features[rows].T @ weight, dtype=np.float64).ravel()
    return found
