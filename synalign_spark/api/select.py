"""``select``: which real rows to show a language model, so that together they reach the whole corpus."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast

from synalign_spark.api.clear_errors import clear_errors
from synalign_spark.api.frames import check_holdout, check_seed, frame_kind
from synalign_spark.api.options import configuration
from synalign_spark.compat import from_arrow
from synalign_spark.config import Config
from synalign_spark.core.defaults import HOLDOUT
from synalign_spark.errors import DataError
from synalign_spark.spark.columns import EARLIER_COLUMNS, TRACE_COLUMNS, RealColumns, sets_of, warn_fewer

if TYPE_CHECKING:
    import pandas as pd
    from pyspark.sql import DataFrame

    Frame = TypeVar("Frame", pd.DataFrame, DataFrame)

SECTIONS = ("select", "cluster", "embed")
FIXED = {"demonstration_sets": "give n, the number of demonstrations; a set shows rows_per_set of them"}


def select(
    real: Frame,
    *,
    n: int,
    text: str = "text",
    label: str | None = None,
    embedding: str | None = None,
    id: str | None = None,
    weight: str | None = None,
    holdout: float = HOLDOUT,
    seed: int = 0,
    earlier: Frame | None = None,
    **options: Any,
) -> Frame:
    """Demonstrations for a language model: rows near the clusters that a Gaussian process knows least about.

    Rows are embedded, clustered by k-means, and clusters are picked by the largest posterior standard deviation, which
    falls around every cluster that is picked (Ren et al. 2025, arXiv 2502.08661, sec. 3.1). With a label, clusters are
    picked within each label, and rows without one are left out, with a warning.

    real: real rows, a pandas or a Spark DataFrame. A pandas frame is worked on in this process, without Java.
    n: demonstrations in all, ``n // rows_per_set`` sets of ``rows_per_set`` (3) each. A cluster that is picked again shows its
    next rows; once all were shown, others of its sets of rows, never one twice; fewer come back, with a warning, where there
    are no more.
    text, label, embedding, id, weight: column names. embedding: a vector a row, of one width (then no model is needed);
    id: unique ids, by default the sha256 of the text, or of label and text; weight: how much a row counts in the
    share of its cluster, null is 1, rows of weight 0 are left out. Rows of one text (and label) count as one row.
    holdout: share of the rows that are not shown and shape no cluster, by hash of their ids, or of their texts where ids are given: those that ``align`` holds out of the same
    rows with the same seed and ids (as it does unless it is given vectors alone), whose certificate is then about rows that nobody
    was shown; 0 leaves none out. A label that loses all its rows by it is named in a warning.
    seed: of the rows held out, the order of the rows in k-means and its start, and the choice of rows by hash.
    earlier: what earlier calls returned for the same rows and options, concatenated: this call goes on from the
    variance that they left, and shows other rows, or other sets of rows once all were shown.
    options: any key of the configuration's sections ``select``, ``cluster`` and ``embed``: rows_per_set, choice, alpha,
    length_scale, noise, quota, reach_sd, k, sample_rows, model, ...

    Returns a frame of the same kind, by label, round, set and rank: round (a label's rounds have a set a cluster at most), label,
    set_rank, cluster_id, rank_in_set, doc_id, text, posterior_sd (of the cluster, before its set was picked, prior 1), words_p10,
    words_p90, chars_p10 and chars_p90 (how long the label's rows in the cluster are), and of the set cluster_share, acquisition,
    mean_sd_after and coverage_after; ``selection_trace`` gives those once a set. The index of a pandas result is that of
    the rows in ``real``. The same rows give the same demonstrations in both kinds, in any order or partitioning.
    Raises ConfigError for an unknown option or one out of its limits, DataError for rows that cannot be used.

    >>> import pandas as pd
    >>> reviews = pd.DataFrame({"text": ["fine", "good", "bad", "dire"], "vec": [[1.0, 0.1], [1.0, 0.0], [0.0, 1.0], [0.1, 1.0]]})
    >>> shown = select(reviews, n=2, embedding="vec", k=2, rows_per_set=1, holdout=0)
    >>> sorted(shown["cluster_id"])
    [0, 1]
    >>> more = select(reviews, n=2, embedding="vec", k=2, rows_per_set=1, holdout=0, earlier=shown)
    >>> sorted([*shown["text"], *more["text"]])
    ['bad', 'dire', 'fine', 'good']"""
    check_seed(seed)
    check_holdout(holdout)
    cfg = _configuration(n, options)
    if not isinstance(text, str):
        raise DataError(f"text: must name the column with the texts, which a language model is shown; got {text!r}")
    columns = RealColumns(text, label, embedding, id, weight)
    frame: Any = real
    kind = frame_kind(frame, "real")
    if earlier is not None:
        _check_earlier(earlier, kind)
    if kind == "pandas":
        from synalign_spark.api.select_pandas import select_pandas

        shown = select_pandas(frame, columns, cfg, seed, earlier, holdout)
        n_shown = len(shown)
    else:
        from synalign_spark.spark.explore import explore

        with clear_errors():
            found = explore(frame, columns, cfg, seed, earlier, holdout).shown
            shown, n_shown = from_arrow(frame.sparkSession, found), found.num_rows
    warn_fewer(n_shown, n, cfg.select.rows_per_set)
    return cast("Frame", shown)


def selection_trace(demonstrations: Frame) -> Frame:
    """How uncertainty fell, one row a demonstration set, by round, label and rank: the ``selection_trace`` table's columns.

    demonstrations: what :func:`select` returned, of one round or of several, concatenated. A function of that frame
    and not an attribute of it, so that it survives a file, a concatenation and Spark.
    Raises DataError where columns of a selection are missing.

    >>> import pandas as pd
    >>> one = pd.DataFrame({"text": ["a", "b"], "vec": [[1.0], [1.1]]})
    >>> selection_trace(select(one, n=2, embedding="vec", k=1, rows_per_set=2, holdout=0))[["cluster_share", "coverage_after"]].to_dict("records")
    [{'cluster_share': 1.0, 'coverage_after': 1.0}]"""
    if missing := [name for name in TRACE_COLUMNS if name not in demonstrations.columns]:
        raise DataError(f"demonstrations: lack {', '.join(missing)}; give the whole frame that select() returned")
    frame: Any = demonstrations
    order = ["round", "label", "set_rank"]
    if frame_kind(demonstrations, "demonstrations") == "spark":
        trace = frame.select(*TRACE_COLUMNS).distinct().orderBy(*order)
    else:
        trace = frame.drop_duplicates(order)[list(TRACE_COLUMNS)].sort_values(order, ignore_index=True)
    return cast("Frame", trace)


def _configuration(n: int, options: dict[str, Any]) -> Config:
    cfg = configuration(options, SECTIONS, "select", FIXED)
    sets = sets_of(n, cfg.select.rows_per_set)
    return cfg.model_copy(update={"select": cfg.select.model_copy(update={"demonstration_sets": sets})})


def _check_earlier(earlier: Any, kind: str) -> None:
    if frame_kind(earlier, "earlier") != kind:
        raise DataError(f"earlier: is a {frame_kind(earlier, 'earlier')} DataFrame and real a {kind} one; give both in one kind")
    if missing := [name for name in EARLIER_COLUMNS if name not in earlier.columns]:
        raise DataError(f"earlier: lacks the columns {', '.join(missing)}; give what select() returned")
