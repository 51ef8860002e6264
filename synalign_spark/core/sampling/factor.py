"""The Cholesky factor of a Gaussian process's covariance, pivoted: one column for each candidate observed, k entries long.

Columns are added a block at a time, by products of matrices. Once more candidates were observed than there are, the
covariance that they left is the smaller state: see ``fold``.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.linalg import blas, cholesky
from scipy.spatial.distance import cdist

Float64Array = npt.NDArray[np.float64]

EXPANSION_ROUNDING = 1e-13  # of a squared distance over the squared length scale by |a|^2 + |b|^2 - 2 a.b; above it by differences
PART = 16_384  # candidates whose entries are computed together: 8 MiB a block of 64 columns


class PivotedFactor:
    """Posterior variance at k candidates, of prior variance 1, given noisy observations at some of them.

    columns: (>= used, k) float64, row j is the j-th column of the factor since the last ``fold``; variance: (k,);
    prior_variance: (k,) without these columns.

    >>> factor = PivotedFactor(np.array([[0.0], [9e3]]), length_scale=1.0, noise=1.0)
    >>> factor.add([1])
    >>> factor.variance
    array([1. , 0.5])"""

    def __init__(self, centroids: Float64Array, length_scale: float, noise: float) -> None:
        """centroids: (k, d) float64; length_scale: of the RBF kernel; noise: standard deviation of an observation."""
        self._x, self._length_scale, self.noise = centroids, length_scale, noise
        self._square = np.square(centroids).sum(axis=1)  # (k,)
        if not self._expands():  # far from the origin, perhaps not from each other
            self._x = centroids - centroids.mean(axis=0)
            self._square = np.square(self._x).sum(axis=1)
        self._by_expansion = self._expands()
        self._covariance: Float64Array | None = None  # after a fold
        self.columns, self.used = np.empty((0, len(centroids))), 0
        self.prior_variance = np.ones(len(centroids))
        self.variance = self.prior_variance.copy()

    def reserve(self, count: int) -> None:
        """Makes room for ``count`` more columns: one buffer, grown once."""
        if self.used + count > len(self.columns):
            grown = np.empty((self.used + count, len(self.variance)))
            grown[: self.used] = self.columns[: self.used]
            self.columns = grown

    def add(self, pivots: Sequence[int]) -> None:
        """Observes candidates, in this order, each as often as it is named."""
        self.reserve(len(pivots))
        new = self.columns[self.used : self.used + len(pivots)]
        for start in range(0, len(self.variance), PART):
            part = slice(start, start + PART)
            new[:, part] = self.extended(pivots, part)
            self.variance[part] -= np.square(new[:, part]).sum(axis=0)
        self.used += len(pivots)

    def extended(self, pivots: Sequence[int], at: Any) -> Float64Array:
        """The columns that observing the pivots would add, at the candidates ``at`` (indices or a slice). Returns (b, m).

        Forward substitution by blocks (Golub & Van Loan 2013, sec. 4.2.9)."""
        done = self.columns[: self.used]
        above = done[:, pivots]  # (j, b)
        of_pivots = self.prior(pivots, pivots) - above.T @ above
        of_pivots[np.diag_indices(len(pivots))] += self.noise**2
        lower = cholesky(of_pivots, lower=True, check_finite=False)
        remaining = self.prior(pivots, at) - above.T @ done[:, at]  # (b, m)
        solved: Float64Array = blas.dtrsm(1.0, lower, remaining.T, side=1, lower=1, trans_a=1, overwrite_b=1).T
        return solved

    def prior(self, rows: Sequence[int], at: Any) -> Float64Array:
        """Covariance of the candidates ``rows`` with those ``at`` before the columns were added, (b, m)."""
        if self._covariance is not None:
            return self._covariance[rows][:, at]
        if self._by_expansion:
            sq_dist = self._square[rows, None] + self._square[at] - 2 * (self._x[rows] @ self._x[at].T)
        else:
            sq_dist = cdist(self._x[rows], self._x[at], "sqeuclidean")
        kernel: Float64Array = np.exp(np.maximum(sq_dist, 0.0, out=sq_dist) / (-2 * self._length_scale**2))
        return kernel

    def fold(self) -> None:
        """Exchanges the columns for the posterior covariance of all pairs, (k, k)."""
        done = self.columns[: self.used]
        self._covariance = self.prior(range(len(self.variance)), slice(None)) - done.T @ done
        self.columns, self.used = np.empty((0, len(self.variance))), 0
        self.prior_variance = self.variance.copy()

    def _expands(self) -> bool:
        """Whether expanded squared distances are as good as those of differences."""
        rounding = 4 * np.finfo(np.float64).eps * float(self._square.max())
        return bool(rounding <= EXPANSION_ROUNDING * self._length_scale**2)
