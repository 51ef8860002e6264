"""Random features of an RBF kernel: vectors whose inner products approximate the kernel.

phi(x) = sqrt(2/D) [cos(W^T x), sin(W^T x)] (Rahimi & Recht 2007), with orthogonal frequencies W
(Yu et al. 2016). Several bandwidths are concatenated, which approximates the mean of their kernels;
phi always has norm 1.

A row has the same bits whatever rows come with it and whichever BLAS kernel the processor runs: rows and frequencies are
rounded to whole multiples of a power of two such that the sums in W^T x are exact in float64, in any order.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from synalign_spark.core.defaults import SAME_VECTOR
from synalign_spark.core.weights import power_of_two_scale

Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]

BLOCK_ROWS = 512  # rows a matrix product
GRID_BITS = 26  # a row, and a frequency, has a norm of 2^26 steps at most: by Cauchy-Schwarz sums of products stay below 2^53 steps


@dataclass(frozen=True)
class FeatureMap:
    """A drawn feature map. ``frequencies``: (d, D/2) float32 in 1/length, all bandwidths side by side, multiples of one step."""

    frequencies: Float32Array
    bandwidths: tuple[float, ...]

    @property
    def width(self) -> int:
        """d, the width of the embeddings."""
        return int(self.frequencies.shape[0])

    @property
    def n_features(self) -> int:
        """D, the width of the features."""
        return 2 * int(self.frequencies.shape[1])

    @property
    def largest(self) -> float:
        """No feature is larger than this in absolute value: sqrt(2/D)."""
        return float(np.sqrt(2.0 / self.n_features))

    def __call__(self, x: npt.NDArray[np.floating]) -> Float32Array:
        """Features of the rows of x.

        x: (n, d) finite numbers. Returns (n, D) float32, rows of unit norm.
        Raises ValueError if the width is not d."""
        if x.ndim != 2 or (x.shape[1] != self.width and len(x)):
            raise ValueError(f"x must have shape (n, {self.width}), got {x.shape}; embed all rows with one model")
        n, half = len(x), self.n_features // 2
        phi = np.empty((n, 2 * half), dtype=np.float32)
        wide = self.frequencies.astype(np.float64)
        products, angles = np.empty((BLOCK_ROWS, half)), np.empty((BLOCK_ROWS, half), dtype=np.float32)
        scale = np.float32(np.sqrt(1.0 / half))
        for start in range(0, n, BLOCK_ROWS):
            block = on_grid(x[start : start + BLOCK_ROWS])  # (rows, d)
            rows = len(block)
            np.matmul(block, wide, out=products[:rows])  # one buffer: fresh memory would cost as much as the product
            angles[:rows] = products[:rows]
            out = phi[start : start + rows]
            np.cos(angles[:rows], out=out[:, :half])
            np.sin(angles[:rows], out=out[:, half:])
            out *= scale
        return phi


def on_grid(x: npt.NDArray[np.floating], steps: Float64Array | float | None = None) -> Float64Array:
    """Rows rounded to whole multiples of a power of two, 2^-26 of the one above their norm: finer than float32 in all but small numbers.

    x: (n, d); steps: (n, 1) or one for all, by default each row's own, which follows from that row alone. Returns (n, d) float64."""
    wide = x.astype(np.float64)
    if steps is None:
        steps = grid_steps(wide)
    wide /= steps
    np.rint(wide, out=wide)
    wide *= steps
    return wide


def grid_steps(x: Float64Array) -> Float64Array:
    """(n, 1) steps of the rows of x, (n, d)."""
    norms = np.sqrt(np.square(x).sum(axis=1, keepdims=True))
    steps: Float64Array = np.exp2(np.frexp(norms)[1] - GRID_BITS)
    return steps


def draw_feature_map(width: int, n_features: int, bandwidths: Sequence[float], seed: int) -> FeatureMap:
    """Draws orthogonal random frequencies (Yu et al. 2016, section 3).

    width: d; n_features: D, a multiple of twice the number of bandwidths; bandwidths: sigma of each
    kernel exp(-|x - y|^2 / (2 sigma^2)), in units of the embeddings.
    Raises ValueError for a D that cannot be shared evenly or a bandwidth that is not positive and finite.

    >>> features = draw_feature_map(width=3, n_features=4096, bandwidths=[1.0, 0.5], seed=0)
    >>> x = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], dtype=np.float32)
    >>> phi = features(x)
    >>> phi.shape, phi.dtype.name
    ((2, 4096), 'float32')
    >>> bool(np.allclose(phi @ phi.T, mixture_kernel(x, x, [1.0, 0.5]), atol=0.05))
    True
    """
    unit = 2 * len(bandwidths)
    if not bandwidths or n_features < unit or n_features % unit:
        raise ValueError(
            f"n_features must be a positive multiple of {max(unit, 2)}, got {n_features}; try {max(unit, n_features // max(unit, 1) * unit)}"
        )
    if not all(np.isfinite(b) and b > 0 for b in bandwidths):
        raise ValueError(f"bandwidths must be positive and finite, got {list(bandwidths)}; use 'median'")
    rng = np.random.default_rng([seed, 0x0F1])
    each = n_features // unit
    drawn = np.concatenate([_orthogonal(width, each, rng) / bandwidth for bandwidth in bandwidths], axis=1)  # (d, D/2)
    whole = on_grid(drawn, float(grid_steps(drawn.T).max())).astype(np.float32)  # float32 cuts the largest to multiples of a few steps
    return FeatureMap(np.ascontiguousarray(whole), tuple(float(b) for b in bandwidths))


def _orthogonal(width: int, count: int, rng: np.random.Generator) -> Float64Array:
    """(width, count) frequencies of unit bandwidth: orthogonal within runs of ``width`` columns,
    each column as long as a Gaussian vector would be."""
    columns = []
    for start in range(0, count, width):
        q, r = np.linalg.qr(rng.standard_normal((width, width)))
        q *= np.sign(np.diag(r))  # else q is not uniform over the rotations
        lengths = np.sqrt(rng.chisquare(width, size=width))
        columns.append((q * lengths)[:, : min(width, count - start)])
    return np.concatenate(columns, axis=1)


def median_distance(x: npt.NDArray[np.floating]) -> float:
    """Median Euclidean distance over all pairs of rows: the usual RBF bandwidth.

    x: (n, d), a sample of a few thousand rows at most. Where more than half of the pairs coincide
    it is the median over the other pairs, and 1 where all rows are equal or there is only one.

    >>> median_distance(np.array([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]]))  # of 3, 4 and 5
    4.0
    """
    x = np.asarray(x, dtype=np.float64)
    x = x - x.mean(axis=0) if len(x) else x
    norms = np.einsum("ij,ij->i", x, x)
    sq = norms[:, None] + norms[None, :] - 2.0 * (x @ x.T)  # (n, n)
    pairs = sq[np.triu_indices(len(x), k=1)]
    apart = pairs[pairs > 1e-10 * max(float(norms.max(initial=0.0)), 1e-300)]
    if not len(apart):
        return 1.0
    median = float(np.median(pairs))
    return float(np.sqrt(median if median >= apart.min() else np.median(apart)))


def nearly_equal(x: npt.NDArray[np.floating]) -> bool:
    """Whether more than half of the pairs of rows are equal, to a thousandth of their norm: then no distance says anything.

    x: (n, d), in an order that has nothing to do with the rows; neighbours in it are the pairs that are looked at.

    >>> nearly_equal(np.ones((9, 4))), nearly_equal(np.eye(9))
    (True, False)
    """
    if len(x) < 2:
        return False
    wide = np.asarray(x, dtype=np.float64)
    norm = float(np.sqrt(np.mean(np.square(wide).sum(axis=1))))
    apart = [np.sqrt(np.square(wide - np.roll(wide, shift, axis=0)).sum(axis=1)) for shift in range(1, min(len(wide), 9))]
    return bool(np.mean(np.concatenate(apart) <= SAME_VECTOR * norm) > 0.5)


def distinct(x: npt.NDArray[np.floating]) -> int:
    """How many different rows there are. x: (n, d).

    >>> distinct(np.ones((9, 4))), distinct(np.eye(9))
    (1, 9)
    """
    return len(np.unique(x, axis=0)) if len(x) else 0


def same_rows(x: npt.NDArray[np.floating], group: npt.NDArray[np.object_]) -> npt.NDArray[np.int64]:
    """(n,) which row each one equals: the place of the first that has its vector and group. x: (n, d); group: (n,) names.

    >>> same_rows(np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 0.0]]), np.array(["a", "a", "a", "b"], dtype=object)).tolist()
    [0, 1, 0, 3]
    """
    names = np.unique(group.astype(str), return_inverse=True)[1]
    _, first, code = np.unique(np.column_stack([names, x]), axis=0, return_index=True, return_inverse=True)
    return np.asarray(first[code.ravel()])


def mixture_kernel(x: npt.NDArray[np.floating], y: npt.NDArray[np.floating], bandwidths: Sequence[float]) -> Float32Array:
    """The kernel that the features approximate: the mean over bandwidths of exp(-|x - y|^2 / (2 sigma^2)).

    x: (n, d); y: (m, d). Returns (n, m) float32, of which every entry is accurate to about 1e-6.

    >>> mixture_kernel(np.zeros((1, 2)), np.array([[0.0, 0.0], [1.0, 1.0]]), [1.0]).astype(float).round(6).tolist()  # exp(-2 / 2)
    [[1.0, 0.367879]]
    """
    unit = power_of_two_scale(max(bandwidths))  # of length: float32 holds the square of no vector of 1e30, and no digit changes
    a, b = np.asarray(x, dtype=np.float64) * unit, np.asarray(y, dtype=np.float64) * unit
    sq = np.einsum("ij,ij->i", a, a)[:, None] + np.einsum("ij,ij->i", b, b)[None, :] - 2.0 * (a @ b.T)
    sq = np.maximum(sq, 0.0).astype(np.float32)  # (n, m)
    kernel: Float32Array = np.zeros_like(sq)
    for bandwidth in bandwidths:
        kernel += np.exp(sq * np.float32(-0.5 / (bandwidth * unit) ** 2))
    kernel /= np.float32(len(bandwidths))
    return kernel
