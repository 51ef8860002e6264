"""The synthetic rows as the solver sees them, in two runtimes with one interface.

``LocalRows`` holds the features in the driver's memory. ``SparkRows`` sends theta to one Spark job a pass,
which returns one partial sum a label and partition. Both give the same numbers to rounding.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from synalign_spark.core.certificate import copies_by_weight
from synalign_spark.core.features import FeatureMap
from synalign_spark.core.mmd import log_weights
from synalign_spark.core.moments import Moments, Shard, merge, row_moments
from synalign_spark.stages.align_input import by_group
from synalign_spark.tables import WEIGHTS
from udfs.arrow import from_matrix, to_matrix

Float64Array = npt.NDArray[np.float64]

SLICE_ROWS = 4_096
PARTIAL = pa.schema(
    [
        ("grp", pa.string()),
        ("shift", pa.float64()),
        ("total", pa.float64()),
        ("squares", pa.float64()),
        ("rows", pa.int64()),
        ("features", pa.list_(pa.float64())),
    ]
)
PARTIAL_DDL = "grp string, shift double, total double, squares double, rows bigint, features array<double>"
WEIGHTED = pa.schema(
    [
        ("doc_id", pa.string()),
        ("label", pa.string()),
        ("weight", pa.float64()),
        ("weight_in_label", pa.float64()),
        ("base_weight", pa.float64()),
    ]
)
DRAWN = pa.schema(
    [
        ("grp", pa.string()),
        ("doc_id", pa.string()),
        ("u_whole", pa.float64()),
        ("before", pa.int64()),
        ("after", pa.int64()),
        ("embedding", pa.list_(pa.float32())),
    ]
)
DRAWN_DDL = "grp string, doc_id string, u_whole double, before bigint, after bigint, embedding array<float>"


@dataclass(frozen=True)
class Solved:
    """What turns a row of a group into its weight. share: of the group in the corpus; draws: rows of the certificate's sample."""

    theta: Float64Array
    log_partition: float
    log_total: float
    share: float
    draws: float = 0.0


class Rows(Protocol):
    """The synthetic rows of a run."""

    def evaluate(self, thetas: Mapping[str, Float64Array]) -> Mapping[str, Moments]:
        """One pass over the rows of the groups asked for."""
        ...

    def sample(self, shares: Mapping[str, float]) -> "LocalRows":
        """The rows with the smallest hashes, about ``shares[group]`` of each group, in memory."""
        ...

    def draw(self, solved: Mapping[str, Solved]) -> pa.Table:
        """About ``draws`` rows a group by base weight and by weight: see DRAWN for the columns."""
        ...

    def weights(self, solved: Mapping[str, Solved]) -> DataFrame:
        """The weights table."""
        ...


def log_prior(batch: pa.Table | pa.RecordBatch) -> Float64Array:
    """(n,) log base weights, minus infinity for 0."""
    with np.errstate(divide="ignore"):
        logs: Float64Array = np.log(batch.column("prior").to_numpy(zero_copy_only=False).astype(np.float64))
    return logs


def in_group_weights(
    group: npt.NDArray[np.object_], log_a: Float64Array, log_q: Float64Array, solved: Mapping[str, Solved]
) -> tuple[Float64Array, Float64Array]:
    """Normalised weights and base weights within the group. All arrays (n,)."""
    w, q = np.zeros(len(group)), np.zeros(len(group))
    for name in sorted(set(group)):
        mine = group == name
        w[mine] = np.exp(log_a[mine] - solved[name].log_partition)
        q[mine] = np.exp(log_q[mine] - solved[name].log_total)
    return w, q


def weights_batch(
    batch: pa.Table | pa.RecordBatch, group: npt.NDArray[np.object_], w: Float64Array, q: Float64Array, solved: Mapping[str, Solved]
) -> list[pa.Array]:
    """Columns of WEIGHTED; ``weight`` is the weight in the group times the group's share."""
    share = np.array([solved[name].share for name in group], dtype=np.float64)
    return [batch.column("doc_id"), batch.column("label"), pa.array(w * share), pa.array(w), pa.array(q)]


def drawn_batch(batch: pa.Table | pa.RecordBatch, x: npt.NDArray[np.float32], group: npt.NDArray[np.object_], w: Float64Array, q: Float64Array,
                solved: Mapping[str, Solved]) -> list[pa.Array]:  # fmt: skip
    """Columns of DRAWN: the rows that come at least once."""
    u = batch.column("u").to_numpy(zero_copy_only=False)
    draws = np.array([solved[name].draws for name in group], dtype=np.float64)
    before, after = copies_by_weight(q, draws, u), copies_by_weight(w, draws, u)
    kept = np.flatnonzero(before + after)
    names = [batch.column(name).take(pa.array(kept)) for name in ("grp", "doc_id", "u_whole")]
    return [*names, pa.array(before[kept]), pa.array(after[kept]), from_matrix(x[kept])]


class LocalRows:
    """All rows in this process: embeddings, and features by group. Rows are in the order of (group, doc_id)."""

    def __init__(self, table: pa.Table, features: FeatureMap, make: Callable[[pa.Table], DataFrame] | None = None) -> None:
        """table: columns of ``align_input.synthetic_rows``; make: turns the weights into a DataFrame (not needed for a sample)."""
        groups, ids = (np.asarray(table.column(name).to_pylist(), dtype=object) for name in ("grp", "doc_id"))
        order = np.lexsort((ids, groups))
        self._x = to_matrix(table.column("embedding"))[order]  # (n, d)
        self._table = table.drop_columns(["embedding"]).take(pa.array(order))
        self._group, self._features, self._make = groups[order], features, make
        self._log_q = log_prior(self._table)
        self._shard = self._load()

    def _load(self) -> Shard:
        blocks = {}
        for name in sorted(set(self._group)):
            mine = np.flatnonzero(self._group == name)
            rows = slice(int(mine[0]), int(mine[-1]) + 1)  # sorted: a group is one run
            blocks[name] = (self._features(self._x[rows]), self._log_q[rows])
        return Shard(blocks, threads=os.cpu_count() or 1)

    def rows(self, group: str) -> int:
        """Rows of a group."""
        return self._shard.rows(group)

    def evaluate(self, thetas: Mapping[str, Float64Array]) -> Mapping[str, Moments]:
        return self._shard.evaluate(thetas)

    def sample(self, shares: Mapping[str, float]) -> "LocalRows":
        if all(share >= 1.0 for share in shares.values()):
            return self
        share = np.array([shares[name] for name in self._group])
        kept = np.flatnonzero(self._table.column("u_warm").to_numpy() < share)
        table = self._table.take(pa.array(kept)).append_column("embedding", from_matrix(self._x[kept]))
        return LocalRows(table, self._features)

    def _weights(self, solved: Mapping[str, Solved]) -> tuple[Float64Array, Float64Array]:
        parts = [log_weights(phi, log_q, solved[name].theta) for name, (phi, log_q) in sorted(self._shard.groups.items())]
        return in_group_weights(self._group, np.concatenate(parts), self._log_q, solved)

    def draw(self, solved: Mapping[str, Solved]) -> pa.Table:
        w, q = self._weights(solved)
        return pa.Table.from_arrays(drawn_batch(self._table, self._x, self._group, w, q, solved), schema=DRAWN)

    def weights(self, solved: Mapping[str, Solved]) -> DataFrame:
        if self._make is None:
            raise ValueError("make: needed to return weights; pass it to LocalRows")
        w, q = self._weights(solved)
        return self._make(pa.Table.from_arrays(weights_batch(self._table, self._group, w, q, solved), schema=WEIGHTED))


class SparkRows:
    """Rows that stay on the executors: one Spark job a pass, features computed again in each."""

    def __init__(self, rows: DataFrame, features: FeatureMap) -> None:
        """rows: columns of ``align_input.synthetic_rows``, persisted by the caller."""
        self._rows, self._features = rows, features

    def evaluate(self, thetas: Mapping[str, Float64Array]) -> Mapping[str, Moments]:
        job = partial(_moments_partition, features=self._features, thetas=dict(thetas))
        table = self._rows.select("grp", "prior", "embedding").mapInArrow(job, PARTIAL_DDL).toArrow()  # a D-vector a partition and group
        found: dict[str, list[Moments]] = {name: [] for name in sorted(thetas)}
        for name, shift, total, squares, rows, features in zip(*table.columns, strict=True):
            part = Moments(shift.as_py(), total.as_py(), squares.as_py(), features.values.to_numpy(), rows.as_py())
            found[name.as_py()].append(part)
        # A fixed order, whatever order the partitions come in.
        return {name: merge(sorted(held, key=lambda part: (part.shift, part.total))) for name, held in found.items()}

    def sample(self, shares: Mapping[str, float]) -> LocalRows:
        return LocalRows(self._rows.where(F.col("u_warm") < by_group(shares)).toArrow(), self._features)  # about warm_start_rows rows

    def draw(self, solved: Mapping[str, Solved]) -> pa.Table:
        job = partial(_draw_partition, features=self._features, solved=dict(solved))
        return self._rows.mapInArrow(job, DRAWN_DDL).toArrow()  # about certificate_rows rows a label

    def weights(self, solved: Mapping[str, Solved]) -> DataFrame:
        return self._rows.mapInArrow(partial(_weights_partition, features=self._features, solved=dict(solved)), WEIGHTS.ddl)


def _slices(
    batches: Iterable[pa.RecordBatch], features: FeatureMap
) -> Iterator[tuple[pa.RecordBatch, npt.NDArray[np.object_], npt.NDArray[np.float32], npt.NDArray[np.float32]]]:
    """Slices of the batches with their groups (n,), embeddings (n, d) and features (n, D)."""
    for batch in batches:
        for start in range(0, batch.num_rows, SLICE_ROWS):
            part = batch.slice(start, SLICE_ROWS)
            x = to_matrix(part.column("embedding"))
            yield part, np.asarray(part.column("grp").to_pylist(), dtype=object), x, features(x)


def _moments_partition(
    batches: Iterable[pa.RecordBatch], features: FeatureMap, thetas: Mapping[str, Float64Array]
) -> Iterator[pa.RecordBatch]:
    sums: dict[str, Moments] = {}
    for part, group, _, phi in _slices(batches, features):
        log_q = log_prior(part)
        for name in sorted(set(group) & set(thetas)):
            mine = group == name
            found = row_moments(phi[mine], log_q[mine], thetas[name])
            sums[name] = merge([sums[name], found]) if name in sums else found
    for name, m in sorted(sums.items()):
        columns = [[name], [m.shift], [m.total], [m.squares], [m.rows], [m.features]]
        yield pa.RecordBatch.from_arrays([pa.array(c, f.type) for c, f in zip(columns, PARTIAL, strict=True)], schema=PARTIAL)


def _score(
    group: npt.NDArray[np.object_], phi: npt.NDArray[np.float32], log_q: Float64Array, solved: Mapping[str, Solved]
) -> tuple[Float64Array, Float64Array]:
    log_a = np.empty(len(group))
    for name in sorted(set(group)):
        mine = group == name
        log_a[mine] = log_weights(phi[mine], log_q[mine], solved[name].theta)
    return in_group_weights(group, log_a, log_q, solved)


def _weights_partition(batches: Iterable[pa.RecordBatch], features: FeatureMap, solved: Mapping[str, Solved]) -> Iterator[pa.RecordBatch]:
    for part, group, _, phi in _slices(batches, features):
        w, q = _score(group, phi, log_prior(part), solved)
        yield pa.RecordBatch.from_arrays(weights_batch(part, group, w, q, solved), schema=WEIGHTED)


def _draw_partition(batches: Iterable[pa.RecordBatch], features: FeatureMap, solved: Mapping[str, Solved]) -> Iterator[pa.RecordBatch]:
    for part, group, x, phi in _slices(batches, features):
        w, q = _score(group, phi, log_prior(part), solved)
        yield pa.RecordBatch.from_arrays(drawn_batch(part, x, group, w, q, solved), schema=DRAWN)
