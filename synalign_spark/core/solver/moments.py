"""One pass over rows: what the dual of the alignment needs to know of them at a given theta.

Row i with base weight q_i and features phi_i counts with a_i = q_i exp(theta . phi_i). The partial sums
over any set of rows are a ``Moments``; those of two sets merge into those of their union, in any order
to rounding, so the same numbers come from one array, from shards that reduce over a network, or from
one Spark job a pass.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from synalign_spark.core.communicator import Communicator

Float64Array = npt.NDArray[np.float64]
Stored = npt.NDArray[np.float32] | npt.NDArray[np.int16]

BLOCK_ROWS = 128  # rows turned into float64 at a time: 2 MB at D = 2,048, so that they stay in the cache
KERNELS = ("numpy", "float64", "float32")  # two BLAS calls a block; compiled, with products in the precision of the name
SECOND_ROWS = 1024  # the same for second moments, whose products need larger blocks


@dataclass(frozen=True)
class Pass:
    """What a solver asks of the rows of one label.

    theta: (D,); everywhere: over all rows, or over the sample alone; second: with second moments;
    prior: under the weights that the rows came with instead of the base measure of the alignment."""

    theta: Float64Array
    everywhere: bool = True
    second: bool = False
    prior: bool = False


@dataclass(frozen=True)
class Moments:
    """Sums over rows, scaled by exp(-shift) so that nothing overflows; shift = max log a_i.

    total: sum a_i; squares: sum a_i^2; features: (D,) sum a_i phi_i; rows: how many have q_i > 0;
    second: (D, D) sum a_i phi_i phi_i^T, where the pass asked for it."""

    shift: float
    total: float
    squares: float
    features: Float64Array
    rows: int
    second: Float64Array | None = None

    @property
    def log_partition(self) -> float:
        """log sum_i q_i exp(theta . phi_i); minus infinity without rows."""
        return self.shift + float(np.log(self.total)) if self.rows else -np.inf

    @property
    def mean(self) -> Float64Array:
        """(D,) weighted mean of the features."""
        return self.features / self.total

    @property
    def covariance(self) -> Float64Array:
        """(D, D) weighted covariance of the features. Raises ValueError where the pass did not ask for second moments."""
        if self.second is None:
            raise ValueError("covariance: the pass made no second moments; ask with Pass(second=True)")
        mean = self.mean
        return self.second / self.total - np.outer(mean, mean)

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
    """Moments of the union of disjoint sets of rows; parts are added in the order given. Raises ValueError without parts.

    >>> phi, log_base, theta = np.eye(3, dtype=np.float32), np.zeros(3), np.array([0.0, 1.0, 2.0])
    >>> whole = row_moments(phi, log_base, theta)
    >>> parts = merge([row_moments(phi[:1], log_base[:1], theta), row_moments(phi[1:], log_base[1:], theta)])
    >>> parts.rows, bool(np.allclose(parts.mean, whole.mean)), bool(np.isclose(parts.log_partition, whole.log_partition))
    (3, True, True)
    """
    held = list(parts)
    if not held:
        raise ValueError("merge needs at least one part; use no_rows(n_features) for an empty set")
    shift = max(part.shift for part in held)
    if shift == -np.inf:
        return held[0]
    total, squares, features = 0.0, 0.0, np.zeros_like(held[0].features)
    second = None
    for part in held:
        scale = float(np.exp(part.shift - shift))
        total += part.total * scale
        squares += part.squares * scale**2
        features += part.features * scale
        if part.second is not None:
            second = part.second * scale if second is None else second + part.second * scale
    return Moments(shift, total, squares, features, sum(part.rows for part in held), second)


def row_moments(values: Stored, log_base: Float64Array, theta: Float64Array, scale: float = 1.0, kernel: str = "numpy") -> Moments:
    """The fused pass: logits and weighted feature sum of the rows.

    values: (n, D), features over ``scale``; log_base: (n,) log q_i, minus infinity for a row that is pinned
    to weight 0; theta: (D,); kernel: one of KERNELS. In float32 products and short sums are off by some 1e-7, in no direction,
    which only many rows average out.

    >>> moments = row_moments(np.eye(2, dtype=np.float32), np.zeros(2), np.array([0.0, np.log(3.0)]))
    >>> moments.mean.round(3).tolist(), round(moments.ess, 3)  # weights 1/4 and 3/4
    ([0.25, 0.75], 1.6)
    """
    if kernel != "numpy":
        return _compiled_moments(values, log_base, theta * scale, scale, kernel)
    shift, total, squares, rows = -np.inf, 0.0, 0.0, 0
    features = np.zeros(values.shape[1])
    for start in range(0, len(values), BLOCK_ROWS):
        x = values[start : start + BLOCK_ROWS].astype(np.float64)
        log_a = log_base[start : start + BLOCK_ROWS] + x @ (theta * scale)  # (rows,)
        peak = float(log_a.max())
        if peak == -np.inf:
            continue
        if peak > shift:
            shrink = float(np.exp(shift - peak))
            total, squares, features, shift = total * shrink, squares * shrink**2, features * shrink, peak
        a = np.exp(log_a - shift)
        total += float(a.sum())
        squares += float(a @ a)
        features += a @ x
        rows += int(np.isfinite(log_a).sum())
    return Moments(shift, total, squares, features * scale, rows)


def _compiled_moments(values: Stored, log_base: Float64Array, scaled: Float64Array, scale: float, kernel: str) -> Moments:
    """The same in machine code. scaled: (D,) theta for ``values`` as they are."""
    from synalign_spark.core.solver.fused_pass import fused  # a second to import and load: small runs do without

    head = scaled.astype(kernel)
    features = np.zeros(values.shape[1])
    # One layout and one mutability for each argument: every other combination would be compiled anew.
    rows_of = (np.require(array, requirements=["C", "W"]) for array in (values, log_base))
    shift, total, squares, rows = fused(*rows_of, head, (scaled - head).astype(kernel), features)
    return Moments(shift, total, squares, features * scale, rows)


def second_moments(values: Stored, log_base: Float64Array, theta: Float64Array, first: Moments, scale: float = 1.0) -> Float64Array:
    """(D, D) sum of a_i phi_i phi_i^T, scaled as ``first``, the row_moments of the same rows. D^2 work a row."""
    found = np.zeros((values.shape[1], values.shape[1]))
    if not first.rows:
        return found
    for start in range(0, len(values), SECOND_ROWS):
        x = values[start : start + SECOND_ROWS].astype(np.float64) * scale
        log_a = log_base[start : start + SECOND_ROWS] + x @ theta
        x *= np.exp(0.5 * (log_a - first.shift))[:, None]
        found += x.T @ x
    return found


def log_weights(values: Stored, log_base: Float64Array, theta: Float64Array, scale: float = 1.0) -> Float64Array:
    """(n,) log q_i + theta . phi_i, the weights before they are normalised. Arguments as of ``row_moments``."""
    log_a = np.empty(len(values))
    for start in range(0, len(values), BLOCK_ROWS):
        rows = slice(start, start + BLOCK_ROWS)
        log_a[rows] = log_base[rows] + values[rows].astype(np.float64) @ (theta * scale)
    return log_a


def reduce_moments(local: Mapping[str, Moments], comm: Communicator) -> dict[str, Moments]:
    """Moments over all ranks from those of each rank: two reductions, the largest shifts and then the sums.

    Every rank must pass the same labels, with or without second moments."""
    names = sorted(local)
    shifts = comm.all_reduce_max(np.array([local[name].shift for name in names]))
    width = len(local[names[0]].features)
    sums = np.zeros((len(names), width + 3))
    scales = {}
    for row, name, shift in zip(sums, names, shifts, strict=True):
        part = local[name]
        scales[name] = scale = float(np.exp(part.shift - shift)) if part.rows else 0.0
        row[:3] = part.total * scale, part.squares * scale**2, part.rows
        row[3:] = part.features * scale
    sums = comm.all_reduce(sums)
    second = {name: comm.all_reduce(held * scales[name]) for name in names if (held := local[name].second) is not None}
    return {
        name: Moments(float(s), float(r[0]), float(r[1]), r[3:].copy(), int(r[2]), second.get(name))
        for name, s, r in zip(names, shifts, sums, strict=True)
    }
