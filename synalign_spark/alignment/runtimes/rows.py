"""The synthetic rows as the solver sees them: what the three runtimes have in common. All give the same numbers to rounding."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from synalign_spark.core.features import FeatureMap
from synalign_spark.core.solver.device_shard import DeviceShard, row_builder
from synalign_spark.core.solver.moments import Moments
from synalign_spark.core.solver.row_shard import RowBuilder, RowShard
from synalign_spark.core.solver.shard import usable_threads
from synalign_spark.core.solver.solve import Answer, Problem
from synalign_spark.core.weight_caps import NO_CAP, CapSums, WeightCap, cut
from synalign_spark.storage.tables import WEIGHTS
from synalign_spark.udfs.arrow import from_matrix, to_matrix

Float64Array = npt.NDArray[np.float64]

WEIGHTED = WEIGHTS.arrow
DRAWN = pa.schema(
    [
        ("grp", pa.string()),
        ("doc_id", pa.string()),
        ("u", pa.float64()),
        ("u_whole", pa.float64()),
        ("base_weight", pa.float64()),
        ("weight", pa.float64()),
        ("embedding", pa.list_(pa.float32())),
    ]
)


@dataclass(frozen=True)
class Solved:
    """What turns a row of a group into its weight. share: of the group among the labels; draws: rows of the certificate's sample of it, about;
    cap: what rows that must not gain weight leave to the others."""

    theta: Float64Array
    log_partition: float
    log_total: float
    share: float
    draws: float = 0.0
    cap: WeightCap = NO_CAP


class Rows(Protocol):
    """The synthetic rows of a run, wherever they are."""

    def solve(self, problems: Mapping[str, Problem]) -> dict[str, Answer]:
        """Aligns every label."""
        ...

    def cap_sums(self, solved: Mapping[str, Solved]) -> dict[str, CapSums]:
        """What rows that must not gain weight would leave to the others, by group."""
        ...

    def moments(self, solved: Mapping[str, Solved]) -> dict[str, Moments]:
        """Moments of the final weights of each group."""
        ...

    def draw(self, solved: Mapping[str, Solved]) -> pa.Table:
        """About ``draws`` rows a group, each once, by the mean of the weights that they came with and of their weights: see DRAWN for the columns."""
        ...

    def weights(self, solved: Mapping[str, Solved]) -> Any:
        """The weights, columns of WEIGHTED: an Arrow table, or a DataFrame where the rows lie on executors."""
        ...

    def close(self) -> None:
        """Gives back what the rows hold; the weights table stays."""
        ...


def logs(batch: pa.Table | pa.RecordBatch, name: str) -> Float64Array:
    """(n,) logs of a column of weights, minus infinity for 0."""
    with np.errstate(divide="ignore"):
        found: Float64Array = np.log(batch.column(name).to_numpy(zero_copy_only=False).astype(np.float64))
    return found


@dataclass(frozen=True)
class InGroup:
    """Weights of rows within their group, all (n,). solved: as the solver left them; base: those that the rows came with; outlier: whether
    a row must not gain weight; final: after the caps."""

    group: npt.NDArray[np.object_]
    solved: Float64Array
    base: Float64Array
    outlier: npt.NDArray[np.bool_]
    final: Float64Array

    @property
    def names(self) -> list[str]:
        """The groups that have rows here, sorted."""
        return sorted(set(self.group))

    @property
    def cut(self) -> npt.NDArray[np.bool_]:
        """Rows that a cap lowers."""
        return cut(self.solved, self.base, self.outlier)

    def cap_sums(self) -> dict[str, CapSums]:
        """By group."""
        masks = ((name, self.group == name) for name in self.names)
        return {name: CapSums.of(self.solved[rows], self.base[rows], self.outlier[rows]) for name, rows in masks}


def in_group_weights(
    batch: pa.Table | pa.RecordBatch, group: npt.NDArray[np.object_], log_a: Float64Array, solved: Mapping[str, Solved]
) -> InGroup:
    """Weights and base weights within the group. batch: with columns prior and outlier; group: (n,); log_a: (n,) log q_i + theta . phi_i."""
    log_b, outlier = logs(batch, "prior"), np.asarray(batch.column("outlier").is_valid())
    w, b, final = np.zeros(len(group)), np.zeros(len(group)), np.zeros(len(group))
    for name in sorted(set(group)):
        rows = group == name
        w[rows] = np.exp(log_a[rows] - solved[name].log_partition)
        b[rows] = np.exp(log_b[rows] - solved[name].log_total)
        final[rows] = solved[name].cap.apply(w[rows], b[rows], outlier[rows])
    return InGroup(group, w, b, outlier, final)


def weights_batch(batch: pa.Table | pa.RecordBatch, rows: InGroup, solved: Mapping[str, Solved]) -> list[pa.Array]:
    """Columns of WEIGHTED; ``weight`` is the weight in the group times the group's share."""
    share = np.array([solved[name].share for name in rows.group], dtype=np.float64)
    base_measure = [batch.column(name) for name in ("label_confidence", "repaired_label", "log_density_ratio", "log_embedding_ratio")]
    why = [reason if cut_off else None for reason, cut_off in zip(batch.column("outlier").to_pylist(), rows.cut.tolist(), strict=True)]
    weights = [pa.array(values) for values in (rows.final * share, rows.final, rows.base)]
    return [batch.column("doc_id"), batch.column("label"), *weights, *base_measure, pa.array(why, pa.string())]


def drawn_batch(
    batch: pa.Table | pa.RecordBatch, x: npt.NDArray[np.float32], rows: InGroup, solved: Mapping[str, Solved]
) -> list[pa.Array]:
    """Columns of DRAWN: a row is there with the probability draws * (final weight + base weight) / 2, or 1; every row decides alone, by its
    own number."""
    u = batch.column("u").to_numpy(zero_copy_only=False)
    draws = np.array([solved[name].draws for name in rows.group], dtype=np.float64)
    kept = np.flatnonzero(u < draws * (rows.final + rows.base) / 2.0)
    names = [batch.column(name).take(pa.array(kept)) for name in ("grp", "doc_id", "u", "u_whole")]
    return [*names, pa.array(rows.base[kept]), pa.array(rows.final[kept]), from_matrix(x[kept])]


def in_order(table: pa.Table) -> tuple[pa.Table, npt.NDArray[np.object_], npt.NDArray[np.float32]]:
    """Rows by (group, doc_id): the table without embeddings, groups (n,), embeddings (n, d)."""
    groups, ids = (np.asarray(table.column(name).to_pylist(), dtype=object) for name in ("grp", "doc_id"))
    order = np.lexsort((ids, groups))
    return table.drop_columns(["embedding"]).take(pa.array(order)), groups[order], to_matrix(table.column("embedding"))[order]


def load(table: pa.Table | pa.RecordBatch, group: npt.NDArray[np.object_], x: npt.NDArray[np.float32], features: FeatureMap, storage: str,
         device: str | None = None) -> RowShard:  # fmt: skip
    """The rows as a shard of this process. table: with columns base and prior; group: (n,); x: (n, d); device: as of ``row_builder``."""
    builder = row_builder(features, storage, device, usable_threads())
    add_rows(builder, table, group, x)
    return builder.shard()


def add_rows(builder: RowBuilder, table: pa.Table | pa.RecordBatch, group: npt.NDArray[np.object_], x: npt.NDArray[np.float32]) -> None:
    """Adds rows to a shard under construction; arguments as of ``load``."""
    log_base, log_prior = logs(table, "base"), logs(table, "prior")
    for name in sorted(set(group)):
        in_group = np.flatnonzero(group == name)
        builder.add(name, x[in_group], log_base[in_group], log_prior[in_group])


def release(*shards: RowShard) -> None:
    """Frees a GPU's memory at once; that of the process goes with the objects."""
    for shard in shards:
        if isinstance(shard, DeviceShard):
            shard.release()
