"""What an algorithm over row shards needs of its runtime: ranks and a sum of small arrays.

k-means and the MMD solver see their rows as shards, one a rank, and exchange only a state of fixed
size. They are written against this protocol and run unchanged in one process, or in many that
reduce over a network.
"""

from typing import Protocol

import numpy as np
import numpy.typing as npt

Float64Array = npt.NDArray[np.float64]


class Communicator(Protocol):
    """A fixed group of ``size`` processes, each holding one shard of the rows."""

    @property
    def rank(self) -> int: ...

    @property
    def size(self) -> int: ...

    def all_reduce(self, values: Float64Array) -> Float64Array:
        """Element-wise float64 sum over all ranks, the same bits on every rank; any shape."""
        ...

    def all_reduce_max(self, values: Float64Array) -> Float64Array:
        """Element-wise maximum over all ranks; any shape."""
        ...

    def broadcast(self, values: Float64Array, root: int = 0) -> Float64Array:
        """The array of rank ``root``, on every rank; any shape."""
        ...


class LocalCommunicator:
    """The group of one: all rows are here."""

    rank = 0
    size = 1

    def all_reduce(self, values: Float64Array) -> Float64Array:
        return values

    def all_reduce_max(self, values: Float64Array) -> Float64Array:
        return values

    def broadcast(self, values: Float64Array, root: int = 0) -> Float64Array:
        return values
