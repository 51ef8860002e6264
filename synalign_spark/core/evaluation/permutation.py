"""A test of "the weighted rows and the real ones come from the same distribution" that is exact for weights, and what it could have seen.

Rows that are drawn several times permute apart, and a test on them rejects too often. So each row is drawn once at most, alone, with a
probability in proportion to its weight: rejection sampling (von Neumann 1951). The rows that are drawn are an ordinary sample of the
weighted distribution, exchangeable with real rows if the two agree, and the permutation test within strata keeps its level exactly. Where the
weights were fitted on other real rows it keeps it as far as they are those of the real distribution.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse.linalg import LinearOperator, eigsh

from synalign_spark.core.defaults import FEWEST_TEST_ROWS, POWER_ERRORS, TEST_LEVEL
from synalign_spark.core.evaluation.mmd import Stratified
from synalign_spark.core.features import mixture_kernel

Float64Array = npt.NDArray[np.float64]

PERMUTATIONS_AT_ONCE = 50  # 4 MB of signs for 10,000 rows


@dataclass(frozen=True)
class Test:
    """Permutation p-value with its Monte Carlo standard error, and the MMD^2 that such a test finds in 80 of 100 cases.

    rows, real_rows: on each side; permutations: behind the p-value."""

    p_value: float
    p_value_error: float
    detectable: float
    rows: int
    real_rows: int
    permutations: int


def drawable(largest_weights: Sequence[float], most: float) -> float:
    """Rows to draw so that none can come twice: at most 1 / the largest weight. largest_weights: of normalised weights.

    >>> drawable([0.001, 0.004], 2_000)
    250.0
    """
    return float(min([most, *(1.0 / weight for weight in largest_weights)]))


def permutation_test(
    drawn: Stratified, real: Stratified, bandwidths: Sequence[float], permutations: int, seed: Sequence[int],
    shares: Sequence[float] = (1.0,),
) -> Test | None:  # fmt: skip
    """Permutes which side a row is of, within its stratum; the statistic is the squared distance of the mean embeddings.

    shares: of the strata, on both sides; seed: of the permutations. The p-value is (1 + exceedances) / (1 + permutations) (Phipson &
    Smyth 2010), so it is never 0. Returns None where a stratum has fewer than 5 rows of a side.

    >>> rng = np.random.default_rng(0)
    >>> x, y = (Stratified.of(rng.standard_normal((60, 2)).astype(np.float32) + np.float32(shift)) for shift in (0.0, 0.8))
    >>> permutation_test(x, y, [1.0], 199, [0]).p_value
    0.005
    """
    counts = [np.bincount(side.stratum, minlength=len(shares)) for side in (drawn, real)]
    if min(count.min() for count in counts) < FEWEST_TEST_ROWS:
        return None
    pi = np.asarray(shares, dtype=np.float64) / float(np.sum(shares))
    x, stratum = np.concatenate([drawn.x, real.x]), np.concatenate([drawn.stratum, real.stratum])
    signed = np.concatenate(
        [(pi / counts[0])[drawn.stratum], -(pi / counts[1])[real.stratum]]
    )  # (N,) means of one side minus those of the other
    kernel = mixture_kernel(x, x, bandwidths).astype(np.float64)
    observed = float(signed @ kernel @ signed)
    rng = np.random.default_rng(list(seed))
    null = np.empty(permutations)
    for start in range(0, permutations, PERMUTATIONS_AT_ONCE):
        part = null[start : start + PERMUTATIONS_AT_ONCE]
        shuffled = np.tile(signed, (len(part), 1))  # (count, N)
        for name in range(len(pi)):
            here = np.flatnonzero(stratum == name)
            shuffled[:, here] = rng.permuted(shuffled[:, here], axis=1)
        part[:] = np.einsum("ij,ij->i", shuffled @ kernel, shuffled)
    p = (1 + int((null >= observed * (1 - 1e-9)).sum())) / (1 + permutations)
    noise = pi**2 * (1.0 / counts[0] + 1.0 / counts[1]) / (counts[0] + counts[1])
    detectable = detectable_difference(null, _largest_eigenvalue(kernel, stratum, noise[stratum]))
    return Test(p, float(np.sqrt(p * (1 - p) / permutations)), detectable, len(drawn.x), len(real.x), permutations)


def detectable_difference(null: Float64Array, largest: float) -> float:
    """The MMD^2 at which the test rejects in 80 of 100 cases at least, from its statistic over permutations.

    null: (permutations,) squared distances of mean embeddings; largest: largest eigenvalue of the covariance S of the noise in their
    difference. At a true distance d^2 the statistic is larger by d^2 in the mean, and its variance by 4 <f, S f>, with f of length d: by
    4 d^2 largest where the difference lies in the direction of most noise, in which it is seen the least. d^2 solves
    mean + d^2 - critical value = 0.84 standard deviations.

    >>> null = np.random.default_rng(0).chisquare(50, 4_000) / 50 * 0.01  # mean 0.01, critical value 0.0135
    >>> 0.0135 < 0.01 + detectable_difference(null, 0.01 / 50) < 0.02
    True
    """
    gap = float(np.quantile(null, 1.0 - TEST_LEVEL) - null.mean())
    z2, variance = POWER_ERRORS**2, float(null.var())
    linear = gap + 2.0 * z2 * largest  # (d2 - gap)^2 = z^2 (variance + 4 d2 largest), its larger root
    return linear + float(np.sqrt(linear**2 - gap**2 + z2 * variance))


def _largest_eigenvalue(kernel: Float64Array, stratum: npt.NDArray[np.int64], noise: Float64Array) -> float:
    """Of sum_i noise_i (k_i - mean) (k_i - mean)^T, with the mean embedding of the row's stratum. kernel: (N, N); noise: (N,)."""
    counts = np.bincount(stratum).astype(np.float64)

    def centred(v: Float64Array) -> Float64Array:
        return v - (np.bincount(stratum, v) / counts)[stratum]

    root = np.sqrt(noise)
    operator = LinearOperator(kernel.shape, matvec=lambda v: root * centred(kernel @ centred(root * v.ravel())), dtype=np.float64)
    start = np.random.default_rng(0).standard_normal(len(root))
    if not operator.matvec(start).any():
        return 0.0  # all rows of each stratum are one point, from which ARPACK cannot start
    return float(eigsh(operator, k=1, v0=start, tol=1e-3, return_eigenvectors=False)[0])


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values of several tests (Holm 1979), in the order given.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(p_values, kind="stable")
    adjusted, largest = [0.0] * len(p_values), 0.0
    for place, i in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - place) * p_values[i]))
        adjusted[i] = largest
    return adjusted
