"""Classifiers of labels: logistic regressions that find planted label noise, and what must not change them."""

from dataclasses import replace

import numpy as np
import pytest

from synalign_spark.core.strength.classifiers import (
    REGULARIZATIONS,
    LabelClassifier,
    SharedClassifiers,
    fit_label_classifier,
    fit_shared_classifiers,
)
from tests.core.strength.planted import rows


def test_rows_with_wrong_labels_are_not_believed():
    (x, _, labels, _), (fake, _, names, wrong) = rows(0, 600), rows(2, 800, noise=0.45)
    confidence = fit_label_classifier(x, labels).confidence(fake, names)
    assert confidence[wrong].mean() < 0.3 < 0.7 < confidence[~wrong].mean()


def test_weights_of_real_rows_count():
    x, _, labels, wrong = rows(5, 300, noise=0.3)
    clean = fit_label_classifier(x, labels, np.where(wrong, 1e-9, 1.0)).confidence(x, labels)
    assert clean[wrong].max() < 0.5 < clean[~wrong].min()
    np.testing.assert_array_equal(fit_label_classifier(x, labels, np.full(300, 4.0)).coef, fit_label_classifier(x, labels).coef)


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


def test_the_label_that_is_likelier_by_both_classifiers_is_named():
    """By hand: one number a row, and classifiers that know b at 1, a at -1; the first shared one is sure of a."""
    plain = LabelClassifier(np.array([[0.0], [2.0]]), np.zeros(2), ("a", "b"))
    sure_of_a = LabelClassifier(np.zeros((2, 1)), np.array([9.0, 0.0]), ("a", "b"))
    found = SharedClassifiers(plain, (sure_of_a, plain))
    x, half = np.array([[1.0], [1.0], [-1.0], [1.0], [0.0], [1.0]]), np.array([False, False, False, True, False, False])
    labels = np.array(["a", "b", "b", "a", "a", "rare"], dtype=object)
    assert found.other_labels(x, labels, half).tolist() == ["b", None, "a", None, None, None]
    assert replace(found, ratio=True).other_labels(x, labels, half).tolist() == [None] * 6
    assert found.other_labels(x[:0], labels[:0], half[:0]).tolist() == []
