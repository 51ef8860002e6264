"""The rows that an export writes, batch by batch: a table of the run, or synthetic rows joined with their weights."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from synalign_spark.errors import ConfigError
from synalign_spark.exports.weight_index import WeightIndex
from synalign_spark.storage import tables
from synalign_spark.storage.contracts import Column, Table, arrow_type
from synalign_spark.storage.lake_view import LakeView

BATCH_ROWS = 16_384  # of a written batch, which is a row group of Parquet
BATCH_BYTES = 2**25  # the same for long texts
FIELDS, FIELD_PREFIX = "fields", "field_"  # a map in the lake, a column a name outside
LOOKED_UP = ("weight", "weight_in_label", "base_weight", "label_confidence", "repaired_label", "capped_by")
WRITTEN = ("doc_id", "text", "label", "strategy", "model", FIELDS)


@dataclass(frozen=True)
class Exported:
    """A kind of rows that can be exported. step: the step of the run that must be done; main: the table with one row a row."""

    step: str
    main: Table
    columns: tuple[Column, ...]
    is_weighted: bool = False  # the weights are looked up in their own table


EXPORTED = {
    "augmented": Exported("resample", tables.AUGMENTED, tables.AUGMENTED.columns),
    "synthetic": Exported(
        "align",
        tables.SYNTHETIC,
        (
            *(column for column in tables.SYNTHETIC.columns if column.name in WRITTEN and column.name != FIELDS),
            *(column for column in tables.WEIGHTS.columns if column.name in LOOKED_UP),
            *(column for column in tables.SYNTHETIC.columns if column.name == FIELDS),
        ),
        is_weighted=True,
    ),
}


@dataclass
class Survey:
    """What has to be known of rows before the first is written.

    rows: number by (origin, label); fields: names of the parts of rows, in the order in which they first occur."""

    rows: Counter[tuple[str, str | None]] = field(default_factory=Counter)
    fields: dict[str, None] = field(default_factory=dict)

    @property
    def total(self) -> int:
        return self.rows.total()

    @property
    def labels(self) -> list[str | None]:
        """Distinct labels by name, null last."""
        return sorted({label for _, label in self.rows}, key=lambda label: (label is None, label or ""))

    def of(self, origin: str) -> int:
        """Rows of one origin, 'real' or 'synthetic'."""
        return sum(n for (found, _), n in self.rows.items() if found == origin)


def survey(view: LakeView, kind: Exported) -> Survey:
    """One pass over the small columns. What is kept grows with the labels and the names of fields alone."""
    found = Survey()
    origins = "origin" in kind.main.column_names
    for batch in view.batches(kind.main, ["label", FIELDS, *(["origin"] if origins else [])]):
        labels = batch["label"].to_pylist()
        found.rows.update(zip(batch["origin"].to_pylist() if origins else ["synthetic"] * len(labels), labels, strict=True))
        names = pc.unique(batch[FIELDS].cast(pa.map_(pa.string(), pa.string())).keys)
        found.fields |= dict.fromkeys(names.to_pylist())
    return found


def columns_of(kind: Exported, fields: Sequence[str], wanted: Sequence[str] | None) -> list[Column]:
    """The columns to write, in the order asked for. fields: names of the parts of rows; wanted: None for all.

    Raises ConfigError for a name that is none of them, or twice there."""
    known = [column for column in kind.columns if column.name != FIELDS]
    known += [Column(f"{FIELD_PREFIX}{name}", "string", f"the part {name!r} of the text", nullable=True) for name in fields]
    if wanted is None:
        return known
    by_name = {column.name: column for column in known}
    if unknown := [name for name in wanted if name not in by_name]:
        raise ConfigError(f"columns: {', '.join(map(repr, unknown))} is none of the table's ({', '.join(by_name)}); name one of those")
    if not wanted or len(set(wanted)) < len(wanted):
        raise ConfigError(f"columns is {list(wanted)!r}; name at least one column, and each once")
    return [by_name[name] for name in wanted]


def schema_of(columns: Sequence[Column]) -> pa.Schema:
    return pa.schema([pa.field(column.name, arrow_type(column.dtype), column.nullable) for column in columns])


def batches(view: LakeView, kind: Exported, columns: Sequence[Column]) -> Iterator[pa.RecordBatch]:
    """The rows of a run with these columns, in the order of the table's files; a few batches are in memory at once.

    Raises LakeError for a synthetic row without a weight, and what reading a lake raises."""
    schema = schema_of(columns)
    names = [name for name in schema.names if name in kind.main.column_names]
    if any(name.startswith(FIELD_PREFIX) for name in schema.names):
        names.append(FIELDS)
    if not kind.is_weighted:
        yield from _regrouped(_shaped(batch, schema) for batch in view.batches(kind.main, names))
        return
    with WeightIndex(LOOKED_UP) as weights:
        for batch in view.batches(tables.WEIGHTS, ["doc_id", *LOOKED_UP]):
            weights.add(batch)
        read = view.batches(kind.main, list(dict.fromkeys(["doc_id", *names])))
        yield from _regrouped(_shaped(batch, schema, weights.of) for batch in read)


def _shaped(batch: pa.RecordBatch, schema: pa.Schema, weights: Callable[[pa.Array], dict[str, pa.Array]] | None = None) -> pa.RecordBatch:
    """The batch in the columns and types of the export."""
    looked_up = weights(batch["doc_id"]) if weights else {}

    def column(name: str) -> pa.Array:
        if name in looked_up:
            return looked_up[name]
        if name in batch.schema.names:
            return batch[name]
        return pc.map_lookup(batch[FIELDS].cast(pa.map_(pa.string(), pa.string())), name.removeprefix(FIELD_PREFIX), "first")

    return pa.record_batch([column(f.name).cast(f.type) for f in schema], schema)


def _regrouped(read: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Batches of about one size: lakes may have many small files."""
    held: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in read:
        held.append(batch)
        rows, size = rows + len(batch), size + batch.nbytes
        if rows >= BATCH_ROWS or size >= BATCH_BYTES:
            yield pa.concat_batches(held)
            held, rows, size = [], 0, 0
    if held:
        yield pa.concat_batches(held)
