"""How much synthetic rows count beside real ones, where a model is trained on both.

Rows from elsewhere help few real rows and harm many: their bias does not shrink with their number. So they together get a mass, in
real rows: the weighted empirical error of two sources, whose best share falls as real rows come (Ben-David et al. 2010, section 5).
Measured on seven tasks, LLM-written rows were best at the mass of 500 to 2,000 real rows, with 300 real rows as with 3,000.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

MASS_OF_FEW = 1_500.0  # where nothing can be judged: of unseen real training rows, on seven tasks
MASSES = (0.0, 500.0, MASS_OF_FEW, 5_000.0)
NEAR_TIE = 0.5  # standard errors of the accuracy that are a trifle


@dataclass(frozen=True)
class Beside:
    """How students did that were trained on real and drawn rows together.

    mass: of the synthetic rows, in real rows; accuracy: of the two students, on real rows that taught and shaped nothing; log_loss: their mean."""

    mass: float
    accuracy: tuple[float, ...]
    log_loss: float

    @property
    def overall(self) -> float:
        """The mean accuracy over the students."""
        return float(np.mean(self.accuracy))


def usual_mass(synthetic: int) -> float:
    """The mass where nothing can be judged: no synthetic row counts more than a real one. synthetic: number of rows."""
    return min(MASS_OF_FEW, float(synthetic))


def masses(synthetic: int) -> list[float]:
    """Masses to try, none first, as far as no synthetic row counts more than a real one. synthetic: number of rows."""
    return sorted({min(mass, float(synthetic)) for mass in MASSES})


def sample_weights(real: float, synthetic: float, mass: float | None) -> tuple[float, float]:
    """(weight of a real row, weight of a synthetic row), of mean 1 over the rows that have any.

    real, synthetic: numbers of rows; mass: of all synthetic rows together, in real rows, or None, where every row counts as one."""
    if mass is None or not real or not synthetic:
        return 1.0, 1.0
    scale = (real + (synthetic if mass else 0.0)) / (real + mass)
    return scale, scale * mass / synthetic


def best_mass(tried: Sequence[Beside], judges: int) -> Beside:
    """The highest mean accuracy among those that cost no student more than a trifle against real rows alone, the first.

    Within a trifle of it the smallest log-loss decides. judges: rows behind an accuracy."""
    alone = tried[0]
    harmless = [one for one in tried if np.all(np.subtract(one.accuracy, alone.accuracy) >= -trifle(alone.overall, judges))]
    top = max(harmless, key=lambda one: one.overall)
    return min(
        (one for one in harmless if one.overall >= top.overall - trifle(top.overall, judges)), key=lambda one: (one.log_loss, one.mass)
    )


def trifle(accuracy: float, judges: int) -> float:
    """A difference between accuracies that is not worth the name. judges: rows behind them."""
    return NEAR_TIE * float(np.sqrt(max(accuracy * (1 - accuracy), 1e-12) / max(judges, 1)))
