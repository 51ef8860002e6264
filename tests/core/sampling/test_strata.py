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
    sets = demonstration_sets(CLUSTERS, SelectConfig(rows_per_set=2), 7)
    assert [(one.label, one.set_rank) for one in sets] == [("a", rank) for rank in range(4)] + [("b", rank) for rank in range(3)]
    assert all(one.places[-1] < ROWS[one.label][one.cluster_id] and one.places[0] % 2 == 0 for one in sets)


def test_weights_take_the_place_of_rows():
    heavy = {"a": ROWS["a"] * 1.0, "b": ROWS["b"] * np.array([1.0, 1.0, 1.0, 1.0, 50.0])}
    cfg = SelectConfig(rows_per_set=1, alpha=1.0)
    sets = demonstration_sets(dataclasses.replace(CLUSTERS, weights=heavy), cfg, 6)
    of_b = [one for one in sets if one.label == "b"]
    assert len(of_b) == 5  # 259 of 276 in weight; the other label has at least one
    assert of_b[0].cluster_id == 4
    assert of_b[0].cluster_share == 250 / 259
    assert sum(one.label == "b" for one in demonstration_sets(CLUSTERS, cfg, 6)) == 3


def test_a_round_goes_on_from_the_sets_of_earlier_ones():
    first = demonstration_sets(CLUSTERS, SelectConfig(rows_per_set=2), 4)
    second = demonstration_sets(CLUSTERS, SelectConfig(rows_per_set=2), 4, first[::-1])
    assert {one.round for one in second} == {1}
    of_a = [one.cluster_id for one in first if one.label == "a"]
    held = np.flatnonzero(ROWS["a"] > 0)
    tracker = Tracker(CENTROIDS[held], ROWS["a"][held] / ROWS["a"].sum(), strata.median_length_scale(CENTROIDS), 0.1)
    tracker.replay([int(np.searchsorted(held, cluster_id)) for cluster_id in of_a])
    assert [one.posterior_sd for one in second if one.label == "a"] == [candidate.posterior_sd for candidate in tracker.pick(2)]


def test_no_set_is_left_once_all_sets_of_rows_were_shown():
    clusters = LabelClusters(np.arange(2), CENTROIDS[:2], {None: np.array([2, 1])})
    shown = demonstration_sets(clusters, SelectConfig(rows_per_set=2), 9)
    assert [one.cluster_id for one in shown] == [0, 1]
    assert demonstration_sets(clusters, SelectConfig(rows_per_set=2), 9, shown) == []


def test_rounds_go_on_until_there_are_enough_sets_and_never_show_one_twice():
    """28 of the 29 rows of a, three at a time, lie in clusters that have more sets of them than are asked for."""
    rows = {"a": np.array([14, 9, 5, 1, 0]), "b": np.array([2, 0, 0, 1, 0])}
    clusters = LabelClusters(np.arange(5), CENTROIDS, rows)
    sets = demonstration_sets(clusters, SelectConfig(rows_per_set=3), 200, seed=3)
    of_a, of_b = [one for one in sets if one.label == "a"], [one for one in sets if one.label == "b"]
    assert [(one.round, one.cluster_id, one.places) for one in of_b] == [
        (0, 0, (0, 1)),
        (0, 3, (0,)),
    ]  # there are no other sets of these rows
    assert len(of_a) == 198
    assert [(one.round, one.set_rank) for one in of_a] == [(number // 4, number % 4) for number in range(198)]
    assert len({(one.cluster_id, one.places) for one in of_a}) == 198
    for cluster_id, n in enumerate(rows["a"].tolist()):
        own = [one.places for one in of_a if one.cluster_id == cluster_id]
        shown_once = -(-n // 3)
        assert own[:shown_once] == [tuple(range(first, min(first + 3, n))) for first in range(0, n, 3)]
        assert all(len(places) == 3 and places[-1] < n for places in own[shown_once:])
    first = demonstration_sets(clusters, SelectConfig(rows_per_set=3), 60, seed=3)
    assert [one for one in first if one.label == "a"] == of_a[: len(first) - 2]  # a larger target adds sets and changes none
    other = [one for one in demonstration_sets(clusters, SelectConfig(rows_per_set=3), 200, seed=4) if one.label == "a"]
    assert other[:4] == of_a[:4]
    assert other != of_a


def test_a_later_call_goes_on_with_the_sets_that_one_call_would_give():
    clusters = LabelClusters(np.arange(4), CENTROIDS[:4], {None: np.array([14, 9, 5, 4])})
    rule = SelectConfig(rows_per_set=3)
    whole = demonstration_sets(clusters, rule, 60, seed=1)
    first = demonstration_sets(clusters, rule, 28, seed=1)
    second = demonstration_sets(clusters, rule, 32, first, seed=1)
    assert [(one.round, one.cluster_id, one.places) for one in first + second] == [(one.round, one.cluster_id, one.places) for one in whole]
    np.testing.assert_allclose([one.posterior_sd for one in first + second], [one.posterior_sd for one in whole], rtol=1e-9)


def test_many_picks_are_those_of_the_plain_gaussian_process():
    """Beyond the first 64 picks all covariances are held: the same picks and figures as by scikit-learn, refitted each time."""
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF

    rng = np.random.default_rng(1)
    centroids = rng.normal(size=(30, 4))
    clusters = LabelClusters(np.arange(30), centroids, {None: rng.integers(40, 90, 30)})
    sets = demonstration_sets(clusters, SelectConfig(rows_per_set=2, length_scale=1.5, noise=0.3), 90)
    shown: list[int] = []
    for one in sets:
        if len(shown) in (40, 63, 64, 65, 80, 89):
            gp = GaussianProcessRegressor(RBF(1.5), alpha=0.3**2, optimizer=None).fit(centroids[shown], np.zeros(len(shown)))
            sd = gp.predict(centroids, return_std=True)[1]
            assert one.cluster_id == int(np.argmax(sd >= sd.max() * (1 - 1e-9)))
            assert one.posterior_sd == pytest.approx(sd[one.cluster_id], rel=1e-8)
        shown.append(one.cluster_id)
    assert [one.round for one in sets] == [number // 30 for number in range(90)]


def test_shares_of_the_labels_come_before_their_sizes():
    sets = demonstration_sets(CLUSTERS, SelectConfig(rows_per_set=2), 20, shares={"b": 0.9, "a": 0.1})
    assert [sum(one.label == label for one in sets) for label in "ab"] == [2, 18]
    assert sum(one.label == "a" for one in demonstration_sets(CLUSTERS, SelectConfig(rows_per_set=2), 20, shares={"b": 1.0})) == 1


def test_impossible_requests_are_named():
    with pytest.raises(ValueError, match="1 demonstration sets are too few for the corpus's 2 labels; ask for at least 2"):
        demonstration_sets(CLUSTERS, SelectConfig(), 1)
    with pytest.raises(ValueError, match="picked cluster 4, which has no rows of label 'a' now"):
        demonstration_sets(CLUSTERS, SelectConfig(), 9, [PickedSet(0, "a", 0, 4)])


def test_missing_mass_restricts_and_weighs_the_picks_of_a_later_round():
    """Against the acquisition written down: sd of the posterior by its formula, times what is missing."""
    rule, noise = SelectConfig(rows_per_set=1, length_scale=3.0, noise=0.1), 0.1
    first = demonstration_sets(CLUSTERS, rule, 4)
    lacking = {"a": np.array([0.0, 0.2, 0.1, 0.05, 0.0]), "b": np.array([0.3, 0.0, 0.01, 0.0, 0.0])}
    found = demonstration_sets(CLUSTERS, rule, 6, first, shares={"a": 2.0, "b": 1.0}, missing=lacking)
    assert [one.label for one in found] == ["a"] * 4 + ["b"] * 2
    for label, mass in lacking.items():
        seen = [one.cluster_id for one in first if one.label == label]
        for one in (one for one in found if one.label == label):
            kernel = np.exp(-np.square(CENTROIDS[:, None] - CENTROIDS[None]).sum(-1) / 18.0)
            inside = kernel[np.ix_(seen, seen)] + noise**2 * np.eye(len(seen))
            sd = np.sqrt(np.diag(kernel - kernel[:, seen] @ np.linalg.solve(inside, kernel[seen])))
            capacity = ROWS[label] - np.bincount(seen, minlength=5)
            value = np.where((mass > 0) & (capacity > 0), sd * mass, -1.0)
            assert one.cluster_id == value.argmax()
            assert one.acquisition == pytest.approx(value.max())
            seen.append(one.cluster_id)


def test_nothing_is_picked_where_nothing_is_missing():
    nothing = {label: np.zeros(5) for label in ROWS}
    assert demonstration_sets(CLUSTERS, SelectConfig(), 4, missing=nothing) == []
    only_a = nothing | {"a": np.ones(5)}
    assert {one.label for one in demonstration_sets(CLUSTERS, SelectConfig(), 4, missing=only_a)} == {"a"}
