"""``align`` on pandas frames: all in this process, no Spark and no Java."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from synalign_spark.alignment.arrow_side import ArrowSide, real_side, synthetic_side
from synalign_spark.alignment.certificate import Certificate
from synalign_spark.alignment.procedure import align_sides
from synalign_spark.alignment.runtimes.rows import WEIGHTED
from synalign_spark.alignment.scoring import Scorer
from synalign_spark.api.alignment import WEIGHT_COLUMNS, Alignment
from synalign_spark.api.columns import AlignColumns
from synalign_spark.api.frames import as_labels, as_vectors, as_weights, check_largest, encoded, smallest_of
from synalign_spark.api.vector_ids import vector_id
from synalign_spark.config import AlignConfig, EmbedConfig
from synalign_spark.core.groups import group_of
from synalign_spark.core.keys import content_ids
from synalign_spark.core.sample_weights import rows_by_group, sample_weights_by_label, wanted_shares
from synalign_spark.errors import DataError

Float64Array = npt.NDArray[np.float64]
MakeSide = Callable[..., ArrowSide]
NO_VECTORS = np.empty((0, 0), dtype=np.float32)
BLANKS = " \t\n\x0b\f\r"  # what Java calls white space


@dataclass(frozen=True)
class Rows:
    """The rows of one frame. ids, labels, texts: (n,); prior: (n,) weights; distinct: a row of each id;
    code: (n,) place of each row's id in ``distinct``; total: prior of all rows of each distinct id."""

    ids: list[str]
    labels: list[str | None]
    texts: list[str] | None
    prior: Float64Array
    distinct: npt.NDArray[np.int64]
    code: npt.NDArray[np.int64]
    total: Float64Array
    vectors: npt.NDArray[np.float32] | None

    def side(self, make: MakeSide, per_label: bool, encoder: EmbedConfig, seed: int) -> ArrowSide:
        """The distinct rows as a side that ``make`` makes, embedded where they have no vectors."""
        ids, labels = ([values[i] for i in self.distinct] for values in (self.ids, self.labels))
        texts = None if self.texts is None else [self.texts[i] for i in self.distinct]
        x = encoded(texts or [], encoder) if self.vectors is None else self.vectors[self.distinct]
        return make(ids, labels, None if texts is None else pa.array(texts, pa.string()), self.total, x, per_label, seed)


def align_pandas(
    real: pd.DataFrame, synthetic: pd.DataFrame, columns: AlignColumns, cfg: AlignConfig, encoder: EmbedConfig, seed: int,
    report: Callable[[str], None],
) -> Alignment[pd.DataFrame]:  # fmt: skip
    """:func:`synalign_spark.api.align.align` for pandas. Raises DataError for unusable rows."""
    for frame, side in ((real, "real"), (synthetic, "synthetic")):
        if not len(frame):
            raise DataError(f"{side}: the frame has no rows; give it some")
    sides = rows_of(real, columns, "real", columns.real_weight), rows_of(synthetic, columns, "synthetic", columns.synthetic_weight)
    make_real: MakeSide = partial(real_side, holdout=cfg.holdout, validation=cfg.validation, ids_given=columns.id is not None)
    first, second = (rows.side(make, cfg.per_label, encoder, seed) for rows, make in zip(sides, (make_real, synthetic_side), strict=True))
    found = align_sides(first, second, cfg, seed, report)
    weights = _spread(found.weights, sides[1])
    of_real, of_synthetic = (
        rows_by_group(rows.labels, weight) for rows, weight in zip(sides, (sides[0].prior, weights["weight"]), strict=True)
    )
    scales = sample_weights_by_label(wanted_shares(of_real, cfg.label_shares), of_real, of_synthetic, found.mixing_weight)
    taught = real.assign(sample_weight=sides[0].prior * _of_rows(scales.real, sides[0].labels))
    weighted = _weighted(synthetic, sides[1], weights, columns, cfg.per_label, scales.synthetic)
    return Alignment(weighted, taught, Certificate(found.certificate), found.trace, found.scorer, scales.synthetic)


def _of_rows(values: Mapping[str, float], labels: Sequence[str | None]) -> Float64Array:
    """The value of each row's group, (n,); 0 for a group without one."""
    return np.array([values.get(group_of(label), 0.0) for label in labels], dtype=np.float64)


def weigh_pandas(
    frame: pd.DataFrame, columns: AlignColumns, scorer: Scorer, encoder: EmbedConfig, scale: Mapping[str, float]
) -> pd.DataFrame:  # fmt: skip
    """The rows with the weights that an earlier alignment gives them. scale: of ``Alignment.sample_scale``. Raises DataError as align does."""
    rows = rows_of(frame, columns, "synthetic", columns.synthetic_weight)
    scorer.check_labels(set(rows.labels))
    if not len(frame):
        return _weighted(frame, rows, _spread(WEIGHTED.empty_table(), rows), columns, scorer.per_label, scale)
    side = rows.side(synthetic_side, scorer.per_label, encoder, scorer.seed)
    scorer.check_width(side.width)
    return _weighted(frame, rows, _spread(scorer.weights(side), rows), columns, scorer.per_label, scale)


def _weighted(frame: pd.DataFrame, rows: Rows, found: dict[str, Float64Array], columns: AlignColumns, per_label: bool, scale: Mapping[str, float]
) -> pd.DataFrame:  # fmt: skip
    """The frame with the columns of WEIGHT_COLUMNS, in place of any of that name. found: of its rows; scale: of sample weights, by group."""
    if columns.label is not None and not per_label:
        _within_labels(found, rows.labels)
    return frame.drop(columns=[name for name in WEIGHT_COLUMNS if name in frame.columns]).assign(
        **found, sample_weight=found["weight"] * _of_rows(scale, rows.labels)
    )


def rows_of(frame: pd.DataFrame, columns: AlignColumns, side: str, weight: str | None) -> Rows:
    """The rows of a frame, checked. Raises DataError naming the column and how many rows."""
    texts = None if columns.text is None else _texts(frame[columns.text], side, columns.text)
    labels: list[str | None] = [None] * len(frame) if columns.label is None else _labels(frame[columns.label], side, columns.label)
    vectors = (
        None
        if columns.embedding is None
        else as_vectors(frame[columns.embedding].tolist(), columns.embedding)
        if len(frame)
        else NO_VECTORS
    )
    prior = np.ones(len(frame)) if weight is None else _prior(frame[weight], side, weight)
    ids = _ids(frame, columns, side, texts, labels, vectors)
    code, unique = pd.factorize(np.asarray(ids, dtype=object))
    distinct = _distinct(code, len(unique), vectors)
    total: Float64Array = np.bincount(code, weights=prior, minlength=len(unique)).astype(np.float64)
    return Rows(ids, labels, texts, prior, distinct, code, total, vectors)


def _prior(column: pd.Series, side: str, name: str) -> Float64Array:
    prior = as_weights(column, name)
    bad = int((~np.isfinite(prior) | (prior < 0)).sum())
    if bad:
        raise DataError(f"weight={name!r}: {bad} of {len(prior)} {side} rows have a negative or infinite weight; give numbers >= 0")
    check_largest(float(prior.max(initial=0.0)), side, name)
    return prior


def _distinct(code: npt.NDArray[np.int64], n_ids: int, vectors: npt.NDArray[np.float32] | None) -> npt.NDArray[np.int64]:
    """A row of each id: the first or, of those with vectors, that with the smallest, so that the order of rows does not show. code: (n,)."""
    rows: list[list[int]] = [[] for _ in range(n_ids)]
    for row, place in enumerate(code.tolist()):
        rows[place].append(row)
    chosen = (same[0] if vectors is None else smallest_of(vectors, same) for same in rows)
    return np.fromiter(chosen, dtype=np.int64, count=n_ids)


def _ids(frame: pd.DataFrame, columns: AlignColumns, side: str, texts: list[str] | None, labels: Sequence[str | None],
         vectors: npt.NDArray[np.float32] | None) -> list[str]:  # fmt: skip
    if columns.id is not None:
        given = frame[columns.id]
        if given.isna().any() or given.duplicated().any():
            bad = int(given.isna().sum() + given.dropna().duplicated().sum())
            raise DataError(
                f"id={columns.id!r}: {bad} of {len(frame)} {side} rows have no id, or that of another row; fill them, or leave id out"
            )
        return [str(value) for value in given]
    if texts is not None:
        return content_ids(texts, labels)
    return [vector_id(row, label) for row, label in zip([] if vectors is None else vectors, labels, strict=True)]


def _texts(column: pd.Series, side: str, name: str) -> list[str]:
    texts: list[Any] = column.tolist()
    empty = sum(not isinstance(text, str) or not text.strip(BLANKS) for text in texts)
    if empty:
        raise DataError(
            f"text={name!r}: {empty} of {len(texts)} {side} rows hold no text, or something else than text; filter them out, or cast the column"
        )
    try:
        "".join(texts).encode()
    except UnicodeEncodeError as err:
        raise DataError(f"text={name!r}: a {side} row holds half of a surrogate pair, which is no text ({err.reason}); clean it") from None
    return texts


def _labels(column: pd.Series, side: str, name: str) -> list[str | None]:
    labels = as_labels(column)
    missing = sum(label is None for label in labels)
    if missing:
        raise DataError(f"label={name!r}: {missing} of {len(labels)} {side} rows have no label; fill them or filter them out")
    return labels


def _spread(weights: pa.Table, rows: Rows) -> dict[str, Float64Array]:
    """The weights of distinct rows for every row of the frame: rows of one id share by their prior weights. Columns by name, (n,) each."""
    place = {key: i for i, key in enumerate(weights.column("doc_id").to_pylist())}
    of_row = np.array([place[key] for key in rows.ids], dtype=np.int64)
    with np.errstate(invalid="ignore", divide="ignore"):
        part = np.where(rows.total[rows.code] > 0, rows.prior / rows.total[rows.code], 0.0)
    found = {}
    for name in WEIGHT_COLUMNS[:-1]:
        if name in ("capped_by", "repaired_label"):
            found[name] = np.asarray(weights.column(name).to_pylist(), dtype=object)[of_row]
            continue
        values = weights.column(name).to_numpy(zero_copy_only=False).astype(np.float64)[of_row]
        found[name] = values * part if "weight" in name else values
    return found


def _within_labels(weights: dict[str, Float64Array], labels: Sequence[str | None]) -> None:
    """One mixture was matched: weight_in_label and base_weight are brought to sum 1 within each label, in place."""
    code, _ = pd.factorize(np.asarray(labels, dtype=object))
    for name in ("weight_in_label", "base_weight"):
        total = np.bincount(code, weights=weights[name])[code]
        weights[name] = np.divide(weights[name], total, out=np.zeros_like(total), where=total > 0)
