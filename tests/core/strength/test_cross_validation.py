"""The choice of the mixing weight: folds, labels that keep their shares, harmful and helpful rows, and honest gains."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from synalign_spark.core.strength.base_measure import Component, fit_base_measure
from synalign_spark.core.strength.classifiers import together
from synalign_spark.core.strength.cross_validation import Fold, Part, _better_alone, choose_mixing_weight, folds, of_one_source
from synalign_spark.core.strength.downstream import Answers
from synalign_spark.core.strength.gain import TrainingRows, kept_share
from synalign_spark.core.strength.mixing_weight import mixing_weights
from tests.core.strength.planted import rows, side

GROUPS = ["=bad", "=good"]
TRIED = mixing_weights(300.0, 300.0)
TRAINED = TrainingRows(500, 400)
NONE = np.empty(0, dtype=np.int64)


def keep(synthetic):
    """Rows keep the weights that they came with."""
    return lambda real: synthetic.views.weight


def by_confidence(synthetic):
    def weigh(real):
        base = fit_base_measure(real, synthetic, (Component(1.5, 1.0, 0.0), Component(1.5, 1.0, 1.0)), GROUPS, 0.3)
        views = synthetic.views
        factors = base.factors(views.x, views.ngrams, views.labels, synthetic.group, synthetic.half)
        return np.exp(base.log_factor(factors, synthetic.group))

    return weigh


def choose(n_real, noise, weigh=keep, seed=0, spread=2.5, tried=TRIED, usual=300.0):
    real, synthetic = side(*rows(seed, n_real, spread=spread)[:3]), side(*rows(seed + 50, 400, noise=noise, spread=spread)[:3])
    return choose_mixing_weight(real, synthetic, weigh(synthetic), tried, usual, TRAINED, 0)


def test_real_rows_alone_answer_under_the_better_penalty_of_each_classifier():
    """Two classifiers, two parts of two rows: the first is better with light rows over both parts, though not in each; the second is not."""

    def answers(*losses):
        losses = np.array(losses)
        return Answers(losses < 0.5, losses)

    heavy, light, other = (
        [answers([0.8, 0.8], [0.2, 0.2]), answers([0.3, 0.3], [0.2, 0.2])],
        [answers([0.1, 0.1], [0.3, 0.3]), answers([0.4, 0.4], [0.3, 0.3])],
        answers([9.0, 9.0], [9.0, 9.0]),
    )
    parts = [Part(np.array(rows), None, (heavy[i], other), light[i]) for i, rows in enumerate([[0, 1], [2, 3]])]
    found = _better_alone(parts, np.ones(4))
    assert [part.answers[0].log_loss.tolist() for part in found] == [[[0.1, 0.1], [0.2, 0.2]], [[0.4, 0.4], [0.2, 0.2]]]
    assert [part.answers[0].hits.tolist() for part in found] == [[[True, True], [True, True]]] * 2
    assert all(part.answers[1] is other for part in found)
    mostly_second = _better_alone(parts, np.array([1e-3, 1e-3, 1.0, 1.0]))  # where the light rows are worse
    assert mostly_second[0].answers[0].log_loss.tolist() == [[0.8, 0.8], [0.2, 0.2]]


@pytest.mark.parametrize("n", [10, 60, 1_000])
def test_every_row_is_unseen_once_a_repeat_and_labels_are_spread_over_the_folds(n):
    group = np.array(["=a", "=b"], dtype=object)[(np.arange(n) % 5 == 0).astype(int)]
    parts = list(folds(group, 0, np.arange(n)))
    repeats = len(parts) // 5
    assert repeats == (3 if n < 150 else 1)
    unseen = np.concatenate([part for _, part in parts])
    np.testing.assert_array_equal(np.bincount(unseen), repeats)
    for seen, part in parts:
        assert not set(seen) & set(part)
        assert len(seen) + len(part) == n
        assert abs(np.sum(group[part] == "=b") - np.sum(group == "=b") / 5) <= 1
    assert len({tuple(part) for _, part in parts[::5]}) == repeats  # each repeat has folds of its own


def test_equal_rows_stay_in_one_fold():
    group = np.array(["=a", "=b"], dtype=object)[np.arange(120) % 2]
    same = np.arange(120) % 40  # three of each
    for seen, unseen in folds(group, 0, same):
        assert not set(same[seen]) & set(same[unseen])
        assert abs(len(unseen) - 24) <= 3


@pytest.mark.parametrize("n_real", [12, 300])
def test_rows_of_wrong_labels_are_left_out_and_good_ones_kept(n_real):
    assert choose(n_real, noise=1.0).mixing_weight == 0.0
    assert choose(n_real, noise=0.0).mixing_weight == 300.0


def test_the_base_measure_saves_rows_of_which_many_are_wrong():
    as_they_came, weighed = choose(100, noise=0.6), choose(100, noise=0.6, weigh=by_confidence)
    assert as_they_came.mixing_weight < weighed.mixing_weight
    assert weighed.tried[-1].log_loss < as_they_came.tried[-1].log_loss - 0.1
    assert weighed.tried[0].log_loss == pytest.approx(as_they_came.tried[0].log_loss)  # real rows alone are the same


def test_every_label_keeps_its_share_one_without_synthetic_rows_too():
    real, made = side(*rows(0, 90)[:3]), side(*rows(1, 200)[:3])
    weight = np.where(real.group == "=bad", 3.0, 1.0)
    real = side(real.views.x, ["some text"] * 90, real.views.labels, weight)
    share = weight[real.group == "=bad"].sum() / weight.sum()
    for synthetic in (made, made.take(made.group == "=good")):
        fold = Fold(real, synthetic, real, keep(synthetic), NONE)
        for mixing_weight in (0.0, 50.0, 300.0):
            found = fold.sample_weights(mixing_weight)
            group = np.concatenate([real.group, synthetic.group])
            assert found.sum() == pytest.approx(90 + mixing_weight)
            assert found[group == "=bad"].sum() / found.sum() == pytest.approx(share)


def test_no_row_judges_what_it_shaped():
    """A fit that looks up the labels of its real rows: were the unseen ones among them, it would be told apart."""
    real, synthetic = side(*rows(0, 50)[:3]), side(*rows(1, 100)[:3])
    given = []

    def look(shaping):
        given.append(shaping.views.x)
        return synthetic.views.weight

    choose_mixing_weight(real, synthetic, look, TRIED, 300.0, TRAINED, 0)
    for (seen, _), x in zip(folds(real.group, 0, np.arange(50)), given, strict=True):
        np.testing.assert_array_equal(x, real.views.x[seen])


def test_no_gain_is_promised_where_nothing_is_to_be_gained():
    """Labels by chance on both sides: accuracy is one half whatever is mixed in. The best of the candidates seems to gain, the nested gain does not."""
    gains, seeming = [], []
    for seed in range(8):
        sides = [side(*rows(seed + start, n)[:3]) for start, n in ((0, 40), (50, 40))]
        for one in sides:
            one.views.labels[:] = np.random.default_rng(seed).permutation(one.views.labels)
            one.group[:] = [f"={label}" for label in one.views.labels]
        found = choose_mixing_weight(*sides, keep(sides[1]), TRIED, 300.0, TRAINED, 0)
        gains.append(found.gain.measured)
        seeming.append(max(one.overall for one in found.tried) - found.tried[0].overall)
    error = np.std(gains) / np.sqrt(len(gains))
    assert np.mean(gains) < 2.5 * error
    assert np.mean(seeming) > np.mean(gains) + 0.005


def test_accuracies_are_those_of_models_trained_as_a_users_are():
    """Sample weights of mean 1 with the synthetic rows; the real rows alone weigh one each, and as much as both sides together."""
    real, synthetic, unseen = (side(*rows(seed, n, spread=3.0)[:3], words=False) for seed, n in ((0, 60), (1, 400), (2, 2_000)))
    fold = Fold(real, synthetic, unseen, keep(synthetic), NONE)

    def hits(views, weight):
        model = LogisticRegression(max_iter=100, tol=1e-3).fit(views.x.astype(float), views.labels.astype(str), sample_weight=weight)
        return model.predict(unseen.views.x.astype(float)) == unseen.views.labels

    both, weight = together(real.views, synthetic.views), fold.sample_weights(300.0)
    alone = [hits(real.views, np.full(60, each)) for each in (1.0, 1_060 / 60)]
    np.testing.assert_array_equal(fold.accuracies(300.0, 1_000), [hits(both, weight * (1_060 / weight.sum())), *alone])
    assert np.any(alone[0] != alone[1])
    of_none = fold.accuracies(0.0, 1_000)
    assert np.isnan(of_none[0]).all()
    np.testing.assert_array_equal(of_none[1:], alone)


def test_a_weaker_penalty_is_no_gain():
    """Six labels, some of them rare: beside rows that count as 30 real ones a model is freer, and better for that more than for the rows."""
    rng = np.random.default_rng(0)
    centres = np.random.default_rng(9).standard_normal((6, 64))

    def labelled(n, told):
        label = rng.choice(6, n, p=[0.5, 0.2, 0.1, 0.08, 0.07, 0.05])
        x = (told * centres[label] + 1.9 * rng.standard_normal((n, 64))).astype(np.float32)
        return side(x / np.linalg.norm(x, axis=1, keepdims=True), ["some text"] * n, np.array([str(one) for one in label]), words=False)

    real, synthetic = labelled(200, 1.0), labelled(2_000, 1.0)
    found = choose_mixing_weight(real, synthetic, keep(synthetic), [0.0, 30.0], 30.0, TrainingRows(200, 2_000), 0)
    fold = Fold(real, synthetic, labelled(2_000, 1.0), keep(synthetic), NONE)
    both, alone, heavier = fold.accuracies(30.0, 2_000).mean(axis=1)
    assert heavier - alone > 0.02  # the penalty's part
    assert found.gain.measured < both - alone - 0.01
    assert found.gain.alone == pytest.approx(heavier, abs=0.05)


@pytest.mark.parametrize("apart", [0.02, 0.08])
def test_rows_written_from_the_judges_promise_no_gain(apart):
    """Copies and paraphrases of the real rows, with the same labels: they know what the folds ask, and nothing of other rows."""
    gains = []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        label = rng.integers(0, 2, 200)
        x = rng.standard_normal((200, 64))
        x[:, 0] += 0.5 * (2 * label - 1)
        x /= np.linalg.norm(x, axis=1, keepdims=True)
        source = rng.integers(0, 200, 800)
        copies = x[source] + apart * rng.standard_normal((800, 64))
        copies /= np.linalg.norm(copies, axis=1, keepdims=True)
        names = np.array(["bad", "good"])
        real, synthetic = (
            side(rows_.astype(np.float32), ["a"] * len(rows_), names[of], words=False)
            for rows_, of in ((x, label), (copies, label[source]))
        )
        assert of_one_source(synthetic.views, real.views)[np.arange(800), source].mean() > 0.95
        gains.append(choose_mixing_weight(real, synthetic, keep(synthetic), TRIED, 300.0, TRAINED, seed).gain.measured)
    assert np.mean(gains) < 0.01


def test_the_gain_speaks_of_all_real_rows():
    found = choose(100, noise=0.2)
    assert (found.gain.measured_rows, found.gain.rows) == (80, TRAINED.real)
    kept = kept_share(80, TRAINED.real, found.mixing_weight)
    assert (found.gain.value, found.gain.error) == (kept * found.gain.measured, kept * found.gain.measured_error)
    assert kept < 1.0


def test_weights_and_the_order_of_candidates_are_what_they_are():
    once, again = (choose(40, noise=0.3) for _ in range(2))
    assert once == again
    assert [one.mixing_weight for one in once.tried] == TRIED
    assert all(len(one.accuracy) == 4 for one in once.tried)
    assert once.validation_rows == 40
