"""How much synthetic rows count beside real ones, where a model is trained on both.

Rows from elsewhere help few real rows and harm many: their bias does not shrink with their number. So all of them together get a mixing
weight, in real rows: the weighted empirical error of two sources, whose best share falls as real rows come (Ben-David et al. 2010,
section 5). What they are worth does not depend on the number of real rows: of two estimates with variance s^2 / n and squared bias b^2 the
mean with the least error gives the second the weight of s^2 / b^2 rows, whatever n is. So what cross-validation on a sample of the real rows
finds holds for all of them; it moves the mixing weight away from a usual value only where it can tell.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from synalign_spark.core.defaults import FEWEST_JUDGES, MIXING_FACTORS, USUAL_MIXING_WEIGHT

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


def usual_mixing_weight(synthetic: int) -> float:
    """The mixing weight where nothing speaks against it; no synthetic row counts more than a real one. synthetic: number of rows.

    >>> usual_mixing_weight(5_000), usual_mixing_weight(400)
    (1000.0, 400.0)"""
    return float(min(USUAL_MIXING_WEIGHT, synthetic))


def unjudged_mixing_weight(synthetic: int, real: int) -> float:
    """The mixing weight where no real row can speak against it: no more than there are real ones. synthetic, real: number of rows.

    >>> unjudged_mixing_weight(5_000, 12), unjudged_mixing_weight(5_000, 20_000)
    (12.0, 1000.0)"""
    return min(usual_mixing_weight(synthetic), float(real))


def safe_mixing_weight(usual: float, real: int) -> float:
    """The mixing weight that is kept unless the rows speak against it: the usual one, but less where real rows are too few to be heard. It
    grows with their square, for with their number grow both what they can tell and what they bear. real: number of rows.

    >>> [safe_mixing_weight(1_000.0, n) for n in (8, 30, 60, 200)]
    [8.0, 90.0, 360.0, 1000.0]"""
    return min(usual, max(float(real), real**2 / FEWEST_JUDGES))


def mixing_weights(usual: float, safe: float) -> list[float]:
    """Mixing weights to try, none first and the usual one last: beyond it accuracy gained nothing, though log-loss did. safe: tried too.

    >>> mixing_weights(300.0, 300.0), mixing_weights(300.0, 20.0)
    ([0.0, 30.0, 100.0, 300.0], [0.0, 20.0, 30.0, 100.0, 300.0])"""
    return sorted({0.0, safe, *(usual * factor for factor in MIXING_FACTORS)})


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
