"""Classifiers: planted label noise and planted shifts are found, noise is not, and the choice is the best of what was tried."""

import numpy as np
import pytest

from synalign_spark.core.features import draw_feature_map
from synalign_spark.core.solver.path import Sample
from synalign_spark.core.strength.candidates import Candidate, Half, Pool, best_of, choose_by_cross_validation
from synalign_spark.core.strength.classifiers import (
    REGULARIZATIONS,
    Views,
    fit_label_classifier,
    fit_shared_classifiers,
    hashed_ngrams,
    validate_rows,
)
from synalign_spark.core.strength.mixing_weight import best_mixing_weight

FEATURES = draw_feature_map(12, 128, [1.0, 0.5], 0)
CENTRES = 2.0 * np.random.default_rng(3).standard_normal((2, 2, 12))  # label, topic
WORDS = [["good", "fine", "lovely", "great"], ["bad", "dull", "awful", "poor"]]


def rows(seed, n, noise=0.0, topics=(0.5, 0.5)):
    """(x, texts, labels, wrong): two labels with two topics; ``noise``: share of rows with the other label's name."""
    rng = np.random.default_rng(seed)
    truth, topic = rng.integers(0, 2, n), rng.choice(2, n, p=topics)
    x = CENTRES[truth, topic] + rng.standard_normal((n, 12))
    texts = [
        f"{WORDS[t][rng.integers(4)]} film about topic{k} with {WORDS[t][rng.integers(4)]} cast" for t, k in zip(truth, topic, strict=True)
    ]
    wrong = rng.random(n) < noise
    labels = np.array(["bad" if flip != (t == 1) else "good" for t, flip in zip(truth, wrong, strict=True)], dtype=object)
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32), texts, labels, wrong


def views(x, texts, labels):
    return Views(x, hashed_ngrams(texts), labels, np.ones(len(labels)))


def half(seed, n=300, **how):
    x, texts, labels, _ = rows(seed, n, **how)
    phi = FEATURES(x).astype(np.float64)
    means = {f"={name}": Sample(int((labels == name).sum()), phi[labels == name].mean(axis=0)) for name in ("bad", "good")}
    return Half(means, views(x, texts, labels))


def pool(seed, n=800, **how):
    x, texts, labels, wrong = rows(seed, n, **how)
    order = np.argsort(labels, kind="stable")
    x, texts, labels = x[order], [texts[i] for i in order], labels[order]
    groups = np.array([f"={label}" for label in labels], dtype=object)
    u = np.random.default_rng(seed).random(n)
    return Pool(views(x, texts, labels), groups, FEATURES(x), np.zeros(n), u, u < 0.5), wrong[order]


SHARES = {"=bad": 0.5, "=good": 0.5}


def test_rows_with_wrong_labels_lose_their_weight():
    synthetic, wrong = pool(2, noise=0.45)
    words = choose_by_cross_validation((half(0), half(1)), synthetic, SHARES)  # of the other label are unlike the real rows' too
    assert words.best.density_ratio == 1.0
    assert words.best.accuracy > words.uniform.accuracy + 0.02
    choice = choose_by_cross_validation((half(0), half(1)), synthetic, SHARES, density_ratio_exponents=(0.0,))
    assert choice.best.confidence > 0
    assert choice.best.accuracy > choice.uniform.accuracy + 0.02
    classifier = fit_label_classifier(half(0).rows.x, half(0).rows.labels)
    confidence = classifier.confidence(synthetic.rows.x, synthetic.rows.labels)
    assert confidence[wrong].mean() < 0.3 < 0.7 < confidence[~wrong].mean()


def test_the_best_is_the_best_of_what_was_tried_and_uniform_is_among_it():
    synthetic, _ = pool(3)
    choice = choose_by_cross_validation((half(0), half(1)), synthetic, SHARES, confidence_exponents=(0.0, 1.0), lams=(np.inf, 0.1))
    pairs = {(0.0, np.inf), (0.0, 0.1), (1.0, np.inf), (1.0, 0.1)}
    assert {(c.confidence, c.lam, c.density_ratio) for c in choice.tried} == {(0.0, np.inf, 0.0)} | {(*pair, 1.0) for pair in pairs}
    assert (choice.uniform.confidence, choice.uniform.density_ratio) == (0.0, 0.0)
    given = choose_by_cross_validation(
        (half(0), half(1)), synthetic, SHARES, confidence_exponents=(1.0,), lams=(np.inf, 0.1), density_ratio_exponents=(0.5,)
    )
    assert [(c.confidence, c.lam, c.density_ratio) for c in given.tried] == [(1.0, np.inf, 0.5), (1.0, 0.1, 0.5)]
    assert choice.uniform.ess_share == pytest.approx(1.0)
    assert choice.validation_rows == 600
    assert choice.best.accuracy >= max(c.accuracy for c in choice.tried) - 0.5 * np.sqrt(0.25 / 600)


def test_rows_of_wrong_labels_harm_real_rows_by_their_mixing_weight_and_good_ones_help_few():
    turned, wrong = pool(2, noise=1.0)
    assert wrong.all()
    found = choose_by_cross_validation(
        (half(0), half(1)),
        turned,
        SHARES,
        confidence_exponents=(0.0,),
        lams=(np.inf,),
        density_ratio_exponents=(0.0,),
        mixing_weights=(0.0, 30.0, 3_000.0),
    )
    alone, some, many = (one.overall for one in found.mixing)
    assert many < 0.5 < some <= alone + 0.01
    assert best_mixing_weight(found.mixing, found.validation_rows).mixing_weight < 3_000.0
    few = (half(0, n=30), half(1, n=30))
    helped = choose_by_cross_validation(
        few, pool(3)[0], SHARES, confidence_exponents=(0.0,), lams=(np.inf,), density_ratio_exponents=(0.0,), mixing_weights=(0.0, 1_000.0)
    )
    assert helped.mixing[1].log_loss < helped.mixing[0].log_loss


def test_near_ties_go_by_the_log_loss_and_clear_wins_by_accuracy():
    a, b, c = (
        Candidate(*pair, 1, (own, own), loss)
        for pair, own, loss in zip([(0, np.inf), (0, 0.1), (1, 0.1)], (0.800, 0.801, 0.700), (0.50, 0.45, 0.10), strict=True)
    )
    assert best_of([a, b, c], validation_rows=1000) == b
    assert best_of([a, b, c], validation_rows=10) == b
    assert best_of([a, c], validation_rows=1000) == a


def test_who_harms_a_classifier_in_some_way_of_training_is_out():
    uniform = Candidate(0, np.inf, 1, (0.8, 0.7), 0.5, (0.8, 0.72))
    strong = Candidate(3, 0.01, 0.2, (0.9, 0.8), 0.3, (0.9, 0.70))
    mild = Candidate(1, 0.25, 0.6, (0.82, 0.72), 0.4, (0.82, 0.719))
    assert best_of([uniform, strong, mild], validation_rows=5_000) == mild
    assert best_of([uniform, strong, mild], validation_rows=50) == strong  # by so few nobody can tell
    assert strong.overall == pytest.approx(0.825)


def test_the_probe_is_a_logistic_regression():
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_score

    x, _, labels, _ = rows(5, 200)
    three = np.where(x[:, 0] > 0.3, "other", labels).astype(object)
    for names in (labels, three):
        losses = {
            c: -cross_val_score(LogisticRegression(C=c), x, names.astype(str), cv=3, scoring="neg_log_loss").mean() for c in REGULARIZATIONS
        }
        p = LogisticRegression(max_iter=1_000, tol=1e-6, C=min(losses, key=losses.get)).fit(x, names.astype(str)).predict_proba(x)
        own = p[np.arange(200), np.searchsorted(sorted(set(names)), names.astype(str))]
        np.testing.assert_allclose(fit_label_classifier(x, names).confidence(x, names), own, rtol=1e-6)
    assert fit_label_classifier(x, labels).confidence(x[:1], np.array(["unseen"], dtype=object)).tolist() == [1.0]
    with pytest.raises(ValueError, match="needs two"):
        fit_label_classifier(x[:3], np.array(["one"] * 3, dtype=object))


def test_shared_probes_are_three_logistic_regressions():
    """Real rows and one half of the synthetic rows, half the weight to each side; a row is validated by the half that it is not in."""
    from sklearn.linear_model import LogisticRegression

    (x, _, labels, _), (fake, _, names, _) = rows(5, 60), rows(9, 300, noise=0.2)
    half = np.random.default_rng(0).random(300) < 0.4
    found = fit_shared_classifiers((x, labels, np.ones(len(x))), (fake, names, np.ones(len(fake))), half).confidence(fake, names, half)
    alone = fit_label_classifier(x, labels).confidence(fake, names)
    for mine in (half, ~half):
        weight = np.concatenate([np.full(60, 1 / 60), np.full((~mine).sum(), 1 / (~mine).sum())])
        model = LogisticRegression(max_iter=1_000, tol=1e-6)
        model.fit(np.concatenate([x, fake[~mine]]), np.concatenate([labels, names[~mine]]).astype(str), weight * len(weight) / 2)
        own = model.predict_proba(fake[mine])[np.arange(mine.sum()), (names[mine] == "good").astype(int)]
        np.testing.assert_allclose(found[mine], np.sqrt(alone[mine] * own), rtol=1e-4)


def test_shared_probes_find_wrong_labels_where_real_rows_are_few():
    """Two labels a little apart in 100 dimensions: 30 real rows do not show which way."""
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(1)
    truth, wrong = rng.random(1_030) < 0.5, rng.random(1_030) < 0.2
    x = rng.standard_normal((1_030, 100)) + 0.1 * np.where(truth, 1.0, -1.0)[:, None]
    labels = np.where(truth ^ (wrong & (np.arange(1_030) >= 30)), "good", "bad").astype(object)
    half = rng.random(1_000) < 0.5
    alone = fit_label_classifier(x[:30], labels[:30]).confidence(x[30:], labels[30:])
    shared = fit_shared_classifiers((x[:30], labels[:30], np.ones(30)), (x[30:], labels[30:], np.ones(1_000)), half).confidence(
        x[30:], labels[30:], half
    )
    assert roc_auc_score(~wrong[30:], shared) > roc_auc_score(~wrong[30:], alone) + 0.02


def test_no_row_vouches_for_itself_and_a_half_may_be_empty():
    """Labels by chance in 300 dimensions: a classifier that has seen them knows them by heart, the other half's does not."""
    rng = np.random.default_rng(4)
    x, labels = rng.standard_normal((40, 300)), np.array(["a", "b"] * 20, dtype=object)
    fake, names = rng.standard_normal((200, 300)), np.array(["a", "b"] * 100, dtype=object)
    half = rng.random(200) < 0.5
    classifiers = fit_shared_classifiers((x, labels, np.ones(len(x))), (fake, names, np.ones(len(fake))), half)
    validated, seen = (np.mean(classifiers.confidence(fake, names, which) > 0.5) for which in (half, ~half))
    assert validated < 0.6 < 0.7 < seen
    empty = fit_shared_classifiers((x, labels, np.ones(len(x))), (fake, names, np.ones(len(fake))), np.zeros(200, dtype=bool))
    assert np.isfinite(empty.confidence(fake, names, half)).all()
    assert empty.confidence(fake[:1], np.array(["unseen"], dtype=object), half[:1]).tolist() == [1.0]


def test_the_number_of_cores_changes_no_bit():
    from threadpoolctl import threadpool_limits

    x, _, labels, _ = rows(8, 3000)
    wide = np.concatenate([x, np.random.default_rng(8).standard_normal((3000, 300)).astype(np.float32)], axis=1)
    found = []
    for threads in (1, 2):
        with threadpool_limits(threads):
            found.append(fit_label_classifier(wide, labels).coef)
    np.testing.assert_array_equal(*found)


def test_copies_count_and_one_label_is_a_defined_answer():
    x, texts, labels, _ = rows(6, 120)
    train, validation = views(x, texts, labels), views(*rows(7, 200)[:3])
    once = validate_rows(train, np.ones(120, dtype=int), validation)
    assert min(once.accuracy) > 0.8
    only = validate_rows(train, (labels == "bad").astype(int), validation)
    assert only.accuracy == pytest.approx([np.mean(validation.labels == "bad")] * 2)


def test_weights_of_real_rows_count_as_copies():
    (x, texts, labels, wrong), train = rows(5, 300, noise=0.3), views(*rows(6, 200)[:3])
    validation = views(x, texts, labels)
    twice = np.concatenate([np.arange(300), np.arange(100)])
    weighted = Views(validation.x, validation.ngrams, validation.labels, np.where(np.arange(300) < 100, 2.0, 1.0))
    repeated = Views(x[twice], validation.ngrams[twice], labels[twice], np.ones(400))
    once, again = (validate_rows(train, np.ones(200, dtype=int), rows) for rows in (weighted, repeated))
    assert once.accuracy + once.log_loss == pytest.approx(again.accuracy + again.log_loss, rel=1e-9)
    assert weighted.ess == pytest.approx(400**2 / (100 * 4 + 200))
    clean = fit_label_classifier(x, labels, np.where(wrong, 1e-9, 1.0)).confidence(x, labels)
    assert clean[wrong].max() < 0.5 < clean[~wrong].min()
    np.testing.assert_array_equal(fit_label_classifier(x, labels, np.full(300, 4.0)).coef, fit_label_classifier(x, labels).coef)


def test_a_given_agreement_is_held_against_itself_alone():
    synthetic, _ = pool(2, noise=0.45)
    choice = choose_by_cross_validation((half(0), half(1)), synthetic, SHARES, confidence_exponents=(1.0,), lams=(np.inf, 0.1))
    assert (choice.uniform.confidence, choice.uniform.lam) == (1.0, np.inf)
    assert len(choice.uniform.weighted) == 2
    assert choice.best in choice.tried
