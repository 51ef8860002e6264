"""The product as a method: its weights in the order of the rows, its settings, and the ablations by them."""

import hashlib

import numpy as np
import pytest

from synalign_spark.errors import ConfigError
from tests.bench.support.corpora import Corpus
from tests.bench.support.product import ABLATIONS, USUAL, align, check_ablations, options_of, resolved, weigh_by_product

SMALL = {"n_features": 256, "permutations": 99}


def corpus(name, labels, share, seed):
    """(n, 8) points around two centres, the first with this share of the rows."""
    n, rng = len(labels), np.random.default_rng(seed)
    first = np.arange(n) < round(share * n)
    x = rng.normal(scale=0.3, size=(n, 8))
    x[first, 0] += 2.0
    texts = [f"{name} {i}" for i in range(n)]
    ids = np.array([hashlib.sha256(text.encode()).hexdigest() for text in texts])
    return Corpus(ids, texts, np.array(labels), x.astype(np.float32)), first


def test_weights_come_in_the_order_of_the_rows_with_the_label_shares():
    real, _ = corpus("real", ["a", "a", "a", "b"] * 100, 0.8, 1)
    synthetic, first = corpus("made", ["a", "b"] * 99 + ["c", "c"], 0.5, 2)  # no real row is a c
    found = weigh_by_product("ours", real, synthetic, 0, SMALL)
    assert [found.weight[synthetic.labels == label].sum() for label in "abc"] == pytest.approx([0.75, 0.25, 0.0])
    assert found.weight[first].sum() > 0.65  # towards 0.8; in another order the rows would stay near 0.5
    assert {row["label"] for row in found.extra} == {"a", "b", None}
    assert set(found.beside.synthetic) == {"a", "b"}
    assert found.beside.real.shape == (400,)


def test_a_mixing_weight_is_what_the_synthetic_rows_count_beside_the_real_ones():
    real, _ = corpus("real", ["a", "b"] * 50, 0.5, 1)
    synthetic, _ = corpus("made", ["a", "b"] * 100, 0.5, 2)
    found = align(real, synthetic, 0, {**SMALL, "mixing_weight": 50})
    assert found.sample_weight.sum() == pytest.approx(0.5 * found.real_sample_weight.sum())


def test_without_labels_the_product_does_not_see_them():
    real, _ = corpus("real", ["a", "b"] * 50, 0.5, 1)
    synthetic, _ = corpus("made", ["a", "b"] * 50, 0.5, 2)
    assert {row["label"] for row in align(real, synthetic, 0, SMALL, labelled=False).certificate} == {None}


def test_settings_are_read_as_the_product_reads_them():
    assert options_of(["align.n_features=512", "mixing_weight=0"]) == {"n_features": 512, "mixing_weight": 0}
    with pytest.raises(ConfigError, match="n_feature"):
        options_of(["n_feature=512"])


def test_an_ablation_by_a_setting_that_the_product_does_not_know_is_refused(monkeypatch):
    check_ablations(list(ABLATIONS))
    monkeypatch.setitem(ABLATIONS, "ours_no_magic", {"magic": 0})
    with pytest.raises(ConfigError, match="magic"):
        check_ablations(["ours_no_magic"])


def test_the_usual_mixing_weight_is_that_of_the_other_methods():
    assert resolved({"mixing_weight": USUAL, "holdout": 0.1}, 500) == {"mixing_weight": 500.0, "holdout": 0.1}
