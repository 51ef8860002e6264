import dataclasses

import numpy as np
import pytest

from synalign_spark.config import SelectConfig
from synalign_spark.core.sampling import strata
from synalign_spark.core.sampling.gp import Tracker
from synalign_spark.core.sampling.strata import LabelClusters, PickedSet, demonstration_sets

CENTROIDS = np.array([[0.0, 0.0], [3.0, 0.0], [0.0, 3.0], [0.2, 0.1], [9.0, 9.0]])
ROWS = {"b": np.array([2, 1, 6, 0, 5]), "a": np.array([8, 4, 3, 2, 0])}
CLUSTERS = LabelClusters(np.arange(5), CENTROIDS, ROWS)


def test_labels_come_in_order_and_share_the_sets_out():
    sets = demonstration_sets(CLUSTERS, SelectConfig(demonstration_sets=7, rows_per_set=2))
    assert [(one.label, one.set_rank) for one in sets] == [("a", rank) for rank in range(4)] + [("b", rank) for rank in range(3)]
    assert all(ROWS[one.label][one.cluster_id] > one.first and one.last == one.first + 2 for one in sets)


def test_weights_take_the_place_of_rows():
    heavy = {"a": ROWS["a"] * 1.0, "b": ROWS["b"] * np.array([1.0, 1.0, 1.0, 1.0, 50.0])}
    cfg = SelectConfig(demonstration_sets=6, rows_per_set=1, alpha=1.0)
    sets = demonstration_sets(dataclasses.replace(CLUSTERS, weights=heavy), cfg)
    of_b = [one for one in sets if one.label == "b"]
    assert len(of_b) == 5  # 259 of 276 in weight; the other label has at least one
    assert of_b[0].cluster_id == 4
    assert of_b[0].cluster_share == 250 / 259
    assert sum(one.label == "b" for one in demonstration_sets(CLUSTERS, cfg)) == 3


def test_a_round_goes_on_from_the_sets_of_earlier_ones():
    first = demonstration_sets(CLUSTERS, SelectConfig(demonstration_sets=4, rows_per_set=2))
    second = demonstration_sets(CLUSTERS, SelectConfig(demonstration_sets=4, rows_per_set=2), first[::-1])
    assert {one.round for one in second} == {1}
    of_a = [one.cluster_id for one in first if one.label == "a"]
    held = np.flatnonzero(ROWS["a"] > 0)
    tracker = Tracker(CENTROIDS[held], ROWS["a"][held] / ROWS["a"].sum(), strata.median_length_scale(CENTROIDS), 0.1)
    tracker.replay([int(np.searchsorted(held, cluster_id)) for cluster_id in of_a])
    assert [one.posterior_sd for one in second if one.label == "a"] == [candidate.posterior_sd for candidate in tracker.pick(2)]


def test_no_set_is_left_once_all_rows_were_shown():
    clusters = LabelClusters(np.arange(2), CENTROIDS[:2], {None: np.array([2, 1])})
    shown = demonstration_sets(clusters, SelectConfig(rows_per_set=2))
    assert [one.cluster_id for one in shown] == [0, 1]
    assert demonstration_sets(clusters, SelectConfig(rows_per_set=2), shown) == []


def test_impossible_requests_are_named():
    with pytest.raises(ValueError, match="demonstration_sets is 1 but the corpus has 2 labels; set it to at least 2"):
        demonstration_sets(CLUSTERS, SelectConfig(demonstration_sets=1))
    with pytest.raises(ValueError, match="picked cluster 4, which has no rows of label 'a' now"):
        demonstration_sets(CLUSTERS, SelectConfig(), [PickedSet(0, "a", 0, 4)])
