"""Synthetic rows that stay on the executors: one Spark job a pass (``SparkRows``)."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import from_arrow_schema

from synalign_spark.alignment.runtimes.rows import (
    DRAWN,
    WEIGHTED,
    InGroup,
    Solved,
    drawn_batch,
    in_group_weights,
    in_order,
    load,
    logs,
    weights_batch,
)
from synalign_spark.compat import to_arrow
from synalign_spark.core.communicator import LocalCommunicator
from synalign_spark.core.features import FeatureMap
from synalign_spark.core.solver.moments import Moments, Pass, log_weights, merge, no_rows, row_moments
from synalign_spark.core.solver.shard import ShardRows
from synalign_spark.core.solver.solve import Answer, Problem, solve
from synalign_spark.core.weight_caps import CapSums, from_sums
from synalign_spark.spark.groups import by_group
from synalign_spark.storage.tables import WEIGHTS
from synalign_spark.udfs.arrow import to_matrix

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
CAPS = pa.schema(
    [("grp", pa.string()), ("free", pa.float64()), ("held", pa.float64()), ("cut", pa.int64()), ("largest", pa.float64()),
     ("largest_base", pa.float64()), ("rows", pa.int64())]
)  # fmt: skip
FINAL = pa.schema(
    [("grp", pa.string()), ("total", pa.float64()), ("squares", pa.float64()), ("largest", pa.float64()), ("rows", pa.int64()),
     ("features", pa.list_(pa.float64()))]
)  # fmt: skip
DRAWN_DDL = "grp string, doc_id string, u double, u_whole double, base_weight double, weight double, embedding array<float>"


class SparkRows:
    """Rows that stay on the executors: one Spark job a pass, features made again in each. The solver's sample is in this process."""

    def __init__(self, rows: DataFrame, features: FeatureMap) -> None:
        """rows: the columns of ``sides.SYNTHETIC_SCHEMA``, persisted by the caller."""
        self._rows, self._features = rows, features
        self._sample: ShardRows | None = None

    def solve(self, problems: Mapping[str, Problem]) -> dict[str, Answer]:
        shares = {name: problem.row_share for name, problem in problems.items()}
        table = to_arrow(self._rows.where(F.col("u_warm") < by_group(shares)))  # about align.warm_start_rows rows
        sample = load(*in_order(table), self._features, "float32")
        self._sample = ShardRows(sample, sample, LocalCommunicator())
        return solve(problems, self._evaluate)

    def _evaluate(self, wanted: Mapping[str, Pass]) -> dict[str, Moments]:
        on_sample = {name: asked for name, asked in wanted.items() if not asked.everywhere or asked.second}
        over_all = {name: asked for name, asked in wanted.items() if name not in on_sample}
        found = dict(self._sample.evaluate(on_sample)) if on_sample and self._sample else {}
        return found | self._job(over_all) if over_all else found

    def _job(self, wanted: Mapping[str, Pass]) -> dict[str, Moments]:
        job = partial(_moments_partition, features=self._features, wanted=dict(wanted))
        table = to_arrow(
            self._rows.select("grp", "prior", "base", "embedding").mapInArrow(job, PARTIAL_DDL)
        )  # a D-vector a partition and group
        found: dict[str, list[Moments]] = {name: [no_rows(self._features.n_features)] for name in sorted(wanted)}
        for name, shift, total, squares, rows, features in zip(*table.columns, strict=True):
            part = Moments(shift.as_py(), total.as_py(), squares.as_py(), features.values.to_numpy(), rows.as_py())
            found[name.as_py()].append(part)
        # A fixed order, whatever order the partitions come in.
        return {name: merge(sorted(held, key=lambda part: (part.shift, part.total))) for name, held in found.items()}

    def cap_sums(self, solved: Mapping[str, Solved]) -> dict[str, CapSums]:
        job = partial(_cap_partition, features=self._features, solved=dict(solved))
        table = to_arrow(self._rows.mapInArrow(job, from_arrow_schema(CAPS)))  # a row a partition and group
        found: dict[str, list[CapSums]] = {}
        for row in table.to_pylist():
            found.setdefault(row.pop("grp"), []).append(CapSums(**row))
        return {name: CapSums.joined(parts) for name, parts in found.items()}

    def moments(self, solved: Mapping[str, Solved]) -> dict[str, Moments]:
        job = partial(_final_partition, features=self._features, solved=dict(solved))
        table = to_arrow(self._rows.mapInArrow(job, from_arrow_schema(FINAL)))  # a D-vector a partition and group
        parts: dict[str, list[Final]] = {}
        for name, total, squares, largest, rows, features in zip(*table.columns, strict=True):
            part = Final(total.as_py(), squares.as_py(), largest.as_py(), rows.as_py(), features.values.to_numpy())
            parts.setdefault(name.as_py(), []).append(part)
        return {name: Final.joined(held).moments(solved[name].log_partition) for name, held in parts.items()}

    def draw(self, solved: Mapping[str, Solved]) -> pa.Table:
        job = partial(_draw_partition, features=self._features, solved=dict(solved))
        return to_arrow(self._rows.mapInArrow(job, DRAWN_DDL))  # about certificate_rows rows a label

    def weights(self, solved: Mapping[str, Solved]) -> DataFrame:
        return self._rows.mapInArrow(partial(_weights_partition, features=self._features, solved=dict(solved)), WEIGHTS.ddl)

    def close(self) -> None:
        self._sample = None


def _slices(
    batches: Iterable[pa.RecordBatch], features: FeatureMap
) -> Iterator[tuple[pa.RecordBatch, npt.NDArray[np.object_], npt.NDArray[np.float32], npt.NDArray[np.float32]]]:
    """Slices of the batches with their groups (n,), embeddings (n, d) and features (n, D)."""
    for batch in batches:
        for start in range(0, batch.num_rows, SLICE_ROWS):
            part = batch.slice(start, SLICE_ROWS)
            x = to_matrix(part.column("embedding"))
            yield part, np.asarray(part.column("grp").to_pylist(), dtype=object), x, features(x)


def _moments_partition(batches: Iterable[pa.RecordBatch], features: FeatureMap, wanted: Mapping[str, Pass]) -> Iterator[pa.RecordBatch]:
    sums: dict[str, Moments] = {}
    for part, group, _, phi in _slices(batches, features):
        log_q = {prior: logs(part, "prior" if prior else "base") for prior in {asked.prior for asked in wanted.values()}}
        for name in sorted(set(group) & set(wanted)):
            in_group, asked = group == name, wanted[name]
            found = row_moments(phi[in_group], log_q[asked.prior][in_group], asked.theta)
            sums[name] = merge([sums[name], found]) if name in sums else found
    for name, m in sorted(sums.items()):
        columns = [[name], [m.shift], [m.total], [m.squares], [m.rows], [m.features]]
        yield pa.RecordBatch.from_arrays([pa.array(c, f.type) for c, f in zip(columns, PARTIAL, strict=True)], schema=PARTIAL)


@dataclass(frozen=True)
class Final:
    """Sums over rows of final weights: of w and w^2, the largest w, the rows that have any, and of w phi, (D,)."""

    total: float
    squares: float
    largest: float
    rows: int
    features: Float64Array

    @classmethod
    def joined(cls, parts: list["Final"]) -> "Final":
        """Of disjoint sets of rows, in a fixed order, whatever order the partitions come in."""
        held = sorted(parts, key=lambda part: (part.total, part.squares, part.rows))
        total, squares, rows = (sum(getattr(part, name) for part in held) for name in ("total", "squares", "rows"))
        return cls(total, squares, max(part.largest for part in held), rows, np.sum([part.features for part in held], axis=0))

    def moments(self, log_partition: float) -> Moments:
        """As the certificate reads them."""
        return from_sums(self.total, self.squares, self.largest, self.features, self.rows, log_partition)


def _cap_partition(batches: Iterable[pa.RecordBatch], features: FeatureMap, solved: Mapping[str, Solved]) -> Iterator[pa.RecordBatch]:
    sums: dict[str, list[CapSums]] = {}
    for part, group, _, phi in _slices(batches, features):
        for name, found in _score(part, group, phi, solved).cap_sums().items():
            sums.setdefault(name, []).append(found)
    rows = [{"grp": name, **vars(CapSums.joined(parts))} for name, parts in sorted(sums.items())]
    yield from pa.Table.from_pylist(rows, schema=CAPS).to_batches()


def _final_partition(batches: Iterable[pa.RecordBatch], features: FeatureMap, solved: Mapping[str, Solved]) -> Iterator[pa.RecordBatch]:
    sums: dict[str, list[Final]] = {}
    for part, group, _, phi in _slices(batches, features):
        rows = _score(part, group, phi, solved)
        for name in rows.names:
            w, of_group = rows.final[group == name], phi[group == name].astype(np.float64)
            found = Final(float(w.sum()), float(w @ w), float(w.max(initial=0.0)), int((w > 0).sum()), w @ of_group)
            sums[name] = [Final.joined([*sums.get(name, []), found])]
    listed = [{"grp": name, **vars(parts[0])} for name, parts in sorted(sums.items())]
    yield from pa.Table.from_pylist(listed, schema=FINAL).to_batches()


def _score(part: pa.RecordBatch, group: npt.NDArray[np.object_], phi: npt.NDArray[np.float32], solved: Mapping[str, Solved]) -> InGroup:
    log_a, log_base = np.empty(len(group)), logs(part, "base")
    for name in sorted(set(group)):
        in_group = group == name
        log_a[in_group] = log_weights(phi[in_group], log_base[in_group], solved[name].theta)
    return in_group_weights(part, group, log_a, solved)


def _weights_partition(batches: Iterable[pa.RecordBatch], features: FeatureMap, solved: Mapping[str, Solved]) -> Iterator[pa.RecordBatch]:
    for part, group, _, phi in _slices(batches, features):
        yield pa.RecordBatch.from_arrays(weights_batch(part, _score(part, group, phi, solved), solved), schema=WEIGHTED)


def _draw_partition(batches: Iterable[pa.RecordBatch], features: FeatureMap, solved: Mapping[str, Solved]) -> Iterator[pa.RecordBatch]:
    for part, group, x, phi in _slices(batches, features):
        yield pa.RecordBatch.from_arrays(drawn_batch(part, x, _score(part, group, phi, solved), solved), schema=DRAWN)
