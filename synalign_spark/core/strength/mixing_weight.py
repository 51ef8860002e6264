"""How much synthetic rows count beside real ones, where a model is trained on both.

Rows from elsewhere help few real rows and harm many: their bias does not shrink with their number. So all of them together get a mixing
weight, in real rows: the weighted empirical error of two sources, whose best share falls as real rows come (Ben-David et al. 2010,
section 5). Cross-validation on the real rows moves it away from a usual value only where it can tell.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from synalign_spark.core.defaults import FEWEST_CENTRE, MIXING_FACTORS, MOST_CENTRE

Float64Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Mixing:
    """How classifiers did that were trained on real and weighted synthetic rows together.

    mixing_weight: of the synthetic rows, in real rows; accuracy: of each classifier, on real rows that trained and shaped nothing;
    log_loss: their mean."""

    mixing_weight: float
    accuracy: tuple[float, ...]
    log_loss: float

    @property
    def overall(self) -> float:
        """The mean accuracy over the classifiers."""
        return float(np.mean(self.accuracy))


def usual_mixing_weight(real: float, synthetic: int) -> float:
    """The mixing weight where nothing speaks against it: as many as the real rows, 300 at least, and no synthetic row counts more than a
    real one. real: effective rows; synthetic: number of rows.

    >>> usual_mixing_weight(60, 5_000), usual_mixing_weight(1_000, 5_000), usual_mixing_weight(1_000, 400)
    (300.0, 1000.0, 400.0)"""
    return float(min(max(real, FEWEST_CENTRE), MOST_CENTRE, synthetic))


def mixing_weights(usual: float) -> list[float]:
    """Mixing weights to try, none first and the usual one last: beyond it accuracy gained nothing, though log-loss did.

    >>> mixing_weights(300.0)
    [0.0, 30.0, 100.0, 300.0]"""
    return sorted({0.0, *(usual * factor for factor in MIXING_FACTORS)})


def nearest_to_usual(tried: Sequence[float], usual: float, losses: Float64Array, weight: Float64Array) -> int:
    """Place of the mixing weight that is taken: of those within one standard error of the smallest mean loss (the one-standard-error rule;
    Breiman et al. 1984, section 3.4.3) the nearest to the usual one, by its logarithm; none at all is the farthest.

    tried: (k,); losses: (k, n) of each real row, paired; weight: (n,) > 0 of the rows.

    >>> by_row = np.array([[0.5, 0.5, 0.5, 0.5], [0.3, 0.4, 0.3, 0.4], [0.1, 0.7, 0.1, 0.4]])  # little noise, then much
    >>> nearest_to_usual([0.0, 100.0, 300.0], 300.0, by_row[[0, 1, 1]], np.ones(4))
    2
    >>> nearest_to_usual([0.0, 100.0, 300.0], 300.0, by_row[[0, 1, 0]], np.ones(4))
    1
    """
    share = weight / weight.sum()
    best = int(np.argmin(losses @ share))
    worse = losses - losses[best]  # (k, n)
    mean = worse @ share
    stderr = np.sqrt(((worse - mean[:, None]) ** 2) @ share**2)
    with np.errstate(divide="ignore"):
        distance = np.abs(np.log(np.asarray(tried)) - np.log(usual))
    return min(np.flatnonzero(mean <= stderr).tolist(), key=lambda place: (distance[place], mean[place]))
