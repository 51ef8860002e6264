"""The downstream classifiers against scikit-learn's own pipeline, and what each way of training is made of."""

import dataclasses

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from tests.bench.support import classifiers
from tests.bench.support.classifiers import TrainingSet, stack, training_sets
from tests.bench.support.methods import Weighting

POSITIVE, NEGATIVE = ["good", "fine", "great", "fresh"], ["bad", "dull", "poor", "stale"]


def reviews(n, seed):
    """Texts of two kinds with a third of the words from the wrong one, and their labels."""
    rng = np.random.default_rng(seed)
    labels = np.array(["pos", "neg"] * (n // 2))
    kinds = {"pos": (POSITIVE, NEGATIVE), "neg": (NEGATIVE, POSITIVE)}
    texts = [" ".join(str(rng.choice(kinds[label][int(rng.random() < 0.33)])) for _ in range(6)) + " a film" for label in labels]
    return texts, labels


def everything(seed=0, n=200):
    texts, labels = reviews(n, seed)
    x = np.random.default_rng(seed).normal(size=(n, 5)).astype(np.float32)
    x[:, 0] += np.where(labels == "pos", 1.0, -1.0)
    return stack(x, texts, labels), texts


def test_tfidf_is_fitted_on_the_training_rows_alone():
    """The same figure as scikit-learn's vectoriser that only ever saw the training texts, rows drawn twice among them."""
    data, texts = everything()
    rows, test = np.concatenate([np.arange(60), np.arange(20)]), np.arange(100, 200)
    vectoriser = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    x = vectoriser.fit_transform([texts[i] for i in rows])
    weight = np.linspace(0.5, 1.5, len(rows))
    model = LogisticRegression(max_iter=1_000).fit(x, data.labels[rows], sample_weight=weight)
    expected = model.score(vectoriser.transform([texts[i] for i in test]), data.labels[test])
    assert classifiers.on_tfidf(data, TrainingSet(rows, weight), test).mean() == pytest.approx(expected)
    assert 0.6 < expected < 1.0


def test_the_vocabulary_is_capped(monkeypatch):
    data, _ = everything()
    training, test = TrainingSet(np.arange(100), np.ones(100)), np.arange(100, 200)
    whole = classifiers.on_tfidf(data, training, test).mean()
    monkeypatch.setattr(classifiers, "VOCABULARY", 2)  # 'film' and 'a film', which say nothing
    assert classifiers.on_tfidf(data, training, test).mean() <= 0.6 < whole


def test_sample_weights_reach_the_student_of_embeddings():
    data, _ = everything()
    rows, test = np.arange(100), np.arange(100, 200)
    wrong = data.labels.copy()
    wrong[:50] = np.where(data.labels[:50] == "pos", "neg", "pos")
    noisy = classifiers.Stack(data.x, data.counts, np.concatenate([wrong[:100], data.labels[100:]]))
    trusted = np.where(rows < 50, 1e-6, 1.0)
    assert (
        classifiers.on_embeddings(noisy, TrainingSet(rows, trusted), test).mean()
        > classifiers.on_embeddings(noisy, TrainingSet(rows, 1.0001 - trusted), test).mean() + 0.3
    )


def test_one_class_is_answered_with_that_class():
    data, _ = everything()
    only = np.flatnonzero(data.labels == "pos")[:10]
    assert classifiers.on_embeddings(data, TrainingSet(only, np.ones(10)), np.arange(100, 200)).mean() == pytest.approx(0.5)


def test_the_three_ways_of_training():
    """Real rows lie before the synthetic ones in the stack."""
    labels, real = np.array(["a", "a", "b", "b"]), np.array([0, 2])
    weighting = Weighting(np.array([0.5, 0.25, 0.25, 0.0]), np.zeros(4))
    sets = training_sets(weighting, labels, real, 10, 8, 0)
    assert np.bincount(sets["drawn"].rows, minlength=14)[10:].tolist() == [4, 2, 2, 0]
    assert sets["weighted"].rows.tolist() == [10, 11, 12]
    assert sets["weighted"].weight.tolist() == pytest.approx([1.5, 0.75, 0.75])
    assert sorted(sets["with_real"].rows) == [0, 2, *sorted(sets["drawn"].rows)]
    assert set(sets["with_real"].weight) == {1.0}
    worth = training_sets(dataclasses.replace(weighting, mixing_weight=3.0), labels, real, 10, 8, 0)["with_real"]
    # 2 real rows beside 8 that count as 3
    assert worth.weight.tolist() == pytest.approx([2.0] * 2 + [0.75] * 8)
