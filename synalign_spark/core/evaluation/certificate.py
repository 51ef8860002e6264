"""What the weights achieve, checked on rows that did not shape them, and said in words.

The random-feature MMD is computed over all rows; here are the checks that do not rest on random
features: the exact U-statistic of the MMD (Gretton et al. 2012, eq. 3) and its permutation test, both on
a stated subsample of held-out real rows and of synthetic rows drawn by weight.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from synalign_spark.core.defaults import FEWEST_TEST_ROWS, TEST_LEVEL
from synalign_spark.core.features import mixture_kernel

Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]

PERMUTATIONS_AT_ONCE = 50


@dataclass(frozen=True)
class Check:
    """Exact MMD^2 of a drawn sample against real rows, its permutation p-value, and the standard errors of both.
    rows: drawn, with copies."""

    mmd2: float
    mmd2_error: float
    p_value: float
    p_value_error: float
    rows: int


@dataclass(frozen=True)
class Findings:
    """What a verdict is made of: MMD^2 to the held-out rows, p-values (None: no test), and the solve's state."""

    rule: str
    lam: float
    holdout_before: float
    holdout_after: float
    p_before: float | None
    p_after: float | None
    tested_rows: int
    ess_share: float
    converged: bool
    raised: bool = False
    confidence_exponent: float = 0.0
    density_ratio_exponent: float = 0.0


def copies_by_weight(weights: Float64Array, rows: float | Float64Array, u: Float64Array) -> npt.NDArray[np.int64]:
    """Draws about ``rows`` rows: each row gets floor(rows * weight + u) copies.

    weights: (n,) summing to 1; rows: one number, or (n,) where rows of several labels are drawn at once; u: (n,) uniform
    in (0, 1), one a row. Every row decides alone, so the draw needs no
    order and no total; the expected number of copies is exactly rows * weight, and no row with a weight
    below 1 / rows comes twice."""
    return np.floor(rows * weights + u).astype(np.int64)


def draw_size(ess: float, most: int) -> float:
    """Rows to draw for a test: at most half of the effective sample size, else copies of few rows are what it finds."""
    return float(min(most, ess / 2.0))


def compare(drawn: Float32Array, real: Float32Array, bandwidths: Sequence[float], permutations: int, seed: Sequence[int]) -> Check | None:
    """Exact MMD^2 (unbiased U-statistic) and permutation test.

    drawn: (m, d) rows drawn by weight; real: (n, d) held-out rows; seed: of the permutations.
    Returns None where a side has fewer than 5 rows. The p-value is (1 + exceedances) / (1 + permutations)
    (Phipson & Smyth 2010), so it is never 0 and the test keeps its level."""
    m, n = len(drawn), len(real)
    if min(m, n) < FEWEST_TEST_ROWS:
        return None
    rows = np.concatenate([drawn, real])
    kernel = mixture_kernel(rows, rows, bandwidths)
    kernel -= kernel.mean(dtype=np.float64).astype(np.float32)  # leaves the statistic, saves float32 digits
    first = np.zeros(m + n, dtype=np.float32)
    first[:m] = 1.0
    observed = float(_u_statistics(kernel, first[:, None])[0])
    rng = np.random.default_rng(list(seed))
    exceed = 0
    for start in range(0, permutations, PERMUTATIONS_AT_ONCE):
        count = min(PERMUTATIONS_AT_ONCE, permutations - start)
        shuffled = np.stack([rng.permutation(first) for _ in range(count)], axis=1)  # (m + n, count)
        exceed += int((_u_statistics(kernel, shuffled) >= observed).sum())
    p = (1 + exceed) / (1 + permutations)
    return Check(observed, _standard_error(kernel, m), p, float(np.sqrt(p * (1 - p) / permutations)), m)


def _standard_error(kernel: Float32Array, m: int) -> float:
    """Of the U-statistic, from its first-order projections onto single rows (Hoeffding; van der Vaart 1998, theorem 12.6).

    kernel: (N, N), the first m rows those of the first sample. Under equal distributions the projections vanish and the
    permutation test says more."""
    n = len(kernel) - m
    x_x, x_y = kernel[:m, :m].sum(axis=1, dtype=np.float64), kernel[:m, m:].mean(axis=1, dtype=np.float64)
    y_y, y_x = kernel[m:, m:].sum(axis=1, dtype=np.float64), kernel[m:, :m].mean(axis=1, dtype=np.float64)
    own = np.diag(kernel).astype(np.float64)
    first = (x_x - own[:m]) / (m - 1) - x_y  # (m,)
    second = (y_y - own[m:]) / (n - 1) - y_x  # (n,)
    return float(2.0 * np.sqrt(first.var(ddof=1) / m + second.var(ddof=1) / n))


def _u_statistics(kernel: Float32Array, first: Float32Array) -> Float64Array:
    """MMD^2 U-statistics of many splits of the same rows.

    kernel: (N, N); first: (N, splits) of 0 and 1, 1 for the rows of the first sample. Returns (splits,)."""
    diagonal = np.diag(kernel).astype(np.float64)  # (N,)
    inside = first.astype(np.float64)
    m = float(inside[:, 0].sum())
    n = len(kernel) - m
    sums = (kernel @ first).astype(np.float64)  # (N, splits)
    within = np.einsum("ij,ij->j", inside, sums)
    cross = sums.sum(axis=0) - within
    outside = kernel.sum(dtype=np.float64) - within - 2.0 * cross
    own = diagonal @ inside  # pairs of a row with itself do not count
    within, outside = within - own, outside - (diagonal.sum() - own)
    result: Float64Array = within / (m * (m - 1)) + outside / (n * (n - 1)) - 2.0 * cross / (m * n)
    return result


def verdict(found: Findings) -> str:
    """The certificate in words."""
    parts = []
    if found.rule == "uniform":
        parts.append("too few real rows to align by: base weights kept")
    elif np.isinf(found.lam) and found.rule in ("fixed", "plain"):
        parts.append("base weights kept, as configured")
    elif np.isinf(found.lam) and found.rule == "ess_rule":
        parts.append("no lambda keeps the effective sample size: the base measure alone")
    elif np.isinf(found.lam) and (found.confidence_exponent or found.density_ratio_exponent):
        exponents = (("label confidence", found.confidence_exponent), ("the density ratio of words", found.density_ratio_exponent))
        means = " and ".join(name for name, exponent in exponents if exponent)
        parts.append(f"weights by {means} alone: matching the distribution as well did not pay on validation rows")
    elif np.isinf(found.lam):
        parts.append("uniform could not be beaten on validation rows: base weights kept")
    if found.p_after is None:
        parts.append("no test: fewer than 5 held-out or drawn rows")
    elif found.p_after > TEST_LEVEL:
        parts.append(
            f"the weighted rows cannot be told from the real ones at the 5% level ({found.tested_rows} rows drawn, p = {found.p_after:.3f})"
        )
    else:
        parts.append(f"the weighted rows can still be told from the real ones ({found.tested_rows} rows drawn, p = {found.p_after:.3f})")
    if not np.isinf(found.lam) and found.holdout_before > 0:
        left = max(found.holdout_after, 0.0) / found.holdout_before
        parts.append(f"{left:.0%} of the held-out MMD^2 is left")
    parts.append(f"effective sample size {found.ess_share:.0%} of the rows")
    if not found.converged:
        parts.append("the duality gap was not reached: raise align.max_passes or lambda")
    if found.raised:
        parts.append("lambda was raised to keep the effective sample size or the largest weight within bounds")
    return "; ".join(parts)
