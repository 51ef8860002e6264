"""The witness function of the MMD: where the real rows are denser than the synthetic ones.

f(x) = phi(x) . (mu_real - sum_i w_i phi(s_i)) is the difference of the two mean embeddings, read at x
(Gretton et al. 2012, section 2.3). It is positive where the real rows are denser, negative where the
synthetic rows are, and its mean over the real rows minus its weighted mean over the synthetic ones is MMD^2.

All numbers are whole multiples of a power of two and stay below 2^53 of them, so every product and sum is
exact: a row has the same value, and a cluster the same sum, whatever rows come with it and in whatever order.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
Int64Array = npt.NDArray[np.int64]

# A product is a multiple of 2^-51; |phi| is 1 and |mean difference| at most 2, so sums stay below 2^53 of them.
PHI_STEPS, DIFFERENCE_STEPS = 2.0**25, 2.0**26
VALUE_STEPS = 2.0**30  # values are summed as multiples of 2^-30: int64 holds 2^32 rows of a cluster
LARGEST_DIFFERENCE = 2.01  # norm of the difference of two means of unit vectors, with room for rounding


@dataclass(frozen=True)
class MeanDifference:
    """Mean feature of the real rows of a label minus that of its synthetic rows, each (D,) float64.

    after: synthetic rows by weight; before: by base weight."""

    after: Float64Array
    before: Float64Array

    @classmethod
    def of(cls, real: Float64Array, weighted: Float64Array | None = None, base: Float64Array | None = None) -> "MeanDifference":
        """From the three mean features, (D,) each; None for a label without synthetic rows: then the difference is the real mean."""
        return cls(real - (0.0 if weighted is None else weighted), real - (0.0 if base is None else base))


@dataclass(frozen=True)
class Cell:
    """What the real rows of one label and cluster add up to.

    after, before: sums of the witness, in steps of 2^-30; top: (value in steps, id) of the rows with the
    largest value after weighting, largest first, ties by id."""

    rows: int
    after: int
    before: int
    top: tuple[tuple[int, str], ...]


def witness_values(phi: Float32Array, difference: MeanDifference) -> Float64Array:
    """The witness at each row, after and before weighting (Gretton et al. 2012, section 2.3).

    phi: (n, D) features, rows of norm 1; difference: of the rows' label. Returns (n, 2) float64: after, before; within
    2e-8 of the real number, and the same bits whichever rows come with a row.
    Raises ValueError for a mean difference of another width, or longer than a difference of two means can be.

    >>> difference = MeanDifference.of(real=np.array([0.75, 0.25]), weighted=np.array([0.5, 0.5]), base=np.array([0.0, 1.0]))
    >>> witness_values(np.eye(2, dtype=np.float32), difference).tolist()  # after, before: synthetic rows are missing at the first
    [[0.25, 0.75], [-0.25, -0.75]]
    """
    differences = np.stack([difference.after, difference.before], axis=1)  # (D, 2)
    if phi.ndim != 2 or phi.shape[1] != len(differences):
        raise ValueError(
            f"phi must have shape (n, {len(differences)}), the width of the mean difference, got {phi.shape}; use the features of the alignment"
        )
    longest = float(np.sqrt(np.square(differences).sum(axis=0)).max())
    if not longest <= LARGEST_DIFFERENCE:  # NaN too
        raise ValueError(
            f"mean difference must be a difference of mean features, of norm 2 at most, got norm {longest:.3g}; give weights that sum to 1"
        )
    whole = np.rint(phi * np.float32(PHI_STEPS)).astype(np.float64)  # (n, D)
    exact: Float64Array = whole @ np.rint(differences * DIFFERENCE_STEPS)  # (n, 2), whole numbers below 2^53 in any order of the sum
    return exact / (PHI_STEPS * DIFFERENCE_STEPS)


def tally(clusters: npt.NDArray[np.integer], ids: npt.NDArray[np.object_], values: Float64Array, top: int) -> dict[int, Cell]:
    """The rows of one label by cluster.

    clusters: (n,); ids: (n,) text; values: (n, 2) of ``witness_values``; top: examples a cluster."""
    if not len(clusters):
        return {}
    steps = np.rint(values * VALUE_STEPS).astype(np.int64)  # (n, 2)
    order = np.lexsort((ids, -steps[:, 0], clusters))  # by cluster, then by falling value, then by id
    names, starts, counts = np.unique(clusters[order], return_index=True, return_counts=True)
    sums = np.add.reduceat(steps[order], starts, axis=0)  # (k, 2)
    found = {}
    for name, start, count, (after, before) in zip(names, starts, counts, sums, strict=True):
        best = order[start : start + min(int(count), top)]
        found[int(name)] = Cell(int(count), int(after), int(before), tuple((int(steps[i, 0]), str(ids[i])) for i in best))
    return found


def merge(cells: Iterable[Cell], top: int) -> Cell:
    """Several parts of one cluster as one: the same result in any order. top: examples to keep."""
    rows, after, before, best = 0, 0, 0, list[tuple[int, str]]()
    for cell in cells:
        rows, after, before = rows + cell.rows, after + cell.after, before + cell.before
        best += cell.top
    return Cell(rows, after, before, tuple(sorted(best, key=lambda example: (-example[0], example[1]))[:top]))


def mean_value(total: int, rows: int) -> float:
    """Mean witness of a cluster. total: its sum in steps of 2^-30; rows: >= 1."""
    return total / (VALUE_STEPS * rows)


def ranks(totals: Sequence[int]) -> list[int]:
    """Rank of each cluster of a label by its part of the real rows' mean witness, 1 the largest, ties to the earlier.

    totals: sums of the witness over the real rows; share of the label's rows times mean witness, but exact.

    >>> ranks([5, 9, 5])
    [2, 1, 3]
    """
    order = sorted(range(len(totals)), key=lambda i: (-totals[i], i))
    places = {cluster: place for place, cluster in enumerate(order, start=1)}
    return [places[i] for i in range(len(totals))]
