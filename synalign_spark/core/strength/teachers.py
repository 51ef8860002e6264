"""What real rows decide where they are too few to validate weights by.

They can still be asked how much they know: a classifier of theirs is to overrule the labels of synthetic rows. Where downstream classifiers taught by
the synthetic rows as they came label the real rows clearly better than that classifier does rows it has not seen, it has little to
overrule with, and the rows that it would cost are worth more than what it knows: the weights then stay nearer to even.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import StratifiedKFold

from synalign_spark.core.strength.classifiers import Views, classifier_answers, fit_label_classifier

CLEARLY = 2.0  # standard errors; from there on, over twelve tasks, the milder rule cost nothing in the mean and harmed fewer downstream classifiers
FOLDS = 5


@dataclass(frozen=True)
class Rule:
    """confidence: a, exponent of p(label | row); floor: on the effective sample size, as a share of the rows; density_ratio: b."""

    confidence: float
    floor: float
    density_ratio: float = 1.0


# Chosen on unseen real training rows: the first of seven tasks with 300 real rows, the second of twelve with 100 to 1,000.
STANDARD, MILD = Rule(1.5, 0.4), Rule(0.75, 0.6)


@dataclass(frozen=True)
class TeacherComparison:
    """Of synthetic rows over real ones as teachers, validated on the real ones. taught: accuracy of the downstream classifier that leads by the most
    standard errors; own: of the classifier of the real rows, cross-fitted; stderr: of the difference, paired."""

    taught: float
    own: float
    stderr: float

    @property
    def errors(self) -> float:
        """The comparison in standard errors."""
        return (self.taught - self.own) / max(self.stderr, 1e-12)

    @property
    def synthetic_teaches_better(self) -> bool:
        """Whether synthetic rows clearly know more."""
        return self.errors > CLEARLY

    @property
    def rule(self) -> Rule:
        """How strongly to align."""
        return MILD if self.synthetic_teaches_better else STANDARD


def compare_teachers(real: Views, synthetic: Views) -> TeacherComparison:
    """How much better synthetic rows teach the labels of the real rows than these teach each other.

    real: of every label FOLDS rows at least; synthetic: with the weights that they came with."""
    weight = real.weight / real.weight.sum()
    own = np.zeros(len(weight), dtype=bool)
    for seen, unseen in _folds(real):
        own[unseen] = fit_label_classifier(real.x[seen], real.labels[seen], real.weight[seen]).names(real.x[unseen]) == real.labels[unseen]

    def comparison(hits: npt.NDArray[np.bool_]) -> TeacherComparison:
        ahead = hits.astype(np.float64) - own
        stderr = np.sqrt(np.sum((weight * (ahead - weight @ ahead)) ** 2))
        taught, known = (float(np.average(right, weights=real.weight)) for right in (hits, own))  # exact where all rows weigh the same
        return TeacherComparison(taught, known, float(stderr))

    return max(
        (comparison(answers.hits) for answers in classifier_answers(synthetic, synthetic.weight, real)), key=lambda found: found.errors
    )


def _folds(real: Views) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    yield from StratifiedKFold(FOLDS).split(real.x, real.labels.astype(str))
