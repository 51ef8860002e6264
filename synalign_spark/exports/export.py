"""A finished run -> a folder: rows in a format that other tools read, the card, and a record of what was written."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import pyarrow as pa

from synalign_spark import __version__
from synalign_spark.errors import ConfigError, DataError, LakeError
from synalign_spark.exports import card, facts
from synalign_spark.exports.folder import new_folder, place_of
from synalign_spark.exports.formats import FORMATS, class_names
from synalign_spark.exports.rows import EXPORTED, Exported, batches, columns_of, schema_of, survey
from synalign_spark.pipeline.steps import left_to_run
from synalign_spark.storage.lake_view import LakeView


@dataclass(frozen=True)
class Export:
    """What an export wrote. folder: its path; rows: number of them; files: name within the folder to bytes."""

    folder: Path
    table: str
    format: str
    rows: int
    files: dict[str, int]

    def __str__(self) -> str:
        return f"{self.rows:,} rows of {self.table} as {self.format} in {self.folder} ({', '.join(self.files)})"


@dataclass
class _Size:
    """Bytes and rows that passed by."""

    num_bytes: int = 0
    rows: int = 0

    def of(self, read: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in read:
            self.num_bytes += batch.nbytes
            self.rows += len(batch)
            yield batch


def export(view: LakeView, out: str | PathLike[str], *, format: str, table: str, columns: Sequence[str] | None, overwrite: bool) -> Export:
    """Writes the rows of a run into a new folder, whole or not at all. Memory does not grow with the rows.

    Raises ConfigError for an unknown format, table or column and for a folder that cannot be taken, DataError for a run that is not
    finished and for a folder that cannot be written, LakeError for a lake that cannot be read or changes meanwhile."""
    kind, written_as = _known("table", table, EXPORTED), _known("format", format, FORMATS)
    folder = place_of(out, overwrite)
    left, produced = _require_finished(view, kind)
    rows = survey(view, kind)
    if not rows.total:
        raise DataError(f"table {table!r} of run.id {view.run_id!r} has no rows; there is nothing to export")
    chosen = columns_of(kind, list(rows.fields), columns)
    schema, classes = schema_of(chosen), class_names(rows.labels) if written_as.has_classes else None
    told = facts.gather(view, rows, left)
    record: dict[str, Any] = {
        "run_id": view.run_id, "table": table, "format": format, "rows": rows.total, "columns": schema.names, "release": __version__,
    }  # fmt: skip
    with new_folder(folder, record, overwrite) as hidden:
        size = _Size()
        written_as.write(size.of(batches(view, kind, chosen)), schema, hidden, table, classes)
        if size.rows != rows.total or _produced(view, kind) != produced:
            raise LakeError(f"run.id {view.run_id!r} was run again while its rows were read; export it once it is done")
        download = sum(path.stat().st_size for path in hidden.rglob("*") if path.is_file())
        sizes = {"num_bytes": size.num_bytes, "download_size": download}
        (hidden / card.NAME).write_text(card.render(told, table, format, written_as, chosen, sizes), encoding="utf-8")
    return Export(folder, table, format, rows.total, record["files"])


def _known(option: str, name: str, known: dict[str, Any]) -> Any:
    if name not in known:
        raise ConfigError(f"{option} is {name!r}; it is one of {', '.join(known)}")
    return known[name]


def _require_finished(view: LakeView, kind: Exported) -> tuple[list[str], str | None]:
    """The steps that are left of the run, none of which the rows need, and the state of the rows. Raises DataError where one is needed."""
    left = left_to_run(view.manifest())
    if kind.step in left:
        raise DataError(
            f"run.id {view.run_id!r} in lake.path {view.path!r} is not finished: {', '.join(left)} are left to run; start `synalign run` first"
        )
    return left, _produced(view, kind)


def _produced(view: LakeView, kind: Exported) -> str | None:
    found: str | None = view.manifest().get(kind.step, {}).get("produced")
    return found
