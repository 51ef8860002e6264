"""Methods of other papers through the same procedure and certificate: weights against what each paper says."""

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression

from synalign_spark.alignment.scoring import Scorer
from synalign_spark.config.alignment import AlignConfig
from synalign_spark.core.strength.bag_ratio import fit_bag_ratio
from synalign_spark.core.strength.classifiers import fit_importance_classifiers, hashed_ngrams
from synalign_spark.core.strength.density_ratio import RatioRows
from synalign_spark.errors import ConfigError
from tests.alignment.test_strength import FAKE, NAMES, REAL, run, spoken


def in_label(weights, label):
    return np.array([weights[row[0]]["weight_in_label"] for row in FAKE if row[1] == label])


@pytest.mark.parametrize(
    ("method", "column"), [("density_ratio", "log_embedding_ratio"), ("dsir", "log_density_ratio"), ("imp", "label_confidence")]
)
def test_a_ratio_of_densities_is_the_weight(method, column):
    real, fake = spoken(REAL[:200], 0.9), spoken(FAKE, 0.3)
    weights, certificate, trace, _ = run(real, fake, method=method)
    for label in NAMES:
        values = np.array([weights[row[0]][column] for row in FAKE if row[1] == label])
        np.testing.assert_allclose(in_label(weights, label), softmax(np.log(values) if method == "imp" else values), rtol=1e-6)
        assert certificate[label]["rule"] == "fixed"
        assert np.isinf(certificate[label]["lambda"])
    whole = certificate[None]
    assert whole["mixing_weight"] is not None
    assert any(row["kind"] == "mixing_weight" for row in trace)
    assert f"weights by the method {method} alone, as configured" in whole["verdict"]
    assert "base weights kept" not in whole["verdict"]
    assert f"before and {whole['mmd2_after']:.4f}" in whole["verdict"]


def test_uniform_and_plain_mmd():
    weights, certificate, _, _ = run(REAL[:200], FAKE, method="uniform")
    assert "base weights kept, as configured" in certificate[None]["verdict"]
    for label in NAMES:
        np.testing.assert_allclose(in_label(weights, label), 1 / len(in_label(weights, label)), rtol=1e-9)
    plain, given = run(REAL[:200], FAKE, method="mmd"), run(REAL[:200], FAKE, regularization="plain", cap_outliers=False)
    assert plain[1][None]["rule"] == "plain"
    assert plain[1]["good"]["mmd2_fit_after"] < 0.1 * certificate["good"]["mmd2_fit_before"]
    for key, row in given[0].items():
        assert plain[0][key]["weight"] == pytest.approx(row["weight"], rel=1e-9)
    assert {row["label_confidence"] for row in plain[0].values()} == {None}


def test_dsir_is_a_ratio_of_two_bag_models():
    """By hand: counts smoothed by one over the three n-grams that were met, the words and their pair."""
    sides = [
        RatioRows(hashed_ngrams(texts), np.array(["=a"] * len(texts), dtype=object), np.ones(len(texts)), np.zeros(len(texts), dtype=bool))
        for texts in (["warm", "warm", "dull"], ["dull", "dull", "warm dull"])
    ]
    found = fit_bag_ratio(*sides, ["=a", "=b"])
    asked = RatioRows(
        hashed_ngrams(["warm", "dull", "unseen", "dull dull"]), np.array(["=a"] * 4, dtype=object), np.ones(4), np.arange(4) > 1
    )
    warm, dull = np.log(3 / 6) - np.log(2 / 8), np.log(2 / 6) - np.log(4 / 8)
    np.testing.assert_allclose(found.log_ratio(asked.features, asked.group, asked.half), [warm, dull, 0.0, 2 * dull], rtol=1e-6)
    assert found.groups == ("=a",)
    assert fit_bag_ratio(*sides, ["=b"]) is None


def test_imp_is_a_ratio_of_two_logistic_regressions_the_synthetic_one_of_the_other_half():
    rng = np.random.default_rng(0)
    x, fake = rng.standard_normal((60, 4)), rng.standard_normal((80, 4))
    labels, names = (np.where(rows[:, 0] + rng.standard_normal(len(rows)) > 0, "b", "a").astype(object) for rows in (x, fake))
    half = rng.random(80) < 0.5
    found = fit_importance_classifiers((x, labels, np.ones(60)), (fake, names, np.ones(80)), half).confidence(fake, names, half)
    place = (names == "b").astype(int)
    for mine in (half, ~half):
        candidates = []
        for own in (1.0, 10.0):
            for other in (1.0, 10.0):
                p = LogisticRegression(C=own, max_iter=1_000, tol=1e-6).fit(x, labels.astype(str)).predict_proba(fake[mine])
                q = (
                    LogisticRegression(C=other, max_iter=1_000, tol=1e-6)
                    .fit(fake[~mine], names[~mine].astype(str))
                    .predict_proba(fake[mine])
                )
                candidates.append(p[np.arange(mine.sum()), place[mine]] / q[np.arange(mine.sum()), place[mine]])
        assert min(np.abs(found[mine] - candidate).max() for candidate in candidates) < 1e-3


@pytest.mark.parametrize("method", ["dsir", "imp"])
def test_a_model_that_is_kept_weighs_as_before(method, monkeypatch):
    kept = []
    monkeypatch.setattr("synalign_spark.alignment.procedure.Scorer", lambda *parts: kept.append(Scorer(*parts)) or kept[-1])
    run(spoken(REAL[:60], 0.9), spoken(FAKE[:100], 0.3), method=method)
    again = Scorer.from_bytes(kept[0].to_bytes())
    base, other = kept[0].base, again.base
    x, group = np.stack([row[3] for row in FAKE]), np.array([f"={row[1]}" for row in FAKE], dtype=object)
    asked = (
        x,
        hashed_ngrams([row[2] for row in spoken(FAKE, 0.3)]),
        np.array([row[1] for row in FAKE], dtype=object),
        group,
        np.arange(len(x)) % 2 == 0,
    )
    np.testing.assert_array_equal(base.log_factor(base.factors(*asked), group), other.log_factor(other.factors(*asked), group))


def test_what_a_method_cannot_do_is_refused():
    with pytest.raises(ValidationError, match="label_confidence is part of the method synalign, and method is mmd"):
        AlignConfig(method="mmd", label_confidence=1.0)
    unlabelled = [[(row[0], None, *row[2:]) for row in rows] for rows in (REAL[:60], FAKE[:60])]
    with pytest.raises(ConfigError, match="align.method is imp, but it needs two labels"):
        run(*unlabelled, method="imp")
