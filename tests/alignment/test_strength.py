"""The strength of an alignment at every size, and the options that bend the weights: in this process, and the same on Spark."""

import hashlib
from functools import partial

import numpy as np
import pyarrow as pa
import pytest

from synalign_spark.alignment.align import align
from synalign_spark.alignment.arrow_side import real_side, synthetic_side
from synalign_spark.alignment.plan import rule_of
from synalign_spark.alignment.procedure import align_sides
from synalign_spark.alignment.verdicts import mixing_in_words
from synalign_spark.config.alignment import AlignConfig
from synalign_spark.core.defaults import ESS_FLOOR
from synalign_spark.core.holdout import held_out
from synalign_spark.core.strength.cross_validation import MixingChoice
from synalign_spark.core.strength.gain import gain_beside, kept_share
from synalign_spark.core.strength.mixing_weight import Mixing
from synalign_spark.errors import ConfigError, DataError
from synalign_spark.storage.tables import CORPUS, EMBEDDINGS, SYNTHETIC
from synalign_spark.udfs.arrow import from_matrix

SMALL = {"n_features": 64, "certificate_rows": 100, "permutations": 99}
CENTRES = 2.0 * np.random.default_rng(0).standard_normal((2, 2, 12))  # label, topic
NAMES = ("bad", "good")


def rows_of(kind, n, noise=0.0, seed=0):
    """(doc_id, label, text, vector, wrong) of n rows; noise: share with the other label's name."""
    rng, found = np.random.default_rng([seed, len(kind)]), []
    for i in range(n):
        truth, topic = int(rng.integers(2)), int(rng.integers(2))
        x = CENTRES[truth, topic] + rng.standard_normal(12)
        wrong = bool(rng.random() < noise)
        text = f"{NAMES[truth]} film {kind} {i} of topic{topic}"
        key = hashlib.sha256(text.encode()).hexdigest()
        found.append((key, NAMES[truth != wrong], text, (x / np.linalg.norm(x)).astype(np.float32), wrong))
    return found


def run(real, fake, real_prior=None, **cfg):
    """(weights by id, certificate by label, trace rows, lines reported), in this process."""
    settings, lines = AlignConfig(**SMALL | cfg), []

    def side(make, rows, prior):
        columns = [r[0] for r in rows], [r[1] for r in rows], pa.array([r[2] for r in rows]), np.asarray(prior, dtype=float)
        return make(*columns, np.stack([r[3] for r in rows]), settings.per_label, 0)

    make_real = partial(real_side, holdout=settings.holdout, validation=settings.validation)
    real_rows = side(make_real, real, real_prior or [1.0] * len(real))
    done = align_sides(real_rows, side(synthetic_side, fake, [1.0] * len(fake)), settings, 0, lines.append)
    return _by_key(done.weights.to_pylist(), done.certificate, done.trace, lines)


def run_on_spark(spark, real, fake, real_prior=None, partitions=1, **cfg):
    """As ``run``, from tables."""

    def embeddings(rows, origin):
        columns = [[origin] * len(rows), [r[0] for r in rows], [r[1] for r in rows], ["m"] * len(rows), ["1"] * len(rows)]
        table = pa.table([*map(pa.array, columns), from_matrix(np.stack([r[3] for r in rows]))], names=list(EMBEDDINGS.column_names))
        return spark.createDataFrame(table, EMBEDDINGS.ddl).repartition(partitions)

    priors = real_prior or [None] * len(real)
    corpus = spark.createDataFrame([(r[0], r[2], r[1], None, 4, p) for r, p in zip(real, priors, strict=True)], CORPUS.ddl)
    rows = [(r[0], r[2], r[1], "imported", "unknown", *[None] * 8) for r in fake]
    lines = []
    done = align(
        embeddings(real, "real"), embeddings(fake, "synthetic"), corpus, spark.createDataFrame(rows, SYNTHETIC.ddl),
        AlignConfig(**SMALL | cfg), 0, lines.append, real_weights=real_prior is not None,
    )  # fmt: skip
    return _by_key(*(frame.toArrow().to_pylist() for frame in (done.weights, done.certificate, done.trace)), lines)


def _by_key(weights, certificate, trace, lines):
    return {row["doc_id"]: row for row in weights}, {row["label"]: row for row in certificate}, trace, lines


REAL, FAKE = rows_of("real", 700), rows_of("fake", 400, noise=0.4)


@pytest.fixture(scope="module")
def validated():
    return run(REAL, FAKE)


def test_rows_with_wrong_labels_lose_their_weight_and_every_figure_is_told(validated):
    weights, certificate, trace, lines = validated
    wrong = np.array([row[4] for row in FAKE])
    w, confidence = (np.array([weights[row[0]][name] for row in FAKE]) for name in ("weight", "label_confidence"))
    assert w.sum() == pytest.approx(1.0)
    assert w[wrong].sum() < 0.5 * wrong.mean()  # caps take weight from rows of unknown words, right ones too
    assert confidence[wrong].mean() < 0.4 < 0.7 < confidence[~wrong].mean()
    assert {row["rule"] for row in certificate.values()} == {"ess_rule"}
    whole = certificate[None]
    assert (whole["label_confidence_exponent"], whole["density_ratio_exponent"]) == pytest.approx((3.0, 1.0), rel=0.7)
    assert 0 < whole["embedding_ratio_exponent"] <= 0.5
    assert sum(certificate[label]["ess"] for label in NAMES) >= ESS_FLOOR * len(FAKE) * 0.999
    assert any("ess_rule with label confidence to the power of" in line for line in lines)
    beside = [row for row in trace if row["kind"] == "mixing_weight"]
    assert [row["mixing_weight"] for row in beside] == pytest.approx([0.0, 40.0, 400 / 3, 400.0])  # no more than there are rows
    assert [row["mixing_weight"] for row in beside if row["chosen"]] == [whole["mixing_weight"]]
    assert "by nested cross-validation on" in whole["verdict"]
    shaping = whole["n_real_fit"]  # all but the holdout
    assert whole["gain_measured_rows"] == pytest.approx(0.8 * shaping, abs=1)
    kept = kept_share(whole["gain_measured_rows"], len(REAL), whole["mixing_weight"])
    assert (whole["gain"], f"beside the {len(REAL):,} real rows" in whole["verdict"]) == (
        pytest.approx(kept * whole["gain_measured"]),
        True,
    )
    assert (whole["mixing_weight"] == 0) == whole["verdict"].startswith("do not use these rows")


def test_partitions_change_no_choice_and_no_weight(spark, validated):
    weights, _, trace, _ = run_on_spark(spark, REAL[::-1], FAKE[::-1], partitions=7)
    for key, row in validated[0].items():
        assert weights[key]["weight"] == pytest.approx(row["weight"], rel=1e-9)
    assert [row["accuracy"] for row in trace] == [row["accuracy"] for row in validated[2]]


def shifted(rows, share, seed):
    """So many of the rows with one topic as the share says."""
    rng = np.random.default_rng(seed)
    return [row for row in rows if rng.random() < (share if "topic0" in row[2] else 1 - share)]


def test_a_label_that_grows_from_four_to_sixty_real_rows_sees_no_jump():
    """How far the weights are from even ones, by real rows of the label: nothing below five, then more and more, nowhere at once."""
    good = [row for row in shifted(REAL, 0.9, 0) if row[1] == "good"][:60]
    bad = [row for row in REAL if row[1] == "bad"][:60]
    moved = {}
    for n in (4, 5, 8, 12, 19, 20, 30, 45, 60):
        weights, certificate, _, _ = run([*bad, *good[:n]], FAKE, mixing_weight=100.0)
        w = np.array([row["weight_in_label"] for row in weights.values() if row["label"] == "good"])
        moved[n] = 0.5 * np.abs(w - 1 / len(w)).sum()  # total variation
        assert certificate["good"]["rule"] == ("uniform" if n < 5 else "ess_rule")
        assert certificate["bad"]["rule"] == ("ess_rule" if n >= 5 else "mmd_rule")
    assert moved[4] < 1e-12 < moved[5]
    steps = np.diff([moved[n] for n in sorted(moved)][1:])
    assert np.abs(steps).max() < 0.15
    assert moved[60] > 0.2


def test_ten_real_rows_in_all_are_aligned_and_the_synthetic_ones_count_as_they_help():
    few = [row for name in NAMES for row in [row for row in REAL if row[1] == name][:5]]
    weights, certificate, trace, _ = run(few, FAKE)
    assert certificate["good"]["rule"] == "ess_rule"
    assert certificate["good"]["lambda"] >= 0.2  # not closer than the noise of five rows
    wrong = {row[0] for row in FAKE if row[4]}
    assert sum(row["weight"] for key, row in weights.items() if key in wrong) < 0.3 < len(wrong) / len(FAKE)
    beside = [row["mixing_weight"] for row in trace if row["kind"] == "mixing_weight"]
    assert beside == pytest.approx([0.0, 10.0, 40.0, 400 / 3, 400.0])  # as many as the real rows is tried too


def test_rows_of_another_world_get_the_sample_weight_zero():
    turned = [(row[0], NAMES[row[1] == "bad"], *row[2:]) for row in rows_of("fake", 400)]
    _, certificate, _, _ = run(REAL[:200], turned, label_confidence=0.0, density_ratio=0.0, embedding_ratio=0.0)
    assert certificate[None]["mixing_weight"] == 0.0
    assert "add nothing, so their sample weight is 0" in certificate[None]["verdict"]


def test_exponents_and_floor_as_given():
    _, given, _, _ = run(REAL[:200], FAKE, label_confidence=0.5, density_ratio=0.0, embedding_ratio=0.25, ess_floor=0.4)
    exponents = [given[None][f"{name}_exponent"] for name in ("label_confidence", "density_ratio", "embedding_ratio")]
    assert exponents == pytest.approx([0.5, 0.0, 0.25])
    assert sum(given[label]["ess"] for label in NAMES) / len(FAKE) >= 0.4 * 0.999


def spoken(rows, share):
    """The rows with words that real rows have, or have not; share: of rows that sound real."""
    rewritten = []
    for i, row in enumerate(rows):
        words = "plain warm slow" if i % 10 < 10 * share else "delve tapestry testament"
        rewritten.append((row[0], row[1], f"{words} {row[2].split()[-1]}", *row[3:]))
    return rewritten


def test_few_real_rows_prefer_rows_with_the_words_of_real_ones(spark):
    real, fake = spoken(REAL[:200], 0.9), spoken(FAKE, 0.3)
    weights, certificate, _, lines = run(real, fake, cap_outliers=False)
    assert certificate[None]["density_ratio_exponent"] > 0.3
    assert any("the density ratio of words to the power of " in line for line in lines)
    sounds_real = np.array([row[2].startswith("plain") for row in fake])
    w, ratio = (np.array([weights[row[0]][name] for row in fake]) for name in ("weight", "log_density_ratio"))
    assert ratio[sounds_real].min() > 0 > ratio[~sounds_real].max()
    assert w[sounds_real].sum() > 0.5
    again, _, _, _ = run_on_spark(spark, real[::-1], fake[::-1], partitions=7, cap_outliers=False)
    assert all(again[key]["weight"] == pytest.approx(row["weight"], rel=1e-9) for key, row in weights.items())
    without, certificate, _, _ = run(real, fake, density_ratio=0.0, cap_outliers=False)
    assert certificate[None]["density_ratio_exponent"] == 0.0
    assert {row["log_density_ratio"] for row in without.values()} == {None}
    assert sum(without[row[0]]["weight"] for row in fake if row[2].startswith("plain")) < w[sounds_real].sum() - 0.1


@pytest.mark.parametrize("labelled", [True, False])
def test_a_density_ratio_as_given_holds_for_every_rule(labelled):
    real, fake = spoken(REAL, 0.9), spoken(FAKE, 0.3)
    if not labelled:
        real, fake = ([(r[0], None, *r[2:]) for r in rows] for rows in (real, fake))
    weights, certificate, _, lines = run(real, fake, density_ratio=0.5)
    assert certificate[None]["rule"] == ("ess_rule" if labelled else "mmd_rule")
    assert certificate[None]["density_ratio_exponent"] == (pytest.approx(0.5, rel=0.5) if labelled else 0.5)
    assert any("the density ratio of words to the power of 0." in line for line in lines)
    assert sum(weights[row[0]]["weight"] for row in fake if row[2].startswith("plain")) > 0.34, "0.3 of the rows"


@pytest.mark.parametrize("rule", ["auto", 0.1])
def test_a_mixing_weight_as_given_is_kept(rule):
    _, certificate, trace, _ = run(REAL, FAKE, mixing_weight=70.0, regularization=rule)
    assert certificate[None]["mixing_weight"] == 70.0
    assert {row["kind"] for row in trace} == {"path"}


def test_no_labels_go_by_mmd():
    real, fake = ([(r[0], None, *r[2:]) for r in rows] for rows in (REAL, FAKE))
    weights, certificate, trace, _ = run(real, fake)
    assert certificate[None]["rule"] == "mmd_rule"
    assert weights[FAKE[0][0]]["label_confidence"] is None
    assert certificate[None]["mixing_weight"] == 400.0  # the usual one: no cross-validation without labels
    assert {row["kind"] for row in trace} == {"path"}


@pytest.mark.parametrize(
    ("settings", "classes", "rule"),
    [
        ({}, True, "ess_rule"),
        ({}, False, "mmd_rule"),
        ({"regularization": "mmd_rule"}, True, "mmd_rule"),
        ({"regularization": 0.1, "label_confidence": 2.0}, True, "fixed"),
        ({"regularization": "plain"}, True, "plain"),
        ({"label_confidence": 0.0}, True, "ess_rule"),
    ],
)
def test_the_rule_goes_by_labels_and_wishes(settings, classes, rule):
    assert rule_of(AlignConfig(**settings), classes) == rule


def test_a_label_with_a_handful_of_real_rows_keeps_its_weights_and_breaks_no_other():
    rare = [(r[0][::-1], "rare", r[2] + " rare", r[3], False) for r in rows_of("rare", 4, seed=5)]
    fake = [*FAKE, *[(r[0][::-1], "rare", r[2] + " made", r[3], False) for r in rows_of("made", 30, seed=6)]]
    weights, certificate, _, _ = run([*REAL, *rare], fake)
    assert certificate["bad"]["rule"] == "ess_rule"
    assert certificate["rare"]["rule"] == "uniform"
    assert certificate["rare"]["ess"] == pytest.approx(30, rel=1e-6)  # an unseen label agrees with itself
    assert sum(row["weight"] for row in weights.values()) == pytest.approx(1.0)


def test_a_label_without_synthetic_rows_has_part_in_the_classifiers_and_the_choice():
    other = [(r[0][::-1], "other", r[2] + " other", -r[3], False) for r in rows_of("real", 150, seed=9)]
    weights, certificate, trace, _ = run([*REAL[:300], *other], FAKE)
    assert len(weights) == len(FAKE)
    assert "no synthetic rows for label other" in certificate[None]["verdict"]
    assert min(row["accuracy"] for row in trace if row["kind"] == "mixing_weight") > 0.9  # its rows are known by their own, not lost


def test_one_large_label_and_a_handful_of_another_go_by_mmd():
    real = [row for row in REAL if row[1] == "bad"] + [row for row in REAL if row[1] == "good"][:4]
    _, certificate, _, _ = run(real, FAKE)
    assert certificate["bad"]["rule"] == "mmd_rule"
    assert certificate["good"]["rule"] == "uniform"
    assert certificate[None]["mixing_weight"] == len(real) < len(FAKE)  # no more than there are real rows: nothing can be judged
    assert certificate[None]["verdict"].startswith("whether these rows help is not known: ")


def test_target_shares_of_the_labels():
    weights, certificate, _, _ = run(REAL, FAKE, regularization=0.1, label_shares={"bad": 3, "good": 1})
    assert sum(row["weight"] for row in weights.values() if row["label"] == "bad") == pytest.approx(0.75)
    assert certificate["good"]["mmd2_after"] < certificate["good"]["mmd2_before"]
    only, _, _, _ = run(REAL, FAKE, regularization=0.1, label_shares={"bad": 1})
    assert sum(row["weight"] for row in only.values() if row["label"] == "good") == 0.0
    with pytest.raises(
        ConfigError, match=r"align.label_shares cannot be met for label ugly .1: no real and no synthetic rows.*both sides: bad, good"
    ):
        run(REAL, FAKE, regularization=0.1, label_shares={"ugly": 1})


def test_a_cap_on_the_largest_weight():
    free = run(REAL, FAKE, regularization=1e-4)[1]["bad"]
    _, certificate, _, _ = run(REAL, FAKE, regularization=1e-4, max_weight=3.0)
    bound = certificate["bad"]
    assert free["max_weight"] * free["n_synthetic"] > 3.0
    assert bound["max_weight"] * bound["n_synthetic"] <= 3.0 * 1.001
    assert "lambda was raised" in bound["verdict"]


@pytest.mark.parametrize("held", [0, 1, 2, 3])
@pytest.mark.parametrize("regularization", ["auto", "mmd_rule"])
def test_how_many_rows_chance_holds_out_decides_no_rule(regularization, held):
    """40 real rows a label, of which the hashes hold out few: they stay held out, and the others align."""
    in_label = {name: [row for row in REAL if row[1] == name] for name in NAMES}
    real = []
    for rows in in_label.values():
        out = held_out(0, [row[0] for row in rows], 0.2)
        real += [row for row, one in zip(rows, out, strict=True) if one][:held] + [
            row for row, one in zip(rows, out, strict=True) if not one
        ][: 40 - held]
    _, certificate, _, _ = run(real, FAKE, regularization=regularization)
    for name in NAMES:
        row = certificate[name]
        assert row["rule"] == {"auto": "ess_rule"}.get(regularization, regularization)
        assert (row["n_real_fit"], row["n_real_holdout"]) == (40 - held, held)
        assert "too few real rows" not in row["verdict"]
        assert row["p_value_after"] is None


@pytest.mark.parametrize(("regularization", "rule"), [("auto", "ess_rule"), ("mmd_rule", "uniform"), (0.1, "fixed")])
def test_a_tiny_share_for_validation_takes_no_row_from_the_holdout(regularization, rule):
    _, certificate, _, _ = run(REAL[:200], FAKE, regularization=regularization, validation=0.001)
    for name in NAMES:
        row = certificate[name]
        assert row["rule"] == rule
        assert row["n_real_holdout"] > 5
        assert row["mmd2_after"] is not None
        assert ("in a half of them (align.validation)" in row["verdict"]) == (rule == "uniform")


@pytest.mark.parametrize("regularization", ["auto", "mmd_rule", "plain"])
def test_a_cap_that_allows_no_lambda_is_what_the_verdict_names(regularization):
    _, certificate, _, _ = run(REAL, FAKE, regularization=regularization, max_weight=1.0001)
    for label in NAMES:
        row = certificate[label]
        assert row["max_weight"] * row["n_synthetic"] <= 1.0002
        assert "align.max_weight allows no lambda" in row["verdict"]
        assert "effective sample size: " not in row["verdict"]


def test_a_cap_on_a_given_lambda_stops_the_path_where_it_is_broken():
    """Not by doubling the wanted lambda: each of those solves is slow."""
    _, certificate, trace, _ = run(REAL, FAKE, regularization="plain", max_weight=1.5)
    for label in NAMES:
        row, path = certificate[label], [one["lambda"] for one in trace if one["label"] == label]
        assert row["max_weight"] * row["n_synthetic"] <= 1.5 * 1.001
        assert min(path) == pytest.approx(row["lambda"] / 2), "the first that breaks it is half of the one that is taken"
        assert row["passes"] < 20
        assert "lambda was raised" in row["verdict"]


def test_synthetic_rows_that_are_switched_off_are_said_not_to_be_used():
    _, certificate, _, _ = run(REAL, FAKE, mixing_weight=0)
    assert certificate[None]["verdict"].startswith("the synthetic rows are not used, as configured")


def test_an_unreachable_floor_keeps_the_base_weights():
    _, certificate, _, _ = run(REAL, FAKE, regularization="mmd_rule", ess_floor=0.9999)
    assert certificate["bad"]["ess"] >= 0.9999 * certificate["bad"]["n_synthetic"] * 0.999


def test_weights_of_the_real_rows_move_what_is_matched(spark):
    """Real rows of one topic alone: by weights, and by leaving the others out. The synthetic rows have the vectors of real ones here."""
    prior = [1.0 if "topic0" in row[2] else 0.0 for row in REAL]
    by_weight = run(REAL, FAKE, real_prior=prior, regularization=0.01, cap_outliers=False)
    left_out = run([row for row, p in zip(REAL, prior, strict=True) if p], FAKE, regularization=0.01, bandwidth=1.0)
    again = run_on_spark(spark, REAL, FAKE, real_prior=prior, regularization=0.01, bandwidth=1.0)
    for key, row in left_out[0].items():
        assert again[0][key]["weight_in_label"] == pytest.approx(row["weight_in_label"], rel=1e-6)
    topic = {row[0]: "topic0" in row[2] for row in FAKE}
    assert sum(row["weight"] for key, row in by_weight[0].items() if topic[key]) > 0.8


def test_weights_of_the_real_rows_shape_the_shares_of_the_labels():
    prior = [3.0 if row[1] == "bad" else 1.0 for row in REAL]
    weights, _, _, _ = run(REAL, FAKE, real_prior=prior, regularization=0.1)
    bad, good = (sum(row[1] == name for row in REAL) for name in ("bad", "good"))
    assert sum(row["weight"] for row in weights.values() if row["label"] == "bad") == pytest.approx(3 * bad / (3 * bad + good))


def test_label_confidence_without_labels_is_refused():
    real, fake = ([(r[0], None, *r[2:]) for r in rows] for rows in (REAL, FAKE))
    with pytest.raises(ConfigError, match="align.label_confidence is 2, but it needs two labels"):
        run(real, fake, label_confidence=2.0)


def test_weights_of_real_rows_that_cannot_be_used(spark):
    with pytest.raises(DataError, match="prior_weight of 1 of 700 real rows"):
        run_on_spark(spark, REAL, FAKE, real_prior=[-1.0] + [1.0] * 699)
    dead = [0.0 if row[1] == "bad" else 1.0 for row in REAL]
    with pytest.raises(DataError, match="all weights of the real rows are 0, or below a billionth of the largest, for label bad"):
        run(REAL, FAKE, real_prior=dead)


@pytest.mark.parametrize(
    ("mixing_weight", "words"),
    [
        (0.0, "trained on real rows too the synthetic rows add nothing, so their sample weight is 0"),
        (500.0, "the synthetic rows count as 500 real ones, by nested cross-validation on 1,000 real rows, 80.0% by real rows alone"),
        (500.0, "beside 800 of these they gain 2.0 points (+- 0.7), from which the gain beside all 2,000 is reckoned"),
    ],
)
def test_the_verdict_tells_what_the_rows_add_to_real_ones(mixing_weight, words):
    tried = (Mixing(0.0, (0.8, 0.8), 0.5), Mixing(500.0, (0.9, 0.9), 0.5))
    assert words in mixing_in_words(MixingChoice(tried, mixing_weight, 1_000, gain_beside(2_000, 0.02, 0.007, 800, mixing_weight, 0.8)))
