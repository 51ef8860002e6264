"""Synthetic rows that stay on the executors: one Spark job a pass (``SparkRows``)."""

from collections.abc import Iterable, Iterator, Mapping
from functools import partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from synalign_spark.alignment.runtimes.rows import (
    DRAWN,
    WEIGHTED,
    Solved,
    drawn_batch,
    in_group_weights,
    in_order,
    load,
    logs,
    weights_batch,
)
from synalign_spark.core.communicator import LocalCommunicator
from synalign_spark.core.features import FeatureMap
from synalign_spark.core.solver.moments import Moments, Pass, log_weights, merge, no_rows, row_moments
from synalign_spark.core.solver.shard import ShardRows
from synalign_spark.core.solver.solve import Answer, Problem, solve
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
DRAWN_DDL = "grp string, doc_id string, u double, u_whole double, base_weight double, weight double, embedding array<float>"


class SparkRows:
    """Rows that stay on the executors: one Spark job a pass, features made again in each. The solver's sample is in this process."""

    def __init__(self, rows: DataFrame, features: FeatureMap) -> None:
        """rows: the columns of ``sides.SYNTHETIC_SCHEMA``, persisted by the caller."""
        self._rows, self._features = rows, features
        self._sample: ShardRows | None = None

    def solve(self, problems: Mapping[str, Problem]) -> dict[str, Answer]:
        shares = {name: problem.row_share for name, problem in problems.items()}
        table = self._rows.where(F.col("u_warm") < by_group(shares)).toArrow()  # about align.warm_start_rows rows
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
        table = (
            self._rows.select("grp", "prior", "base", "embedding").mapInArrow(job, PARTIAL_DDL).toArrow()
        )  # a D-vector a partition and group
        found: dict[str, list[Moments]] = {name: [no_rows(self._features.n_features)] for name in sorted(wanted)}
        for name, shift, total, squares, rows, features in zip(*table.columns, strict=True):
            part = Moments(shift.as_py(), total.as_py(), squares.as_py(), features.values.to_numpy(), rows.as_py())
            found[name.as_py()].append(part)
        # A fixed order, whatever order the partitions come in.
        return {name: merge(sorted(held, key=lambda part: (part.shift, part.total))) for name, held in found.items()}

    def draw(self, solved: Mapping[str, Solved]) -> pa.Table:
        job = partial(_draw_partition, features=self._features, solved=dict(solved))
        return self._rows.mapInArrow(job, DRAWN_DDL).toArrow()  # about certificate_rows rows a label

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


def _score(part: pa.RecordBatch, group: npt.NDArray[np.object_], phi: npt.NDArray[np.float32], solved: Mapping[str, Solved]
           ) -> tuple[Float64Array, Float64Array]:  # fmt: skip
    log_a, log_base = np.empty(len(group)), logs(part, "base")
    for name in sorted(set(group)):
        in_group = group == name
        log_a[in_group] = log_weights(phi[in_group], log_base[in_group], solved[name].theta)
    return in_group_weights(group, log_a, logs(part, "prior"), solved)


def _weights_partition(batches: Iterable[pa.RecordBatch], features: FeatureMap, solved: Mapping[str, Solved]) -> Iterator[pa.RecordBatch]:
    for part, group, _, phi in _slices(batches, features):
        w, q = _score(part, group, phi, solved)
        yield pa.RecordBatch.from_arrays(weights_batch(part, group, w, q, solved), schema=WEIGHTED)


def _draw_partition(batches: Iterable[pa.RecordBatch], features: FeatureMap, solved: Mapping[str, Solved]) -> Iterator[pa.RecordBatch]:
    for part, group, x, phi in _slices(batches, features):
        w, q = _score(part, group, phi, solved)
        yield pa.RecordBatch.from_arrays(drawn_batch(part, x, group, w, q, solved), schema=DRAWN)
