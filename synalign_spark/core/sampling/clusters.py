"""Clusters of rows held in memory, and the demonstrations among them: what the ``cluster`` and ``select`` stages do in Spark.

The same ids, seed and vectors give the same clusters and the same demonstrations in both.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from synalign_spark.core.communicator import Communicator, LocalCommunicator
from synalign_spark.core.defaults import FEWEST_CLUSTERS, MOST_CLUSTERS
from synalign_spark.core.keys import unit
from synalign_spark.core.sampling.kmeans import KMeansFit, by_size, fit
from synalign_spark.core.sampling.neighbours import nearest
from synalign_spark.core.sampling.strata import DemonstrationSet, LabelClusters

SAMPLE_KEY, DEMONSTRATIONS_KEY = "cluster.sample", "select.demonstrations"  # purposes of the random numbers

Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Strings = Sequence[str]


class KMeansRule(Protocol):
    """How rows are clustered; the configuration's ``cluster`` section has these attributes and says what they mean."""

    @property
    def k(self) -> int | Literal["auto"]: ...
    @property
    def sample_rows(self) -> int | Literal["all"]: ...
    @property
    def batch_rows(self) -> int: ...
    @property
    def max_epochs(self) -> int: ...
    @property
    def tolerance(self) -> float: ...


@dataclass(frozen=True)
class Clustering:
    """Every row at its nearest centroid.

    centroids: (k, d) float64, by falling number of rows, ties by coordinates; cluster_ids: (n,) rows of ``centroids``;
    sq_distance: (n,) squared Euclidean distance."""

    centroids: Float64Array
    cluster_ids: IntArray
    sq_distance: Float64Array


def fitted_rows(rule: KMeansRule, n_rows: int) -> int:
    """How many of the rows k-means is to be fitted on, those of smallest hash number."""
    return n_rows if rule.sample_rows == "all" else min(n_rows, rule.sample_rows)


def n_clusters(rule: KMeansRule, n_rows: int, fitted: int) -> int:
    """``k``, or the square root of the number of rows between FEWEST_CLUSTERS and MOST_CLUSTERS. fitted: rows that k-means is fitted on.

    Raises ValueError for more clusters than rows."""
    if rule.k == "auto":
        return min(fitted, max(FEWEST_CLUSTERS, min(MOST_CLUSTERS, round(math.sqrt(n_rows)))))
    if rule.k > n_rows:
        raise ValueError(f"k is {rule.k} but the corpus has {n_rows} rows; set it to at most {n_rows}, or to auto")
    if rule.k > fitted:
        raise ValueError(f"k is {rule.k} but k-means is fitted on {fitted} rows; raise sample_rows or lower k")
    return rule.k


def fit_keyed(x: Float32Array, keys: Float64Array, rule: KMeansRule, k: int, seed: int, comm: Communicator) -> KMeansFit:
    """k-means by the rule. x: (n, d) rows of this rank; keys: (n,) their hash numbers."""
    return fit(x, keys, k, comm, seed=seed, batch_rows=rule.batch_rows, max_epochs=rule.max_epochs, tolerance=rule.tolerance)


def cluster_rows(ids: Strings, x: Float32Array, rule: KMeansRule, seed: int) -> Clustering:
    """k-means on the rows of smallest hash number, then every row at its nearest centroid.

    ids: n distinct texts; x: (n, d) finite. Raises ValueError for no rows and for more clusters than rows.

    >>> from types import SimpleNamespace
    >>> rule = SimpleNamespace(k=2, sample_rows="all", batch_rows=100, max_epochs=20, tolerance=1e-4)
    >>> x = np.array([[0.0], [0.2], [5.0], [0.1]], dtype=np.float32)
    >>> cluster_rows(["a", "b", "c", "d"], x, rule, seed=0).cluster_ids.tolist()
    [0, 0, 1, 0]"""
    by_id = np.array(sorted(range(len(ids)), key=ids.__getitem__), dtype=np.int64)
    keys = unit(seed, SAMPLE_KEY, ids)
    sample = by_id[np.argsort(keys[by_id], kind="stable")][: fitted_rows(rule, len(ids))]
    k = n_clusters(rule, len(ids), len(sample))
    centroids = fit_keyed(x[sample], keys[sample], rule, k, seed, LocalCommunicator()).centroids
    assigned, sq_distance = nearest(x, centroids)  # (n,), (n,)
    counts = np.bincount(assigned, minlength=len(centroids))
    kept, renumbered = by_number_of_rows(counts, centroids)
    return Clustering(centroids[kept], renumbered[assigned], sq_distance)


def by_number_of_rows(counts: IntArray, centroids: Float64Array) -> tuple[IntArray, IntArray]:
    """The clusters that hold rows, by falling number of rows, and the new id of each old one (-1 where it holds none).

    counts: (k,) of all rows; centroids: (k, d). Returns (<= k,) and (k,)."""
    kept = by_size(counts, centroids)
    kept = kept[counts[kept] > 0]
    renumbered = np.full(len(counts), -1, dtype=np.int64)
    renumbered[kept] = np.arange(len(kept))
    return kept, renumbered


def count_labels(found: Clustering, labels: Sequence[str | None], weights: Float64Array | None = None) -> LabelClusters:
    """Rows of each label in each cluster; where any row has a label, rows without one are left out.

    labels: n, None for none; weights: (n,) of the rows, positive."""
    k = len(found.centroids)
    names: list[str | None] = [*sorted({label for label in labels if label is not None})] or [None]
    code = {label: number for number, label in enumerate(names)}
    codes = np.fromiter((code.get(label, -1) for label in labels), dtype=np.int64, count=len(labels))  # (n,)
    cells = (codes * k + found.cluster_ids)[codes >= 0]
    rows = np.bincount(cells, minlength=len(names) * k).reshape(len(names), k)
    summed = None if weights is None else np.bincount(cells, weights[codes >= 0], len(names) * k).reshape(len(names), k)
    return LabelClusters(
        np.arange(k),
        found.centroids,
        dict(zip(names, rows, strict=True)),
        None if summed is None else dict(zip(names, summed, strict=True)),
    )


def demonstrations(
    sets: Sequence[DemonstrationSet], found: Clustering, ids: Strings, labels: Sequence[str | None], order: Float64Array
) -> list[tuple[DemonstrationSet, int, int]]:
    """The rows that the sets show: (set, rank within it, number of the row), in that order.

    order: (n,) rows of a cluster are shown by this number, ties by id: the distance to the centroid, or the hash number."""
    groups: dict[tuple[str | None, int], list[int]] = {(chosen.label, chosen.cluster_id): [] for chosen in sets}
    for row, key in enumerate(zip(labels, found.cluster_ids.tolist(), strict=True)):
        if key in groups:
            groups[key].append(row)
    for rows in groups.values():
        rows.sort(key=lambda row: (order[row], ids[row]))
    return [(chosen, rank, groups[chosen.label, chosen.cluster_id][place]) for chosen in sets for rank, place in enumerate(chosen.places)]
