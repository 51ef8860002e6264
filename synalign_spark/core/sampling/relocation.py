"""Centroids that serve few rows move to groups of rows that have none: what a random start misses, k-means does not find by itself.

To give up a centroid costs what its cluster and another lose when they become one (Ward 1963). A further centroid among rows far
from all centroids gains what these rows come nearer. A move that gains more than it costs lowers the inertia (the idea of
LBG-U, Fritzke 1997). Empty and duplicate centroids cost nothing, so they move first.
"""

import numpy as np
import numpy.typing as npt

from synalign_spark.core.sampling.neighbours import nearest

Float64Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

BLOCK_NUMBERS = 2**22  # distances held at once
TRIES = 32  # places that disappoint before no centroid moves
ROUNDS = 3  # of rows that come nearer, and their mean


def relocated(
    centroids: Float64Array, counts: Float64Array, far: Float64Array, rows_each: float, spread: float
) -> tuple[Float64Array, int]:
    """Moves centroids to far rows while each move lowers the inertia.

    centroids: (k, d), means of their rows; counts: (k,) rows at each; far: (m, d) the rows farthest from their centroids, of which each
    stands for ``rows_each`` rows; spread: mean squared distance of a row to its centroid.
    Returns new centroids (k, d) and how many moved. The inertia falls for sure where each row is nearest to the mean of its own cluster.

    >>> moved = relocated(np.array([[0.0], [0.0], [1.0]]), np.array([9.0, 0.0, 9.0]), np.array([[7.0], [7.5]]), 1.0, 0.1)
    >>> moved[0].ravel().tolist(), moved[1]
    ([7.25, 0.0, 1.0], 1)"""
    centroids, moved = centroids.copy(), 0
    costs, heirs = _costs(centroids, counts)
    used = np.flatnonzero(counts > 0)
    owners, sq_dist = nearest(far, centroids[used])
    places = _Places(far, used[owners], sq_dist, spread)
    settled = np.zeros(len(counts), dtype=bool)  # moved, or heir of one that moved: its cost is no longer this
    for i in np.argsort(costs, kind="stable"):
        heir = heirs[i]
        if settled[i] or settled[heir]:
            continue
        merged = (counts[i] * centroids[i] + counts[heir] * centroids[heir]) / max(counts[i] + counts[heir], 1.0) if counts[i] else None
        found = places.best(costs[i] / rows_each, int(i), int(heir), merged)
        if found is None:
            break
        centroids[i], settled[i], moved = found, True, moved + 1
        if merged is not None:
            centroids[heir], settled[heir] = merged, True
    return centroids, moved


class _Places:
    """Where a further centroid would gain most."""

    def __init__(self, rows: Float64Array, owners: IntArray, sq_dist: Float64Array, spread: float) -> None:
        """rows: (m, d); owners: (m,) their nearest centroids; sq_dist: (m,) to these; spread: expected of a row to the mean of its group."""
        self._rows, self._owners, self._sq_dist = rows, owners, sq_dist
        self._square = np.square(rows).sum(axis=1)
        near, square = rows.astype(np.float32), self._square.astype(np.float32)
        # To the mean of a group it is nearer than to one of its rows, by half as much. (m, m) float32: only to shortlist.
        self._pairs = square[:, None] + square - 2 * (near @ near.T) - np.float32(spread / 2)
        self._gains = self._gains_at(np.arange(len(rows)))
        # Distances below it are rounding: equal rows gain nothing.
        self._least = 16 * np.finfo(np.float64).eps * len(rows) * float(self._square.max(initial=0.0))

    def best(self, cost: float, mover: int, heir: int, merged: Float64Array | None) -> Float64Array | None:
        """The mean (d,) of rows that come nearer by more than ``cost`` in all, once the mover's rows and the heir's are at ``merged`` (None:
        the mover has none). Then they are nearer."""
        without = self._without(mover, heir, merged)
        for _ in range(min(TRIES, len(self._rows))):
            first = int(self._gains.argmax())
            centre, sq_dist = self._centre(first, without)
            nearer = sq_dist < without
            if float((without - sq_dist)[nearer].sum()) > max(cost, self._least):
                self._owners = np.where(nearer, mover, np.where(self._owners == mover, heir, self._owners))
                self._update(np.minimum(without, sq_dist))
                return centre
            self._gains[first] = -np.inf
        return None

    def _centre(self, first: int, without: Float64Array) -> tuple[Float64Array, Float64Array]:
        """A place for a centroid about one of the rows, or that row, whichever gains more: (d,), and squared distances to it, (m,)."""
        centre: Float64Array = self._rows[first]
        sq_dist = self._from(centre)
        nearer = self._pairs[first] < without
        for _ in range(ROUNDS):
            if not nearer.any():
                break
            other = self._rows[nearer].mean(axis=0)
            from_other = self._from(other)
            if np.maximum(without - from_other, 0.0).sum() <= np.maximum(without - sq_dist, 0.0).sum():
                break
            centre, sq_dist, nearer = other, from_other, from_other < without
        return centre, sq_dist

    def _without(self, mover: int, heir: int, merged: Float64Array | None) -> Float64Array:
        """Squared distances of the rows once the mover is gone, (m,); never more than is sure."""
        if merged is None:
            return self._sq_dist
        sq_dist = self._from(merged)
        theirs = (self._owners == mover) | (self._owners == heir)
        sq_dist[~theirs] = np.minimum(self._sq_dist, sq_dist)[~theirs]
        return sq_dist

    def _from(self, place: Float64Array) -> Float64Array:
        """Squared distances of the rows to a place, (m,)."""
        found: Float64Array = np.maximum(self._square - 2 * (self._rows @ place) + place @ place, 0.0)
        return found

    def _update(self, sq_dist: Float64Array) -> None:
        changed = np.flatnonzero(sq_dist != self._sq_dist)
        self._gains -= self._gains_at(changed)
        self._sq_dist = sq_dist
        self._gains += self._gains_at(changed)

    def _gains_at(self, rows: IntArray) -> Float64Array:
        """What the given rows would gain by a centroid near each row, (m,), about."""
        gains: Float64Array = np.maximum(self._sq_dist[rows] - self._pairs[:, rows], 0.0).sum(axis=1)
        return gains


def _costs(centroids: Float64Array, counts: Float64Array) -> tuple[Float64Array, IntArray]:
    """What giving up each centroid costs, (k,), and the centroid that its rows would share, (k,)."""
    k = len(centroids)
    costs, heirs = np.full(k, np.inf), np.zeros(k, dtype=np.int64)
    centred = centroids - centroids.mean(axis=0)
    square = np.square(centred).sum(axis=1)
    step = max(1, BLOCK_NUMBERS // k)
    for start in range(0, k if k > 1 else 0, step):
        own = np.arange(start, min(start + step, k))
        merged = counts[own, None] * counts / np.maximum(counts[own, None] + counts, 1.0)
        ward = merged * np.maximum(square[own, None] + square - 2 * (centred[own] @ centred.T), 0.0)
        ward[np.arange(len(own)), own] = np.inf
        heirs[own] = ward.argmin(axis=1)
        costs[own] = ward[np.arange(len(own)), heirs[own]]
    costs[counts == 0] = 0.0
    return costs, heirs
