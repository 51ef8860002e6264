"""Weights of which some rows may not have more than they came with.

The solver's weights w of a group are the exact solution of its own problem, with its own duality gap. A row that must not gain then has
the smaller of w and its base weight b; what such rows give up goes to the others, in proportion to their weights. Where the others would
grow beyond a factor, or beyond the largest weight allowed, the whole goes back towards b, so that no cap is broken and all still sums to 1:

    v_i = min(w_i, b_i) for rows that must not gain,  kappa w_i for the others;     weight_i = (1 - t) v_i + t b_i
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from synalign_spark.core.defaults import MOST_GROWTH
from synalign_spark.core.solver.moments import Moments

Float64Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

ROUNDING = 1e-9  # relative: weights that differ by less are equal


@dataclass(frozen=True)
class CapSums:
    """Sums over rows of a group. free: weight of rows that may gain; held: of the others, once capped; cut: rows that a cap lowers;
    largest: weight of a row that may gain; largest_base: of any row; rows: with a base weight."""

    free: float
    held: float
    cut: int
    largest: float
    largest_base: float
    rows: int

    @classmethod
    def of(cls, w: Float64Array, b: Float64Array, flagged: Mask) -> "CapSums":
        """w, b, flagged: (n,) weights, base weights, and whether a row must not gain."""
        free, held = float(w[~flagged].sum()), float(np.minimum(w, b)[flagged].sum())
        return cls(
            free, held, int(cut(w, b, flagged).sum()), float(w[~flagged].max(initial=0.0)), float(b.max(initial=0.0)), int((b > 0).sum())
        )

    @classmethod
    def joined(cls, parts: Iterable["CapSums"]) -> "CapSums":
        """Of disjoint sets of rows, added in rising order, so that the order of the parts does not show."""
        held = sorted(parts, key=lambda part: (part.free, part.held, part.rows))
        sums = (sum(getattr(part, name) for part in held) for name in ("free", "held", "cut", "rows"))
        free, capped, lowered, rows = sums
        return cls(free, capped, lowered, max(part.largest for part in held), max(part.largest_base for part in held), rows)


@dataclass(frozen=True)
class WeightCap:
    """What the caps make of a group's weights. kappa: factor of rows that may gain; back: t, the share of the base weights."""

    kappa: float = 1.0
    back: float = 0.0

    def apply(self, w: Float64Array, b: Float64Array, flagged: Mask) -> Float64Array:
        """The final weights, (n,); arguments as of :meth:`CapSums.of`.

        >>> w, b, flagged = np.array([0.7, 0.1, 0.2]), np.full(3, 1 / 3), np.array([True, False, False])
        >>> find_cap(CapSums.of(w, b, flagged)).apply(w, b, flagged).round(3).tolist()
        [0.333, 0.233, 0.433]"""
        kept = np.where(flagged, np.where(cut(w, b, flagged), b, w), self.kappa * w)
        found: Float64Array = kept if not self.back else (1.0 - self.back) * kept + self.back * b
        return found


NO_CAP = WeightCap()


def cut(w: Float64Array, b: Float64Array, flagged: Mask) -> Mask:
    """Which rows a cap lowers, (n,)."""
    return flagged & (w > b * (1.0 + ROUNDING))


def find_cap(sums: CapSums, weight_cap: float = np.inf) -> WeightCap:
    """sums: over all rows of the group; weight_cap: largest weight, as a multiple of 1 / rows.

    Where nothing may gain, these are the base weights; they stay too where they are above the largest weight allowed themselves."""
    if sums.cut and not sums.free:
        return WeightCap(0.0, 1.0)
    kappa = (1.0 - sums.held) / sums.free if sums.cut else 1.0
    back = max(0.0, 1.0 - MOST_GROWTH / kappa)
    largest, allowed = kappa * sums.largest, weight_cap / sums.rows * (1.0 + ROUNDING)
    if largest > max(allowed, sums.largest_base):
        back = max(back, min(1.0, (largest - allowed) / (largest - sums.largest_base)))
    return WeightCap(kappa, back)


def weighted_moments(w: Float64Array, phi_sum: Float64Array, log_partition: float) -> Moments:
    """Moments of final weights. w: (n,); phi_sum: (D,) sum of w_i phi_i; log_partition: of the solve, which stays."""
    largest = float(w.max(initial=0.0))
    return from_sums(float(w.sum()), float(w @ w), largest, phi_sum, int((w > 0).sum()), log_partition)


def from_sums(total: float, squares: float, largest: float, phi_sum: Float64Array, rows: int, log_partition: float) -> Moments:
    """The same from sums over all rows: of w, w^2 and w phi, and the largest w."""
    shift = log_partition + np.log(largest) - np.log(total)
    return Moments(float(shift), total / largest, squares / largest**2, phi_sum / largest, rows)
