"""What the solver needs of the rows of one process, wherever they lie: in its memory or on a GPU."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from synalign_spark.core.solver.moments import Moments, Pass

Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]


Array = TypeVar("Array")  # of numpy, or on a device

STORAGES = ("float32", "int16", "recompute")
FIXED_POINT = 32_767  # features lie within +-sqrt(2/D): fixed point wastes no bit of the 16, as a float's exponent would


class MakesFeatures(Protocol[Array]):
    """A feature map; see ``core.features``."""

    @property
    def largest(self) -> float: ...

    def __call__(self, x: Array, /) -> Array: ...


@dataclass(frozen=True)
class Chunk(Generic[Array]):
    """Rows of one label. log_base, log_prior: (n,) float64 logs of the base measure of the alignment and of the weights that the
    rows came with, minus infinity for 0; values: (n, D) features over ``scale``, or x: (n, d) to make them from."""

    log_base: Array
    log_prior: Array
    values: Array | None
    scale: float = 1.0
    x: Array | None = None

    @classmethod
    def of(
        cls, x: Array, log_base: Array, log_prior: Array, make: MakesFeatures[Array], storage: str, fixed: Callable[[Array, float], Array]
    ) -> "Chunk[Array]":
        """Rows as they are kept. x: (n, d) embeddings; storage: one of STORAGES; fixed: features over a scale as int16."""
        if storage == "recompute":
            return cls(log_base, log_prior, None, 1.0, x)
        if storage == "float32":
            return cls(log_base, log_prior, make(x))
        scale = make.largest / FIXED_POINT
        return cls(log_base, log_prior, fixed(make(x), scale), scale)

    def features(self, make: MakesFeatures[Array] | None) -> Array:
        """(n, D) features over ``scale``."""
        if self.values is not None:
            return self.values
        if make is None or self.x is None:
            raise ValueError("chunk: it keeps neither features nor what they are made from")
        return make(self.x)


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
