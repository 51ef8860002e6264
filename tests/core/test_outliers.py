"""Which rows must not gain weight: planted ones, by rules that are measured on the real rows."""

import numpy as np
import pytest

from synalign_spark.core.outliers import KnownWords, Neighbourhood, fit_outlier_rules

RNG = np.random.default_rng(0)


def unit(x):
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


REAL = unit(RNG.standard_normal((300, 40)) + 3.0 * np.eye(40)[0])
TEXTS = [f"the film number{i % 40} is a {word} story of love" for i, word in enumerate(RNG.choice(["warm", "dull", "sharp"], 300))]


def no_ratio(n):
    return np.full(n, np.nan)


def agreed(n):
    return np.zeros(n, dtype=bool)


def test_real_rows_are_usual_by_the_quantiles_that_define_it():
    half = Neighbourhood.of(REAL[:200])
    distances = np.sqrt(((REAL[:200, None] - REAL[None, :200]) ** 2).sum(-1)) + 9 * np.eye(200)
    nearest = distances.min(axis=1)
    assert half.far == pytest.approx(np.quantile(nearest, 0.95), rel=1e-5)
    assert half.copy == pytest.approx(np.quantile(nearest, 0.01), rel=1e-5)
    told = half.reasons(REAL[200:])
    assert np.mean(told == "far_from_real") < 0.15
    assert not (told == "near_copy").any()


def test_planted_outliers_and_copies_are_told():
    group = np.array(["=a"] * 300, dtype=object)
    rules = fit_outlier_rules(REAL, group, TEXTS, {"=a": 2.0})
    far = unit(RNG.standard_normal((5, 40)) - 4.0 * np.eye(40)[0])
    copies = unit(REAL[:5] + 0.01 * RNG.standard_normal((5, 40)))
    usual = unit(RNG.standard_normal((5, 40)) * 0.7 + 3.0 * np.eye(40)[0])
    x = np.concatenate([far, copies, usual])
    assert (
        rules.reasons(x, group[:15], TEXTS[:15], no_ratio(15), agreed(15)).tolist()
        == ["far_from_real"] * 5 + ["near_copy"] * 5 + [None] * 5
    )
    words = [*TEXTS[:2], "negative_text_2", "=SUM(A1:A10)", "!!!"]
    assert rules.reasons(usual, group[:5], words, no_ratio(5), agreed(5)).tolist() == [None, None, *["unknown_words"] * 3]
    assert rules.reasons(usual, group[:5], TEXTS[:5], np.array([1.0, 2.0, 2.5, 9.0, np.nan]), agreed(5)).tolist() == [
        None,
        None,
        "density_ratio",
        "density_ratio",
        None,
    ]
    disputed = np.array([False, True, True, False, False])
    assert rules.reasons(usual, group[:5], words, no_ratio(5), disputed).tolist() == [None, "disputed_label", *["unknown_words"] * 3]


def test_rows_of_each_label_are_compared_with_their_own_and_few_with_all():
    other = unit(RNG.standard_normal((300, 40)) - 3.0 * np.eye(40)[0])
    x, group = np.concatenate([REAL, other]), np.array(["=a"] * 300 + ["=b"] * 300, dtype=object)
    asked = unit(RNG.standard_normal((4, 40)) * 0.4 + 3.0 * np.eye(40)[0])
    rules = fit_outlier_rules(x, group, None, {})
    labels = np.array(["=a", "=b"] * 2, dtype=object)
    assert rules.reasons(asked, labels, None, no_ratio(4), agreed(4)).tolist() == [None, "far_from_real"] * 2
    few = fit_outlier_rules(x[:330], group[:330], None, {})  # 30 of b
    assert sorted(few.neighbourhoods) == ["", "=a"]
    assert few.reasons(asked, labels, None, no_ratio(4), agreed(4)).tolist() == [None] * 4
    assert (
        fit_outlier_rules(x[:49], group[:49], TEXTS[:49], {}).reasons(asked, labels, TEXTS[:4], no_ratio(4), agreed(4)).tolist()
        == [None] * 4
    )


def test_the_order_and_the_company_of_rows_change_nothing():
    rules = fit_outlier_rules(REAL, np.array(["=a"] * 300, dtype=object), TEXTS, {})
    x = unit(RNG.standard_normal((50, 40)) + 2.0 * np.eye(40)[0])
    group, texts = np.array(["=a"] * 50, dtype=object), TEXTS[:50]
    whole = rules.reasons(x, group, texts, no_ratio(50), agreed(50)).tolist()
    assert len(set(whole)) > 1
    for rows in np.array_split(np.arange(50)[::-1], 7):
        assert rules.reasons(x[rows], group[rows], [texts[i] for i in rows], no_ratio(len(rows)), agreed(len(rows))).tolist() == [
            whole[i] for i in rows
        ]
    assert rules.reasons(x[:0], group[:0], [], no_ratio(0), agreed(0)).tolist() == []


def test_words_that_only_the_row_itself_has_are_unknown_to_it():
    words = KnownWords.of(["good film"] * 99 + ["odd"])
    assert words.least == 0.5, "the quantile is 0.99"
    assert words.unknown(["good film", "unheard"]).tolist() == [False, True]
    assert not KnownWords.of([f"word{i}" for i in range(100)]).unknown(["anything"]).any(), "no real row knows another's words either"
