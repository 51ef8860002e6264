"""Figures of an evaluation against their definitions, other libraries, and rows made to have known ones."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from synalign_spark.evaluation.copying import copying
from synalign_spark.evaluation.diversity import distinct_n, label_distance, length_distance, self_bleu, vendi
from synalign_spark.evaluation.evaluate import evaluate_rows
from synalign_spark.evaluation.figures import KINDS, MEANINGS
from synalign_spark.evaluation.rows import Rows, drawn
from synalign_spark.evaluation.support import NEIGHBOURS, support
from synalign_spark.evaluation.utility import Judge


def rows(x, weight=None, texts=None, labels=None):
    return Rows(np.asarray(x, dtype=np.float32), np.ones(len(x)) if weight is None else np.asarray(weight, dtype=float), texts, labels)


def cloud(seed, n, shift=0.0, d=3):
    return (np.random.default_rng(seed).standard_normal((n, d)) + shift).astype(np.float32)


def by_definition(x, real):
    """The four figures by loops, as the two papers write them."""
    far = lambda a, b: float(np.linalg.norm(a.astype(float) - b.astype(float)))  # noqa: E731
    ball = lambda points: [sorted(far(p, q) for q in points)[NEIGHBOURS] for p in points]  # noqa: E731
    real_ball, own_ball = ball(real), ball(x)
    inside = [[far(a, b) <= radius for b, radius in zip(real, real_ball, strict=True)] for a in x]
    reached = [any(far(a, b) <= radius for a, radius in zip(x, own_ball, strict=True)) for b in real]
    return {
        "precision": np.mean([any(row) for row in inside]),
        "recall": np.mean(reached),
        "density": np.sum(inside) / (NEIGHBOURS * len(x)),
        "coverage": np.mean([any(row[j] for row in inside) for j in range(len(real))]),
    }


@pytest.mark.parametrize("shift", [0.0, 0.7, 30.0])
def test_support_is_that_of_the_papers(shift):
    x, real = cloud(0, 40, shift), cloud(1, 60)
    assert support(x, real) == pytest.approx(by_definition(x, real))


def test_vendi_counts_unlike_rows():
    groups = np.repeat(np.eye(3), [10, 10, 10], axis=0)
    assert vendi(groups.astype(np.float32)) == pytest.approx(3.0)
    uneven = np.repeat(np.eye(2), [9, 1], axis=0).astype(np.float32)
    assert vendi(uneven) == pytest.approx(np.exp(-0.9 * np.log(0.9) - 0.1 * np.log(0.1)), rel=1e-5)
    wide, narrow = cloud(0, 50, d=80), cloud(0, 50, d=2)
    kernel = [side / np.linalg.norm(side, axis=1, keepdims=True) for side in (wide, narrow)]
    for unit, side in zip(kernel, (wide, narrow), strict=True):
        spectrum = np.linalg.eigvalsh(unit.astype(float) @ unit.T.astype(float) / 50)
        spectrum = spectrum[spectrum > 1e-12]
        assert vendi(side) == pytest.approx(np.exp(-(spectrum * np.log(spectrum)).sum()), rel=1e-4)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.sampled_from("abc"), min_size=1, max_size=6), min_size=1, max_size=6))
def test_distinct_n_counts_runs(texts):
    runs = [tuple(words[i : i + 2]) for words in texts for i in range(len(words) - 1)]
    found = distinct_n([" ".join(words) for words in texts], 2)
    assert np.isnan(found) if not runs else found == len(set(runs)) / len(runs)


def test_texts_that_repeat_each_other_have_a_high_self_bleu():
    alike = [f"the film is a joy to see on day {i}" for i in range(10)]
    unlike = ["a dull day", "the actors shine brightly", "no plot at all here", "music carries it well"]
    assert self_bleu(alike) > 0.7 > 0.2 > self_bleu(unlike)
    assert np.isnan(self_bleu(["one"]))


def test_lengths_and_labels():
    assert length_distance(["a b", "a b c d"], ["a b", "a b c d"]) == 0.0
    assert length_distance(["a"] * 4, ["a b c"] * 2) == 2.0
    ones = cloud(0, 4)
    first = rows(ones, [3, 1, 0, 0], labels=["a", "b", "a", "c"])
    assert label_distance(first, rows(ones, labels=["a", "a", "b", "b"])) == pytest.approx(0.25)


def test_copies_are_found_and_the_nearest_come_first():
    real = rows(cloud(0, 200, d=8), texts=[f"real text number {i} of the set with some words in it for grams" for i in range(200)])
    texts = ["something else entirely, without any shared run of words at all"] * 30
    texts[7] = real.texts[55]
    x = cloud(1, 30, d=8)
    x[7] = real.x[55]
    found = copying(rows(x, texts=texts), real)
    assert found.nearest[7] == 55
    assert found.cosine[7] == pytest.approx(1.0, abs=1e-6)
    assert found.overlap[7] == 1.0
    assert (found.cosine >= 0.95).sum() == 1
    first = found.worst(rows(x, texts=texts), real)[0]
    assert (first["row"], first["text"], first["real_text"]) == (7, real.texts[55], real.texts[55])
    assert found.of(np.arange(30))["copied_share"] == pytest.approx(1 / 30)


def test_sets_are_drawn_by_weight():
    weight = np.array([0.0, 1.0, 1.0, 4.0])
    counts = np.zeros(4)
    for places in drawn(weight, 1, 4_000, seed=3):
        counts[places] += 1
    assert counts[0] == 0
    assert counts / 4_000 == pytest.approx(weight / weight.sum(), abs=0.03)


def test_macro_f1_and_accuracy_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    truth, said = rng.choice(["a", "b", "c"], 300), rng.choice(["a", "b", "c", "d"], 300)
    judge = Judge.of(rows(cloud(0, 300), labels=truth.tolist()), 0)
    wanted = f1_score(truth, said, labels=["a", "b", "c"], average="macro")
    assert judge.macro_f1(said).value == pytest.approx(wanted)
    accuracy = judge.accuracy(said)
    share = np.mean(truth == said)
    assert accuracy.value == pytest.approx(share)
    assert accuracy.high - accuracy.value == pytest.approx(1.96 * np.sqrt(share * (1 - share) / 300), rel=0.15)
    assert judge.gain(said, said).value == 0.0


def labelled(seed, n, shift, flipped=0.0):
    rng = np.random.default_rng(seed)
    side = rng.integers(0, 2, n)
    x = rng.standard_normal((n, 4)) + shift
    x[:, 0] += 2.5 * side
    given_side = np.where(rng.random(n) < flipped, 1 - side, side)
    names = ["bad", "good"]
    texts = [f"{('dull', 'bright')[s]} row {seed} {rng.integers(50)} of {rng.integers(50)}" for s in side]
    return x.astype(np.float32), texts, [names[s] for s in given_side]


def whole(shift, flipped=0.0, weight=None):
    sides = [labelled(1, 400, 0.0), labelled(2, 400, 0.0), labelled(3, 300, shift, flipped)]
    real, held, synthetic = (rows(x, texts=texts, labels=labels) for x, texts, labels in sides)
    if weight is not None:
        synthetic = rows(synthetic.x, weight(synthetic.x), synthetic.texts, synthetic.labels)
    return evaluate_rows(real, held, synthetic, 300.0, 0)


def test_rows_of_the_real_distribution_score_as_real_ones():
    found = whole(0.0).values
    assert set(found) == {f"{name}{'.' + student if MEANINGS[name].group == 'utility' else ''}"
                          for name in MEANINGS for student in ("embeddings", "words")}  # fmt: skip
    for name in ("precision", "recall", "coverage", "density", "vendi"):
        assert found[name]["uniform"].value == pytest.approx(found[name]["real"].value, rel=0.15), name
    assert found["mmd2"]["uniform"].low == 0.0
    assert all(kind in KINDS for by_kind in found.values() for kind in by_kind)


def test_shifted_rows_and_wrong_labels_show_and_weights_undo_the_shift():
    found = whole(np.array([0.0, 1.5, 0.0, 0.0]), flipped=0.4, weight=lambda x: np.exp(-1.5 * x[:, 1].astype(float))).values
    for name in ("coverage", "recall"):
        assert found[name]["uniform"].value < found[name]["weighted"].value, name
    assert found["mmd2"]["weighted"].value < 0.3 * found["mmd2"]["uniform"].value
    assert found["energy_distance"]["weighted"].value < 0.3 * found["energy_distance"]["uniform"].value
    assert found["accuracy.embeddings"]["uniform"].value < found["accuracy.embeddings"]["real"].value


def test_what_cannot_be_measured_is_said():
    x, texts, labels = labelled(3, 300, 0.0)
    one = rows(x, [1.0] + [0.0] * 299, texts, labels)
    real, held = (rows(*(lambda r: (r[0], None, r[1], r[2]))(labelled(seed, 100, 0.0))) for seed in (1, 2))
    found = evaluate_rows(real, held, one, 300.0, 0)
    assert "coverage" not in found.values
    assert "mmd2" not in found.values
    assert any("figures of sets" in why for why in found.skipped)
    assert any("the synthetic rows have fewer than two labels" in why for why in found.skipped)
    same = evaluate_rows(real, held, rows(np.ones((50, 4)), labels=["bad"] * 50, texts=["a"] * 50), 300.0, 0)
    assert not same.values
    assert "the same" in same.skipped[0]
