"""The candidates among which the next few picks are found, while the posterior of all others waits to be updated.

Posterior variance never rises, so what a candidate was worth when the block of picks began bounds what it is worth now.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from synalign_spark.core.sampling.factor import PivotedFactor

Float64Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

TIE = 1e-9  # two acquisitions that differ by less, relatively, are equal: below it lies the rounding of the decomposition
FEWEST, MOST = (
    128,
    512,
)  # contenders; of 5,000 and 20,000 sentences 512 to 4,096 were slower, by a third and more; where more are needed the block ends


class Contenders:
    """Rows of the factor of the candidates with the largest bounds, kept up to date pick by pick.

    members: (m,) their positions; variance: (m,) posterior; picks: positions observed in this block."""

    def __init__(self, factor: PivotedFactor, weight: Float64Array, left: IntArray, count: int) -> None:
        """weight: (k,) factor of the standard deviation; left: (k,) how often each may be picked, some at least once;
        count: picks of the block at most."""
        self._factor, self._weight, self._left = factor, weight, left
        bound = np.where(left > 0, np.sqrt(np.maximum(factor.variance, 0.0)) * weight, -1.0)
        winner = int(np.argmax(bound >= bound.max() * (1 - TIE)))
        order = np.argsort(-bound, kind="stable")
        self._order = np.concatenate([[winner], order[order != winner]])  # the first pick is known; the others by falling bound
        self._bound = bound[self._order]
        self._rows = np.empty((min(MOST, len(order)), factor.used + count))
        self.members: IntArray = np.empty(0, dtype=np.int64)
        self.variance: Float64Array = np.empty(0)
        self.picks: list[int] = []
        self._admit(FEWEST)

    def best(self) -> tuple[int, float, float] | None:
        """(position, standard deviation, acquisition) of the next pick, ties to the smaller position; None where no
        candidate may be picked, or too many would have to be looked at."""
        while True:
            may = self._left[self.members] > 0
            sd = np.sqrt(np.maximum(self.variance, 0.0))
            value = np.where(may, sd * self._weight[self.members], -1.0)
            least = value.max() * (1 - TIE)
            equal = np.flatnonzero(may & (value >= least))
            first = equal[self.members[equal].argmin()] if len(equal) else -1
            within = self._may_win(float(value.max()), least, int(self.members[first]) if len(equal) else -1)
            if within == len(self.members):
                return (int(self.members[first]), float(sd[first]), float(value[first])) if len(equal) else None
            if within > len(self._rows):
                return None
            self._admit(max(within, 2 * len(self.members)))

    def observe(self, position: int) -> None:
        """One observation of a member: a new entry in every row."""
        place = int(np.flatnonzero(self.members == position)[0])
        rows = self._rows[: len(self.members), : self._filled()]
        column = self._factor.prior([position], self.members)[0] - rows @ rows[place]
        column /= np.sqrt(self.variance[place] + self._factor.noise**2)
        self._rows[: len(self.members), self._filled()] = column
        self.variance -= np.square(column)
        self.picks.append(position)

    def _filled(self) -> int:
        return self._factor.used + len(self.picks)

    def _may_win(self, best: float, least: float, winner: int) -> int:
        """How many candidates, by falling bound, have to be members so that ``best`` is the best of all and ``winner`` the first that equals it."""
        size = len(self.members)
        near = slice(size, size + int(np.searchsorted(-self._bound[size:], -max(least, 0.0), side="right")))
        rivals = np.flatnonzero((self._bound[near] > best) | (self._order[near] < winner))
        return size + int(rivals[-1]) + 1 if len(rivals) else size

    def _admit(self, size: int) -> None:
        """Makes members of the first ``size`` candidates by falling bound."""
        had = len(self.members)
        new: Sequence[int] | IntArray = self._order[had : min(size, len(self._rows))]
        rows, used = self._rows[had : had + len(new)], self._factor.used
        rows[:, :used] = self._factor.columns[:used, new].T
        variance = self._factor.variance[new]
        if self.picks:
            rows[:, used : self._filled()] = self._factor.extended(self.picks, new).T
            variance = variance - np.square(rows[:, used : self._filled()]).sum(axis=1)
        self.members, self.variance = np.concatenate([self.members, new]), np.concatenate([self.variance, variance])
