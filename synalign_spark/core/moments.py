"""One pass over rows: what the dual of the alignment needs to know of them at a given theta.

Row i with base weight q_i and features phi_i counts with a_i = q_i exp(theta . phi_i). The partial sums
over any set of rows are a ``Moments``; those of two sets merge into those of their union, in any order
to rounding, so the same numbers come from one array, from shards that reduce over a network, or from
one Spark job a pass.
"""

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from synalign_spark.core.communicator import Communicator

Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]

BLOCK_ROWS = 128  # rows turned into float64 at a time: 2 MB at D = 2,048, so that they stay in the cache
CHUNK_ROWS = 4096  # rows of one partial: fixed, so that the number of threads changes no bit


@dataclass(frozen=True)
class Moments:
    """Sums over rows, scaled by exp(-shift) so that nothing overflows; shift = max log a_i.

    total: sum a_i; squares: sum a_i^2; features: (D,) sum a_i phi_i; rows: how many have q_i > 0."""

    shift: float
    total: float
    squares: float
    features: Float64Array
    rows: int

    @property
    def log_partition(self) -> float:
        """log sum_i q_i exp(theta . phi_i); minus infinity without rows."""
        return self.shift + float(np.log(self.total)) if self.rows else -np.inf

    @property
    def mean(self) -> Float64Array:
        """(D,) weighted mean of the features."""
        return self.features / self.total

    @property
    def sum_squared_weights(self) -> float:
        """sum w_i^2 of the normalised weights, the inverse of the effective sample size."""
        return self.squares / self.total**2

    @property
    def ess(self) -> float:
        """Effective sample size, in rows."""
        return 1.0 / self.sum_squared_weights

    @property
    def max_weight(self) -> float:
        """The largest normalised weight: its row has a_i exp(-shift) = 1."""
        return 1.0 / self.total


def no_rows(n_features: int) -> Moments:
    """The moments of an empty set, neutral in a merge."""
    return Moments(-np.inf, 0.0, 0.0, np.zeros(n_features), 0)


def merge(parts: Iterable[Moments]) -> Moments:
    """Moments of the union of disjoint sets of rows; parts are added in the order given. Raises ValueError without parts."""
    held = list(parts)
    if not held:
        raise ValueError("merge needs at least one part; use no_rows(n_features) for an empty set")
    shift = max(part.shift for part in held)
    if shift == -np.inf:
        return held[0]
    total, squares, features = 0.0, 0.0, np.zeros_like(held[0].features)
    for part in held:
        scale = float(np.exp(part.shift - shift))
        total += part.total * scale
        squares += part.squares * scale**2
        features += part.features * scale
    return Moments(shift, total, squares, features, sum(part.rows for part in held))


def row_moments(phi: Float32Array, log_base: Float64Array, theta: Float64Array) -> Moments:
    """The fused pass: each block of rows is read once for its logits and its weighted feature sum.

    phi: (n, D) float32; log_base: (n,) log q_i, minus infinity for a row that is pinned to weight 0; theta: (D,)."""
    shift, total, squares, rows = -np.inf, 0.0, 0.0, 0
    features = np.zeros(phi.shape[1])
    block = np.empty((BLOCK_ROWS, phi.shape[1]))
    for start in range(0, len(phi), BLOCK_ROWS):
        stop = min(start + BLOCK_ROWS, len(phi))
        x = block[: stop - start]
        x[:] = phi[start:stop]  # float64 from here on: float32 sums would show in the weights
        log_a = log_base[start:stop] + x @ theta  # (rows,)
        peak = float(log_a.max())
        if peak == -np.inf:
            continue
        if peak > shift:
            scale = float(np.exp(shift - peak))
            total, squares, features, shift = total * scale, squares * scale**2, features * scale, peak
        a = np.exp(log_a - shift)
        total += float(a.sum())
        squares += float(a @ a)
        features += a @ x
        rows += int(np.isfinite(log_a).sum())
    return Moments(shift, total, squares, features, rows)


class Shard:
    """The rows of one process, features in memory, grouped by label.

    groups: label to ((n, D) float32 features, (n,) log base weights); threads: how many chunks go in parallel."""

    def __init__(self, groups: Mapping[str, tuple[Float32Array, Float64Array]], threads: int = 1) -> None:
        self.groups = dict(groups)
        self._threads = max(1, threads)

    def rows(self, group: str) -> int:
        """Rows of a group, pinned ones included."""
        return len(self.groups[group][1])

    def evaluate(self, thetas: Mapping[str, Float64Array]) -> dict[str, Moments]:
        """One pass over the rows of the groups that are asked for. thetas: label to (D,)."""
        tasks = [
            (name, phi[start : start + CHUNK_ROWS], log_base[start : start + CHUNK_ROWS])
            for name in sorted(thetas)
            for phi, log_base in [self.groups[name]]
            for start in range(0, max(len(phi), 1), CHUNK_ROWS)
        ]
        if self._threads == 1 or len(tasks) == 1:
            parts = [row_moments(phi, log_base, thetas[name]) for name, phi, log_base in tasks]
        else:
            with ThreadPoolExecutor(self._threads) as pool:
                parts = list(pool.map(lambda task: row_moments(task[1], task[2], thetas[task[0]]), tasks))
        found: dict[str, list[Moments]] = {name: [] for name in sorted(thetas)}
        for (name, _, _), part in zip(tasks, parts, strict=True):
            found[name].append(part)
        return {name: merge(held) for name, held in found.items()}


def reduce_moments(local: Mapping[str, Moments], comm: Communicator) -> dict[str, Moments]:
    """Moments over all ranks from those of each rank: two reductions, the largest shifts and then the sums.

    Every rank must pass the same labels."""
    names = sorted(local)
    shifts = comm.all_reduce_max(np.array([local[name].shift for name in names]))
    width = len(local[names[0]].features)
    sums = np.zeros((len(names), width + 3))
    for row, name, shift in zip(sums, names, shifts, strict=True):
        part = local[name]
        scale = float(np.exp(part.shift - shift)) if part.rows else 0.0
        row[:3] = part.total * scale, part.squares * scale**2, part.rows
        row[3:] = part.features * scale
    sums = comm.all_reduce(sums)
    return {
        name: Moments(float(s), float(r[0]), float(r[1]), r[3:].copy(), int(r[2])) for name, s, r in zip(names, shifts, sums, strict=True)
    }
