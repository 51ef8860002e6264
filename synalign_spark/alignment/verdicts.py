"""What chose the strength of an alignment, in words: for the certificate's verdict on all rows together."""

from collections.abc import Sequence

from synalign_spark.alignment.strength import Strength
from synalign_spark.core.evaluation.certificate import Usefulness
from synalign_spark.core.strength.cross_validation import MixingChoice
from synalign_spark.core.text import near_names, shown_name


def usefulness(strength: Strength) -> Usefulness:
    """What the choice of the strength knows of models trained beside real rows, by a nested estimate; without one the mixing weight alone."""
    if strength.choice:
        return Usefulness(strength.mixing_weight, strength.choice.gain)
    return Usefulness(strength.mixing_weight, unjudged=strength.unjudged or Usefulness.unjudged)


def strength_in_words(strength: Strength) -> list[str]:
    """What the classifiers found, as far as there were any."""
    if strength.choice:
        return [mixing_in_words(strength.choice)]
    if not strength.mixing_weight:
        return ["each sample_weight of the synthetic rows is 0"]
    return [f"the synthetic rows count as {strength.mixing_weight:,.0f} real ones, a number that no model has judged"]


def mixing_in_words(choice: MixingChoice) -> str:
    """What the rows add to real ones: a nested estimate, for the mixing weight was chosen on the same rows."""
    by = f"by nested cross-validation on {choice.validation_rows:,} real rows, {choice.gain.alone:.1%} by real rows alone"
    if not choice.mixing_weight:
        return f"trained on real rows too the synthetic rows add nothing, so their sample weight is 0, {by}"
    gain = choice.gain
    measured = f"beside {gain.measured_rows:,} of these they gain {round(100 * gain.measured, 1) + 0.0:.1f} points (+- {100 * gain.measured_error:.1f}), from which the gain beside all {gain.rows:,} is reckoned"
    return f"the synthetic rows count as {choice.mixing_weight:,.0f} real ones, {by}; {measured}"


def alike_in_words(labels: Sequence[str]) -> list[str]:
    """labels: of the real rows, each matched by itself; those that are one name but for blanks, capitals and punctuation.

    >>> alike_in_words(["a", "A ", "b"]), alike_in_words(["-1", "1"])
    (["labels 'A ', 'a' are matched as different ones: make them one if they are"], [])"""
    return [
        f"labels {', '.join(map(shown_name, alike[:10]))} are matched as different ones: make them one if they are"
        for alike in near_names(sorted(labels))
    ]


def unmatched_in_words(labels: Sequence[str]) -> list[str]:
    """labels: of real rows for which there is no synthetic row."""
    return [f"no synthetic rows for label {', '.join(labels[:10])}: the weights cover the other labels only"] if labels else []
