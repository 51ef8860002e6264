"""Tables are cleaned before anything is measured on them, and results are summed up by seed."""

import json

import numpy as np
import pytest

from tests.bench.support import summary
from tests.bench.support.corpora import Corpus
from tests.bench.support.hits import packed, paired_error, unpacked
from tests.bench.support.tasks import FLIPPED, clean, merged, planted_synthetic, real_rows


def corpus(rows):
    """rows: (text, label) pairs; the id is the text."""
    texts = sorted(dict(rows))
    return Corpus(np.array(texts), texts, np.array([dict(rows)[text] for text in texts]), np.zeros((len(texts), 2), dtype=np.float32))


def test_rows_that_stand_in_two_tables_are_removed():
    real = corpus([("one film", "a"), ("Shared: text", "b"), ("two", "b")])
    synthetic = corpus([("Two !", "a"), ("three 's", "b"), ("four", "b")])
    data = clean("t", real, synthetic, corpus([("Three's", "b"), ("shared text", "a")]))
    assert data.synthetic.texts == ["four"]
    assert data.real.texts == ["one film", "two"]
    assert data.removed == {"synthetic equal to test": 1, "synthetic equal to real": 1, "real equal to test": 1}


def test_a_label_that_no_real_row_has_is_refused():
    with pytest.raises(ValueError, match=r"synthetic rows have labels .* zzz"):
        clean("t", corpus([("one", "a")]), corpus([("two", "zzz")]), corpus([("three", "a")]))


def test_a_text_of_two_files_keeps_the_label_of_the_first():
    both = merged([corpus([("x", "a"), ("b", "a")]), corpus([("x", "b"), ("c", "b")])])
    assert dict(zip(both.texts, both.labels.tolist(), strict=True)) == {"b": "a", "c": "b", "x": "a"}


def test_real_rows_are_drawn_by_the_seed_with_every_label():
    rows = [(f"r{i}", "rare" if i == 0 else "often") for i in range(1_000)]
    data = clean("t", corpus(rows), corpus([("s", "often")]), corpus([("q", "rare")]))
    first, second = real_rows(data, 50, 0), real_rows(data, 50, 1)
    assert len(set(first)) == 50
    assert set(data.real.labels[first]) == {"rare", "often"}
    assert set(first) != set(second)
    assert np.array_equal(first, real_rows(data, 50, 0))
    assert len(real_rows(data, None, 0)) == len(real_rows(data, 5_000, 1)) == 1_000


def test_planted_synthetic_rows_are_real_rows_with_known_faults():
    """2,000 rows of two labels: about half are synthetic, a fifth as many of the second label as of the first, 15 % with the other label."""
    texts = [f"{i:04d}" for i in range(2_000)]
    labels = np.array(["a", "b"] * 1_000)
    ids = np.array([f"{i:x}" for i in np.random.default_rng(0).permutation(2_000)])
    real = Corpus(ids, texts, labels, np.zeros((2_000, 2), dtype=np.float32))
    data = planted_synthetic("t", real, corpus([("test", "a")]))
    assert set(data.real.texts).isdisjoint(data.synthetic.texts)
    assert len(data.real) == 1_000
    right = dict(zip(texts, labels.tolist(), strict=True))
    wrong = np.array([right[text] != label for text, label in zip(data.synthetic.texts, data.synthetic.labels.tolist(), strict=True)])
    np.testing.assert_array_equal(wrong, data.flipped)
    assert data.flipped.mean() == pytest.approx(FLIPPED, abs=0.001)
    counts = [sum(right[text] == label for text in data.synthetic.texts) for label in "ab"]
    assert counts[1] / counts[0] == pytest.approx(0.2, abs=0.06)


def run(method, seed, accuracy, task="t", way="drawn"):
    return {
        "task": task,
        "size": "300",
        "real_rows": 300,
        "seed": seed,
        "method": method,
        "settings": "",
        "extra": None,
        "scores": {"embeddings": {way: accuracy}},
        "macro_f1": {"embeddings": {way: accuracy / 2}},
    }


RUNS = [
    run("uniform", 0, 0.7),
    run("uniform", 1, 0.8),
    run("dsir", 0, 0.78),
    run("dsir", 1, 0.76),
    run("ours", 0, 0.76),
    run("ours", 1, 0.82),
]


def test_means_and_standard_errors_are_over_seeds():
    row = next(row for row in summary.rows(RUNS) if row["method"] == "uniform")
    assert (row["accuracy"], row["stderr"], row["seeds"]) == (0.75, 0.05, 2)  # sd of 0.7 and 0.8 is 0.0707, over sqrt 2
    assert row["macro_f1"] == 0.375


def test_losses_are_those_beyond_the_standard_error_over_shared_seeds():
    pairs = {"clear": ([0.6, 0.7], [0.7, 0.82]), "noise": ([0.6, 0.8], [0.7, 0.72]), "alone": ([0.5], [0.9])}
    runs = [
        run(method, seed, value, task)
        for task, (ours, theirs) in pairs.items()
        for method, values in ((summary.OURS, ours), ("uniform", theirs))
        for seed, value in enumerate(values)
    ]
    (loss,) = summary.losses(runs, "drawn")
    assert (loss["task"], loss["other"], loss["margin"], loss["stderr"]) == ("clear", "uniform", -0.11, 0.01)
    assert summary.losses(runs) == []  # nothing was trained beside real rows


def test_rows_that_cost_against_the_real_rows_alone_are_a_loss_and_ablations_are_no_other_methods():
    runs = [run(summary.REAL_ALONE, seed, 0.8 + seed / 100, way=summary.REAL_ALONE) for seed in (0, 1)]
    runs += [run("ours", seed, 0.7 + seed / 100, way="with_real") for seed in (0, 1)]
    runs += [run("ours_no_mmd", seed, 0.9, way="with_real") for seed in (0, 1)]
    (loss,) = summary.losses(runs)
    assert (loss["other"], loss["margin"], loss["way"]) == ("real alone", -0.1, "with_real")
    assert summary.gains(runs)["mean_gain_over_real_alone"] == {"300": -0.1}
    assert summary.gains(runs, of="macro_f1")["mean_gain_over_real_alone"] == {"300": -0.05}


def test_the_table_marks_the_best_of_a_line():
    alone = run(summary.REAL_ALONE, 0, 0.9, way=summary.REAL_ALONE)
    table = summary.markdown([alone, *RUNS]).splitlines()
    assert table[0] == "| task | real rows | uniform | dsir | ours | real alone |"
    assert table[2] == "| t | 300 | 75.0 / - | 77.0 / - | **79.0** / - | 90.0 / - |"


def test_the_last_line_is_json():
    report = summary.report([*RUNS, run(summary.REAL_ALONE, 0, 0.9)])
    assert json.loads(json.dumps(report))["rows"][0]["method"] == "uniform"
    assert [row["accuracy"] for row in report["real_alone"]] == [0.9]


def test_the_mean_gain_is_over_tasks_by_size():
    easy = [run("uniform", 0, 0.5, "easy"), run("ours", 0, 0.9, "easy")]
    every = [dict(entry, size="all", real_rows=8_000) for entry in RUNS]
    found = summary.mean_gains([*RUNS, *easy, *every], "uniform", "drawn")
    assert found == {"300": pytest.approx((0.04 + 0.4) / 2), "all": pytest.approx(0.04)}  # 0.06 and 0.02, and 0.4 in the easy task


def test_the_weight_on_rows_that_are_wrong_is_told_by_method():
    runs = [dict(run("ours", seed, 0.5), extra={"weight_on_flipped": share}) for seed, share in enumerate((0.1, 0.2))]
    assert summary.weight_on_flipped([*runs, run("uniform", 0, 0.5)]) == {"t, 300": {"ours": 0.15}}


def test_the_error_of_a_finite_test_table_is_said_apart():
    row = next(row for row in summary.report(RUNS, {"t": 1_875})["rows"] if row["method"] == "uniform")
    assert (row["accuracy"], row["stderr"], row["test_stderr"]) == (0.75, 0.05, 0.01)  # sqrt(0.75 * 0.25 / 1875)


def test_losses_tell_the_error_of_the_test_rows_too():
    rng = np.random.default_rng(0)
    runs = [
        run(method, seed, float(hits.mean())) | {"validation": 50, "hits": {"embeddings": {"drawn": packed(hits)}}}
        for seed in range(3)
        for method, hits in ((summary.OURS, np.arange(50) < 30 + seed), ("uniform", np.arange(50)[::-1] < 35 + seed))
    ]
    (loss,) = summary.losses(runs, "drawn")
    comparison = np.stack([(np.arange(50) < 30 + seed).astype(float) - (np.arange(50)[::-1] < 35 + seed) for seed in range(3)])
    assert loss["with_test_rows"] == pytest.approx(
        np.sqrt(comparison.mean(axis=0).var(ddof=1) / 50 + comparison.mean(axis=1).var(ddof=1) / 3), abs=1e-5
    )
    many = rng.random(4_001) < 0.5
    np.testing.assert_array_equal(unpacked(packed(many), 4_001), many)


def test_the_error_over_seeds_and_rows_is_that_of_repeated_trials():
    """Two methods that are equally good, on rows and seeds drawn anew: the mean comparison spreads as the error says."""
    rng = np.random.default_rng(1)
    differences, errors = [], []
    for _ in range(400):
        hard, luck = rng.random((2, 200)), rng.normal(scale=0.05, size=(2, 4, 1))
        sides = [[row < 0.6 for row in hard[i] + luck[i] + rng.normal(scale=0.2, size=(4, 200))] for i in (0, 1)]
        differences.append(np.mean(sides[0]) - np.mean(sides[1]))
        errors.append(paired_error(*sides))
    assert np.mean(errors) == pytest.approx(np.std(differences), rel=0.15)
