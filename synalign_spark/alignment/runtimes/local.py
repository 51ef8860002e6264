"""The rows of the local runtime: everything in the memory of this process."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from synalign_spark.alignment.runtimes.rows import (
    DRAWN,
    WEIGHTED,
    Solved,
    drawn_batch,
    in_group_weights,
    in_order,
    load,
    logs,
    release,
    weights_batch,
)
from synalign_spark.core.communicator import LocalCommunicator
from synalign_spark.core.features import FeatureMap
from synalign_spark.core.solver.shard import ShardRows
from synalign_spark.core.solver.solve import Answer, Problem, solve

Float64Array = npt.NDArray[np.float64]


class LocalRows:
    """All rows in this process: embeddings, and features by group. Rows are in the order of (group, doc_id)."""

    def __init__(self, table: pa.Table, features: FeatureMap, storage: str, device: str | None = None) -> None:
        """table: the columns of ``sides.SYNTHETIC_SCHEMA``; storage: of the features; device: torch's name of the GPU that makes the passes,
        None for the cores."""
        self._table, self._group, self._x = in_order(table)
        self._features, self._device = features, device
        self._shard = load(self._table, self._group, self._x, features, storage, device)

    def solve(self, problems: Mapping[str, Problem]) -> dict[str, Answer]:
        if all(problem.row_share >= 1.0 for problem in problems.values()):
            sample = self._shard
        else:
            share = np.array([problems[name].row_share for name in self._group])
            kept = np.flatnonzero(self._table.column("u_warm").to_numpy() < share)
            sample = load(self._table.take(pa.array(kept)), self._group[kept], self._x[kept], self._features, "float32", self._device)
        try:
            return solve(problems, ShardRows(self._shard, sample, LocalCommunicator()).evaluate)
        finally:
            if sample is not self._shard:
                release(sample)

    def _weights(self, solved: Mapping[str, Solved]) -> tuple[Float64Array, Float64Array]:
        parts = [self._shard.log_weights(name, solved[name].theta) for name in sorted(set(self._group))]
        return in_group_weights(self._group, np.concatenate(parts), logs(self._table, "prior"), solved)

    def draw(self, solved: Mapping[str, Solved]) -> pa.Table:
        w, q = self._weights(solved)
        return pa.Table.from_arrays(drawn_batch(self._table, self._x, self._group, w, q, solved), schema=DRAWN)

    def weights(self, solved: Mapping[str, Solved]) -> pa.Table:
        w, q = self._weights(solved)
        return pa.Table.from_arrays(weights_batch(self._table, self._group, w, q, solved), schema=WEIGHTED)

    def close(self) -> None:
        release(self._shard)
