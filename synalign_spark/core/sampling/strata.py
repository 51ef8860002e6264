"""Which clusters to show next, label by label: quotas of the labels, then the choice by the Gaussian process.

Pure functions of the clusters' sizes and centroids; the rows themselves stay where they are, in Spark or in memory.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from synalign_spark.core.defaults import MOST_FOLDED_CLUSTERS
from synalign_spark.core.sampling.gp import Selected, Tracker, median_length_scale
from synalign_spark.core.sampling.places import Places, n_sets
from synalign_spark.core.sampling.quota import largest_remainder

MOST_CAPACITY = 2**31  # sets of one cluster that are counted
SMALLEST_SHARE = 1e-9  # of a label that the user wants no rows of: it has one set all the same
WEIGHT_STEPS = 2**24  # of the largest weight: sums of so many whole steps are exact, in any order, up to 2^29 rows

IntArray = npt.NDArray[np.int64]
Float64Array = npt.NDArray[np.float64]


class Rule(Protocol):
    """How demonstration sets are chosen; the configuration's ``select`` section has these attributes and says what they mean."""

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
    places: of the rows shown, among the cluster's rows of the label."""

    posterior_sd: float
    cluster_share: float
    acquisition: float
    mean_sd_after: float
    coverage_after: float
    places: tuple[int, ...]


@dataclass(frozen=True)
class _Stratum:
    """The candidates of one label: clusters that hold rows of it, by rising id.

    cluster_ids, rows, weights, centroids: (k,), (k,), (k,), (k, d); earlier: positions picked in earlier rounds, in order; missing: (k,) real
    mass that synthetic rows lack there, None before there are any."""

    label: str | None
    cluster_ids: IntArray
    rows: IntArray
    weights: Float64Array
    centroids: Float64Array
    earlier: tuple[int, ...]
    missing: Float64Array | None

    def capacity(self, rows_per_set: int) -> IntArray:
        """How often each cluster may still be picked before every set of its rows has been shown, (k,); never where nothing is missing."""
        times = np.bincount(np.array(self.earlier, dtype=np.int64), minlength=len(self.rows))
        most = np.array([min(n_sets(n, rows_per_set), MOST_CAPACITY) for n in self.rows.tolist()], dtype=np.int64)
        left: IntArray = np.maximum(most - times, 0)
        return left if self.missing is None else np.where(self.missing > 0, left, 0)


def demonstration_sets(
    clusters: LabelClusters,
    rule: Rule,
    total: int,
    earlier: Sequence[PickedSet] = (),
    seed: int = 0,
    shares: Mapping[str, float] | None = None,
    missing: Mapping[str | None, Float64Array] | None = None,
) -> list[DemonstrationSet]:
    """``total`` demonstration sets, by label, round and rank; fewer where a label has no more; none where every set of rows was shown before.

    earlier: the sets of the rounds before, in any order; the new ones go on from the variance that they left.
    Clusters are picked within each label, at least one a label; ``shares`` of the labels, or ``quota``, share the sets out.
    missing: of each label, (k,) real mass that synthetic rows lack in each cluster: it takes the place of the cluster share to the power of
    ``alpha``, and a cluster that lacks none is not picked. A round of a label has as many sets as the label has clusters at most; then the
    next one begins. Which rows a set shows: see :class:`~synalign_spark.core.sampling.places.Places`; seed: of those that are drawn.
    Raises ValueError for fewer sets than labels and for an earlier set whose cluster holds no rows of its label.

    >>> from types import SimpleNamespace
    >>> rule = SimpleNamespace(rows_per_set=3, alpha=0.0, length_scale=1.0, noise=0.1, quota="equal", reach_sd=0.7)
    >>> far_apart = LabelClusters(np.arange(3), np.array([[0.0], [0.1], [9.0]]), {None: np.array([5, 4, 2])})
    >>> [(chosen.round, chosen.cluster_id, chosen.places) for chosen in demonstration_sets(far_apart, rule, 4)]
    [(0, 0, (0, 1, 2)), (0, 2, (0, 1)), (0, 1, (0, 1, 2)), (1, 0, (3, 4))]"""
    picked = sorted(earlier, key=lambda chosen: (chosen.round, chosen.set_rank))
    strata = _strata(clusters, picked, missing)
    length_scale = _length_scale(clusters, rule)
    first_round = 1 + max((chosen.round for chosen in picked), default=-1)
    return [
        chosen
        for stratum, quota in zip(strata, _quotas(strata, rule, total, shares), strict=True)
        for chosen in _pick(stratum, int(quota), length_scale, rule, first_round, seed)
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


def missing_mass(rows: IntArray, synthetic_share: Float64Array) -> Float64Array:
    """What each cluster lacks of its share of the real rows of a label: (k,) >= 0; the sum is the total variation between the two.

    rows: (k,) real rows of the label; synthetic_share: (k,) of its synthetic rows, by weight.

    >>> missing_mass(np.array([5, 3, 2]), np.array([0.2, 0.4, 0.4])).round(6).tolist()
    [0.3, 0.0, 0.0]
    """
    lacking: Float64Array = np.maximum(rows / max(int(rows.sum()), 1) - synthetic_share, 0.0)
    return lacking


def _strata(clusters: LabelClusters, picked: Sequence[PickedSet], missing: Mapping[str | None, Float64Array] | None) -> list[_Stratum]:
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
        lacking = None if missing is None else missing[label][held]
        strata.append(_Stratum(label, ids, rows, weights, clusters.centroids[held], tuple(position[i] for i in before), lacking))
    return strata


def _quotas(strata: list[_Stratum], rule: Rule, total: int, shares: Mapping[str, float] | None) -> IntArray:
    """Demonstration sets of each stratum, zero where every set of its rows has been shown."""
    if total < len(strata):
        raise ValueError(f"{total} demonstration sets are too few for the corpus's {len(strata)} labels; ask for at least {len(strata)}")
    left = np.minimum([stratum.capacity(rule.rows_per_set).sum() for stratum in strata], total)
    if shares is not None:
        weights = np.array([max(shares.get(str(stratum.label), 0.0), SMALLEST_SHARE) for stratum in strata])
    else:
        weights = np.array([stratum.weights.sum() if rule.quota == "proportional" else 1 for stratum in strata])
    quotas, open_ = np.zeros(len(strata), dtype=np.int64), left > 0
    quotas[open_] = largest_remainder(weights[open_], total, left[open_])
    return quotas


def _pick(stratum: _Stratum, quota: int, length_scale: float, rule: Rule, first_round: int, seed: int) -> list[DemonstrationSet]:
    """The demonstration sets of one stratum."""
    share = stratum.weights / stratum.weights.sum()
    alpha = rule.alpha if stratum.missing is None else 0.0  # what is missing takes the place of the share
    tracker = Tracker(stratum.centroids, share, length_scale, rule.noise, alpha, stratum.missing)
    tracker.replay(stratum.earlier)
    places = [
        Places(seed, f"{stratum.label}:{cluster_id}", int(n), rule.rows_per_set)
        for cluster_id, n in zip(stratum.cluster_ids.tolist(), stratum.rows, strict=True)
    ]
    for position in stratum.earlier:
        places[position].next()
    return [
        DemonstrationSet(
            first_round + number // len(share), stratum.label, number % len(share), int(stratum.cluster_ids[one.position]), one.posterior_sd,
            float(share[one.position]), one.acquisition, mean_sd, coverage, places[one.position].next(),
        )
        for number, (one, mean_sd, coverage) in enumerate(_picks(tracker, quota, stratum.capacity(rule.rows_per_set), rule.reach_sd))
    ]  # fmt: skip


def _picks(tracker: Tracker, quota: int, capacity: IntArray, reach_sd: float) -> list[tuple[Selected, float, float]]:
    """The next candidates, each with the mean standard deviation and the coverage after it; at most a round where a label has many clusters."""
    k, left = len(tracker.share), capacity.copy()
    found: list[tuple[Selected, float, float]] = []
    while len(found) < quota and left.any() and (not found or k <= MOST_FOLDED_CLUSTERS):
        if len(tracker.picked) >= k and k <= MOST_FOLDED_CLUSTERS:
            tracker.fold()
        start = len(tracker.picked)
        selected = tracker.pick(min(quota - len(found), k), left)
        trace = tracker.trace(reach_sd, start)
        found += zip(selected, trace.mean_sd.tolist(), trace.coverage.tolist(), strict=True)
        np.subtract.at(left, [one.position for one in selected], 1)
    return found
