"""How much synthetic rows count beside real ones, where a model is trained on both.

Rows from elsewhere help few real rows and harm many: their bias does not shrink with their number. So they together get a mixing weight, in
real rows: the weighted empirical error of two sources, whose best share falls as real rows come (Ben-David et al. 2010, section 5).
Measured on seven tasks, LLM-written rows were best at the mixing weight of 500 to 2,000 real rows, with 300 real rows as with 3,000.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

DEFAULT_MIXING_WEIGHT = 1_500.0  # where nothing can be validated: of unseen real training rows, on seven tasks
MIXING_WEIGHTS = (0.0, 500.0, DEFAULT_MIXING_WEIGHT, 5_000.0)
NEAR_TIE = 0.5  # standard errors of the accuracy that are a negligible difference


@dataclass(frozen=True)
class Mixing:
    """How downstream classifiers did that were trained on real and drawn rows together.

    mixing_weight: of the synthetic rows, in real rows; accuracy: of the two downstream classifiers, on real rows that taught and shaped nothing; log_loss: their mean."""

    mixing_weight: float
    accuracy: tuple[float, ...]
    log_loss: float

    @property
    def overall(self) -> float:
        """The mean accuracy over the downstream classifiers."""
        return float(np.mean(self.accuracy))


def default_mixing_weight(synthetic: int) -> float:
    """The mixing weight where nothing can be validated: no synthetic row counts more than a real one. synthetic: number of rows."""
    return min(DEFAULT_MIXING_WEIGHT, float(synthetic))


def mixing_weights(synthetic: int) -> list[float]:
    """Mixing weights to try, none first, as far as no synthetic row counts more than a real one. synthetic: number of rows."""
    return sorted({min(mixing_weight, float(synthetic)) for mixing_weight in MIXING_WEIGHTS})


def sample_weights(real: float, synthetic: float, mixing_weight: float | None) -> tuple[float, float]:
    """(weight of a real row, weight of a synthetic row), of mean 1 over the rows that have any.

    real, synthetic: numbers of rows; mixing_weight: of all synthetic rows together, in real rows, or None, where every row counts as one."""
    if mixing_weight is None or not real or not synthetic:
        return 1.0, 1.0
    scale = (real + (synthetic if mixing_weight else 0.0)) / (real + mixing_weight)
    return scale, scale * mixing_weight / synthetic


def best_mixing_weight(tried: Sequence[Mixing], validation: int) -> Mixing:
    """The highest mean accuracy among those that cost no downstream classifier more than a negligible difference against real rows alone, the first.

    Within a negligible difference of it the smallest log-loss decides. validation: rows behind an accuracy."""
    alone = tried[0]
    harmless = [one for one in tried if np.all(np.subtract(one.accuracy, alone.accuracy) >= -negligible(alone.overall, validation))]
    top = max(harmless, key=lambda one: one.overall)
    return min(
        (one for one in harmless if one.overall >= top.overall - negligible(top.overall, validation)),
        key=lambda one: (one.log_loss, one.mixing_weight),
    )


def negligible(accuracy: float, validation: int) -> float:
    """A difference between accuracies that is not worth the name. validation: rows behind them."""
    return NEAR_TIE * float(np.sqrt(max(accuracy * (1 - accuracy), 1e-12) / max(validation, 1)))
