"""Exploration-aware sampling: pick the centroids that a Gaussian process knows least about.

The posterior variance with the centroids S known, v(c) = k(c,c) - k(c,S) (K_SS + s^2 I)^-1 k(S,c), needs no targets, so
the loop is a pivoted Cholesky decomposition of K: the j-th one picked adds one column, v falls by its
square. Picks are made one after the other among few contenders; the columns of all candidates follow a block of picks at a time.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy.spatial.distance import pdist

from synalign_spark.core.sampling.contenders import Contenders
from synalign_spark.core.sampling.factor import PivotedFactor

Float64Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

BLOCK = 64  # picks whose columns are computed together
MEDIAN_OF_MOST = 2_000  # centroids; their pairs take 16 MB
UNLIMITED = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Selected:
    """One candidate that was picked. position: its row; posterior_sd: before it was picked; acquisition: the value that won."""

    position: int
    posterior_sd: float
    acquisition: float


@dataclass(frozen=True)
class Trace:
    """How uncertainty fell: one entry for each candidate picked. mean_sd: mean by cluster share of the candidates' posterior standard
    deviation afterwards, (t,); coverage: share of the rows in clusters whose standard deviation is below the reach, (t,)."""

    mean_sd: Float64Array
    coverage: Float64Array


@dataclass
class Tracker:
    """The state of the Gaussian process over the candidates; each call of ``pick`` goes on from where the last one ended.

    centroids: (k, d) float64, in the order that breaks ties (by id); share: (k,) share of the rows, > 0;
    length_scale: of the RBF kernel, in units of distance; noise: standard deviation s; alpha: exponent of cluster share;
    pull: (k,) a further factor of the acquisition, >= 0; 1 where left out.
    picked: positions so far, in order; factor: of their covariance, one column of k entries for each.
    Raises ValueError for a share, a length scale or a noise that is not positive."""

    centroids: Float64Array
    share: Float64Array
    length_scale: float
    noise: float
    alpha: float = 0.0
    pull: Float64Array | None = None
    picked: list[int] = field(default_factory=list, init=False)
    factor: PivotedFactor = field(init=False)

    def __post_init__(self) -> None:
        self.centroids = np.ascontiguousarray(self.centroids, dtype=np.float64)
        self.share = np.asarray(self.share, dtype=np.float64)
        k = len(self.centroids)
        if not k or self.share.shape != (k,) or not (self.share > 0).all():
            raise ValueError(f"cluster share must hold one positive number for each of the {k} centroids; leave out empty clusters")
        for name in ("length_scale", "noise"):
            if not 0 < getattr(self, name) < np.inf:
                raise ValueError(f"{name} must be positive and finite, got {getattr(self, name)}")
        self.factor = PivotedFactor(self.centroids, self.length_scale, self.noise)

    def pick(self, count: int, capacity: IntArray | None = None) -> list[Selected]:
        """The next ``count`` candidates: each the largest sd * cluster share^alpha * pull, ties to the earlier candidate.

        capacity: (k,) how often each candidate may still be picked, any number of times by default; fewer
        are returned where it runs out. A candidate may win again: noise keeps its variance above zero."""
        left = np.full(len(self.share), UNLIMITED) if capacity is None else np.array(capacity, dtype=np.int64)
        self.factor.reserve(int(min(count, left.sum(dtype=np.float64))))
        selected: list[Selected] = []
        while len(selected) < count and (left > 0).any():
            selected += self._pick_block(min(BLOCK, count - len(selected)), left)
        return selected

    def replay(self, positions: Iterable[int]) -> None:
        """Picks what an earlier round picked, so that this round goes on from the variance that it left."""
        earlier = list(positions)
        self.factor.reserve(len(earlier))
        for start in range(0, len(earlier), BLOCK):
            self._add(earlier[start : start + BLOCK])

    def posterior_sd(self) -> Float64Array:
        """Posterior standard deviation at every candidate, given all that were picked, (k,)."""
        return np.sqrt(np.maximum(self.factor.variance, 0.0))

    def trace(self, reach_sd: float, start: int = 0) -> Trace:
        """Mean uncertainty and coverage after each candidate picked, from number ``start`` on; not before the last ``fold``."""
        share = self.share / self.share.sum()
        variance = self.factor.prior_variance.copy()
        mean_sd, beyond = [], []
        skipped = self.factor.used - (len(self.picked) - start)
        for number, column in enumerate(self.factor.columns[: self.factor.used]):
            variance -= np.square(column)
            if number >= skipped:
                sd = np.sqrt(np.maximum(variance, 0.0))
                mean_sd.append(share @ sd)
                beyond.append(share @ (sd >= reach_sd))
        return Trace(np.array(mean_sd), 1.0 - np.array(beyond))  # exactly 1 once nothing is left out

    def fold(self) -> None:
        """Makes the state k^2 numbers, where it is k for each candidate picked."""
        self.factor.fold()

    def _pick_block(self, count: int, left: IntArray) -> list[Selected]:
        """At least one and at most ``count`` picks, each taken from ``left``."""
        weight = self.share**self.alpha * (1.0 if self.pull is None else self.pull)
        contenders = Contenders(self.factor, weight, left, count)
        selected: list[Selected] = []
        while len(selected) < count and (best := contenders.best()) is not None:
            selected.append(Selected(*best))
            left[best[0]] -= 1
            contenders.observe(best[0])
        self._add(contenders.picks)
        return selected

    def _add(self, positions: list[int]) -> None:
        self.factor.add(positions)
        self.picked += [int(position) for position in positions]


def median_length_scale(centroids: Float64Array) -> float:
    """Median distance between centroids, (k, d); 1 where there are no two different ones.

    Looks at MEDIAN_OF_MOST centroids at most, evenly spaced."""
    if len(centroids) > MEDIAN_OF_MOST:
        centroids = centroids[np.linspace(0, len(centroids) - 1, MEDIAN_OF_MOST).astype(np.int64)]
    distances = pdist(centroids)
    median = float(np.median(distances)) if len(distances) else 0.0
    return median if median > 0 else 1.0
