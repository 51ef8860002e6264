"""``evaluate``: how good synthetic rows are, as they are and by their weights, beside held-out real rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from synalign_spark.api.alignment import Frame
from synalign_spark.api.clear_errors import clear_errors
from synalign_spark.api.columns import AlignColumns
from synalign_spark.api.frames import check_holdout, check_seed, encoded, frame_kind, one_kind
from synalign_spark.api.options import configuration
from synalign_spark.compat import to_arrow
from synalign_spark.core.defaults import HOLDOUT
from synalign_spark.core.keys import unit
from synalign_spark.errors import ConfigError, DataError
from synalign_spark.evaluation.result import Evaluation
from synalign_spark.evaluation.rows import Rows
from synalign_spark.evaluation.split import FEWEST_REAL, MOST_ROWS, SAMPLE, evaluated

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from synalign_spark.config import EmbedConfig


def evaluate(
    real: Frame,
    synthetic: Frame,
    weights: str | None = None,
    *,
    text: str | None = "text",
    label: str | None = None,
    embedding: str | None = None,
    id: str | None = None,
    holdout: float = HOLDOUT,
    max_rows: int = MOST_ROWS,
    seed: int = 0,
    **options: Any,
) -> Evaluation:
    """Fidelity, diversity, copying and utility of synthetic rows, each with an interval: of the rows each counted once, by their weights,
    and of real rows in their place, which is what the best rows would score.

    Rows are compared with real ones that are held out, by the rule of ``align``, ``select`` and ``generate`` for the same rows and seed:
    nothing that these made has seen them. Distances (MMD^2, energy distance), precision and recall (Kynkaanniemi et al. 2019), density and
    coverage (Naeem et al. 2020), lengths and labels; distinct-n, self-BLEU, Vendi score (Friedman & Dieng 2023); cosine and runs of words shared
    with the nearest real row; accuracy and macro F1 of two linear models trained on the rows, alone and beside real ones.

    real, synthetic: pandas or Spark DataFrames, both of one kind; of more than ``max_rows`` rows a side a sample by hash of the ids is
    taken. weights: column of the synthetic frame with weights >= 0, such as 'weight' of ``align(...).weights``; None counts each row once.
    text, label, embedding, id: column names, as for ``align``. holdout: share of the real rows that are held out. options: of the
    configuration's section ``embed``.

    Raises ConfigError for an unknown option or one out of its limits, DataError for rows that cannot be used, and for fewer than 20 real rows
    on either side of the split.

    >>> import numpy as np, pandas as pd
    >>> rng = np.random.default_rng(0)
    >>> real, synthetic = (pd.DataFrame({"vec": list(rng.normal(at, 1.0, (300, 3)))}) for at in (0.0, 1.0))
    >>> synthetic["weight"] = np.exp(-np.stack(synthetic["vec"]).sum(axis=1))  # real over synthetic density
    >>> found = evaluate(real, synthetic, "weight", embedding="vec", text=None)
    >>> bool(found["mmd2", "weighted"].value < found["mmd2", "uniform"].value / 2)
    True
    >>> bool(found["coverage", "uniform"].value < found["coverage", "real"].value)
    True"""
    check_seed(seed)
    check_holdout(holdout)
    if not holdout:
        raise ConfigError("holdout: must be above 0, for rows are compared with real ones that are held out; leave it out for 0.2")
    if isinstance(max_rows, bool) or not isinstance(max_rows, int) or max_rows < 5 * FEWEST_REAL:
        raise ConfigError(f"max_rows: must be a whole number of at least {5 * FEWEST_REAL}, got {max_rows!r}")
    cfg = configuration(options, ("embed",), "evaluate").embed
    one_kind(real, synthetic)
    if weights is not None and weights not in list(synthetic.columns):
        raise DataError(f"weights={weights!r}: the synthetic frame has no such column; it has {', '.join(map(str, synthetic.columns))}")
    columns = AlignColumns.of(real.columns, synthetic.columns, text=text, label=label, embedding=embedding, weight=weights, id=id)
    with clear_errors():
        (ids, first), (_, second) = (
            _rows(frame, columns, side, weights if side == "synthetic" else None, cfg, max_rows, seed)
            for frame, side in ((real, "real"), (synthetic, "synthetic"))
        )
    if not second.weight.sum() > 0:
        raise DataError(f"weights={weights!r}: no synthetic row has a weight above 0")
    if first.x.shape[1] != second.x.shape[1]:
        raise DataError(f"embedding={embedding!r}: real vectors have {first.x.shape[1]} numbers, synthetic ones {second.x.shape[1]}")
    return evaluated(ids, first, second, holdout, seed, id is not None)


def _rows(
    frame: Any, columns: AlignColumns, side: str, weight: str | None, encoder: EmbedConfig, most: int, seed: int
) -> tuple[list[str], Rows]:
    """The ids and rows of one side: at most so many, those of the smallest hashes. Raises DataError."""
    if frame_kind(frame, side) == "pandas":
        ids, texts, labels, prior, x = _of_pandas(frame, columns, side, weight, most, seed)
    else:
        ids, texts, labels, prior, x = _of_spark(frame, columns, side, weight, most, seed)
    return ids, Rows(encoded(texts or [], encoder) if x is None else x, prior, texts, labels)


def _of_pandas(frame: Any, columns: AlignColumns, side: str, weight: str | None, most: int, seed: int) -> tuple[Any, ...]:
    from synalign_spark.api.align_pandas import rows_of

    if not len(frame):
        raise DataError(f"{side}: the frame has no rows; give it some")
    rows = rows_of(frame, columns, side, weight)
    order = unit(seed, SAMPLE, [rows.ids[place] for place in rows.distinct]).argsort(kind="stable")[:most]
    places = rows.distinct[order]
    texts = None if rows.texts is None else [rows.texts[place] for place in places]
    labels = None if columns.label is None else [str(rows.labels[place]) for place in places]
    return [rows.ids[place] for place in places], texts, labels, rows.total[order], None if rows.vectors is None else rows.vectors[places]


def _of_spark(frame: DataFrame, columns: AlignColumns, side: str, weight: str | None, most: int, seed: int) -> tuple[Any, ...]:
    from synalign_spark.api.align_spark import frame_of
    from synalign_spark.spark.keys import unit as unit_of
    from synalign_spark.udfs.arrow import to_matrix

    distinct = frame_of(frame, columns, side, weight).distinct
    table = to_arrow(distinct.withColumn("u", unit_of(seed, SAMPLE, "doc_id")).orderBy("u", "doc_id").limit(most))
    texts = table.column("text").to_pylist() if columns.text else None
    labels = table.column("label").to_pylist() if columns.label else None
    x = to_matrix(table.column("embedding").combine_chunks()) if columns.embedding else None
    return table.column("doc_id").to_pylist(), texts, labels, table.column("prior").to_numpy(), x
