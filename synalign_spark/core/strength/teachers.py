"""Who teaches the labels of real rows better, these rows each other or the synthetic ones: what few real rows can still decide.

Where real rows are too few to validate weights by, a classifier of theirs is to overrule the labels of synthetic rows. Where classifiers
trained on the synthetic rows as they came label the real rows clearly better than that classifier does rows it has not seen, it has little
to overrule with, and the rows that it would cost are worth more than what it knows: the weights then stay nearer to even.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import StratifiedKFold

from synalign_spark.core.defaults import CLEARLY_BETTER_ERRORS, MILD_RULE, STANDARD_RULE, TEACHER_FOLDS, FewRowsRule
from synalign_spark.core.strength.classifiers import Views, classifier_answers, fit_label_classifier


@dataclass(frozen=True)
class TeacherComparison:
    """Accuracies on the real rows. synthetic: of the classifier trained on synthetic rows that is better by the most standard errors; real:
    of the cross-fitted classifier of the real rows; stderr: of the difference, paired over rows."""

    synthetic: float
    real: float
    stderr: float

    @property
    def errors(self) -> float:
        """How much better synthetic rows teach, in standard errors."""
        return (self.synthetic - self.real) / max(self.stderr, 1e-12)

    @property
    def synthetic_teaches_better(self) -> bool:
        """Whether synthetic rows clearly know more."""
        return self.errors > CLEARLY_BETTER_ERRORS

    @property
    def rule(self) -> FewRowsRule:
        """How strongly to align."""
        return MILD_RULE if self.synthetic_teaches_better else STANDARD_RULE


def compare_teachers(real: Views, synthetic: Views) -> TeacherComparison:
    """How much better synthetic rows teach the labels of the real rows than these teach each other.

    real: of every label five rows at least; synthetic: with the weights that they came with."""
    share = real.weight / real.weight.sum()
    by_real = np.zeros(len(share), dtype=bool)
    for seen, unseen in _folds(real):
        classifier = fit_label_classifier(real.x[seen], real.labels[seen], real.weight[seen])
        by_real[unseen] = classifier.predict(real.x[unseen]) == real.labels[unseen]

    def compare(by_synthetic: npt.NDArray[np.bool_]) -> TeacherComparison:
        difference = by_synthetic.astype(np.float64) - by_real
        stderr = np.sqrt(np.sum((share * (difference - share @ difference)) ** 2))
        synthetic, real_ = (float(np.average(hits, weights=real.weight)) for hits in (by_synthetic, by_real))
        return TeacherComparison(synthetic, real_, float(stderr))

    found = (compare(answers.hits) for answers in classifier_answers(synthetic, synthetic.weight, real))
    return max(found, key=lambda comparison: comparison.errors)


def _folds(real: Views) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    yield from StratifiedKFold(TEACHER_FOLDS).split(real.x, real.labels.astype(str))
