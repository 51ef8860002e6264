"""The gain is claimed for the weights that are handed out, and for no others."""

import numpy as np
import pytest

from synalign_spark.alignment import strength
from synalign_spark.alignment.refit import Refit
from tests.alignment.test_strength import FAKE, NAMES, REAL, run

SOME = REAL[:200]
UNKNOWN = "whether these rows help is not known: "


@pytest.mark.parametrize("options", [{}, {"regularization": 0.01}, {"method": "mmd", "regularization": 0.003}, {"max_weight": 1.5}])
def test_models_are_trained_with_the_weights_that_are_handed_out(monkeypatch, options):
    """Fitted again on all rows that the run may look at, the weights are those of the run; without some of them they are others."""
    seen = {}

    def choose(real, synthetic, weigh, *rest):
        few = real.take(np.arange(len(real.group)) % 2 == 0)
        seen.update(group=synthetic.group, again=weigh(real), fold=weigh(few))
        return chosen(real, synthetic, weigh, *rest)

    chosen = strength.choose_mixing_weight
    monkeypatch.setattr(strength, "choose_mixing_weight", choose)
    weights, certificate, _, _ = run(SOME, FAKE, **options)
    assert certificate[None]["gain"] is not None
    for name in NAMES:
        final = np.array([weights[key]["weight_in_label"] for key in sorted(weights) if weights[key]["label"] == name])
        again, fold = (seen[key][seen["group"] == f"={name}"] for key in ("again", "fold"))
        assert 0.5 * np.abs(again - final).sum() < 0.005
        assert 0.5 * np.abs(fold - final).sum() > 0.003


def test_no_gain_is_claimed_for_weights_that_a_second_fit_does_not_give(monkeypatch):
    """As where a solve did not end: here its thetas are made larger."""
    difference = Refit.difference
    monkeypatch.setattr(
        Refit,
        "difference",
        lambda self, real, base, thetas: difference(self, real, base, {name: 20 * theta for name, theta in thetas.items()}),
    )
    _, certificate, trace, lines = run(SOME, FAKE, regularization=0.01)
    whole = certificate[None]
    assert whole["verdict"].startswith(UNKNOWN + "no model was trained with these weights")
    assert "the synthetic rows count as 200 real ones, a number that no model has judged" in whole["verdict"]
    assert (whole["gain"], whole["mixing_weight"]) == (None, 200.0)
    assert any("mixing weight: not judged" in line for line in lines)
    assert {row["kind"] for row in trace} == {"path"}


def test_no_gain_is_claimed_for_other_label_shares_than_those_of_the_real_rows():
    _, certificate, _, _ = run(SOME, FAKE, label_shares={"bad": 1})
    whole = certificate[None]
    assert whole["verdict"].startswith(UNKNOWN + "no model was trained for the label shares")
    assert (whole["gain"], whole["mixing_weight"]) == (None, 200.0)
    bad = sum(row[1] == "bad" for row in SOME)
    _, certificate, _, _ = run(SOME, FAKE, label_shares={"bad": bad + 4, "good": 200 - bad - 4})
    assert certificate[None]["gain"] is not None


@pytest.mark.parametrize("n", [1, 4])
def test_nothing_is_known_where_real_rows_are_too_few_to_judge(n):
    few = [row for name in NAMES for row in [row for row in REAL if row[1] == name][:n]]
    _, certificate, _, _ = run(few, FAKE)
    whole = certificate[None]
    assert whole["verdict"].startswith("nothing is known of these rows: no model was trained on them")
    assert whole["mixing_weight"] == len(few)
