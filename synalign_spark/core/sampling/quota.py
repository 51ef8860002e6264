"""Shares a number of things out in proportion: largest remainders (Hamilton's method), with floors and caps."""

from collections.abc import Mapping
from typing import TypeVar

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]
Float64Array = npt.NDArray[np.float64]
Label = TypeVar("Label", bound=str | None)
EVEN = 1e-9  # of what a turn brings: shares that differ by less are even


def quotas(shares: Mapping[Label, float], rows: int) -> dict[Label, int]:
    """Shares out rows among labels by largest remainder, ties by name; the counts sum to ``rows``, in the order of ``shares``.

    shares: of any positive sum; a label of share 0 gets nothing. Raises ValueError if no share is positive.

    >>> quotas({"a": 5, "b": 3, "c": 2}, 7)  # 3.5, 2.1 and 1.4
    {'a': 4, 'b': 2, 'c': 1}
    """
    names = sorted((name for name, share in shares.items() if share > 0), key=str)
    if not names:
        raise ValueError(f"shares must have a positive sum, got {dict(shares)}; draw from labels that have rows")
    counts = largest_remainder([shares[name] for name in names], rows, [rows] * len(names), floor=0)
    return dict.fromkeys(shares, 0) | {name: int(count) for name, count in zip(names, counts, strict=True)}


def largest_remainder(weights: npt.ArrayLike, total: int, caps: npt.ArrayLike, floor: int = 1) -> IntArray:
    """Whole numbers in proportion to ``weights`` that sum to ``total``, or to sum(caps) where that is less.

    weights: (m,) positive; caps: (m,) most that each may get, >= floor; floor: least that each gets.
    Ties go to the earlier entry. Raises ValueError where total < m * floor or an entry cannot have its floor."""
    wanted, most = np.asarray(weights, dtype=np.float64), np.asarray(caps, dtype=np.int64)
    if (wanted <= 0).any() or (most < floor).any():
        raise ValueError(f"every weight must be positive and every cap at least {floor}, got {wanted.tolist()} and {most.tolist()}")
    if total < floor * len(wanted):
        raise ValueError(f"total must be at least {floor * len(wanted)} to give {floor} to each of {len(wanted)}, got {total}")
    total = min(total, int(most.sum()))
    fixed = np.full(len(wanted), -1, dtype=np.int64)  # entries held at their floor or cap
    while True:
        free = fixed < 0
        share = wanted[free] / max(wanted[free].sum(), 1e-300) * (total - fixed[~free].sum())
        low, high = share < floor, share > most[free]
        if not (low.any() or high.any()):
            break
        # Hold the side that misses by more (both, if even): the other shares then move away from the limits held.
        too_few, too_many = (floor - share)[low].sum(), (share - most[free])[high].sum()
        held = (low & (too_few >= too_many)) | (high & (too_many >= too_few))
        fixed[np.flatnonzero(free)[held]] = np.clip(share, floor, most[free])[held].astype(np.int64)
    result = fixed.copy()
    result[free] = np.floor(share).astype(np.int64)
    left = total - int(result.sum())
    by_remainder = np.flatnonzero(free)[np.argsort(-(share - np.floor(share)), kind="stable")]
    result[by_remainder[:left]] += 1
    return result


def interleaved(have: npt.ArrayLike, targets: npt.ArrayLike, gain: npt.ArrayLike, turns: npt.ArrayLike, most: int) -> list[int]:
    """The order of turns for which, wherever it is broken off, what each has stays in proportion to its target.

    have: (m,) what each has already; targets: (m,) positive; gain: (m,) positive, what a turn brings; turns: (m,) of each;
    most: turns in all. Returns positions, sum(turns) or ``most`` of them. Who has less than its share of the sum takes part, and the one goes first that would fall
    behind the soonest (Balinski & Young 1975, the quota method): with equal gains and shares kept so far nobody is ever as
    much as one turn away from its share while all have turns left. Ties go to the earlier entry.

    >>> interleaved([0, 0], [3, 1], [5, 5], [3, 1], 10)
    [0, 0, 0, 1]
    """
    held, wanted, step = (np.array(values, dtype=np.float64) for values in (have, targets, gain))
    left = np.array(turns, dtype=np.int64)
    order: list[int] = []
    while len(order) < most and (open_ := np.flatnonzero(left > 0)).size:
        share = wanted[open_] / wanted[open_].sum()
        due = held[open_] < share * (held[open_].sum() + step[open_]) - EVEN * step[open_]
        behind_at: Float64Array = np.where(due, (held[open_] + step[open_]) / share, np.inf)
        turn = int(open_[behind_at.argmin()])
        held[turn] += step[turn]
        left[turn] -= 1
        order.append(turn)
    return order
