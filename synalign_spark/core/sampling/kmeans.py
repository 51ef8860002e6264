"""Mini-batch k-means over row shards (Sculley 2010), finished by full passes (Lloyd 1982).

The rows of all ranks, in rank order, form one sequence; every random choice is made on positions in
that sequence, so the result depends on the rows and the seed and not on how many ranks hold them.
What is exchanged a step: k * d sums and k counts.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from synalign_spark.core.communicator import Communicator
from synalign_spark.core.sampling.neighbours import nearest

Float64Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Matrix = npt.NDArray[Any]

BLOCK_ROWS = 8_192  # their distances to 1,000 centroids take 32 MB in float32
# k-means++ looks at this many rows a cluster: more does not lower the final inertia, see the tests.
SEEDING_ROWS_PER_CLUSTER = 20
# Mini-batches win while they gain quickly; below this gain a pass, full passes do the rest better.
MINI_BATCH_GAIN = 0.01


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
class _Shard:
    """The rows of this rank and their place among all: rows ``offset .. offset + len(x)`` of ``total``."""

    x: Matrix
    offset: int
    total: int
    comm: Communicator

    def local(self, positions: IntArray) -> IntArray:
        """Those of the given global positions that this rank holds, as local row numbers, in the given order."""
        held = (positions >= self.offset) & (positions < self.offset + len(self.x))
        found: IntArray = positions[held] - self.offset
        return found

    def gather(self, positions: IntArray) -> Float64Array:
        """The rows at global positions, on every rank: (len(positions), d); each rank adds its own to zeros."""
        rows = np.zeros((len(positions), self.x.shape[1]))
        held = (positions >= self.offset) & (positions < self.offset + len(self.x))
        rows[held] = self.x[positions[held] - self.offset]
        return self.comm.all_reduce(rows)


@dataclass(frozen=True)
class _Sums:
    """One pass over some rows: sums (k, d), counts (k,), inertia, and the squared distances of the local rows."""

    sums: Float64Array
    counts: Float64Array
    inertia: float
    local_sq_dist: Float64Array


def fit(
    x: Matrix, k: int, comm: Communicator, *, seed: int, batch_rows: int = 4_096, max_epochs: int = 20, tolerance: float = 1e-4
) -> KMeansFit:
    """k-means of the rows of all ranks.

    x: (n, d) rows of this rank, float32 or float64, finite; the caller sorts the rows by id, rank after rank.
    k: clusters; batch_rows: rows a mini-batch, over all ranks; max_epochs: most passes over the rows;
    tolerance: stop when the inertia falls by less than this share in a pass.
    Returns the same result on every rank; fewer than k centroids where there are fewer distinct rows.
    Raises ValueError for fewer rows than k, for NaN and for ranks of different widths."""
    shard = _shard(x, k, comm)
    rng = np.random.default_rng(seed)
    centroids = _plus_plus(shard.gather(_seeding_positions(shard.total, k, batch_rows, rng)), k, rng)
    epochs = 0
    if shard.total > batch_rows:
        centroids, epochs = _mini_batches(shard, centroids, batch_rows, max_epochs // 2, rng)
    return _lloyd(shard, centroids, epochs, max_epochs, tolerance)


def _shard(x: Matrix, k: int, comm: Communicator) -> _Shard:
    if x.ndim != 2:
        raise ValueError(f"x must be a matrix (n, d), got shape {x.shape}")
    sizes = np.zeros(comm.size)
    sizes[comm.rank] = len(x)
    sizes = comm.all_reduce(sizes)
    width = int(comm.all_reduce_max(np.array([float(x.shape[1])]))[0])
    faults = comm.all_reduce(np.array([float(len(x) > 0 and x.shape[1] != width), float(not np.isfinite(x).all())]))
    if faults[0]:
        raise ValueError(f"x must have the same width on every rank; rank {comm.rank} has {x.shape[1]}, the widest {width}")
    if faults[1]:
        raise ValueError("x must be finite; drop the rows with NaN or infinity")
    total = int(sizes.sum())
    if not 1 <= k <= total:
        raise ValueError(f"k must be between 1 and the number of rows, {total}; got {k}")
    rows = x if len(x) else np.empty((0, width), dtype=np.float32)
    return _Shard(rows, int(sizes[: comm.rank].sum()), total, comm)


def _seeding_positions(total: int, k: int, batch_rows: int, rng: np.random.Generator) -> IntArray:
    """Global positions of the rows that k-means++ looks at, rising."""
    wanted = max(3 * batch_rows, SEEDING_ROWS_PER_CLUSTER * k)
    if wanted >= total:
        return np.arange(total)
    return np.sort(rng.choice(total, size=wanted, replace=False))


def _plus_plus(rows: Float64Array, k: int, rng: np.random.Generator) -> Float64Array:
    """Greedy k-means++ (Arthur & Vassilvitskii 2007, sec. 4): of several candidates drawn by squared distance,
    the one that lowers the sum most. rows: (m, d). Returns (k, d), fewer where fewer rows are distinct."""
    centred = rows - rows.mean(axis=0)
    norms = np.square(centred).sum(axis=1)  # (m,)
    rounding = 8 * rows.shape[1] * np.finfo(np.float64).eps

    def sq_dist(chosen: IntArray) -> Float64Array:
        size = norms[:, None] + norms[chosen]  # (m, c)
        found: Float64Array = size - 2 * centred @ centred[chosen].T
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


def _mini_batches(
    shard: _Shard, centroids: Float64Array, batch_rows: int, max_epochs: int, rng: np.random.Generator
) -> tuple[Float64Array, int]:
    """Epochs of mini-batches while they lower the inertia by MINI_BATCH_GAIN. Returns the centroids and the epochs."""
    seen = np.zeros(len(centroids))  # rows that each centroid is the mean of
    before = np.inf
    for epoch in range(max_epochs):
        order = rng.permutation(shard.total)  # 8 bytes a row, on every rank
        inertia = 0.0
        for start in range(0, shard.total, batch_rows):
            step = _assign(shard, centroids, shard.local(order[start : start + batch_rows]))
            hit = step.counts > 0
            # A centroid is the running mean of the rows it was given (Sculley 2010, alg. 1).
            seen[hit] += step.counts[hit]
            centroids = centroids.copy()
            centroids[hit] += (step.sums[hit] - step.counts[hit, None] * centroids[hit]) / seen[hit, None]
            inertia += step.inertia
        if not inertia < before * (1 - MINI_BATCH_GAIN):
            return centroids, epoch + 1
        before = inertia
    return centroids, max_epochs


def _lloyd(shard: _Shard, centroids: Float64Array, passes: int, max_passes: int, tolerance: float) -> KMeansFit:
    """Full passes until the inertia falls by less than ``tolerance`` or the limit is reached; empty clusters move."""
    before, converged = np.inf, False
    while True:
        step = _assign(shard, centroids, None)
        empty = np.flatnonzero(step.counts == 0)
        far = _farthest(shard, step.local_sq_dist, len(empty)) if len(empty) else np.empty((0, centroids.shape[1]))
        # Where no row is off its centroid, an empty cluster has nowhere to go and is dropped below.
        converged = len(far) == 0 and step.inertia >= before * (1 - tolerance)
        if converged or passes >= max_passes:
            break
        means = step.sums / np.maximum(step.counts, 1)[:, None]
        means[empty] = centroids[empty]
        means[empty[: len(far)]] = far
        centroids, before, passes = means, step.inertia, passes + 1
    kept = step.counts > 0
    centroids, counts = centroids[kept], step.counts[kept].astype(np.int64)
    order = by_size(counts, centroids)
    return KMeansFit(centroids[order], counts[order], step.inertia, passes, converged)


def by_size(counts: npt.NDArray[Any], centroids: Float64Array) -> IntArray:
    """Order of clusters: falling number of rows, ties by rising coordinates. counts: (k,); centroids: (k, d)."""
    keys = [*centroids.T[::-1], -np.asarray(counts)]  # lexsort: the last key is the first criterion
    order: IntArray = np.lexsort(keys)
    return order


def _assign(shard: _Shard, centroids: Float64Array, rows: IntArray | None) -> _Sums:
    """One pass over the given local rows (None: all), summed in float64 over all ranks."""
    k, d = centroids.shape
    n = len(shard.x) if rows is None else len(rows)
    sums, counts, sq_dist = np.zeros((k, d)), np.zeros(k), np.empty(n)
    for start in range(0, n, BLOCK_ROWS):
        stop = min(start + BLOCK_ROWS, n)
        block = shard.x[start:stop] if rows is None else shard.x[rows[start:stop]]
        ids, sq_dist[start:stop] = nearest(block, centroids)
        members = csr_array((np.ones(len(ids)), (ids, np.arange(len(ids)))), shape=(k, len(ids)))
        sums += members @ block.astype(np.float64)
        counts += np.bincount(ids, minlength=k)
    packed = shard.comm.all_reduce(np.concatenate([sums.ravel(), counts, [sq_dist.sum()]]))
    return _Sums(packed[: k * d].reshape(k, d), packed[k * d : -1], float(packed[-1]), sq_dist)


def _farthest(shard: _Shard, sq_dist: Float64Array, count: int) -> Float64Array:
    """The ``count`` rows of all ranks that are farthest from their centroid, ties to the earlier row; rows at
    distance zero do not count, nor does the same vector twice. Returns (<= count, d)."""
    found = np.zeros((shard.comm.size, count, 2))  # squared distance and global position
    local = np.argsort(-sq_dist, kind="stable")[:count]
    found[shard.comm.rank, : len(local), 0] = sq_dist[local]
    found[shard.comm.rank, : len(local), 1] = local + shard.offset
    all_found = shard.comm.all_reduce(found).reshape(-1, 2)
    all_found = all_found[all_found[:, 0] > 0]
    order = np.lexsort((all_found[:, 1], -all_found[:, 0]))[:count]
    rows = shard.gather(all_found[order, 1].astype(np.int64))
    _, first = np.unique(rows, axis=0, return_index=True)
    return rows[np.sort(first)]
