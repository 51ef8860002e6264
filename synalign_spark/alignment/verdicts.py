"""What chose the strength of an alignment, in words: for the certificate's verdict on all rows together."""

from collections.abc import Sequence

from synalign_spark.alignment.strength import Strength
from synalign_spark.core.evaluation.certificate import Usefulness
from synalign_spark.core.strength.candidates import Choice
from synalign_spark.core.strength.teachers import TeacherComparison


def usefulness(strength: Strength) -> Usefulness:
    """What the choice of the strength knows of models trained beside real rows; without one the mixing weight alone."""
    if strength.choice is None:
        return Usefulness(mixing_weight=strength.mixing_weight)
    alone, taken = strength.choice.mixing[0], next(one for one in strength.choice.mixing if one.mixing_weight == strength.mixing_weight)
    rows = max(strength.choice.validation_rows, 1)
    error = sum(one.overall * (1.0 - one.overall) / rows for one in (alone, taken)) ** 0.5  # of two accuracies that share no error: at most
    return Usefulness(taken.overall - alone.overall, error, strength.mixing_weight, chosen_on_these_rows=True)


def strength_in_words(strength: Strength) -> list[str]:
    """What the classifiers found, as far as there were any."""
    words = []
    if strength.teachers and strength.teachers.synthetic_teaches_better:
        words.append(teachers_in_words(strength.teachers))
    if strength.choice:
        words += [choice_in_words(strength.choice), mixing_in_words(strength.choice, strength.mixing_weight)]
    return words


def choice_in_words(choice: Choice) -> str:
    """What cross-validation found: accuracies of downstream classifiers trained on drawn rows."""
    best, before = choice.best, choice.uniform
    exponents = (("label confidence", before.confidence), ("the density ratio of words", before.density_ratio))
    given = [name for name, exponent in exponents if exponent]
    against = f"with {' and '.join(given)} alone" if given else "without weights"
    end = ": that could not be beaten" if best == before else f" ({best.accuracy - before.accuracy:+.1%})"
    return f"classifiers trained on the rows: accuracy {best.accuracy:.1%} on real rows, {before.accuracy:.1%} {against}{end}"


def teachers_in_words(teachers: TeacherComparison) -> str:
    """Why few real rows shape the weights less than they might."""
    return (
        f"aligned mildly: classifiers trained on the synthetic rows as they came are right on {teachers.synthetic:.1%} of the real rows, "
        f"one trained on real rows only on {teachers.real:.1%}"
    )


def mixing_in_words(choice: Choice, mixing_weight: float | None) -> str:
    """What the rows add to real ones."""
    alone, taken = choice.mixing[0], next(one for one in choice.mixing if one.mixing_weight == mixing_weight)
    if not taken.mixing_weight:
        return f"trained on real rows too: {alone.overall:.1%}, to which the synthetic rows add nothing: their sample weight is 0"
    gain = f"{taken.overall - alone.overall:+.1%} on real rows alone"
    return f"trained on real rows too: {taken.overall:.1%} ({gain}) where the synthetic ones count as {taken.mixing_weight:,.0f} of them"


def unmatched_in_words(labels: Sequence[str]) -> list[str]:
    """labels: of real rows for which there is no synthetic row."""
    return [f"no synthetic rows for label {', '.join(labels[:10])}: the weights cover the other labels only"] if labels else []
