"""The methods of the comparison, each on rows whose right weights are known."""

import hashlib

import numpy as np
import pytest

from tests.bench.support.corpora import Corpus
from tests.bench.support.methods import ADAM_ESS_FLOOR, BUCKETS, METHODS, dsir, imp, weigh


def corpus(texts, labels, x=None):
    ids = np.array([hashlib.sha256(f"{i} {text}".encode()).hexdigest() for i, text in enumerate(texts)])
    x = np.zeros((len(texts), 4)) if x is None else x
    return Corpus(ids, list(texts), np.array(list(labels)), np.asarray(x, dtype=np.float32))


def two_groups(share, n, seed, distance=2.0):
    """(n, 8) points around two centres, the first with this share of the rows; and a mask of the first."""
    rng = np.random.default_rng(seed)
    first = np.arange(n) < round(share * n)
    x = rng.normal(scale=0.3, size=(n, 8))
    x[first, 0] += distance
    return x, first


@pytest.mark.parametrize("method", METHODS)
def test_weights_sum_to_the_label_shares_of_the_real_rows(method):
    rng = np.random.default_rng(0)
    real = corpus(["red green blue"] * 40, ["a"] * 30 + ["b"] * 10, rng.normal(size=(40, 4)))
    synthetic = corpus([f"word{i % 7} red" for i in range(50)], ["a"] * 20 + ["b"] * 20 + ["c"] * 10, rng.normal(size=(50, 4)))
    weight = weigh(method, real, synthetic, 0).weight
    assert weight.sum() == pytest.approx(1.0)
    assert [weight[synthetic.labels == label].sum() for label in "abc"] == pytest.approx([0.75, 0.25, 0.0])
    assert (weight[:40] > 0).all() or method == "filter"


def test_uniform_weighs_all_rows_of_a_label_alike():
    weight = weigh("uniform", corpus("xy", "ab"), corpus("pqr", "aab"), 0).weight
    assert weight.tolist() == pytest.approx([0.25, 0.25, 0.5])


def test_dsir_gives_the_ratio_computed_by_hand():
    """One-word rows: real 3 of 'apple' and 1 of 'pear', synthetic 2 and 6, each count plus one."""
    real, synthetic = corpus(["apple"] * 3 + ["pear"], "a" * 4), corpus(["apple"] * 2 + ["pear"] * 6, "a" * 8)
    score = dsir(real, synthetic, 0)
    scale = np.log((8 + BUCKETS) / (4 + BUCKETS))
    assert score[:2] == pytest.approx(np.log(4 / 3) + scale)
    assert score[2:] == pytest.approx(np.log(2 / 7) + scale)


def test_dsir_counts_pairs_of_words():
    real = corpus(["good film"] * 5, "a" * 5)
    synthetic = corpus(["good film", "film good"], "aa")
    score = dsir(real, synthetic, 0)
    assert score[0] - score[1] == pytest.approx(np.log(6))  # the pair: 5 + 1 against 0 + 1; the synthetic side has one of each


@pytest.mark.parametrize("method", ["adam", "density_ratio"])
def test_a_planted_share_is_recovered(method):
    """Real rows lie to 80 % in a group that holds half of the synthetic rows."""
    x_real, _ = two_groups(0.8, 500, 1)
    x, first = two_groups(0.5, 600, 2)
    weight = weigh(method, corpus(["r"] * 500, ["a"] * 500, x_real), corpus(["s"] * 600, ["a"] * 600, x), 0).weight
    assert weight[first].sum() == pytest.approx(0.8, abs=0.05)
    assert weigh("uniform", corpus("r", "a"), corpus(["s"] * 600, ["a"] * 600, x), 0).weight[first].sum() == pytest.approx(0.5)


def test_the_density_ratio_is_clipped():
    x_real, _ = two_groups(1.0, 200, 1)
    x, first = two_groups(0.5, 400, 2)
    weight = weigh("density_ratio", corpus(["r"] * 200, ["a"] * 200, x_real), corpus(["s"] * 400, ["a"] * 400, x), 0).weight
    assert np.isclose(weight, weight.max()).sum() >= 4  # the top 1 % of 400
    assert weight[first].sum() > 0.9


def test_an_unknown_method_is_named():
    with pytest.raises(ValueError, match="'best'"):
        weigh("best", corpus("r", "a"), corpus("s", "a"), 0)


def test_tables_without_a_common_label_are_refused():
    with pytest.raises(ValueError, match="no label in common"):
        weigh("uniform", corpus("r", "a"), corpus("s", "b"), 0)


def labelled_groups():
    """400 real rows of two labels far apart, and 100 synthetic rows of which every fourth has the label of the other group."""
    x_real, first = two_groups(0.5, 400, 1)
    x, in_first = two_groups(0.5, 100, 2)
    wrong = np.arange(100) % 4 == 0
    labels = np.where(in_first != wrong, "a", "b")
    return corpus(["r"] * 400, np.where(first, "a", "b"), x_real), corpus(["s"] * 100, labels, x), wrong


def test_the_filter_drops_the_rows_whose_label_the_real_rows_dispute():
    real, synthetic, wrong = labelled_groups()
    weight = weigh("filter", real, synthetic, 0).weight
    assert (weight[wrong] == 0).all()
    assert weight[~wrong] == pytest.approx(np.full(75, 1 / 75), rel=0.05)


def test_a_label_that_would_lose_all_its_rows_keeps_them():
    real, synthetic, wrong = labelled_groups()
    turned = np.where(synthetic.labels == "a", "b", "a")
    weight = weigh("filter", real, corpus(["s"] * 100, np.where(wrong, "a", turned), synthetic.x), 0).weight
    assert weight.sum() == pytest.approx(1.0)
    assert (weight > 0).sum() >= 20


def test_importance_is_the_ratio_of_two_label_posteriors():
    """Where the synthetic rows are the real ones, every row weighs the same; a wrong label weighs less than a right one."""
    real, synthetic, wrong = labelled_groups()
    assert np.ptp(imp(real, real, 0)) == pytest.approx(0.0, abs=1e-9)
    score = imp(real, synthetic, 0)
    assert score[wrong].max() < score[~wrong].min()


def test_adam_stops_at_the_floor():
    x_real, _ = two_groups(1.0, 200, 1)
    x, _ = two_groups(0.2, 200, 2)
    sides = corpus(["r"] * 200, ["a"] * 200, x_real), corpus(["s"] * 200, ["a"] * 200, x)
    free, floored = (1 / np.sum(weigh(method, *sides, 0).weight ** 2) / 200 for method in ("adam", "adam_floor"))
    assert free < ADAM_ESS_FLOOR <= floored < ADAM_ESS_FLOOR + 0.05
