"""Rows that are evaluated, and what is drawn from them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Rows:
    """Rows of one side. x: (n, d) embeddings; weight: (n,) of any scale; texts, labels: n of each, or None where there are none."""

    x: Float32Array
    weight: Float64Array
    texts: Sequence[str] | None = None
    labels: Sequence[str] | None = None

    def __len__(self) -> int:
        return len(self.x)

    @property
    def ess(self) -> float:
        """Effective sample size of the weights (Kish 1965).

        >>> Rows(np.zeros((3, 1), np.float32), np.array([1.0, 1.0, 0.0])).ess
        2.0
        """
        return float(self.weight.sum() ** 2 / np.square(self.weight).sum())

    def take(self, places: IntArray) -> "Rows":
        """Some of the rows."""
        texts, labels = (None if of_row is None else [of_row[place] for place in places] for of_row in (self.texts, self.labels))
        return Rows(self.x[places], self.weight[places], texts, labels)

    def uniform(self) -> "Rows":
        """The same rows, each of weight 1."""
        return Rows(self.x, np.ones(len(self)), self.texts, self.labels)


def drawn(weight: Float64Array, size: int, draws: int, seed: int) -> Iterator[IntArray]:
    """Places of ``size`` distinct rows, drawn one after the other by their weights (Gumbel top-k; Efraimidis & Spirakis 2006), in order.

    weight: (n,), at least ``size`` of them positive; draws: how many such sets.

    >>> [places.tolist() for places in drawn(np.array([1.0, 0.0, 5.0]), 2, 2, seed=0)]
    [[0, 2], [0, 2]]
    """
    with np.errstate(divide="ignore"):
        log_weight = np.log(weight)
    for draw in range(draws):
        keys = log_weight + np.random.default_rng([seed, draw]).gumbel(size=len(weight))
        yield np.sort(np.argpartition(-keys, size - 1)[:size])
