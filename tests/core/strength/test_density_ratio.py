"""The ratio of the densities of words and of embeddings: against known ones, and what must not depend on what."""

import numpy as np
import pytest

from synalign_spark.core.strength import density_ratio
from synalign_spark.core.strength.classifiers import hashed_ngrams
from synalign_spark.core.strength.density_ratio import LARGEST_LOG_RATIO, DensityRatio, RatioRows, fit_density_ratio

WORDS = np.array([f"word{i}" for i in range(6)])
REAL, FAKE = np.array([0.4, 0.2, 0.1, 0.1, 0.1, 0.1]), np.full(6, 1 / 6)


def drawn(n, shares, seed):
    """Texts of one word, so that their density is that of the word."""
    return list(np.random.default_rng(seed).choice(WORDS, n, p=shares))


def side(texts, group="=a", weight=None):
    n = len(texts)
    return RatioRows(
        hashed_ngrams(texts), np.array([group] * n, dtype=object), np.ones(n) if weight is None else weight, np.arange(n) % 2 == 0
    )


def ratios(found, texts=None, group="=a", half=False):
    texts = list(WORDS) if texts is None else texts
    return found.log_ratio(hashed_ngrams(texts), np.array([group] * len(texts), dtype=object), np.full(len(texts), half))


def test_the_ratio_of_known_densities_is_found():
    found = fit_density_ratio(side(drawn(4000, REAL, 0)), side(drawn(8000, FAKE, 1)), ["=a"])
    for half in (False, True):
        np.testing.assert_allclose(ratios(found, half=half), np.log(REAL / FAKE), atol=0.12)
    assert ratios(found, ["never seen"])[0] == pytest.approx(found.intercept[0])


def test_sides_weigh_the_same_and_rows_by_their_weight():
    texts, synthetic = drawn(300, REAL, 0), side(drawn(800, FAKE, 1))
    once, thrice = fit_density_ratio(side(texts), synthetic, ["=a"]), fit_density_ratio(side(texts * 3), synthetic, ["=a"])
    np.testing.assert_allclose(ratios(once), ratios(thrice), atol=0.02)  # all that differs is how rare the n-grams are
    only = np.array([1.0 if text == "word0" else 0.0 for text in texts])
    pinned = fit_density_ratio(side(texts, weight=only), synthetic, ["=a"])
    assert ratios(pinned)[0] > 1 > 0 > ratios(pinned)[1:].max()


def test_no_row_is_scored_by_a_classifier_that_learnt_it_as_synthetic():
    texts = [f"row{i}" for i in range(200)]
    synthetic = side(texts)
    found = fit_density_ratio(side(drawn(100, REAL, 0)), synthetic, ["=a"])
    fair, learnt = ratios_by(found, synthetic, synthetic.half, texts), ratios_by(found, synthetic, ~synthetic.half, texts)
    assert learnt.mean() < fair.mean() - 0.1


def ratios_by(found: DensityRatio, synthetic, half, texts):
    return found.log_ratio(hashed_ngrams(texts), synthetic.group, half)


def test_groups_have_their_own_classifiers_and_those_that_cannot_have_none_are_left_alone():
    real = [*drawn(300, REAL, 0), *drawn(300, REAL[::-1], 1)]
    group = np.array(["=a"] * 300 + ["=b"] * 300, dtype=object)
    true = RatioRows(hashed_ngrams(real), group, np.ones(600), np.zeros(600, dtype=bool))
    synthetic = [*drawn(400, FAKE, 2), *drawn(400, FAKE, 3), "one"]
    fake = RatioRows(
        hashed_ngrams(synthetic), np.array(["=a"] * 400 + ["=b"] * 400 + ["=c"], dtype=object), np.ones(801), np.arange(801) % 2 == 0
    )
    found = fit_density_ratio(true, fake, ["=a", "=b", "=c"])
    assert found.groups == ("=a", "=b")
    assert ratios(found)[0] > 0.5
    assert ratios(found, group="=b")[5] > 0.5
    assert not ratios(found, group="=c").any()
    assert fit_density_ratio(true, fake, ["=c"]) is None
    assert found.log_ratio(hashed_ngrams([]), np.empty(0, dtype=object), np.empty(0, dtype=bool)).shape == (0,)


def test_ratios_are_bounded():
    found = fit_density_ratio(side(drawn(300, REAL, 0)), side(drawn(800, FAKE, 1)), ["=a"])
    huge = DensityRatio(found.coef * 1e6, found.intercept, found.groups, found.tfidf)
    assert set(np.abs(ratios(huge))) == {LARGEST_LOG_RATIO}


def vectors(n, shift, seed, group="=a"):
    """Rows about 0 along all axes but the first, whose mean is ``shift``."""
    x = np.random.default_rng(seed).standard_normal((n, 3))
    x[:, 0] += shift
    return RatioRows(x.astype(np.float32), np.array([group] * n, dtype=object), np.ones(n), np.arange(n) % 2 == 0)


def test_the_ratio_of_two_normal_densities_of_embeddings_is_linear():
    """log N(x; 1, 1) - log N(x; 0, 1) = x - 1/2."""
    found = fit_density_ratio(vectors(6_000, 1.0, 0), vectors(6_000, 0.0, 1), ["=a"])
    asked = vectors(50, 0.5, 2)
    for half in (False, True):
        ratio = found.log_ratio(asked.features, asked.group, np.full(50, half))
        np.testing.assert_allclose(ratio, asked.features[:, 0] - 0.5, atol=0.35)
    assert found.tfidf is None


def test_few_real_rows_are_not_learnt_by_heart(monkeypatch):
    """Noise in 60 dimensions: five rows count as 25, and not as 750."""
    sides = []
    for seed, n in ((0, 5), (1, 400)):
        x = np.random.default_rng(seed).standard_normal((n, 60))
        sides.append(RatioRows(x, np.array(["=a"] * n, dtype=object), np.ones(n), np.arange(n) % 2 == 0))
    found = np.abs(fit_density_ratio(*sides, ["=a"]).coef).mean()
    monkeypatch.setattr(density_ratio, "ROWS_A_REAL_ROW", 1_000.0)
    assert found < 0.7 * np.abs(fit_density_ratio(*sides, ["=a"]).coef).mean()
