"""Sets of single rows are those of the loop as the authors publish it."""

import itertools
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF
from sklearn.neighbors import KDTree

from synalign_spark.core.keys import unit
from synalign_spark.core.sampling.row_sets import FIRST_KEY, row_sets

RULE = SimpleNamespace(rows_per_set=2, alpha=0.0, length_scale=0.8, noise=1e-5, quota="proportional", reach_sd=0.7)


def published(x, first, count, k, length_scale):
    """Fit on what is known, take the row of the largest deviation among the rest, show its k nearest, count them as known."""
    known, left, shown = [first], set(range(len(x))) - {first}, []
    for _ in range(count):
        model = GaussianProcessRegressor(RBF(length_scale), optimizer=None)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            sd = model.fit(x[known], np.zeros(len(known))).predict(x, return_std=True)[1]
        best = max(sd[i] for i in left)
        picked = min(i for i in left if sd[i] >= best * (1 - 1e-9))
        near = KDTree(x).query(x[[picked]], k=k)[1][0].tolist()
        shown.append(near)
        for i in [picked, *near]:
            if i in left:
                left.remove(i)
                known.append(i)
    return shown


@pytest.mark.parametrize("length_scale", [0.1, 0.8])
@pytest.mark.parametrize("k", [1, 2, 3])
def test_sets_are_those_of_the_published_loop(k, length_scale):
    x = np.random.default_rng(3).normal(size=(40, 3))
    ids = [f"{i:03d}" for i in range(40)]
    rule = SimpleNamespace(**{**vars(RULE), "rows_per_set": k, "length_scale": length_scale})
    first = int(np.argmin(unit(5, f"{FIRST_KEY}:None", ids)))
    found = row_sets(ids, x, [None] * 40, np.zeros(40, dtype=int), rule, 8, seed=5)
    assert [rows for _, rows in found] == published(x, first, 8, k, length_scale)


def test_labels_share_the_sets_and_the_order_of_the_rows_changes_nothing():
    rng = np.random.default_rng(0)
    x, labels, ids = (
        rng.normal(size=(60, 3)),
        [None if i % 10 == 9 else "ab"[i % 3 == 0] for i in range(60)],
        [f"{i:03d}" for i in range(60)],
    )
    shuffled = rng.permutation(60)
    clusters = np.arange(60) % 7
    straight = row_sets(ids, x, labels, clusters, RULE, 9, seed=1)
    turned = row_sets([ids[i] for i in shuffled], x[shuffled], [labels[i] for i in shuffled], clusters[shuffled], RULE, 9, seed=1)
    assert [rows for _, rows in straight] == [[int(shuffled[row]) for row in rows] for _, rows in turned]
    assert [one for one, _ in straight] == [one for one, _ in turned]
    assert [one.label for one, _ in straight].count("a") == 6
    assert all(labels[row] == one.label and one.cluster_id == clusters[rows[0]] for one, rows in straight for row in rows)
    assert all(
        after.mean_sd_after <= one.mean_sd_after for (one, _), (after, _) in itertools.pairwise(straight) if one.label == after.label
    )


def test_what_cannot_be_chosen_is_refused():
    x = np.eye(4)
    with pytest.raises(ValueError, match="at least 2"):
        row_sets(list("abcd"), x, ["p", "p", "q", "q"], np.zeros(4, dtype=int), RULE, 1, seed=0)
    assert len(row_sets(list("abcd"), x, [None] * 4, np.zeros(4, dtype=int), RULE, 50, seed=0)) == 1
