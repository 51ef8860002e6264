"""Downstream classifiers: against scikit-learn, and weights that count as copies."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import MultinomialNB

from synalign_spark.core.strength.classifiers import Views, hashed_ngrams
from synalign_spark.core.strength.downstream import LEAST_LIKELY, WORD_PRIOR, DownstreamClassifiers
from tests.core.strength.planted import rows, side

NOTHING = Views(np.empty((0, 12), dtype=np.float32), hashed_ngrams([]), np.empty(0, dtype=object), np.empty(0))


def views(seed, n, **how):
    return side(*rows(seed, n, **how)[:3]).views


def log_loss(p, y):
    return -np.log((1 - LEAST_LIKELY) * p[np.arange(len(y)), y] + LEAST_LIKELY / 2)


def test_the_logistic_regression_is_scikit_learns():
    train, validation = views(0, 120), views(1, 80)
    weight = np.random.default_rng(0).random(120) + 0.1
    answers = DownstreamClassifiers(train, NOTHING, validation).answers(weight)
    model = LogisticRegression(max_iter=1_000, tol=1e-8).fit(train.x, train.labels.astype(str), sample_weight=weight)
    y = (validation.labels == "good").astype(int)
    np.testing.assert_allclose(answers.log_loss[0], log_loss(model.predict_proba(validation.x), y), atol=0.02)
    np.testing.assert_array_equal(answers.hits[0], model.predict(validation.x) == validation.labels)
    assert answers.hits.mean() > 0.9


def test_naive_bayes_is_scikit_learns_for_texts_of_one_word():
    words, rng = np.array(["warm", "dull", "some"]), np.random.default_rng(0)
    labels = rng.choice(["a", "b"], 90).astype(object)
    texts = [str(rng.choice(words, p=[0.6, 0.1, 0.3] if label == "a" else [0.1, 0.6, 0.3])) for label in labels]
    train = Views(rng.standard_normal((90, 12)).astype(np.float32), hashed_ngrams(texts), labels, np.ones(90))
    asked = Views(train.x[:3], hashed_ngrams(list(words)), np.array(["a"] * 3, dtype=object), np.ones(3))
    weight = rng.random(90)
    found = DownstreamClassifiers(train, NOTHING, asked).answers(weight).log_loss[3]
    met = np.unique(train.ngrams.indices)
    counts, asked_counts = (side.ngrams[:, met].log1p() for side in (train, asked))
    model = MultinomialNB(alpha=WORD_PRIOR).fit(counts, labels.astype(str), sample_weight=weight)
    np.testing.assert_allclose(found, log_loss(model.predict_proba(asked_counts), np.zeros(3, dtype=int)), rtol=1e-6)


def test_the_kernel_average_answers_with_the_nearest_rows():
    x = np.eye(3, dtype=np.float32)
    train = Views(x, None, np.array(["a", "b", "b"], dtype=object), np.ones(3))
    validation = Views(x, None, np.array(["a", "b", "a"], dtype=object), np.ones(3))
    answers = DownstreamClassifiers(train, Views(x[:0], None, train.labels[:0], np.ones(0)), validation).answers(np.ones(3))
    assert answers.hits[1].tolist() == [True, True, False]
    assert np.exp(-answers.log_loss[1][0]) == pytest.approx((1 + 0.1 / 3) / 1.1, abs=2e-3)
    assert len(answers.hits) == 2  # no words, no classifiers of words


def test_sample_weights_count_as_copies_and_rows_without_weight_not_at_all():
    train, validation = views(0, 60, noise=0.3), views(1, 80)
    twice = np.concatenate([np.arange(60), np.arange(20)])
    weight = np.where(np.arange(60) < 20, 2.0, 1.0)
    once = DownstreamClassifiers(train, NOTHING, validation).answers(weight)
    again = DownstreamClassifiers(train.take(twice), NOTHING, validation).answers(np.ones(80))
    np.testing.assert_allclose(once.log_loss[:2], again.log_loss[:2], rtol=1e-3)  # words have other document frequencies
    none = DownstreamClassifiers(train, views(2, 50), validation).answers(np.concatenate([weight, np.zeros(50)]))
    np.testing.assert_allclose(once.log_loss[:2], none.log_loss[:2], rtol=1e-6)


def test_one_label_alone_is_a_defined_answer():
    train, validation = views(0, 60), views(1, 80)
    answers = DownstreamClassifiers(train, NOTHING, validation).answers((train.labels == "bad").astype(float))
    assert np.isfinite(answers.log_loss).all()
    np.testing.assert_array_equal(answers.hits[0], validation.labels == "bad")
