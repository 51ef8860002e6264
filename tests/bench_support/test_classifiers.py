"""The students against scikit-learn's own pipelines, and what each way of training is made of."""

import dataclasses

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

from synalign_spark.core.defaults import USUAL_MIXING_WEIGHT
from tests.bench.support import classifiers
from tests.bench.support.classifiers import STUDENTS, Stack
from tests.bench.support.methods import Beside, Weighting
from tests.bench.support.training import TrainingSet, training_sets

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
    return Stack(x, texts, labels), texts


def accuracy(student, data, training, test):
    return np.mean(student(data, training, test) == data.labels[test])


def test_tfidf_is_fitted_on_the_training_rows_alone():
    """The same figure as scikit-learn's vectoriser that only ever saw the training texts, rows drawn twice among them."""
    data, texts = everything()
    rows, test = np.concatenate([np.arange(60), np.arange(20)]), np.arange(100, 200)
    vectoriser = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    x = vectoriser.fit_transform([texts[i] for i in rows])
    weight = np.linspace(0.5, 1.5, len(rows))
    model = LogisticRegression(max_iter=1_000).fit(x, data.labels[rows], sample_weight=weight)
    expected = model.score(vectoriser.transform([texts[i] for i in test]), data.labels[test])
    assert accuracy(classifiers.on_tfidf, data, TrainingSet(rows, weight), test) == pytest.approx(expected)
    assert 0.6 < expected < 1.0


def test_the_vocabulary_is_capped(monkeypatch):
    data, _ = everything()
    training, test = TrainingSet(np.arange(100), np.ones(100)), np.arange(100, 200)
    whole = accuracy(classifiers.on_tfidf, data, training, test)
    monkeypatch.setattr(classifiers, "VOCABULARY", 2)  # 'film' and 'a film', which say nothing
    assert accuracy(classifiers.on_tfidf, data, training, test) <= 0.6 < whole


@pytest.mark.parametrize("student", STUDENTS.values(), ids=STUDENTS)
def test_sample_weights_reach_every_student(student):
    data, _ = everything()
    rows, test = np.arange(100), np.arange(100, 200)
    wrong = data.labels.copy()
    wrong[:50] = np.where(data.labels[:50] == "pos", "neg", "pos")
    noisy = dataclasses.replace(data, labels=np.concatenate([wrong[:100], data.labels[100:]]))
    trusted = np.where(rows < 50, 1e-6, 1.0)
    assert (
        accuracy(student, noisy, TrainingSet(rows, trusted), test)
        > accuracy(student, noisy, TrainingSet(rows, 1.0001 - trusted), test) + 0.3
    )


def test_one_class_is_answered_with_that_class():
    data, _ = everything()
    only = np.flatnonzero(data.labels == "pos")[:10]
    assert accuracy(classifiers.on_embeddings, data, TrainingSet(only, np.ones(10)), np.arange(100, 200)) == pytest.approx(0.5)


def test_the_svm_is_that_of_character_ngrams_of_the_training_rows():
    data, texts = everything()
    rows, test = np.arange(80), np.arange(100, 200)
    pipeline = make_pipeline(TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True), LinearSVC(random_state=0))
    expected = pipeline.fit([texts[i] for i in rows], data.labels[rows]).predict([texts[i] for i in test])
    assert (classifiers.on_characters(data, TrainingSet(rows, np.ones(80)), test) == expected).mean() > 0.97  # but for hashes that collide


def test_the_network_takes_as_many_steps_for_few_rows_as_for_many(monkeypatch):
    taken = []
    fit = classifiers.MLPClassifier.fit
    monkeypatch.setattr(classifiers, "STEPS", 40)
    monkeypatch.setattr(classifiers.MLPClassifier, "fit", lambda model, *args, **more: taken.append(fit(model, *args, **more)) or taken[-1])
    data, _ = everything(n=500)
    for n in (30, 400):
        classifiers.by_network(data, TrainingSet(np.arange(n), np.ones(n)), np.arange(400, 500))
    assert [round(model.n_iter_ * max(1, n / 200)) for model, n in zip(taken, (30, 400), strict=True)] == [40, 40]


WEIGHTING = Weighting(np.array([0.5, 0.25, 0.25, 0.0]), np.zeros(4))
LABELS, REAL = np.array(["a", "a", "b", "b"]), np.array([0, 2])


def test_the_ways_of_training():
    """Real rows lie before the synthetic ones in the stack."""
    sets = training_sets(WEIGHTING, LABELS, REAL, 10, 8, 0)
    assert np.bincount(sets["drawn"].rows, minlength=14)[10:].tolist() == [4, 2, 2, 0]
    assert sets["weighted"].rows.tolist() == [10, 11, 12]
    assert sets["weighted"].weight.tolist() == pytest.approx([1.5, 0.75, 0.75])
    for way in ("with_real", "each_one"):
        assert sorted(sets[way].rows) == [0, 2, *sorted(sets["drawn"].rows)]
        assert set(sets[way].weight) == {1.0}  # 8 rows cannot count as more


@pytest.mark.parametrize("n_real", [100, 2_000])
def test_synthetic_rows_count_as_the_products_usual_number_of_real_ones(n_real):
    weight = training_sets(WEIGHTING, LABELS, np.arange(n_real), n_real, 1_600, 0)["with_real"].weight
    assert weight[n_real:].sum() * n_real == pytest.approx(USUAL_MIXING_WEIGHT * weight[:n_real].sum())
    assert weight.mean() == pytest.approx(1.0)


def test_a_method_may_say_what_each_label_counts_beside_the_real_rows():
    """Two real rows of weight 3 and 1 beside rows of label a that weigh 2 together, and of b 6."""
    beside = dataclasses.replace(WEIGHTING, beside=Beside(np.array([3.0, 1.0]), {"a": 2.0, "b": 6.0}))
    found = training_sets(beside, LABELS, REAL, 10, 8, 0)["with_real"]
    labels = np.concatenate([["real", "real"], LABELS[found.rows[2:] - 10]])
    scale = 10 / 12  # ten rows of mean 1 for a sum of 12
    assert found.weight[:2].tolist() == pytest.approx([3 * scale, scale])
    assert [found.weight[labels == label].sum() for label in "ab"] == pytest.approx([2 * scale, 6 * scale])
