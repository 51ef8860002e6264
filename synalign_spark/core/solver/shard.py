"""The synthetic rows of one process: their features, made once and kept, or made again in each pass.

Rows lie in chunks of one size. A chunk is the unit of memory (features are never held twice while they
are built), of parallel work, and of the order in which sums are added, so threads change no bit.
"""

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import ThreadpoolController

from synalign_spark.core.communicator import Communicator
from synalign_spark.core.features import FeatureMap
from synalign_spark.core.solver.moments import Moments, Pass, log_weights, merge, no_rows, reduce_moments, row_moments, second_moments
from synalign_spark.core.solver.row_shard import Chunk, RowShard

Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
NumpyArray = npt.NDArray[Any]

Rows = tuple[Float32Array, Float64Array, Float64Array]

CHUNK_ROWS = 4096
COMPILED_FROM = 2**24  # numbers of a shard from which a pass is compiled: below, importing the compiler costs more than it gives
SINGLE_FROM = 2**27  # numbers of a shard from which products are float32: below, exactness costs little


def choose_kernel(numbers: int) -> str:
    """One of KERNELS for a shard of so many numbers, rows x features.

    >>> choose_kernel(1_000 * 256), choose_kernel(20_000 * 1_024), choose_kernel(1_000_000 * 2_048)
    ('numpy', 'float64', 'float32')
    """
    return "float32" if numbers >= SINGLE_FROM else "float64" if numbers >= COMPILED_FROM else "numpy"


def choose_storage(rows: int, n_features: int, budget_bytes: float) -> tuple[str, str]:
    """How to keep the features of ``rows`` rows within a budget, and why.

    int16 changes weights by less than 1e-4 of themselves (a test holds it to that); features that are made again cost
    each pass a matrix product a row block.

    >>> choose_storage(1_000_000, 2_048, 4 * 2**30)
    ('int16', '1,000,000 rows x 2,048 features a process take 7.63 GB as float32, of 4.00 GB allowed')
    """
    size = rows * n_features * 4
    shown = (
        f"{rows:,} rows x {n_features:,} features a process take {size / 2**30:.2f} GB as float32, of {budget_bytes / 2**30:.2f} GB allowed"
    )
    if size <= budget_bytes:
        return "float32", shown
    return ("int16" if size / 2 <= budget_bytes else "recompute"), shown


def _fixed_point(phi: NumpyArray, scale: float) -> NumpyArray:
    return np.rint(phi / np.float32(scale)).astype(np.int16)


@dataclass
class Shard:
    """Rows grouped by label. groups: label to its chunks; make: needed where chunks keep no features; kernel: of the passes,
    None for the one that suits the size."""

    groups: dict[str, list[Chunk[NumpyArray]]]
    n_features: int
    make: FeatureMap | None = None
    threads: int = 1
    kernel: str | None = None
    _limits: ThreadpoolController = field(default_factory=ThreadpoolController, repr=False)

    def __post_init__(self) -> None:
        self.kernel = self.kernel or choose_kernel(sum(map(self.rows, self.groups)) * self.n_features)
        if self.kernel != "numpy":
            import synalign_spark.core.solver.fused_pass  # noqa: F401  (a second, which belongs to the loading of the rows)

    @classmethod
    def of(cls, groups: Mapping[str, tuple[Float32Array, Float64Array]], threads: int = 1) -> "Shard":
        """A shard over features that are there already: label to ((n, D) features, (n,) log base weights)."""
        cut: dict[str, list[Chunk[NumpyArray]]] = {
            name: [
                Chunk(log_base[start : start + CHUNK_ROWS], log_base[start : start + CHUNK_ROWS], phi[start : start + CHUNK_ROWS])
                for start in range(0, len(phi), CHUNK_ROWS)
            ]
            for name, (phi, log_base) in groups.items()
        }
        return cls(cut, next(phi.shape[1] for phi, _ in groups.values()), threads=threads)

    def rows(self, group: str) -> int:
        """Rows of a group, pinned ones included."""
        return sum(len(chunk.log_base) for chunk in self.groups.get(group, []))

    def evaluate(self, wanted: Mapping[str, Pass]) -> dict[str, Moments]:
        """One pass over the rows of the groups that are asked for; ``Pass.everywhere`` is the caller's affair."""
        tasks = [(name, chunk) for name in sorted(wanted) for chunk in self.groups.get(name, [])]

        def one(task: tuple[str, Chunk[NumpyArray]]) -> Moments:
            return self._moments(task[1], wanted[task[0]])

        with self._limits.limit(limits=1, user_api="blas"):  # the threads here are all that the pass may use
            if self.threads == 1 or len(tasks) <= 1:
                parts = [one(task) for task in tasks]
            else:
                with ThreadPoolExecutor(self.threads) as pool:
                    parts = list(pool.map(one, tasks))
        found: dict[str, list[Moments]] = {name: [self._nothing(wanted[name])] for name in sorted(wanted)}
        for (name, _), part in zip(tasks, parts, strict=True):
            found[name].append(part)
        return {name: merge(held) for name, held in found.items()}

    def _moments(self, chunk: Chunk[NumpyArray], asked: Pass) -> Moments:
        values, log_q = chunk.features(self.make), chunk.log_prior if asked.prior else chunk.log_base
        first = row_moments(values, log_q, asked.theta, chunk.scale, self.kernel or "numpy")
        return replace(first, second=second_moments(values, log_q, asked.theta, first, chunk.scale)) if asked.second else first

    def _nothing(self, asked: Pass) -> Moments:
        empty = no_rows(self.n_features)
        return replace(empty, second=np.zeros((self.n_features, self.n_features))) if asked.second else empty

    def log_weights(self, group: str, theta: Float64Array) -> Float64Array:
        """(n,) log q_i + theta . phi_i of the rows of a group, in their order."""
        parts = [log_weights(chunk.features(self.make), chunk.log_base, theta, chunk.scale) for chunk in self.groups.get(group, [])]
        return np.concatenate(parts) if parts else np.empty(0)


class ShardBuilder:
    """Takes rows as they come and makes chunks of them; at no time more than a chunk a label waits for its features."""

    def __init__(self, make: FeatureMap, storage: str, threads: int = 1) -> None:
        self._make, self._storage, self._threads = make, storage, threads
        self._waiting: dict[str, list[Rows]] = {}
        self._groups: dict[str, list[Chunk[NumpyArray]]] = {}

    def add(self, group: str, x: Float32Array, log_base: Float64Array, log_prior: Float64Array) -> None:
        """Rows of one group. x: (n, d) embeddings; log_base, log_prior: (n,)."""
        waiting = self._waiting.setdefault(group, [])
        for start in range(0, len(x), CHUNK_ROWS):
            rows = slice(start, start + CHUNK_ROWS)
            waiting.append((x[rows], log_base[rows], log_prior[rows]))
            if sum(len(part[0]) for part in waiting) >= CHUNK_ROWS:
                self._emit(group)

    def _emit(self, group: str) -> None:
        joined = [np.concatenate(column) for column in zip(*self._waiting[group], strict=True)]
        x, log_base, log_prior = (column[:CHUNK_ROWS] for column in joined)
        self._waiting[group][:] = [(joined[0][CHUNK_ROWS:], joined[1][CHUNK_ROWS:], joined[2][CHUNK_ROWS:])]
        self._groups.setdefault(group, []).append(Chunk.of(x, log_base, log_prior, self._make, self._storage, _fixed_point))

    def shard(self) -> Shard:
        """All rows that were added."""
        for group in sorted(self._waiting):
            while any(len(part[0]) for part in self._waiting[group]):
                self._emit(group)
        make = self._make if self._storage == "recompute" else None
        return Shard(self._groups, self._make.n_features, make, self._threads)


class ShardRows:
    """All rows and a sample of them, over one process or many: what a solver asks its passes of.

    Every rank must ask the same; the answers are the same bits on every rank."""

    def __init__(self, everything: RowShard, sample: RowShard, comm: Communicator) -> None:
        self._everything, self._sample, self._comm = everything, sample, comm

    def evaluate(self, wanted: Mapping[str, Pass]) -> dict[str, Moments]:
        found: dict[str, Moments] = {}
        for shard, everywhere in ((self._everything, True), (self._sample, False)):
            of_shard = {name: asked for name, asked in wanted.items() if asked.everywhere == everywhere}
            for second in (False, True):  # second moments are reduced apart: their size is another
                batch = {name: asked for name, asked in of_shard.items() if asked.second == second}
                if batch:
                    found |= reduce_moments(shard.evaluate(batch), self._comm)
        return found


def usable_threads() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
