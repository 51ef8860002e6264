"""Who teaches the labels of the real rows better: these each other, or the synthetic ones?"""

import numpy as np
import pytest

from synalign_spark.core.defaults import MILD_RULE, STANDARD_RULE
from synalign_spark.core.strength.classifiers import Views, classifier_answers, hashed_ngrams
from synalign_spark.core.strength.teachers import TeacherComparison, compare_teachers


def rows(n, seed, in_vectors, in_words, weight=None):
    """n rows of two labels; in_vectors, in_words: whether these tell the label."""
    rng = np.random.default_rng(seed)
    good = rng.random(n) < 0.5
    x = rng.standard_normal((n, 8)).astype(np.float32)
    x[:, 0] += np.where(good, 3.0, -3.0) * in_vectors
    texts = [f"{'warm' if g and in_words else 'dull' if in_words else 'some'} film {rng.integers(9)}" for g in good]
    return Views(x, hashed_ngrams(texts), np.where(good, "good", "bad").astype(object), np.ones(n) if weight is None else weight)


def test_words_of_synthetic_rows_outdo_vectors_that_tell_nothing():
    found = compare_teachers(rows(200, 1, in_vectors=False, in_words=True), rows(400, 2, in_vectors=False, in_words=True))
    assert found.synthetic == 1.0
    assert 0.35 < found.real < 0.65
    assert (found.synthetic_teaches_better, found.rule) == (True, MILD_RULE)


def test_real_rows_that_know_their_labels_are_trusted():
    synthetic = rows(400, 2, in_vectors=False, in_words=True)
    shuffled = Views(synthetic.x, synthetic.ngrams, np.random.default_rng(0).permutation(synthetic.labels), synthetic.weight)
    found = compare_teachers(rows(200, 1, in_vectors=True, in_words=True), shuffled)
    assert found.real > 0.98
    assert found.synthetic < found.real
    assert (found.synthetic_teaches_better, found.rule) == (False, STANDARD_RULE)


def test_the_probe_of_the_real_rows_scores_rows_that_it_has_not_seen():
    """Labels by chance in more dimensions than rows: known by heart they would all be right."""
    rng = np.random.default_rng(5)
    real = Views(rng.standard_normal((60, 300)), rows(60, 1, False, True).ngrams, np.array(["a", "b"] * 30, dtype=object), np.ones(60))
    assert compare_teachers(real, real).real < 0.75


def test_the_error_is_that_of_paired_rows_and_weights_count():
    real, synthetic = rows(300, 3, in_vectors=True, in_words=False), rows(500, 4, in_vectors=True, in_words=False)
    synthetic.labels[:] = np.where(np.random.default_rng(1).random(500) < 0.45, synthetic.labels[::-1], synthetic.labels)
    even, heavy = (compare_teachers(Views(real.x, real.ngrams, real.labels, np.full(300, w)), synthetic) for w in (1.0, 7.0))
    assert (even.synthetic, even.real, even.stderr) == pytest.approx((heavy.synthetic, heavy.real, heavy.stderr), rel=1e-9)
    hits = max((answers.hits for answers in classifier_answers(synthetic, synthetic.weight, real)), key=np.mean)
    assert even.synthetic == pytest.approx(hits.mean())
    assert even.stderr <= np.sqrt(0.25 / 300) * 2
    half = np.where(np.arange(300) < 150, 1.0, 1e-12)
    seen = compare_teachers(Views(real.x, real.ngrams, real.labels, half), synthetic)
    assert seen.synthetic == pytest.approx(classifier_answers(synthetic, synthetic.weight, real)[0].hits[:150].mean(), abs=1e-6)
    assert seen.stderr > even.stderr


@pytest.mark.parametrize(("synthetic", "synthetic_teaches_better"), [(0.80, False), (0.839, False), (0.841, True), (0.5, False)])
def test_two_standard_errors_are_clear(synthetic, synthetic_teaches_better):
    assert TeacherComparison(synthetic, 0.8, 0.02).synthetic_teaches_better is synthetic_teaches_better


def test_a_lead_without_error_is_defined():
    assert not TeacherComparison(0.8, 0.8, 0.0).synthetic_teaches_better
    assert TeacherComparison(1.0, 0.5, 0.0).synthetic_teaches_better
