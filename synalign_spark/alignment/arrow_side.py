"""Rows of one side in an Arrow table of this process: neither Spark nor a JVM is needed."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from synalign_spark.alignment.sides import REAL_NUMBERS, REAL_SCHEMA, SYNTHETIC_NUMBERS, SYNTHETIC_SCHEMA, Draw, Job
from synalign_spark.core.groups import ALL, group_of
from synalign_spark.core.holdout import deciding_ids, splits
from synalign_spark.core.keys import unit
from synalign_spark.core.weights import power_of_two_scale
from synalign_spark.udfs.arrow import from_matrix


class ArrowSide:
    """See ``sides.Side``. Rows are kept by rising doc_id."""

    def __init__(self, table: pa.Table, texts: pa.Array | None) -> None:
        """table: the columns of the side; texts: of its rows, or None."""
        self._table, self._texts = table, texts

    @property
    def has_texts(self) -> bool:
        return self._texts is not None

    @property
    def width(self) -> int:
        """Of the vectors; 0 without rows."""
        return len(self._table.column("embedding")[0]) if self._table.num_rows else 0

    def scan(self, job: Job, schema: pa.Schema, columns: Sequence[str]) -> pa.Table:
        return pa.Table.from_batches(job(self._table.select(list(columns)).to_batches()), schema=schema)

    def sample(self, draws: Mapping[str, Draw], columns: Sequence[str]) -> pa.Table:
        taken = {name: self._taken(draw) for name, draw in draws.items()}
        kept = pa.array(np.flatnonzero(np.any(list(taken.values()), axis=0)))
        found = self._table.select([name for name in columns if name != "text"]).take(kept)
        if self._texts is not None and "text" in columns:
            found = found.append_column("text", self._texts.take(kept))
        for name, mask in taken.items():
            found = found.append_column(name, pa.array(mask).take(kept))
        return found

    def _taken(self, draw: Draw) -> npt.NDArray[np.bool_]:
        groups = self._table.column("grp").to_pylist()
        taken: npt.NDArray[np.bool_] = self._numbers(draw.column) < np.array([draw.rates.get(group, 0.0) for group in groups])
        if draw.splits:
            taken &= np.isin(np.asarray(self._table.column("split").to_pylist(), dtype=object), draw.splits)
        return taken & (self._numbers("prior") > 0) if draw.weighted else taken

    def _numbers(self, column: str) -> npt.NDArray[np.float64]:
        found: npt.NDArray[np.float64] = self._table.column(column).to_numpy()
        return found

    def rebased(self, job: Job, with_texts: bool) -> "ArrowSide":
        rows = self._table.append_column("text", self._texts) if with_texts and self._texts is not None else self._table
        return ArrowSide(pa.Table.from_batches(job(rows.to_batches()), schema=self._table.schema), self._texts)

    def table(self) -> pa.Table:
        return self._table


def real_side(doc_ids: Sequence[str], labels: Sequence[str | None], texts: pa.Array | None, prior: npt.NDArray[np.float64],
              embeddings: npt.NDArray[np.float32], per_label: bool, seed: int, *, holdout: float, validation: float, ids_given: bool = False,
) -> ArrowSide:  # fmt: skip
    """Real rows. doc_ids, labels: (n,); texts: (n,) or None; prior: (n,) weights, of which only the ratios count; embeddings: (n, d);
    per_label: whether each label is a group; holdout, validation: shares of the rows; ids_given: whether the doc_ids are the caller's."""
    prior = prior * power_of_two_scale(float(prior.max(initial=0.0)))
    numbers = {name: unit(seed, purpose, doc_ids) for name, purpose in REAL_NUMBERS.items()}
    deciding = deciding_ids(doc_ids, None if texts is None else texts.to_pylist(), ids_given)
    columns = {"split": splits(seed, deciding, holdout, validation), "prior": prior, **numbers}
    return _side(REAL_SCHEMA, doc_ids, labels, texts, embeddings, per_label, columns)


def synthetic_side(doc_ids: Sequence[str], labels: Sequence[str | None], texts: pa.Array | None, prior: npt.NDArray[np.float64],
                   embeddings: npt.NDArray[np.float32], per_label: bool, seed: int) -> ArrowSide:  # fmt: skip
    """Synthetic rows; arguments as of ``real_side``."""
    prior = prior * power_of_two_scale(float(prior.max(initial=0.0)))
    numbers = {name: unit(seed, purpose, doc_ids) for name, purpose in SYNTHETIC_NUMBERS.items()}
    columns = {"prior": prior, "base": prior, "half": numbers.pop("u_half") < 0.5, **numbers}
    return _side(SYNTHETIC_SCHEMA, doc_ids, labels, texts, embeddings, per_label, columns)


def _side(schema: pa.Schema, doc_ids: Sequence[str], labels: Sequence[str | None], texts: pa.Array | None,
          embeddings: npt.NDArray[np.float32], per_label: bool, columns: Mapping[str, npt.NDArray[np.generic]]) -> ArrowSide:  # fmt: skip
    order = np.argsort(np.asarray(doc_ids, dtype=object), kind="stable")
    groups = [group_of(label) if per_label else ALL for label in labels]
    given = {name: pa.array(values[order]) for name, values in columns.items()}
    for name, values in (("doc_id", doc_ids), ("label", labels), ("grp", groups)):
        given[name] = pa.array([values[i] for i in order], pa.string())
    given["embedding"] = from_matrix(np.ascontiguousarray(embeddings[order], dtype=np.float32))
    arrays = [given[field.name].cast(field.type) if field.name in given else pa.nulls(len(order), field.type) for field in schema]
    return ArrowSide(pa.Table.from_arrays(arrays, schema=schema), None if texts is None else texts.take(pa.array(order)))
