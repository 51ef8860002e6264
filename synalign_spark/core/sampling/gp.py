"""Exploration-aware sampling: pick the centroids that a Gaussian process knows least about.

The posterior variance with the centroids S known, v(c) = k(c,c) - k(c,S) (K_SS + s^2 I)^-1 k(S,c), needs no targets, so
the loop is a pivoted Cholesky decomposition of K: the j-th one picked adds one column, v falls by its
square. Since v never rises, a stale value bounds the fresh one, and most candidates need no look at most steps.
"""

import heapq
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy.spatial.distance import pdist

Float64Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

# Two acquisitions that differ by less are a tie: below it lies the rounding of the decomposition.
TIE = 1e-9
MEDIAN_OF_MOST = 2_000  # centroids; their pairs take 16 MB
UNLIMITED = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Selected:
    """One candidate that was picked. position: its row; posterior_sd: before it was picked; acquisition: the value that won."""

    position: int
    posterior_sd: float
    acquisition: float


@dataclass(frozen=True)
class Trace:
    """How uncertainty fell: one entry for each candidate picked. mean_sd: mean by cluster share of the candidates' posterior standard
    deviation afterwards, (t,); coverage: share of the rows in clusters whose standard deviation is below the reach, (t,)."""

    mean_sd: Float64Array
    coverage: Float64Array


@dataclass
class Tracker:
    """The state of the Gaussian process over the candidates; each call of ``pick`` goes on from where the last one ended.

    centroids: (k, d) float64, in the order that breaks ties (by id); share: (k,) share of the rows, > 0;
    length_scale: of the RBF kernel, in units of distance; noise: standard deviation s; alpha: exponent of cluster share.
    picked: positions so far, in order; columns: (k, >= len(picked)) of the Cholesky factor, row c filled up to
    filled[c]; evaluations: column entries computed, the cost so far."""

    centroids: Float64Array
    share: Float64Array
    length_scale: float
    noise: float
    alpha: float = 0.0
    picked: list[int] = field(default_factory=list)
    columns: Float64Array = field(default_factory=lambda: np.empty((0, 0)))
    filled: IntArray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    evaluations: int = 0

    def __post_init__(self) -> None:
        self.centroids = np.ascontiguousarray(self.centroids, dtype=np.float64)
        self.share = np.asarray(self.share, dtype=np.float64)
        k = len(self.centroids)
        if not k or self.share.shape != (k,) or not (self.share > 0).all():
            raise ValueError(f"cluster share must hold one positive number for each of the {k} centroids; leave out empty clusters")
        for name in ("length_scale", "noise"):
            if not 0 < getattr(self, name) < np.inf:
                raise ValueError(f"{name} must be positive and finite, got {getattr(self, name)}")
        if not len(self.filled):
            self.columns, self.filled = np.zeros((k, 8)), np.zeros(k, dtype=np.int64)

    def pick(self, count: int, capacity: IntArray | None = None) -> list[Selected]:
        """The next ``count`` candidates: each the largest sd * cluster share^alpha, ties to the earlier candidate.

        capacity: (k,) how often each candidate may still be picked, any number of times by default; fewer
        are returned where it runs out. A candidate may win again: noise keeps its variance above zero."""
        left = np.full(len(self.share), UNLIMITED) if capacity is None else np.array(capacity, dtype=np.int64)
        weight = self.share**self.alpha
        queue = [(-self._sd(c) * weight[c], c) for c in np.flatnonzero(left > 0).tolist()]  # stale: upper bounds
        heapq.heapify(queue)
        selected: list[Selected] = []
        while queue and len(selected) < count:
            fresh = self._freshen_top(queue, weight)
            best = max(value for value, _ in fresh)
            value, winner = min(((value, c) for value, c in fresh if value >= best * (1 - TIE)), key=lambda pair: pair[1])
            selected.append(Selected(winner, self._sd(winner), value))
            left[winner] -= 1
            self._append(winner)
            for value, c in fresh:
                if left[c] > 0:
                    heapq.heappush(queue, (-value, c))
        return selected

    def replay(self, positions: Iterable[int]) -> None:
        """Picks what an earlier round picked, so that this round goes on from the variance that it left."""
        for position in positions:
            self._fill(position, len(self.picked))
            self._append(position)

    def posterior_sd(self) -> Float64Array:
        """Posterior standard deviation at every candidate, given all that were picked, (k,)."""
        for c in range(len(self.share)):
            self._fill(c, len(self.picked))
        drop: Float64Array = np.square(self.columns[:, : len(self.picked)]).sum(axis=1)
        return np.sqrt(np.maximum(1.0 - drop, 0.0))

    def trace(self, reach_sd: float, start: int = 0) -> Trace:
        """Mean uncertainty and coverage after each candidate picked, from number ``start`` on; fills what the queue left out."""
        self.posterior_sd()
        drop = np.cumsum(np.square(self.columns[:, : len(self.picked)]), axis=1)[:, start:]  # (k, t)
        sd = np.sqrt(np.maximum(1.0 - drop, 0.0))
        share = self.share / self.share.sum()
        return Trace(share @ sd, 1.0 - share @ (sd >= reach_sd))  # exactly 1 once nothing is left out

    def _freshen_top(self, queue: list[tuple[float, int]], weight: Float64Array) -> list[tuple[float, int]]:
        """Pops and updates candidates until no bound left in the queue could win or tie. Returns (value, candidate)."""
        fresh: list[tuple[float, int]] = []
        best = 0.0
        while queue and -queue[0][0] >= best * (1 - TIE):
            _, c = heapq.heappop(queue)
            self._fill(c, len(self.picked))
            fresh.append((self._sd(c) * float(weight[c]), c))
            best = max(best, fresh[-1][0])
        return fresh

    def _sd(self, c: int) -> float:
        """Posterior standard deviation at candidate c by the columns that it has: prior variance 1 less their squares."""
        seen = self.columns[c, : self.filled[c]]
        return float(np.sqrt(max(1.0 - float(seen @ seen), 0.0)))

    def _fill(self, c: int, upto: int) -> None:
        """Row c of the Cholesky factor of K + s^2 I, by forward substitution (Rasmussen & Williams 2006, alg. 2.1)."""
        start = int(self.filled[c])
        if start >= upto:
            return
        pivots = self.picked[start:upto]
        kernel = np.exp(np.square(self.centroids[pivots] - self.centroids[c]).sum(axis=1) / (-2 * self.length_scale**2))
        row = self.columns[c]
        for j, pivot in enumerate(pivots, start):
            # The pivot's own row holds its entries up to j from when it was picked, whatever came later.
            above = self.columns[pivot, :j]
            diagonal = 1.0 + self.noise**2 - float(above @ above)
            row[j] = (kernel[j - start] - float(above @ row[:j])) / np.sqrt(diagonal)
        self.filled[c] = upto
        self.evaluations += upto - start

    def _append(self, position: int) -> None:
        """Adds an up-to-date candidate to those picked."""
        self.picked.append(int(position))
        if len(self.picked) > self.columns.shape[1]:
            self.columns = np.concatenate([self.columns, np.zeros_like(self.columns)], axis=1)


@dataclass
class DenseTracker:
    """The same Gaussian process with the posterior covariance of all candidates at hand: a pick costs O(k^2), however many came before.

    covariance: (k, k); share: (k,) share of the rows; noise, alpha: as of the :class:`Tracker` that it goes on from."""

    covariance: Float64Array
    share: Float64Array
    noise: float
    alpha: float

    @classmethod
    def after(cls, tracker: Tracker) -> "DenseTracker":
        """The state that a tracker's picks have left."""
        tracker.posterior_sd()  # fills its columns
        columns = tracker.columns[:, : len(tracker.picked)]
        square = np.square(tracker.centroids).sum(axis=1)
        distance = np.maximum(square[:, None] + square - 2 * tracker.centroids @ tracker.centroids.T, 0.0)  # (k, k), squared
        np.fill_diagonal(distance, 0.0)
        prior = np.exp(distance / (-2 * tracker.length_scale**2))
        return cls(prior - columns @ columns.T, tracker.share, tracker.noise, tracker.alpha)

    def posterior_sd(self) -> Float64Array:
        """Posterior standard deviation at every candidate, (k,)."""
        return np.sqrt(np.maximum(self.covariance.diagonal(), 0.0))

    def pick(self, capacity: IntArray) -> Selected | None:
        """The next candidate, by the rule of :meth:`Tracker.pick`, or None. capacity: (k,) how often each may still be picked."""
        sd = self.posterior_sd()
        value = np.where(capacity > 0, sd * self.share**self.alpha, -1.0)
        if value.max() < 0:
            return None
        winner = int(np.argmax(value >= value.max() * (1 - TIE)))
        selected = Selected(winner, float(sd[winner]), float(value[winner]))
        # One observation more of the winner (Rasmussen & Williams 2006, eq. 2.26, for a single point).
        column = self.covariance[:, winner].copy()
        self.covariance -= np.outer(column, column / (column[winner] + self.noise**2))
        return selected

    def reached(self, reach_sd: float) -> tuple[float, float]:
        """(mean by cluster share of the posterior standard deviations, share of the rows in clusters where it is below ``reach_sd``)."""
        sd, share = self.posterior_sd(), self.share / self.share.sum()
        return float(share @ sd), float(1.0 - share @ (sd >= reach_sd))


def median_length_scale(centroids: Float64Array) -> float:
    """Median distance between centroids, (k, d); 1 where there are no two different ones.

    Looks at MEDIAN_OF_MOST centroids at most, evenly spaced."""
    if len(centroids) > MEDIAN_OF_MOST:
        centroids = centroids[np.linspace(0, len(centroids) - 1, MEDIAN_OF_MOST).astype(np.int64)]
    distances = pdist(centroids)
    median = float(np.median(distances)) if len(distances) else 0.0
    return median if median > 0 else 1.0
