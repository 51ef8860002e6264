"""Draws rows by weight: systematic, multinomial, and without replacement with inclusion in proportion to the weight.

All three are made of parts that see few rows at a time. The rows of a label fall into buckets by the
first digits of their hashed id, in the order of the id. The driver sees one total a bucket and tells each
bucket what it needs; the rows of a bucket then get their copies from ``systematic_copies`` or
``multinomial_copies``. Weights become whole numbers first ("ticks"), so that sums are exact and the
result has the same bits for every partitioning.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from synalign_spark.core.sampling.quota import quotas as quotas

Int64Array = npt.NDArray[np.int64]

TICKS = 2**50  # of a label whose weights sum to 1: totals stay below 2^53, so doubles hold them exactly
ROUNDING = 2**24  # a size of one draw but for one over this is a draw: what is less must not come twice by rounding
SIZE_BITS = 9  # leading bits of a weight that decide its inclusion without replacement: 256 sizes a doubling
ROWS_A_BUCKET = 4096  # so that a billion rows have a million buckets


def to_ticks(weights: npt.NDArray[np.floating]) -> Int64Array:
    """Weights that sum to 1 within the label, as whole ticks of 2^-50. weights: (n,) >= 0."""
    return np.rint(np.asarray(weights, dtype=np.float64) * TICKS).astype(np.int64)


def systematic_copies(ticks: Int64Array, before: int, total: int, draws: int, u: float) -> Int64Array:
    """Copies of the rows of one bucket under systematic sampling (Madow 1949).

    ticks: (n,) of the bucket's rows in the order of their ids; before: ticks of all earlier rows of the label; total: of the
    whole label; draws: rows to draw from the label; u: the label's one uniform number in [0, 1).
    A row gets floor or ceil of draws * weight; over the buckets of a label the copies sum to ``draws``."""
    edges = np.concatenate([[before], before + np.cumsum(ticks)]).astype(np.float64)  # (n + 1,), exact whole numbers
    marks = np.minimum(np.floor(edges / total * draws + u), draws)  # a u just below 1 may round up at the end
    return np.diff(marks).astype(np.int64)


def bucket_draws(ticks: Sequence[int], draws: int, seed: Sequence[int]) -> Int64Array:
    """How many of a label's multinomial draws fall into each bucket. ticks: totals of its buckets, in order."""
    return multinomial_copies(np.asarray(ticks, dtype=np.int64), draws, seed)


def multinomial_copies(ticks: Int64Array, draws: int, seed: Sequence[int]) -> Int64Array:
    """Independent draws with replacement: copies of each row, in proportion to its ticks.

    Draws for the buckets of a label first and then within each bucket are draws from the whole label."""
    if not draws:
        return np.zeros(len(ticks), dtype=np.int64)
    sequence = np.random.SeedSequence([len(seed), *seed])  # with the length: to numpy, [7] and [7, 0] are one seed
    rng = np.random.Generator(np.random.Philox(sequence))
    p = ticks / float(ticks.sum())
    last = int(np.flatnonzero(ticks)[-1])  # numpy gives what is left by rounding to the last entry: let it have a weight
    copies: Int64Array = np.zeros(len(ticks), dtype=np.int64)
    copies[: last + 1] = rng.multinomial(draws, p[: last + 1])
    return copies


def coarse(ticks: int) -> int:
    """The ticks with all but their leading nine bits cleared: within 0.4 % of them, and few enough values to count on the driver.

    >>> coarse(300), coarse(1_000_003)
    (300, 999424)"""
    shift = max(0, ticks.bit_length() - SIZE_BITS)
    return ticks >> shift << shift


def certain(rows: Mapping[int, int], draws: int) -> tuple[float, int]:
    """Which rows of a label are drawn for sure, without replacement and with inclusion in proportion to a size (Särndal et al. 1992, section
    3.6.2): no row can be drawn more than once, so one of more than a draw's size is taken, and the other draws are shared anew.

    rows: size to number of rows of that size; draws: at most as many as there are rows (ValueError otherwise).
    Returns (edge, rest): rows of size edge and more are taken, and ``rest`` of the others are left to draw, each of which is
    less than one draw.

    >>> certain({6: 1, 2: 2, 1: 2}, 3)  # 6 of 12 is half of three draws: taken; then 2 of 6 is less than one of two
    (6, 2)"""
    if draws > (held := sum(rows.values())):
        raise ValueError(
            f"cannot draw {draws} rows without replacement: only {held} have a weight; lower resample.rows or draw with replacement"
        )
    edge, total = math.inf, sum(size * n for size, n in rows.items())
    for size in sorted(rows, reverse=True):
        whole = max(ROUNDING, 4 * draws)  # so that no more rows are taken than there are draws
        if not draws or size * draws * whole < total * (whole - 1):
            break
        edge, draws, total = size, draws - rows[size], total - size * rows[size]
    return edge, draws


def prefix_digits(rows: int) -> int:
    """Hex digits of the id that make buckets of about 4,096 rows: 0 (one bucket) up to 6."""
    return min(6, max(0, math.ceil(math.log(max(rows, 1) / ROWS_A_BUCKET, 16))))


def bucket_starts(totals: Mapping[Any, int]) -> dict[Any, int]:
    """Ticks of the label before each of its buckets, by sorted bucket."""
    starts, running = {}, 0
    for name in sorted(totals):
        starts[name] = running
        running += totals[name]
    return starts
