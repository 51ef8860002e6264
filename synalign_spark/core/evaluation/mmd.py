"""How far weighted rows are from real ones: one estimand, with a standard error.

The estimand is MMD^2 between two distributions: that of the real rows, and that of which the synthetic rows are a sample once they
are weighted; both with the same shares of the strata (labels). Its estimator is the unbiased U-statistic (Gretton et al. 2012, eq. 3)
with weights,

    sum_gh share_g share_h [ k(X_g, X_h) + k(Y_g, Y_h) - 2 k(X_g, Y_h) ],

where k(A, B) is the weighted mean of the kernel over pairs of rows, and pairs of a row with itself do not count. It is around 0 where
the two agree, below it by chance too.

Standard errors are those of the jackknife over rows, in closed form. Where the distributions differ it is exact to first order; where they
agree, the U-statistic is degenerate and the jackknife's variance too large, about twice (Efron & Stein 1981): the interval holds there
too, and is wider than it need be.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from synalign_spark.core.defaults import FEWEST_HALF_ROWS, FEWEST_TEST_ROWS, INTERVAL_ERRORS, LARGEST_ROW_SHARE
from synalign_spark.core.features import mixture_kernel

Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Kernel = Callable[[Float32Array, Float32Array], npt.NDArray[np.floating]]  # of (n, d) and (m, d) rows: (n, m)


@dataclass(frozen=True)
class Estimate:
    """An MMD^2 and its standard error."""

    mmd2: float
    error: float

    @property
    def interval(self) -> tuple[float, float]:
        """The 95% interval; no squared distance is below 0.

        >>> [round(end, 4) for end in Estimate(0.03, 0.01).interval]
        [0.0104, 0.0496]
        """
        low, high = (self.mmd2 + sign * INTERVAL_ERRORS * self.error for sign in (-1, 1))
        return max(low, 0.0), max(high, 0.0)


@dataclass(frozen=True)
class ClosedShare:
    """Which share of the distance the weights close, with its 95% interval; negative where they make it larger."""

    share: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """MMD^2 to real rows before and after weighting, and between two halves of the real rows (the floor).

    floor: None where the halves have too few rows; closed: None where ``before`` cannot be told from 0, its mean over all halvings: then
    how much is closed is not known; rows, real_rows: compared."""

    before: Estimate
    after: Estimate
    floor: Estimate | None
    closed: ClosedShare | None
    rows: int
    real_rows: int


@dataclass(frozen=True)
class Stratified:
    """Rows of one side. x: (n, d); stratum: (n,) of 0, 1, ..."""

    x: Float32Array
    stratum: IntArray

    @classmethod
    def of(cls, x: Float32Array) -> "Stratified":
        """Rows without strata."""
        return cls(x, np.zeros(len(x), dtype=np.int64))

    def take(self, kept: Mask | IntArray) -> "Stratified":
        """Some of the rows."""
        return Stratified(self.x[kept], self.stratum[kept])


def compare(
    synthetic: Stratified, before: Float64Array, after: Float64Array, real: Stratified, real_weight: Float64Array,
    bandwidths: Sequence[float], shares: Sequence[float] = (1.0,), optimism: float = 0.0,
) -> Comparison | None:  # fmt: skip
    """The distances of weighted rows to real ones, and what they tell together.

    before, after: (n,) weights of the synthetic rows, of which only ratios within a stratum count; real_weight: (m,) the same of the real
    rows; shares: of the strata, on both sides; optimism: to add to the distance after weighting, see :mod:`optimism`.
    The floor compares real rows in the order given: every second one of a stratum with the others. Averaged over all halvings it is exactly
    0, which is what the share closed is measured to; the one shown, with its error, says what two real samples of that size look like.
    Returns None where a stratum has too few rows, or a single row half of its weight: see ``measurable``.

    >>> rng = np.random.default_rng(0)
    >>> real = Stratified.of(rng.standard_normal((300, 2)).astype(np.float32))
    >>> synthetic = Stratified.of(rng.standard_normal((300, 2)).astype(np.float32) + np.float32(0.5))
    >>> tilt = np.exp(-0.5 * synthetic.x.sum(axis=1, dtype=np.float64))  # real over synthetic density, up to a factor
    >>> found = compare(synthetic, np.ones(300), tilt, real, np.ones(300), [1.5])
    >>> bool(found.before.interval[0] > 0.01), bool(found.after.interval[0] == 0.0), bool(found.closed.low > 0.5)
    (True, True, True)
    """
    kernel = partial(mixture_kernel, bandwidths=bandwidths)
    return compare_by(kernel, synthetic, before, after, real, real_weight, shares, optimism)


def compare_by(
    kernel: Kernel, synthetic: Stratified, before: Float64Array, after: Float64Array, real: Stratified, real_weight: Float64Array,
    shares: Sequence[float] = (1.0,), optimism: float = 0.0,
) -> Comparison | None:  # fmt: skip
    """The same by any kernel that is positive definite, if only for weights that sum to 0: with minus the Euclidean distance it is the
    energy distance (Sejdinovic et al. 2013).

    >>> line = lambda x, y: -np.abs(x - y.T)
    >>> x, y = (np.arange(6, dtype=np.float32)[:, None] + shift for shift in (0, 10))
    >>> found = compare_by(line, Stratified.of(x), np.ones(6), np.ones(6), Stratified.of(y), np.ones(6))
    >>> round(found.before.mmd2, 6)  # 2 * 10 - 2 * 7 / 3
    15.333333
    """
    wanted = (synthetic, before), (synthetic, after), (real, real_weight)
    if not all(measurable(rows.stratum, weight, len(shares)) for rows, weight in wanted):
        return None
    pi = np.asarray(shares, dtype=np.float64) / float(np.sum(shares))
    half = second_halves(real.stratum)
    kernel_xx, kernel_xy, kernel_yy = (
        kernel(a.x, b.x).astype(np.float64) for a, b in ((synthetic, synthetic), (synthetic, real), (real, real))
    )
    base, final = (_Side.of(synthetic.stratum, weight, pi) for weight in (before, after))
    whole = _Side.of(real.stratum, real_weight, pi)
    of_base, of_final = (_distance(side, whole, kernel_xx, kernel_xy, kernel_yy) for side in (base, final))
    floor = _between_halves(real.stratum, (real_weight * ~half, real_weight * half), kernel_yy, pi)
    deleted = np.stack([np.concatenate([one.x_deleted, one.y_deleted]) for one in (of_base, of_final)])  # (2, n + m)
    covariance = deleted @ deleted.T
    errors = np.sqrt(np.diag(covariance))
    return Comparison(
        Estimate(of_base.mmd2, float(errors[0])), Estimate(of_final.mmd2 + optimism, float(errors[1])), floor,
        closed_share(of_base.mmd2, of_final.mmd2 + optimism, covariance), len(synthetic.x), len(real.x),
    )  # fmt: skip


def mmd2(x: Float32Array, y: Float32Array, bandwidths: Sequence[float]) -> Estimate | None:
    """MMD^2 of two samples without weights; None where one has fewer than 5 rows. x: (n, d); y: (m, d)."""
    ones = np.ones(len(x))
    found = compare(Stratified.of(x), ones, ones, Stratified.of(y), np.ones(len(y)), bandwidths)
    return found.before if found else None


def measurable(stratum: IntArray, weight: Float64Array, n_strata: int, fewest: int = FEWEST_TEST_ROWS) -> bool:
    """Whether every stratum has rows enough for a distance: so many with weight, none with more than half of the stratum's weight."""
    counts = np.bincount(stratum[weight > 0], minlength=n_strata)
    if counts.min() < fewest:
        return False
    return bool(_within(stratum, weight).max() <= LARGEST_ROW_SHARE)


def second_halves(stratum: IntArray) -> Mask:
    """(n,) every second row of each stratum, in the order given.

    >>> second_halves(np.array([0, 1, 0, 0, 1])).tolist()
    [False, False, True, False, True]
    """
    half = np.zeros(len(stratum), dtype=bool)
    for name in np.unique(stratum):
        half[np.flatnonzero(stratum == name)[1::2]] = True
    return half


def closed_share(before: float, after: float, covariance: Float64Array) -> ClosedShare | None:
    """1 - after / before with the 95% interval of Fieller (1954), at most 1 as no squared distance is below 0.

    covariance: (2, 2) of both. None where ``before`` is not above 0 by 1.96 standard errors: the ratio has no bounded interval then.

    >>> found = closed_share(0.04, 0.01, np.diag([1e-6, 1e-6]))  # to first order 0.75 +- 1.96 * 0.0258
    >>> found.share, round(found.low, 4), round(found.high, 4)
    (0.75, 0.6988, 0.8)
    """
    z2, (vb, cov, va) = INTERVAL_ERRORS**2, (covariance[0, 0], covariance[0, 1], covariance[1, 1])
    quadratic = before**2 - z2 * vb  # all ratios r with (after - r before)^2 <= z^2 var(after - r before)
    if before <= 0 or quadratic <= 0:
        return None
    middle = (before * after - z2 * cov) / quadratic
    spread = np.sqrt(max(middle**2 - (after**2 - z2 * va) / quadratic, 0.0))
    share, low, high = (min(1.0 - float(ratio), 1.0) for ratio in (after / before, middle + spread, middle - spread))
    return ClosedShare(share, low, high)


@dataclass(frozen=True)
class _Side:
    """Rows with weights. within: (n,) summing to 1 in each stratum; alpha: (n,) times the stratum's share; share: (n,) of the row's stratum."""

    stratum: IntArray
    within: Float64Array
    share: Float64Array

    @classmethod
    def of(cls, stratum: IntArray, weight: Float64Array, pi: Float64Array) -> "_Side":
        return cls(stratum, _within(stratum, weight), pi[stratum])

    @property
    def alpha(self) -> Float64Array:
        return self.within * self.share

    def sums(self, values: Float64Array) -> Float64Array:
        """(n,) sum of the values over the stratum of each row."""
        return np.asarray(np.bincount(self.stratum, values)[self.stratum], dtype=np.float64)

    def inner(self, kernel: Float64Array) -> tuple[float, Float64Array]:
        """k(A, A) over all strata, and by how much it changes without each row. kernel: (n, n)."""
        same = self.stratum[:, None] == self.stratum[None, :]
        itself = self.within * np.diag(kernel)
        own = (kernel * same) @ self.within - itself  # (n,) over the other rows of the stratum
        others = kernel @ self.alpha - self.share * (own + itself)  # (n,) over the other strata
        squares, pairs = self.sums(self.within**2), self.sums(self.within * own)
        mean, across = pairs / (1.0 - squares), self.sums(self.within * others)
        left = 1.0 - self.within
        without = (pairs - 2.0 * self.within * own) / (left**2 - squares + self.within**2)
        change = self.share**2 * (without - mean) + 2.0 * self.share * self.within * (across - others) / left
        return float(self.within @ (self.share**2 * mean + self.share * across)), change

    def outer(self, kernel: Float64Array, alpha: Float64Array) -> tuple[float, Float64Array]:
        """k(A, B), and by how much it changes without each row of A. kernel: (n, m); alpha: (m,) of B."""
        to_other = kernel @ alpha  # (n,)
        change = self.share * self.within * (self.sums(self.within * to_other) - to_other) / (1.0 - self.within)
        return float(self.alpha @ to_other), change


@dataclass(frozen=True)
class _Distance:
    """MMD^2, and by how much it changes without each row of x, (n,), and of y, (m,)."""

    mmd2: float
    x_deleted: Float64Array
    y_deleted: Float64Array


def _distance(x: _Side, y: _Side, kernel_xx: Float64Array, kernel_xy: Float64Array, kernel_yy: Float64Array) -> _Distance:
    x_x, x_changes = x.inner(kernel_xx)
    y_y, y_changes = y.inner(kernel_yy)
    x_y, across_x = x.outer(kernel_xy, y.alpha)
    _, across_y = y.outer(kernel_xy.T, x.alpha)
    return _Distance(x_x + y_y - 2.0 * x_y, x_changes - 2.0 * across_x, y_changes - 2.0 * across_y)


def _between_halves(
    stratum: IntArray, weights: tuple[Float64Array, Float64Array], kernel: Float64Array, pi: Float64Array
) -> Estimate | None:
    """weights: (m,) of each half, 0 in the other."""
    if not all(measurable(stratum, weight, len(pi), FEWEST_HALF_ROWS) for weight in weights):
        return None
    first, second = (_Side.of(stratum, weight, pi) for weight in weights)
    found = _distance(first, second, kernel, kernel, kernel)
    return Estimate(found.mmd2, float(np.sqrt(np.sum((found.x_deleted + found.y_deleted) ** 2))))


def _within(stratum: IntArray, weight: Float64Array) -> Float64Array:
    """(n,) weights that sum to 1 in each stratum."""
    found: Float64Array = weight / np.bincount(stratum, weight)[stratum]
    return found
