"""What the solver needs of the rows of one process, wherever they lie: in its memory or on a GPU."""

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import numpy.typing as npt

from synalign_spark.core.moments import Moments, Pass

Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]


class RowShard(Protocol):
    """Rows grouped by label."""

    def rows(self, group: str) -> int:
        """Rows of a group, pinned ones included."""
        ...

    def evaluate(self, wanted: Mapping[str, Pass]) -> dict[str, Moments]:
        """One pass over the rows of the groups that are asked for; ``Pass.everywhere`` is the caller's affair."""
        ...

    def log_weights(self, group: str, theta: Float64Array) -> Float64Array:
        """(n,) log q_i + theta . phi_i of the rows of a group, in their order."""
        ...


class RowBuilder(Protocol):
    """Takes rows as they come and makes a shard of them."""

    def add(self, group: str, x: Float32Array, log_base: Float64Array, log_prior: Float64Array) -> None:
        """Rows of one group. x: (n, d) embeddings; log_base, log_prior: (n,)."""
        ...

    def shard(self) -> RowShard:
        """All rows that were added."""
        ...
