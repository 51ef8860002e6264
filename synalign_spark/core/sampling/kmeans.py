"""Mini-batch k-means over the rows of all ranks (Sculley 2010), finished by full passes (Lloyd 1982).

Every random choice is keyed by the rows' keys, so the result depends on the rows and the seed and not on how many ranks hold them.
What is exchanged a step: k * d sums and k counts; a full pass, besides: the rows that are farthest from their centroids.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from synalign_spark.core.communicator import Communicator
from synalign_spark.core.sampling.neighbours import nearest
from synalign_spark.core.sampling.relocation import relocated
from synalign_spark.core.sampling.row_sequence import RowSequence

Float64Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Matrix = npt.NDArray[Any]

BLOCK_ROWS = 8_192  # their distances to 1,000 centroids take 32 MB in float32
# k-means++ looks at this many rows a cluster: more does not lower the final inertia, see the tests.
SEEDING_ROWS_PER_CLUSTER = 20
# Mini-batches win while they gain quickly; below this gain a window of so many, full passes do the rest better.
MINI_BATCH_GAIN, WINDOW = 0.01, 8
FAR_ROWS, FAR_AMONG = 2_048, 2**18  # rows that centroids may move to, the farthest of so many


@dataclass(frozen=True)
class KMeansFit:
    """The result of :func:`fit`.

    centroids: (k, d) float64, by falling number of rows, ties by coordinates; counts: (k,) rows of the fit
    nearest to each, none zero; inertia: sum of squared distances; passes: passes over the rows, mini-batch
    epochs included; converged: stopped by the tolerance, not by the limit."""

    centroids: Float64Array
    counts: IntArray
    inertia: float
    passes: int
    converged: bool


@dataclass(frozen=True)
class _Sums:
    """One pass over some rows: sums (k, d), counts (k,), inertia, and the squared distances of the local rows."""

    sums: Float64Array
    counts: Float64Array
    inertia: float
    local_sq_dist: Float64Array


def fit(
    x: Matrix,
    keys: Float64Array,
    k: int,
    comm: Communicator,
    *,
    seed: int,
    batch_rows: int = 4_096,
    max_epochs: int = 20,
    tolerance: float = 3e-4,
) -> KMeansFit:
    """k-means of the rows of all ranks.

    x: (n, d) rows of this rank, float32 or float64, finite; keys: (n,) a random number in (0, 1) that belongs to each row.
    k: clusters; batch_rows: rows a mini-batch, about, over all ranks; max_epochs: most passes over the rows;
    tolerance: stop when the inertia falls by less than this share in a pass.
    Returns the same result on every rank; fewer than k centroids where there are fewer distinct rows.
    Raises ValueError for fewer rows than k, for NaN and for ranks of different widths.

    >>> from synalign_spark.core.communicator import LocalCommunicator
    >>> found = fit(np.array([[0.0], [1.0], [9.0]]), np.array([0.2, 0.9, 0.4]), 2, LocalCommunicator(), seed=0)
    >>> found.centroids.tolist(), found.counts.tolist()
    ([[0.5], [9.0]], [2, 1])"""
    rows = RowSequence.of(x, keys, comm)
    if not 1 <= k <= rows.total:
        raise ValueError(f"k must be between 1 and the number of rows, {rows.total}; got {k}")
    seeds = _plus_plus(rows.first(max(batch_rows, SEEDING_ROWS_PER_CLUSTER * k)), k, np.random.default_rng(seed))
    # Where the rows looked at hold fewer different ones, the others begin as duplicates, which move.
    centroids = np.concatenate([seeds, np.repeat(seeds[:1], k - len(seeds), axis=0)])
    epochs = 0
    if rows.total > batch_rows:
        centroids, epochs = _mini_batches(rows, centroids, batch_rows, max_epochs // 2)
    return _lloyd(rows, centroids, epochs, max_epochs, tolerance)


def _plus_plus(rows: Float64Array, k: int, rng: np.random.Generator) -> Float64Array:
    """Greedy k-means++ (Arthur & Vassilvitskii 2007, sec. 4): of several candidates drawn by squared distance,
    the one that lowers the sum most. rows: (m, d). Returns (k, d), fewer where fewer rows are distinct."""
    centred = (rows - rows.mean(axis=0)).astype(np.float32)  # read once a seed, so half the bytes are half the time
    norms = np.square(centred, dtype=np.float64).sum(axis=1)  # (m,)
    rounding = 8 * np.sqrt(rows.shape[1]) * np.finfo(np.float32).eps

    def sq_dist(chosen: IntArray) -> Float64Array:
        size = norms[:, None] + norms[chosen]  # (m, c)
        found: Float64Array = size - 2 * (centred @ centred[chosen].T)
        found[found <= rounding * size] = 0.0  # equal rows must have no chance to be drawn twice
        return found

    starts = [int(rng.integers(len(rows)))]
    closest = sq_dist(np.array(starts))[:, 0]  # (m,)
    n_candidates = 2 + int(np.log(k))
    while len(starts) < k and closest.any():
        running = np.cumsum(closest)
        drawn = np.searchsorted(running, rng.random(n_candidates) * running[-1], side="right")
        drawn = np.minimum(drawn, np.flatnonzero(closest)[-1])
        lowered = np.minimum(closest[:, None], sq_dist(drawn))  # (m, c)
        best = int(lowered.sum(axis=0).argmin())
        starts.append(int(drawn[best]))
        closest = lowered[:, best]
    return rows[starts]


def _mini_batches(rows: RowSequence, centroids: Float64Array, batch_rows: int, max_epochs: int) -> tuple[Float64Array, int]:
    """Mini-batches while a window of them lowers the inertia of a row by MINI_BATCH_GAIN. Returns the centroids and the epochs begun."""
    seen = np.zeros(len(centroids))  # rows that each centroid is the mean of
    batches = rows.batches(batch_rows)
    before, window = np.inf, np.zeros(2)  # inertia and rows
    for number in range(max_epochs * len(batches)):
        step = _assign(rows, centroids, batches[number % len(batches)])
        hit = step.counts > 0
        # A centroid is the running mean of the rows it was given (Sculley 2010, alg. 1).
        seen[hit] += step.counts[hit]
        centroids = centroids.copy()
        centroids[hit] += (step.sums[hit] - step.counts[hit, None] * centroids[hit]) / seen[hit, None]
        window += step.inertia, step.counts.sum()
        if (number + 1) % WINDOW == 0:
            if not window[0] / window[1] < before * (1 - MINI_BATCH_GAIN):
                return centroids, 1 + number // len(batches)
            before, window = window[0] / window[1], np.zeros(2)
    return centroids, max_epochs


def _lloyd(rows: RowSequence, centroids: Float64Array, passes: int, max_passes: int, tolerance: float) -> KMeansFit:
    """Full passes until no centroid moves to far rows and the inertia falls by less than ``tolerance``, or the limit is reached."""
    before, converged, moved = np.inf, False, 1
    while True:
        step = _assign(rows, centroids, slice(None))
        means = np.where(step.counts[:, None] > 0, step.sums / np.maximum(step.counts, 1)[:, None], centroids)
        if moved or not step.counts.all():  # once none moves, few would: a pass of Lloyd's brings no rows that lack a centroid
            far, rows_each = rows.largest(step.local_sq_dist, FAR_ROWS, FAR_AMONG)
            means, moved = relocated(means, step.counts, far, rows_each, step.inertia / rows.total)
        converged = not moved and step.inertia >= before * (1 - tolerance)
        if converged or passes >= max_passes:
            break
        centroids, before, passes = means, step.inertia, passes + 1
    # An empty cluster is left only where no row is off its centroid.
    kept = step.counts > 0
    centroids, counts = centroids[kept], step.counts[kept].astype(np.int64)
    order = by_size(counts, centroids)
    return KMeansFit(centroids[order], counts[order], step.inertia, passes, converged)


def by_size(counts: npt.NDArray[Any], centroids: Float64Array) -> IntArray:
    """Order of clusters: falling number of rows, ties by rising coordinates. counts: (k,); centroids: (k, d)."""
    keys = [*centroids.T[::-1], -np.asarray(counts)]  # lexsort: the last key is the first criterion
    order: IntArray = np.lexsort(keys)
    return order


def _assign(rows: RowSequence, centroids: Float64Array, batch: slice) -> _Sums:
    """One pass over the given local rows, summed in float64 over all ranks."""
    k, d = centroids.shape
    x = rows.x[batch]
    sums, counts, sq_dist = np.zeros((k, d)), np.zeros(k), np.empty(len(x))
    for start in range(0, len(x), BLOCK_ROWS):
        block = x[start : start + BLOCK_ROWS]
        ids, sq_dist[start : start + BLOCK_ROWS] = nearest(block, centroids)
        members = csr_array((np.ones(len(ids)), (ids, np.arange(len(ids)))), shape=(k, len(ids)))
        sums += members @ block.astype(np.float64)
        counts += np.bincount(ids, minlength=k)
    packed = rows.comm.all_reduce(np.concatenate([sums.ravel(), counts, [sq_dist.sum()]]))
    return _Sums(packed[: k * d].reshape(k, d), packed[k * d : -1], float(packed[-1]), sq_dist)
