"""What chose the strength of an alignment, in words: for the certificate's verdict on all rows together."""

from collections.abc import Sequence

from synalign_spark.alignment.strength import Strength
from synalign_spark.core.evaluation.certificate import Usefulness
from synalign_spark.core.strength.cross_validation import MixingChoice


def usefulness(strength: Strength) -> Usefulness:
    """What the choice of the mixing weight knows of models trained beside real rows: a nested estimate; without one the mixing weight alone."""
    if strength.choice is None:
        return Usefulness(mixing_weight=strength.mixing_weight)
    return Usefulness(strength.choice.gain, strength.choice.gain_error, strength.mixing_weight, chosen_on_these_rows=False)


def strength_in_words(strength: Strength) -> list[str]:
    """What the classifiers found, as far as there were any."""
    return [mixing_in_words(strength.choice)] if strength.choice else []


def mixing_in_words(choice: MixingChoice) -> str:
    """What the rows add to real ones: a nested estimate, for the mixing weight was chosen on the same rows."""
    if not choice.mixing_weight:
        return "trained on real rows too: the synthetic rows add nothing to the real ones, their sample weight is 0"
    alone = choice.tried[0].overall
    return (
        f"trained on real rows too: {choice.gain:+.1%} (standard error {choice.gain_error:.1%}) on the {alone:.1%} of real rows alone where the "
        f"synthetic ones count as {choice.mixing_weight:,.0f} of them, by nested cross-validation on {choice.validation_rows:,} real rows"
    )


def unmatched_in_words(labels: Sequence[str]) -> list[str]:
    """labels: of real rows for which there is no synthetic row."""
    return [f"no synthetic rows for label {', '.join(labels[:10])}: the weights cover the other labels only"] if labels else []
