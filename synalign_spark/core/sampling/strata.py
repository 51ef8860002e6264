"""Which clusters to show next, label by label: quotas of the labels, then the choice by the Gaussian process.

Pure functions of the clusters' sizes and centroids; the rows themselves stay where they are, in Spark or in memory.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from synalign_spark.core.defaults import SETS_A_LABEL
from synalign_spark.core.sampling.gp import Tracker, median_length_scale
from synalign_spark.core.sampling.quota import largest_remainder

WEIGHT_STEPS = 2**24  # of the largest weight: sums of so many whole steps are exact, in any order, up to 2^29 rows

IntArray = npt.NDArray[np.int64]
Float64Array = npt.NDArray[np.float64]


class Rule(Protocol):
    """How demonstration sets are chosen; the configuration's ``select`` section has these attributes and says what they mean."""

    @property
    def demonstration_sets(self) -> int | Literal["auto"]: ...
    @property
    def rows_per_set(self) -> int: ...
    @property
    def alpha(self) -> float: ...
    @property
    def length_scale(self) -> float | Literal["median"]: ...
    @property
    def noise(self) -> float: ...
    @property
    def quota(self) -> Literal["equal", "proportional"]: ...
    @property
    def reach_sd(self) -> float: ...


@dataclass(frozen=True)
class LabelClusters:
    """The clusters of a corpus, and how many rows of each label they hold.

    ids: (k,) rising, ties go to the smaller; centroids: (k, d); rows: of each label, (k,) rows in each cluster; one entry,
    under None, where the corpus has no labels; weights: the same in weights of rows, rows where left out."""

    ids: IntArray
    centroids: Float64Array
    rows: Mapping[str | None, IntArray]
    weights: Mapping[str | None, Float64Array] | None = None

    def labels(self) -> list[str | None]:
        """The labels in order; [None] without labels."""
        return sorted(self.rows, key=lambda label: label or "")


@dataclass(frozen=True)
class PickedSet:
    """One demonstration set that an earlier round chose."""

    round: int
    label: str | None
    set_rank: int
    cluster_id: int


@dataclass(frozen=True)
class DemonstrationSet(PickedSet):
    """One demonstration set: the cluster that it shows rows of, and what was known when it was picked.

    posterior_sd: before it was picked; cluster_share: share of the label's rows (by weight) in the cluster; acquisition: the
    value that won; mean_sd_after, coverage_after: see :class:`~synalign_spark.core.sampling.gp.Trace`;
    first, last: it shows the rows at these places of the cluster's rows of the label, ``last`` not included."""

    posterior_sd: float
    cluster_share: float
    acquisition: float
    mean_sd_after: float
    coverage_after: float
    first: int
    last: int


@dataclass(frozen=True)
class _Stratum:
    """The candidates of one label: clusters that hold rows of it, by rising id.

    cluster_ids, rows, weights, centroids: (k,), (k,), (k,), (k, d); earlier: positions picked in earlier rounds, in order."""

    label: str | None
    cluster_ids: IntArray
    rows: IntArray
    weights: Float64Array
    centroids: Float64Array
    earlier: tuple[int, ...]

    def times_picked(self) -> IntArray:
        return np.bincount(np.array(self.earlier, dtype=np.int64), minlength=len(self.rows))

    def capacity(self, rows_per_set: int) -> IntArray:
        """How often each cluster may still be picked before its rows have all been shown, (k,)."""
        left: IntArray = np.maximum(-(-self.rows // rows_per_set) - self.times_picked(), 0)
        return left


def demonstration_sets(clusters: LabelClusters, rule: Rule, earlier: Sequence[PickedSet] = ()) -> list[DemonstrationSet]:
    """The demonstration sets of one round, by label and rank; none where all rows were shown in earlier rounds.

    earlier: the sets of the rounds before, in any order; the new round goes on from the variance that they left.
    Clusters are picked within each label. With ``demonstration_sets`` "auto" each label gets all its clusters,
    SETS_A_LABEL at most; else ``quota`` shares the sets out, at least one a label. Fewer sets come back where a label has no more rows.
    Raises ValueError for fewer sets than labels and for an earlier set whose cluster holds no rows of its label.

    >>> from types import SimpleNamespace
    >>> rule = SimpleNamespace(demonstration_sets=2, rows_per_set=3, alpha=0.0, length_scale=1.0, noise=0.1, quota="equal", reach_sd=0.7)
    >>> far_apart = LabelClusters(np.arange(3), np.array([[0.0], [0.1], [9.0]]), {None: np.array([5, 4, 2])})
    >>> [chosen.cluster_id for chosen in demonstration_sets(far_apart, rule)]
    [0, 2]"""
    picked = sorted(earlier, key=lambda chosen: (chosen.round, chosen.set_rank))
    strata = _strata(clusters, picked)
    length_scale = _length_scale(clusters, rule)
    round_number = 1 + max((chosen.round for chosen in picked), default=-1)
    return [
        chosen
        for stratum, quota in zip(strata, _quotas(strata, rule), strict=True)
        for chosen in _pick(stratum, int(quota), length_scale, rule, round_number)
    ]


def posterior_sd(clusters: LabelClusters, rule: Rule, sets: Sequence[PickedSet]) -> dict[str | None, Float64Array]:
    """What is still unknown after the given sets: posterior standard deviation at every centroid, (k,) for each label.

    Clusters without rows of a label have one too: a row that comes later may lie there."""
    length_scale = _length_scale(clusters, rule)
    position = {cluster_id: place for place, cluster_id in enumerate(clusters.ids.tolist())}
    found = {}
    for label in clusters.labels():
        tracker = Tracker(clusters.centroids, np.ones(len(clusters.ids)), length_scale, rule.noise)
        tracker.replay(position[one.cluster_id] for one in sorted(sets, key=lambda one: (one.round, one.set_rank)) if one.label == label)
        found[label] = tracker.posterior_sd()
    return found


def _length_scale(clusters: LabelClusters, rule: Rule) -> float:
    return median_length_scale(clusters.centroids) if rule.length_scale == "median" else rule.length_scale


def _strata(clusters: LabelClusters, picked: Sequence[PickedSet]) -> list[_Stratum]:
    """One stratum a label, by label; one without a label where the corpus has none."""
    strata = []
    for label in clusters.labels():
        held = np.flatnonzero(clusters.rows[label] > 0)
        ids = clusters.ids[held]
        position = {cluster_id: place for place, cluster_id in enumerate(ids.tolist())}
        before = [chosen.cluster_id for chosen in picked if chosen.label == label]
        if unknown := set(before) - set(position):
            raise ValueError(
                f"earlier rounds picked cluster {min(unknown)}, which has no rows of label {label!r} now; run all rounds again"
            )
        rows = clusters.rows[label][held]
        weights = rows.astype(np.float64) if clusters.weights is None else clusters.weights[label][held]
        strata.append(_Stratum(label, ids, rows, weights, clusters.centroids[held], tuple(position[i] for i in before)))
    return strata


def _quotas(strata: list[_Stratum], rule: Rule) -> IntArray:
    """Demonstration sets of each stratum in this round, zero where all its rows have been shown."""
    left = np.array([stratum.capacity(rule.rows_per_set).sum() for stratum in strata])
    if rule.demonstration_sets == "auto":
        most: IntArray = np.minimum(left, [min(SETS_A_LABEL, len(stratum.rows)) for stratum in strata])
        return most
    if rule.demonstration_sets < len(strata):
        raise ValueError(
            f"demonstration_sets is {rule.demonstration_sets} but the corpus has {len(strata)} labels; set it to at least {len(strata)}, or to auto"
        )
    weights = np.array([stratum.weights.sum() if rule.quota == "proportional" else 1 for stratum in strata])
    quotas, open_ = np.zeros(len(strata), dtype=np.int64), left > 0
    quotas[open_] = largest_remainder(weights[open_], rule.demonstration_sets, left[open_])
    return quotas


def _pick(stratum: _Stratum, quota: int, length_scale: float, rule: Rule, round_number: int) -> list[DemonstrationSet]:
    """The demonstration sets of one stratum."""
    share = stratum.weights / stratum.weights.sum()
    tracker = Tracker(stratum.centroids, share, length_scale, rule.noise, rule.alpha)
    tracker.replay(stratum.earlier)
    selected = tracker.pick(quota, stratum.capacity(rule.rows_per_set))
    trace = tracker.trace(rule.reach_sd, start=len(stratum.earlier))
    times, sets = stratum.times_picked(), []
    for rank, candidate in enumerate(selected):
        first = int(times[candidate.position]) * rule.rows_per_set
        times[candidate.position] += 1
        sets.append(
            DemonstrationSet(
                round_number, stratum.label, rank, int(stratum.cluster_ids[candidate.position]), candidate.posterior_sd, float(share[candidate.position]),
                candidate.acquisition, float(trace.mean_sd[rank]), float(trace.coverage[rank]), first, first + rule.rows_per_set,
            )
        )  # fmt: skip
    return sets
