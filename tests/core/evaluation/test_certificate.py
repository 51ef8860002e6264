"""The verdict: first what to do and why, then the figures; and nothing that the figures do not say."""

from dataclasses import replace

import pytest

from synalign_spark.core.evaluation.certificate import CAP, FLOOR, Checked, Findings, Usefulness, verdict
from synalign_spark.core.evaluation.mmd import ClosedShare, Comparison, Estimate
from synalign_spark.core.evaluation.permutation import Test as PermutationTest
from synalign_spark.core.strength.gain import Gain

CLOSER = Comparison(Estimate(0.04, 0.002), Estimate(0.01, 0.002), Estimate(0.001, 0.002), ClosedShare(0.75, 0.65, 0.85), 900, 500)
FARTHER = replace(CLOSER, after=Estimate(0.06, 0.002), closed=ClosedShare(-0.5, -0.6, -0.4))
NOTHING = replace(CLOSER, before=Estimate(0.001, 0.002), closed=None)
NO_MATTER = replace(CLOSER, after=Estimate(0.039, 0.004), closed=ClosedShare(0.02, -0.1, 0.14))
TEST = PermutationTest(0.4, 0.02, 0.004, 120, 500, 200)
GAIN = Usefulness(300.0, Gain(0.06, 0.015, 800, 0.7, 0.02, 0.005, 2_000))
INF = float("inf")
UNKNOWN = Usefulness(mixing_weight=300.0)


def gain(value, mixing_weight=300.0):
    return Usefulness(mixing_weight, replace(GAIN.gain, value=value))


def found(comparison=CLOSER, test=TEST, checked=None, **changes):
    checks = checked or Checked(comparison, test, test)
    usual = {"rule": "mmd_rule", "lam": 0.01, "checked": checks, "ess_share": 0.3, "converged": True, "usefulness": UNKNOWN}
    return Findings(**(usual | {"adjusted": test.p_value if test else None} | changes))


@pytest.mark.parametrize(
    ("findings", "first", "words"),
    [
        (found(usefulness=GAIN), "use these rows with sample_weight: ", "beside the 2,000 real rows models gain 2.0 points of accuracy (+- 0.5)"),
        (found(usefulness=gain(-0.004)), "no gain was seen: ", "models lose 0.4 points of accuracy (+- 0.5)"),
        (found(usefulness=gain(0.004)), "use these rows with sample_weight if at all, for chance gives as much", "0.4 points"),
        (found(usefulness=gain(-0.03)), "do not use these rows: ", "lose 3.0 points"),
        (found(usefulness=gain(0.0, mixing_weight=0.0)), "do not use these rows: ", "no better than on the real rows alone"),
        (found(), "whether these rows help is not known: no model was trained on them; the weights bring them nearer to the real rows", "75% of"),
        (found(FARTHER), "do not use these rows before a test set of your own", "the distance grew by 50% (95% 40% to 60%)"),
        (found(NOTHING), "whether these rows help is not known: ", "there was nothing to close"),
        (found(NOTHING), "whether these rows help is not known: ", "before weighting already their distance to real rows is too small"),
        (found(checked=Checked(NOTHING, replace(TEST, p_value=0.01), TEST), adjusted_before=0.01), "whether these rows help", "already they differ from real rows, but by too little"),
        (found(NO_MATTER), "whether these rows help is not known: ", "the weights make no difference to their distance that can be measured"),
        (found(lam=INF, unweighted=True), "whether these rows help is not known: ", "they keep the weights that they came with"),
        (found(None, None), "nothing is known of these rows: ", "their distance is unknown, with fewer than 5 held-out real rows"),
        (found(usefulness=Usefulness(0.0)), "the synthetic rows are not used, as configured: ", "align.mixing_weight is 0"),
        (found(checked=Checked(degenerate="the vectors of its rows are nearly all the same")), "do not use these rows yet: ", "check the embedding model"),
        (found(usefulness=None), "the weights bring them nearer", "MMD^2 to held-out real rows 0.0400 (95% 0.0361 to 0.0439) before and 0.0100"),
    ],
)  # fmt: skip
def test_the_verdict_begins_with_what_to_do_and_says_why(findings, first, words):
    assert verdict(findings).startswith(first)
    assert words in verdict(findings)


@pytest.mark.parametrize("useful", [gain(-0.03), gain(0.0, mixing_weight=0.0)])
def test_a_match_that_made_models_worse_is_not_praised(useful):
    words = verdict(found(usefulness=useful))
    assert words.startswith("do not use")
    assert "nearer" not in words


@pytest.mark.parametrize(
    ("findings", "words"),
    [
        (found(), "75% of the distance is closed (95% 65% to 85%)"),
        (found(replace(CLOSER, closed=ClosedShare(0.05, -0.004, 0.09))), "5% of the distance is closed (95% 0% to 9%)"),
        (found(replace(CLOSER, closed=ClosedShare(-0.05, -0.1, 0.002))), "the distance grew by 5% (95% 0% to 10%)"),
        (found(), "between halves of the real rows 0.0010 +- 0.0020"),
        (found(), "the weighted rows cannot be told from real ones by a test at the 5% level on 120 of them and 500 real rows (p = 0.400; it finds a "
                  "difference of 0.0040, 10% of the distance before weighting, in 80 of 100 cases)"),
        (found(adjusted=0.01), "the weighted rows can still be told from real ones"),
        (found(test=replace(TEST, p_value=0.02), adjusted=0.08, tests=4), "cannot be told from real ones"),
        (found(test=replace(TEST, p_value=0.02), adjusted=0.08, tests=4), "(p = 0.020, 0.080 by Holm over 4 labels; "),
        (found(test=None), "no test: fewer than 5 rows can be drawn without one coming twice"),
        (found(lam=INF, unweighted=True), "uniform could not be beaten on validation rows: base weights kept"),
        (found(lam=INF, confidence_exponent=1.0), "weights by label confidence alone: matching the distribution as well did not pay"),
        (found(rule="uniform", lam=INF, unweighted=True), "too few real rows to align by, of the label or in a half of them (align.validation): base weights kept"),
        (found(rule="uniform", lam=INF, density_ratio_exponent=1.0), "(align.validation): weights by the density ratio of words alone"),
        (found(rule="fixed", lam=INF, unweighted=True), "base weights kept, as configured"),
        (found(rule="fixed", lam=INF, method="imp", confidence_exponent=1.0), "weights by the method imp alone, as configured"),
        (found(rule="fixed", lam=INF, embedding_ratio_exponent=1.0), "weights by the density ratio of embeddings alone, as configured"),
        (found(rule="fixed", lam=INF, embedding_ratio_exponent=1.0), "the weighted rows cannot be told from real ones"),
        (found(rule="ess_rule", lam=INF, confidence_exponent=3.0), "no lambda keeps the effective sample size: weights by label confidence alone"),
        (found(rule="ess_rule", lam=INF, held_by=CAP, confidence_exponent=3.0), "align.max_weight allows no lambda: weights by label confidence alone"),
        (found(lam=INF, unweighted=True, held_by=FLOOR), "no lambda keeps the effective sample size: base weights kept"),
        (found(converged=False), "the duality gap was not reached"),
        (found(raised=True), "lambda was raised"),
        (found(checked=Checked(CLOSER, TEST, TEST, left_out=("rare",))), "label rare not compared"),
    ],
)  # fmt: skip
def test_the_verdict_says_what_was_found(findings, words):
    assert words in verdict(findings)


@pytest.mark.parametrize("tests", [(0.01, 0.4), (0.4, 0.01)])
def test_rows_that_a_test_tells_apart_had_something_to_close(tests):
    before, after = (replace(TEST, p_value=p) for p in tests)
    words = verdict(found(checked=Checked(NOTHING, before, after), adjusted=after.p_value, adjusted_before=before.p_value))
    assert "nothing to close" not in words
    assert "they differ from real rows, but by too little" in words
    assert "how much of it is closed cannot be measured" in words


def test_of_many_labels_one_small_p_value_says_nothing_of_its_distance():
    """0.02 of one label in twenty is chance: by Holm it is 0.4."""
    words = verdict(found(checked=Checked(NOTHING, replace(TEST, p_value=0.02), TEST), adjusted_before=0.4, tests=20))
    assert "they differ from real rows" not in words


def test_vectors_that_are_all_the_same_get_no_figure():
    words = verdict(found(checked=Checked(degenerate="the vectors of its rows are nearly all the same")))
    assert "MMD" not in words
    assert "p =" not in words
    assert "told" not in words
