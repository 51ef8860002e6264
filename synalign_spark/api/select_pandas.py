"""``select`` on a pandas frame: all in this process, no Spark and no Java."""

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from synalign_spark.api.frames import as_labels, as_vectors, as_weights, encoded, smallest_of
from synalign_spark.config import Config, EmbedConfig
from synalign_spark.core.holdout import deciding_ids, held_out
from synalign_spark.core.keys import content_ids, unit
from synalign_spark.core.sampling.clusters import DEMONSTRATIONS_KEY, Clustering, cluster_rows, count_labels, demonstrations
from synalign_spark.core.sampling.lengths import COLUMNS, text_lengths
from synalign_spark.core.sampling.row_sets import row_sets
from synalign_spark.core.sampling.strata import WEIGHT_STEPS, DemonstrationSet, PickedSet, demonstration_sets
from synalign_spark.errors import DataError
from synalign_spark.spark.columns import SHOWN_COLUMNS, RealColumns, Unusable, check_earlier, check_n, check_sets, check_shown

Float64Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class _Rows:
    """Distinct real rows. places: their rows of the frame; vectors: (n, d); weights: (n,) whole steps of the largest."""

    places: list[int]
    ids: list[str]
    texts: list[str]
    labels: list[str | None]
    vectors: npt.NDArray[np.float32]
    weights: Float64Array | None


def select_pandas(
    real: pd.DataFrame, columns: RealColumns, cfg: Config, seed: int, earlier: pd.DataFrame | None, holdout: float
) -> pd.DataFrame:  # fmt: skip
    """:func:`synalign_spark.api.select.select` for pandas; cfg holds the options, holdout the share of the rows held out. Raises DataError for unusable rows."""
    columns.check(list(real.columns))
    rows = _rows(real, columns, cfg.embed, seed, holdout)
    try:
        found = cluster_rows(rows.ids, rows.vectors, cfg.cluster, seed)
        before = [] if earlier is None else _picked_sets(earlier, rows, found)
        clusters = count_labels(found, rows.labels, rows.weights)
        check_n(cfg.demonstration_sets, cfg.select.rows_per_set, clusters.labels())
        if cfg.select.candidates == "rows":
            if before:
                raise ValueError("earlier is given, and candidates is 'rows', which has one round; ask for all demonstrations at once")
            return _single_rows(rows, found, cfg, seed, real.index)
        sets = demonstration_sets(clusters, cfg.select, cfg.demonstration_sets, before, seed)
    except ValueError as err:
        raise DataError(f"select: {err}") from err
    check_sets(sets, before)
    order = found.sq_distance if cfg.select.choice == "nearest" else unit(seed, DEMONSTRATIONS_KEY, rows.ids)
    shown = demonstrations(sets, found, rows.ids, rows.labels, order)
    return _frame(shown, rows, real.index, _lengths(sets, rows, found))


def _single_rows(rows: _Rows, found: Clustering, cfg: Config, seed: int, index: pd.Index) -> pd.DataFrame:
    """Sets of a row and its nearest neighbours; clusters tell of them how long their rows are. Raises ValueError, see ``row_sets``."""
    chosen = row_sets(rows.ids, rows.vectors, rows.labels, found.cluster_ids, cfg.select, cfg.demonstration_sets, seed)
    shown = [(one, rank, row) for one, places in chosen for rank, row in enumerate(places)]
    return _frame(shown, rows, index, _lengths([one for one, _ in chosen], rows, found))


def _rows(real: pd.DataFrame, columns: RealColumns, embedder: EmbedConfig, seed: int, holdout: float) -> _Rows:
    """The rows of the frame that are not held out, one an id, with their vectors."""
    texts: list[Any] = real[columns.text].tolist()
    labels = as_labels(real[columns.label]) if columns.label else [None] * len(real)
    weights = as_weights(real[columns.weight], columns.weight) if columns.weight else np.ones(len(real))
    given_ids = real[columns.id] if columns.id else None
    _unusable(texts, given_ids, weights).refuse(columns)
    ids = content_ids(texts, labels) if given_ids is None else given_ids.astype(str).tolist()
    places_of: dict[str, list[int]] = {}
    for place in np.flatnonzero(weights > 0).tolist():
        places_of.setdefault(ids[place], []).append(place)
    deciding = dict(zip(ids, deciding_ids(ids, texts, columns.id is not None), strict=True))
    places_of = _shown(places_of, deciding, labels, columns.label, seed, holdout)
    places = [same[0] for same in places_of.values()]
    steps = np.maximum(1.0, np.rint(weights / weights.max() * WEIGHT_STEPS))
    return _Rows(
        places,
        list(places_of),
        [texts[place] for place in places],
        [labels[place] for place in places],
        _vectors(real[columns.embedding], list(places_of.values())) if columns.embedding else encoded([texts[i] for i in places], embedder),
        np.array([steps[same].sum() for same in places_of.values()]) if columns.weight else None,
    )


def _shown(
    places_of: dict[str, list[int]],
    deciding: Mapping[str, str],
    labels: Sequence[str | None],
    label_column: str | None,
    seed: int,
    holdout: float,
) -> dict[str, list[int]]:
    """Places of the rows that are not held out, by id. deciding: by id, what decides. Warns of labels that have none, raises DataError where there is none at all."""
    held = dict(zip(places_of, held_out(seed, [deciding[key] for key in places_of], holdout).tolist(), strict=True))
    n = Counter(labels[place] for same in places_of.values() for place in same)
    n_held = Counter(labels[place] for key, same in places_of.items() if held[key] for place in same)
    check_shown({label: (n[label], n_held[label]) for label in n}, label_column)
    return {key: places for key, places in places_of.items() if not held[key]}


def _unusable(texts: list[Any], ids: pd.Series | None, weights: Float64Array) -> Unusable:
    return Unusable(
        rows=int((weights > 0).sum()),
        empty_text=sum(not isinstance(text, str) or not text.strip(" ") for text in texts),
        null_id=0 if ids is None else int(ids.isna().sum()),
        repeated_id=0 if ids is None else int(ids.dropna().duplicated().sum()),
        bad_weight=int(((weights < 0) | np.isinf(weights)).sum()),
    )


def _vectors(column: pd.Series, places: list[list[int]]) -> npt.NDArray[np.float32]:
    """One vector for each group of rows of one id: the smallest where they differ, so that their order does not show."""
    values = column.tolist()
    x = as_vectors([values[place] for same in places for place in same], str(column.name))
    starts = np.cumsum([0, *(len(same) for same in places)]).tolist()
    return x[[smallest_of(x, range(first, last)) for first, last in itertools.pairwise(starts)]]


def _picked_sets(earlier: pd.DataFrame, rows: _Rows, found: Clustering) -> list[PickedSet]:
    """The sets of earlier rounds. Raises DataError where their rows are not in the clusters that they were picked from."""
    columns = [earlier[name].tolist() for name in ("round", "set_rank", "cluster_id", "doc_id")]
    shown = list(zip(*columns, as_labels(earlier["label"]), strict=True))
    held = dict(zip(rows.ids, zip(rows.labels, found.cluster_ids.tolist(), strict=True), strict=True))
    check_earlier(sum(held.get(key) != (label, cluster_id) for _, _, cluster_id, key, label in shown), len(shown))
    return [*{PickedSet(int(number), label, int(rank), int(cluster_id)) for number, rank, cluster_id, _, label in shown}]


def _lengths(sets: Sequence[DemonstrationSet], rows: _Rows, found: Clustering) -> dict[tuple[str | None, int], dict[str, int]]:
    """How long the rows of each label are in each cluster that is shown."""
    texts: dict[tuple[str | None, int], list[str]] = {(chosen.label, chosen.cluster_id): [] for chosen in sets}
    for text, label, cluster_id in zip(rows.texts, rows.labels, found.cluster_ids.tolist(), strict=True):
        if (label, cluster_id) in texts:
            texts[label, cluster_id].append(text)
    return {place: text_lengths(held) for place, held in texts.items()}


def _frame(
    shown: Sequence[tuple[DemonstrationSet, int, int]],
    rows: _Rows,
    index: pd.Index,
    lengths: Mapping[tuple[str | None, int], dict[str, int]],
) -> pd.DataFrame:
    """One row a demonstration, with the types of the demonstrations table and the index of the row in ``real``."""
    records = [
        {**vars(chosen), "rank_in_set": rank, "doc_id": rows.ids[row], "text": rows.texts[row], **lengths[chosen.label, chosen.cluster_id]}
        for chosen, rank, row in shown
    ]
    whole = dict.fromkeys(("round", "set_rank", "cluster_id", "rank_in_set", *COLUMNS), np.int32)
    frame = pd.DataFrame.from_records(records, index=index[[rows.places[row] for _, _, row in shown]])
    return frame[list(SHOWN_COLUMNS)].astype(whole)
