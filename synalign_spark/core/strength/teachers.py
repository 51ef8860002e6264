"""What real rows decide where they are too few to judge weights by.

They can still be asked how much they know: a probe of theirs is to overrule the labels of synthetic rows. Where students taught by
the synthetic rows as they came label the real rows clearly better than that probe does rows it has not seen, it has little to
overrule with, and the rows that it would cost are worth more than what it knows: the weights then stay nearer to even.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import StratifiedKFold

from synalign_spark.core.strength.classifiers import Views, fit_label_probe, student_answers

CLEARLY = 2.0  # standard errors; from there on, over twelve tasks, the milder rule cost nothing in the mean and harmed fewer students
FOLDS = 5


@dataclass(frozen=True)
class Rule:
    """agreement: a, exponent of p(label | row); floor: on the effective sample size, as a share of the rows; likeness: b."""

    agreement: float
    floor: float
    likeness: float = 1.0


# Chosen on unseen real training rows: the first of seven tasks with 300 real rows, the second of twelve with 100 to 1,000.
TRUSTED, OUTDONE = Rule(1.5, 0.4), Rule(0.75, 0.6)


@dataclass(frozen=True)
class Lead:
    """Of synthetic rows over real ones as teachers, judged on the real ones. taught: accuracy of the student that leads by the most
    standard errors; own: of the probe of the real rows, cross-fitted; stderr: of the difference, paired."""

    taught: float
    own: float
    stderr: float

    @property
    def errors(self) -> float:
        """The lead in standard errors."""
        return (self.taught - self.own) / max(self.stderr, 1e-12)

    @property
    def outdone(self) -> bool:
        """Whether synthetic rows clearly know more."""
        return self.errors > CLEARLY

    @property
    def rule(self) -> Rule:
        """How strongly to align."""
        return OUTDONE if self.outdone else TRUSTED


def lead_of_synthetic(real: Views, synthetic: Views) -> Lead:
    """How much better synthetic rows teach the labels of the real rows than these teach each other.

    real: of every label FOLDS rows at least; synthetic: with the weights that they came with."""
    mass = real.weight / real.weight.sum()
    own = np.zeros(len(mass), dtype=bool)
    for seen, unseen in _folds(real):
        own[unseen] = fit_label_probe(real.x[seen], real.labels[seen], real.weight[seen]).names(real.x[unseen]) == real.labels[unseen]

    def lead(hits: npt.NDArray[np.bool_]) -> Lead:
        ahead = hits.astype(np.float64) - own
        stderr = np.sqrt(np.sum((mass * (ahead - mass @ ahead)) ** 2))
        taught, known = (float(np.average(right, weights=real.weight)) for right in (hits, own))  # exact where all rows weigh the same
        return Lead(taught, known, float(stderr))

    return max((lead(answers.hits) for answers in student_answers(synthetic, synthetic.weight, real)), key=lambda found: found.errors)


def _folds(real: Views) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    yield from StratifiedKFold(FOLDS).split(real.x, real.labels.astype(str))
