"""Centroids that serve few rows move to groups of rows that have none: what a random start misses, k-means does not find by itself.

To give up centroid i costs at most n_i |c_i - c_j|^2, where its rows go to the nearest other centroid j. To put it among
rows far from all centroids gains what these rows come nearer. A move that gains more than it costs lowers the
inertia (Fritzke 1997, LBG-U, with this bound for the utility). Empty and duplicate centroids cost nothing, so they move first.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from synalign_spark.core.sampling.neighbours import nearest

Float64Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

BLOCK_NUMBERS = 2**22  # distances held at once


def relocated(centroids: Float64Array, counts: Float64Array, far: Float64Array, rows_each: float) -> tuple[Float64Array, int]:
    """Moves centroids to far rows while each move lowers the inertia.

    centroids: (k, d); counts: (k,) rows at each; far: (m, d) the rows farthest from their centroids, of which each stands for
    ``rows_each`` rows. Returns new centroids (k, d) and how many moved.

    >>> moved = relocated(np.array([[0.0], [0.0], [1.0]]), np.array([9.0, 0.0, 9.0]), np.array([[7.0], [7.5]]), 1.0)
    >>> moved[0].ravel().tolist(), moved[1]
    ([0.0, 7.25, 1.0], 1)"""
    centroids, moved = centroids.copy(), 0
    costs, heirs = _costs(centroids, counts)
    places = _Places(far, nearest(far, centroids)[1], rows_each)
    gone, inherited = np.zeros(len(counts), dtype=bool), np.zeros(len(counts), dtype=bool)
    for i in np.argsort(costs, kind="stable"):
        if inherited[i] or gone[heirs[i]]:  # its cost is no longer this
            continue
        found = places.best(costs[i])
        if found is None:
            break
        centroids[i] = found
        gone[i] = inherited[heirs[i]] = True
        moved += 1
    return centroids, moved


@dataclass
class _Places:
    """Where a further centroid would gain most. rows: (m, d); sq_dist: (m,) to the nearest centroid, moved ones too."""

    rows: Float64Array
    sq_dist: Float64Array
    rows_each: float

    def __post_init__(self) -> None:
        rows = (self.rows - self.rows.mean(axis=0)).astype(np.float32) if len(self.rows) else self.rows.astype(np.float32)
        square = np.square(rows).sum(axis=1)
        self._pairs = square[:, None] + square - 2 * rows @ rows.T  # (m, m), float32: only to shortlist
        self._gains = self._gains_at(np.arange(len(rows)))
        # Distances below it are rounding: equal rows gain nothing.
        self._least = 64 * np.finfo(np.float64).eps * float(np.square(self.rows).sum(axis=1).max(initial=0.0))

    def best(self, cost: float) -> Float64Array | None:
        """The (d,) mean of the rows that come nearer, if they gain more than the cost; they are then nearer."""
        if not len(self.rows):
            return None
        first = int(self._gains.argmax())
        nearer = self._pairs[first] < self.sq_dist
        nearer[first] = True
        centre: Float64Array = self.rows[nearer].mean(axis=0)
        sq_dist = np.square(self.rows - centre).sum(axis=1)
        nearer = sq_dist < self.sq_dist
        gain = float((self.sq_dist - sq_dist)[nearer].sum())
        if gain <= self._least or gain * self.rows_each <= cost:
            return None
        changed = np.flatnonzero(nearer)
        self._gains -= self._gains_at(changed)
        self.sq_dist = np.minimum(self.sq_dist, sq_dist)
        self._gains += self._gains_at(changed)
        return centre

    def _gains_at(self, rows: IntArray) -> Float64Array:
        """What the given rows would gain by a centroid at each row, (m,)."""
        gains: Float64Array = np.maximum(self.sq_dist[rows] - self._pairs[:, rows], 0.0).sum(axis=1)
        return gains


def _costs(centroids: Float64Array, counts: Float64Array) -> tuple[Float64Array, IntArray]:
    """What giving up each centroid costs at most, (k,), and the centroid that its rows would go to, (k,)."""
    k = len(centroids)
    if k == 1:
        return np.full(1, np.inf if counts[0] else 0.0), np.zeros(1, dtype=np.int64)
    heirs, sq_dist = np.empty(k, dtype=np.int64), np.empty(k)
    centred = centroids - centroids.mean(axis=0)
    square = np.square(centred).sum(axis=1)
    step = max(1, BLOCK_NUMBERS // k)
    for start in range(0, k, step):
        own = np.arange(start, min(start + step, k))
        distances = square[own, None] + square - 2 * centred[own] @ centred.T
        distances[np.arange(len(own)), own] = np.inf
        heirs[own] = distances.argmin(axis=1)
        sq_dist[own] = np.square(centroids[own] - centroids[heirs[own]]).sum(axis=1)
    return counts * sq_dist, heirs
