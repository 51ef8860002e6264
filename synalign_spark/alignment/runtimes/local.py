"""The rows of the local runtime: everything in the memory of this process."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from synalign_spark.alignment.runtimes.rows import (
    DRAWN,
    WEIGHTED,
    InGroup,
    Solved,
    drawn_batch,
    in_group_weights,
    in_order,
    load,
    release,
    weights_batch,
)
from synalign_spark.core.communicator import LocalCommunicator
from synalign_spark.core.features import FeatureMap
from synalign_spark.core.solver.moments import Moments
from synalign_spark.core.solver.shard import ShardRows
from synalign_spark.core.solver.solve import Answer, Problem, solve
from synalign_spark.core.weight_caps import CapSums, weighted_moments

SLICE_ROWS = 4_096  # whose features are made at a time


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

    def _weights(self, solved: Mapping[str, Solved]) -> InGroup:
        parts = [self._shard.log_weights(name, solved[name].theta) for name in sorted(set(self._group))]
        return in_group_weights(self._table, self._group, np.concatenate(parts), solved)

    def cap_sums(self, solved: Mapping[str, Solved]) -> dict[str, CapSums]:
        return self._weights(solved).cap_sums()

    def moments(self, solved: Mapping[str, Solved]) -> dict[str, Moments]:
        rows = self._weights(solved)
        found = {}
        for name in rows.names:
            places = np.flatnonzero(rows.group == name)
            phi_sum = np.zeros(self._features.n_features)
            for part in np.array_split(places, -(-len(places) // SLICE_ROWS)):
                phi_sum += rows.final[part] @ self._features(self._x[part]).astype(np.float64)
            found[name] = weighted_moments(rows.final[places], phi_sum, solved[name].log_partition)
        return found

    def draw(self, solved: Mapping[str, Solved]) -> pa.Table:
        return pa.Table.from_arrays(drawn_batch(self._table, self._x, self._weights(solved), solved), schema=DRAWN)

    def weights(self, solved: Mapping[str, Solved]) -> pa.Table:
        return pa.Table.from_arrays(weights_batch(self._table, self._weights(solved), solved), schema=WEIGHTED)

    def close(self) -> None:
        release(self._shard)
