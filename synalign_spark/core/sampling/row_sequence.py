"""The rows of all ranks as one sequence in the order of their keys, whatever rank holds them.

Keys are uniform random numbers that belong to the rows (a hash of their ids), so that the first m rows are a random sample and
every stretch of keys a random batch: the same ones on 1, 2 or 200 ranks.
"""

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from synalign_spark.core.communicator import Communicator

Float64Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Matrix = npt.NDArray[Any]

BINS = 4_096  # of the histogram that finds the largest values of all ranks


@dataclass(frozen=True)
class RowSequence:
    """The rows of this rank by rising key. x: (n, d); keys: (n,); total: rows of all ranks; last_key: the largest of all."""

    x: Matrix
    keys: Float64Array
    total: int
    last_key: float
    comm: Communicator

    @classmethod
    def of(cls, x: Matrix, keys: Float64Array, comm: Communicator) -> "RowSequence":
        """Checks the rows of all ranks together. x: (n, d) finite; keys: (n,) in (0, 1). Raises ValueError, on every rank, where they cannot be used."""
        if x.ndim != 2 or keys.shape != (len(x),):
            raise ValueError(f"x must be a matrix (n, d) with a key a row, got shapes {x.shape} and {keys.shape}")
        width = int(comm.all_reduce_max(np.array([float(x.shape[1])]))[0])
        last = float(comm.all_reduce_max(np.array([keys.max(initial=0.0)]))[0])
        faults = np.array([float(len(x) > 0 and x.shape[1] != width), float(not np.isfinite(x).all()), float(len(x))])
        faults = comm.all_reduce(faults)
        if faults[0]:
            raise ValueError(f"x must have the same width on every rank; rank {comm.rank} has {x.shape[1]}, the widest {width}")
        if faults[1]:
            raise ValueError("x must be finite; drop the rows with NaN or infinity")
        if not len(x):
            x = np.empty((0, width), dtype=np.float32)
        if (np.diff(keys) < 0).any():
            order = np.argsort(keys, kind="stable")
            x, keys = x[order], keys[order]
        return cls(x, keys, int(faults[2]), last, comm)

    def first(self, count: int) -> Float64Array:
        """The ``count`` rows of smallest key, all where there are fewer, in that order, on every rank: (<= count, d)."""
        share = (count + 6 * count**0.5 + 36) / max(self.total, 1)  # six standard deviations above what is expected
        for limit in (share * self.last_key, np.inf):
            rows = self.gather(np.arange(np.searchsorted(self.keys, limit)))
            if len(rows) >= min(count, self.total):
                break
        return rows[:count]

    def batches(self, rows: int) -> list[slice]:
        """Local rows of batches of about ``rows`` rows of all ranks."""
        number = -(-self.total // rows)
        cuts = np.searchsorted(self.keys, self.last_key * np.arange(1, number) / number)
        edges = [0, *cuts.tolist(), len(self.x)]
        return [slice(*pair) for pair in itertools.pairwise(edges)]

    def gather(self, rows: IntArray) -> Float64Array:
        """The rows that the ranks name, by rising key, on every rank: (m, d). rows: local numbers."""
        named = np.zeros(self.comm.size)
        named[self.comm.rank] = len(rows)
        named = self.comm.all_reduce(named)
        start = int(named[: self.comm.rank].sum())
        gathered = np.zeros((int(named.sum()), 1 + self.x.shape[1]))
        gathered[start : start + len(rows), 0] = self.keys[rows]
        gathered[start : start + len(rows), 1:] = self.x[rows]
        gathered = self.comm.all_reduce(gathered)
        return gathered[np.argsort(gathered[:, 0], kind="stable"), 1:]

    def largest(self, values: Float64Array, count: int, of_first: int) -> tuple[Float64Array, float]:
        """At most ``count`` rows, about, with the largest positive values among the first ``of_first`` rows, on every rank; and how many
        rows of the sequence each of those looked at stands for. values: (n,) of the local rows. Returns (<= count, d)."""
        among = len(self.keys) if of_first >= self.total else int(np.searchsorted(self.keys, self.last_key * of_first / self.total))
        looked = float(self.comm.all_reduce(np.array([float(among)]))[0])
        top = float(self.comm.all_reduce_max(np.array([values[:among].max(initial=0.0)]))[0])
        if top <= 0 or not looked:
            return np.empty((0, self.x.shape[1])), 1.0
        bins = np.clip(np.ceil(values[:among] / top * BINS), 0, BINS).astype(np.int64)  # bin 0 holds what is not positive
        above = np.cumsum(self.comm.all_reduce(np.bincount(bins, minlength=BINS + 1).astype(np.float64))[::-1])[::-1]  # (BINS + 1,)
        lowest = max(1, min(int(np.argmax(above <= count)), BINS)) if (above <= count).any() else BINS
        chosen = bins >= lowest
        if above[lowest] > count:  # many rows of one value: those of smallest key among them
            chosen &= self.keys[:among] < self.last_key * count / above[lowest] * min(1.0, of_first / self.total)
        return self.gather(np.flatnonzero(chosen)), self.total / looked
