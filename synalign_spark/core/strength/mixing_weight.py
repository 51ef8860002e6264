"""How much synthetic rows count beside real ones, where a model is trained on both.

Rows from elsewhere help few real rows and harm many: their bias does not shrink with their number. So all of them together get a mixing
weight, in real rows: the weighted empirical error of two sources, whose best share falls as real rows come (Ben-David et al. 2010,
section 5).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from synalign_spark.core.defaults import MIXING_WEIGHT, MIXING_WEIGHTS, NEGLIGIBLE_ERRORS


@dataclass(frozen=True)
class Mixing:
    """How classifiers did that were trained on real and drawn rows together.

    mixing_weight: of the synthetic rows, in real rows; accuracy: of each classifier, on real rows that trained and shaped nothing;
    log_loss: their mean."""

    mixing_weight: float
    accuracy: tuple[float, ...]
    log_loss: float

    @property
    def overall(self) -> float:
        """The mean accuracy over the classifiers."""
        return float(np.mean(self.accuracy))


def default_mixing_weight(synthetic: int) -> float:
    """The mixing weight where nothing validates it: no synthetic row counts more than a real one. synthetic: number of rows."""
    return min(MIXING_WEIGHT, float(synthetic))


def mixing_weights(synthetic: int) -> list[float]:
    """Mixing weights to try, none first, as far as no synthetic row counts more than a real one. synthetic: number of rows.

    >>> mixing_weights(1_000)
    [0.0, 500.0, 1000.0]"""
    return sorted({min(weight, float(synthetic)) for weight in MIXING_WEIGHTS})


def sample_weights(real: float, synthetic: float, mixing_weight: float | None) -> tuple[float, float]:
    """(weight of a real row, weight of a synthetic row), of mean 1 over the rows that have any.

    real, synthetic: numbers of rows; mixing_weight: of all synthetic rows together, in real rows, or None, where every row counts as one.

    >>> sample_weights(300, 600, 300.0)
    (1.5, 0.75)"""
    if mixing_weight is None or not real or not synthetic:
        return 1.0, 1.0
    scale = (real + (synthetic if mixing_weight else 0.0)) / (real + mixing_weight)
    return scale, scale * mixing_weight / synthetic


def best_mixing_weight(tried: Sequence[Mixing], validation_rows: int) -> Mixing:
    """The highest mean accuracy among those that cost no classifier more than a negligible difference against real rows alone, the first.

    Within a negligible difference of it the smallest log-loss decides. validation_rows: behind an accuracy."""
    alone = tried[0]
    allowed = negligible_difference(alone.overall, validation_rows)
    harmless = [one for one in tried if np.all(np.subtract(one.accuracy, alone.accuracy) >= -allowed)]
    top = max(harmless, key=lambda one: one.overall)
    near = top.overall - negligible_difference(top.overall, validation_rows)
    return min((one for one in harmless if one.overall >= near), key=lambda one: (one.log_loss, one.mixing_weight))


def negligible_difference(accuracy: float, validation_rows: int) -> float:
    """Half a standard error of an accuracy. validation_rows: behind it."""
    return NEGLIGIBLE_ERRORS * float(np.sqrt(max(accuracy * (1 - accuracy), 1e-12) / max(validation_rows, 1)))
