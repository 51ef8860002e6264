"""Demonstration sets of single rows, as the scripts of Ren et al. 2025 choose them: no clusters, a row picked and its nearest neighbours.

Each label begins at a row by chance, which counts as known and is not shown. The row that the Gaussian process knows least about is then
shown with its nearest neighbours, and all of them count as known; a neighbour may be shown again, a row is picked once."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from synalign_spark.core.keys import unit
from synalign_spark.core.sampling.gp import Selected, Tracker, median_length_scale
from synalign_spark.core.sampling.quota import largest_remainder
from synalign_spark.core.sampling.strata import DemonstrationSet, Rule

FIRST_KEY = "select.first"  # purpose of the random numbers
MOST_NUMBERS = 2**27  # of the factor, rows times known rows: 1 GB

Float64Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Chosen = tuple[DemonstrationSet, list[int]]


def row_sets(
    ids: Sequence[str],
    x: npt.NDArray[np.float32],
    labels: Sequence[str | None],
    cluster_ids: IntArray,
    rule: Rule,
    total: int,
    seed: int,
) -> list[Chosen]:
    """``total`` sets with the numbers of their rows, the one picked first; fewer where a label has fewer rows. Sets are shared by ``quota``.

    ids: n distinct texts, ties go to the smaller; x: (n, d) vectors; labels: n, where any has one, rows without are left out;
    cluster_ids: (n,) of the rows, told of the row picked. ``places`` of a set is empty.
    Raises ValueError for fewer sets than labels, and for more rows and sets than fit in memory.

    >>> from types import SimpleNamespace
    >>> rule = SimpleNamespace(rows_per_set=2, alpha=0.0, length_scale=1.0, noise=1e-5, quota="equal", reach_sd=0.7)
    >>> x = np.array([[0.0], [0.1], [9.0], [9.1], [20.0], [20.1]])
    >>> [rows for _, rows in row_sets(list("abcdef"), x, [None] * 6, np.zeros(6, dtype=int), rule, 2, seed=0)]
    [[2, 3], [4, 5]]"""
    names: list[str | None] = [*sorted({label for label in labels if label is not None})] or [None]
    if total < len(names):
        raise ValueError(f"{total} demonstration sets are too few for the corpus's {len(names)} labels; ask for at least {len(names)}")
    by_id = sorted(range(len(ids)), key=ids.__getitem__)
    rows_of = {name: np.array([row for row in by_id if labels[row] == name], dtype=np.int64) for name in names}
    sizes = np.array([len(rows_of[name]) for name in names])
    weights = sizes if rule.quota == "proportional" else np.ones(len(names))
    quotas = largest_remainder(weights, total, np.minimum(total, np.maximum(1, (sizes - 1) // rule.rows_per_set)))
    length_scale = median_length_scale(np.asarray(x[by_id], dtype=np.float64)) if rule.length_scale == "median" else rule.length_scale
    found: list[Chosen] = []
    for name, quota in zip(names, quotas.tolist(), strict=True):
        rows = rows_of[name]
        if len(rows) * (1 + quota * rule.rows_per_set) > MOST_NUMBERS:
            raise ValueError(
                f"candidates is 'rows', and {quota:,} sets of {len(rows):,} rows need more than {MOST_NUMBERS * 8 >> 30} GB; "
                "give fewer rows or sets, or candidates='clusters'"
            )
        found += _of_label(name, rows, [ids[row] for row in rows], x, cluster_ids, rule, quota, length_scale, seed)
    return found


def _of_label(
    label: str | None,
    rows: IntArray,
    ids: list[str],
    x: npt.NDArray[np.float32],
    cluster_ids: IntArray,
    rule: Rule,
    quota: int,
    length_scale: float,
    seed: int,
) -> list[Chosen]:
    """The sets of one label. rows: (m,) its rows in the order of their ids."""
    vectors = np.asarray(x[rows], dtype=np.float64)  # (m, d)
    tracker = Tracker(vectors, np.full(len(rows), 1 / len(rows)), length_scale, rule.noise)
    left = np.ones(len(rows), dtype=np.int64)
    if len(rows) > 1:
        first = int(np.argmin(unit(seed, f"{FIRST_KEY}:{label}", ids)))
        tracker.replay([first])
        left[first] = 0
    picks: list[tuple[Selected, IntArray, int]] = []  # and how many rows are known after each
    while len(picks) < quota and left.any():
        [picked] = tracker.pick(1, left)
        near = _nearest(vectors, picked.position, rule.rows_per_set)
        left[picked.position] = 0
        fresh = near[left[near] > 0]
        tracker.replay(fresh.tolist())
        left[fresh] = 0
        picks.append((picked, near, len(tracker.picked)))
    trace = tracker.trace(rule.reach_sd)
    return [
        (
            DemonstrationSet(
                0, label, rank, int(cluster_ids[rows[picked.position]]), picked.posterior_sd, 1 / len(rows), picked.acquisition,
                float(trace.mean_sd[known - 1]), float(trace.coverage[known - 1]), (),
            ),
            rows[near].tolist(),
        )
        for rank, (picked, near, known) in enumerate(picks)
    ]  # fmt: skip


def _nearest(vectors: Float64Array, position: int, count: int) -> IntArray:
    """The row itself, then those nearest to it, ties to the earlier: at most ``count``."""
    distance = np.square(vectors - vectors[position]).sum(axis=1)
    distance[position] = -1.0  # before its doubles
    return np.argsort(distance, kind="stable")[:count]
