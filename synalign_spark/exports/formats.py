"""The formats of an export: each writes batches of rows into a folder, one after another."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import csv

from synalign_spark.exports.csv_guard import guarded

SHARD_BYTES = 2**28  # of a Parquet file before it is compressed; readers take files side by side
MOST_CLASSES = 1_000  # more labels than that stay texts: readers and the Hub show classes as a list
DATA = "data"  # folder of Parquet files: readers of folders take every file for one of theirs
Rows = Iterable[pa.RecordBatch]


@dataclass(frozen=True)
class Format:
    """A format by what it is for. pattern: the files within the folder, with {name} for the table's; write: (rows, schema, folder, name,
    class names); has_classes: labels become numbers with names."""

    pattern: str
    about: str
    write: Callable[[Rows, pa.Schema, Path, str, Sequence[str] | None], None]
    has_classes: bool = False


def class_names(labels: Sequence[str | None]) -> list[str] | None:
    """The names of the classes, whose places are their numbers; None where labels stay texts. labels: distinct, by name."""
    names = [label for label in labels if label is not None]
    return names if 0 < len(names) <= MOST_CLASSES else None


def features(schema: pa.Schema, classes: Sequence[str] | None) -> dict[str, dict[str, Any]]:
    """The columns in the terms of the library ``datasets``, as its files of Parquet carry them.

    >>> features(pa.schema([("n", pa.int32()), ("label", pa.string())]), ["no", "yes"])
    {'n': {'dtype': 'int32', '_type': 'Value'}, 'label': {'names': ['no', 'yes'], '_type': 'ClassLabel'}}
    """
    found: dict[str, dict[str, Any]] = {}
    for column in schema:
        dtype = "float64" if column.type == pa.float64() else str(column.type)
        is_class = classes is not None and column.name == "label"
        found[column.name] = {"names": list(classes or ()), "_type": "ClassLabel"} if is_class else {"dtype": dtype, "_type": "Value"}
    return found


def _datasets(rows: Rows, schema: pa.Schema, folder: Path, name: str, classes: Sequence[str] | None) -> None:
    told = {"huggingface": json.dumps({"info": {"features": features(schema, classes)}}, ensure_ascii=False)}
    place = schema.get_field_index("label") if classes is not None else -1
    coded = schema if place < 0 else schema.set(place, pa.field("label", pa.int64(), schema.field(place).nullable))
    coded = coded.with_metadata(told)

    def in_classes(batch: pa.RecordBatch) -> pa.RecordBatch:
        columns = batch.columns
        if place >= 0:
            columns[place] = pc.index_in(columns[place], pa.array(classes, pa.string())).cast(pa.int64())
        return pa.record_batch(columns, coded)

    _shards(map(in_classes, rows), coded, folder / DATA, "train")


def _parquet(rows: Rows, schema: pa.Schema, folder: Path, name: str, classes: Sequence[str] | None) -> None:
    _shards(rows, schema, folder / DATA, name)


def _shards(rows: Rows, schema: pa.Schema, folder: Path, name: str) -> None:
    """Files ``name-00000-of-00003.parquet`` of about one size; how many there are is known at the end, so they get their names then."""
    folder.mkdir()
    written: list[Path] = []
    writer: pq.ParquetWriter | None = None
    size = 0
    try:
        for batch in rows:
            if writer is None or size >= SHARD_BYTES:
                if writer is not None:
                    writer.close()
                written.append(folder / f"{name}-{len(written):05d}.part")
                writer, size = pq.ParquetWriter(written[-1], schema, compression="zstd"), 0
            writer.write_batch(batch)
            size += batch.nbytes
    finally:
        if writer is not None:
            writer.close()
    for i, path in enumerate(written):
        path.rename(folder / f"{name}-{i:05d}-of-{len(written):05d}.parquet")


def _csv(rows: Rows, schema: pa.Schema, folder: Path, name: str, classes: Sequence[str] | None) -> None:
    texts = [i for i, column in enumerate(schema) if column.type == pa.string()]
    with csv.CSVWriter(folder / f"{name}.csv", schema) as writer:
        for batch in rows:
            columns = batch.columns
            for i in texts:
                columns[i] = guarded(columns[i])
            writer.write_batch(pa.record_batch(columns, schema))


def _jsonl(rows: Rows, schema: pa.Schema, folder: Path, name: str, classes: Sequence[str] | None) -> None:
    with open(folder / f"{name}.jsonl", "w", encoding="utf-8", newline="\n") as file:
        for batch in rows:
            for row in batch.to_pylist():
                # Some readers end a line at these two, which JSON may hold as they are.
                line = (
                    json.dumps(row, ensure_ascii=False).replace("\u2028", "\\u2028").replace("\u2029", "\\u2029").replace("\x85", "\\u0085")
                )
                file.write(line + "\n")


FORMATS = {
    "datasets": Format(f"{DATA}/train-*.parquet", "Hugging Face datasets: Parquet, labels as classes", _datasets, has_classes=True),
    "parquet": Format(f"{DATA}/{{name}}-*.parquet", "Parquet, labels as texts", _parquet),
    "csv": Format("{name}.csv", "one CSV file; cells that a spreadsheet would take for a formula begin with a quote", _csv),
    "jsonl": Format("{name}.jsonl", "one file with a JSON object a line", _jsonl),
}
