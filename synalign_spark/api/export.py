"""``export``: the rows of a finished run for other tools; the command line is its first caller."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synalign_spark.api.run import Run
from synalign_spark.config import Config
from synalign_spark.config.files import configured
from synalign_spark.storage.lake_view import LakeView

if TYPE_CHECKING:
    from synalign_spark.exports.export import Export


def export(
    run: Run | str | Path | Sequence[str | Path] | Mapping[str, Any] | Config,
    out: str | PathLike[str],
    *,
    format: str = "datasets",
    table: str = "augmented",
    columns: Sequence[str] | None = None,
    overwrite: bool = False,
) -> Export:
    """Writes the rows of a finished run, with a dataset card (README.md), into a new folder, whole or not at all. Starts no JVM.

    run: what ``sa.run`` returned, or a configuration as it takes one. out: a folder of this machine that is not there or is empty.
    format: 'datasets' (Parquet that ``datasets.load_dataset(out)`` reads, labels as classes), 'parquet', 'csv' or 'jsonl'.
    table: 'augmented' (real and drawn synthetic rows, to train on) or 'synthetic' (the accepted synthetic rows with their weights).
    columns: names of those to write, in this order; None for all. overwrite: replace an earlier export in ``out``.

    A few thousand rows are in memory at once. Returns what was written (folder, rows, files with their bytes). Raises ConfigError for
    an unknown format, table or column and for a folder that holds something, DataError for a run that is not finished or a folder that
    cannot be written, LakeError for a lake that cannot be read.

    >>> import tempfile
    >>> config = {"source": {"path": "reviews.csv"}, "lake": {"path": tempfile.mkdtemp()}}
    >>> export(config, "rows", format="excel")
    Traceback (most recent call last):
        ...
    synalign_spark.errors.LakeError: run.id: 'default' is not in lake.path ...
    """
    from synalign_spark.exports.export import export as write

    cfg = run.cfg if isinstance(run, Run) else configured(run, [])
    view = LakeView(cfg.lake.path, cfg.lake.format, cfg.run.id)
    return write(view, out, format=format, table=table, columns=columns, overwrite=overwrite)
