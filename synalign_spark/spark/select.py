"""Picks the clusters that the language model should see next, and the real rows that stand for them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from synalign_spark.config import SelectConfig
from synalign_spark.core.sampling.gp import Tracker, median_length_scale
from synalign_spark.core.sampling.quota import largest_remainder
from synalign_spark.errors import ConfigError, DataError
from synalign_spark.spark.keys import unit

AUTO_PICKS_A_LABEL = 64

IntArray = npt.NDArray[np.int64]

# What the driver knows of a pick; ``first`` and ``last`` bound the places of its rows within (label, cluster).
PICKS_TYPE = pa.schema(
    [
        ("round", pa.int32()),
        ("label", pa.string()),
        ("set_rank", pa.int32()),
        ("cluster_id", pa.int32()),
        ("posterior_sd", pa.float64()),
        ("cluster_share", pa.float64()),
        ("acquisition", pa.float64()),
        ("mean_sd_after", pa.float64()),
        ("coverage_after", pa.float64()),
        ("first", pa.int32()),
        ("last", pa.int32()),
    ]
)
TRACE_COLUMNS = (
    "round",
    "label",
    "set_rank",
    "cluster_id",
    "posterior_sd",
    "cluster_share",
    "acquisition",
    "mean_sd_after",
    "coverage_after",
)


@dataclass(frozen=True)
class _Stratum:
    """The candidates of one label: clusters that hold rows of it, by rising id.

    cluster_ids, rows, centroids: (k,), (k,), (k, d); earlier: positions picked in earlier rounds, in order."""

    label: str | None
    cluster_ids: IntArray
    rows: IntArray
    centroids: npt.NDArray[np.float64]
    earlier: tuple[int, ...]

    def times_picked(self) -> IntArray:
        return np.bincount(np.array(self.earlier, dtype=np.int64), minlength=len(self.rows))

    def capacity(self, demonstrations: int) -> IntArray:
        """How often each cluster may still be picked before its rows have all been shown, (k,)."""
        left: IntArray = np.maximum(-(-self.rows // demonstrations) - self.times_picked(), 0)
        return left


def select(
    centroids: DataFrame, clusters: DataFrame, corpus: DataFrame, cfg: SelectConfig, seed: int, earlier: DataFrame | None = None
) -> tuple[DataFrame, DataFrame]:
    """``demonstrations`` and ``selection_trace`` of one round, by their table contracts.

    centroids, clusters, corpus: the tables of those names. earlier: selection_trace of the rounds before; the new
    round goes on from the variance that they left, and a cluster picked again shows its next rows.
    Where rows have labels, picks run per label and rows without one are left out. With ``picks`` auto each label
    gets all its clusters, 64 at most; else ``quota`` shares them out, at least one a label. Fewer picks or
    rows come back where a label or a cluster has no more. On the driver: the centroids and the picks.
    Raises DataError for no clusters, ConfigError for fewer picks than labels."""
    # k rows; sorted because ties go to the smaller id
    known = centroids.select("cluster_id", "centroid", "n_rows", "label_counts").orderBy("cluster_id").toArrow().to_pylist()
    if not known:
        raise DataError("select: the centroids table holds no clusters; run `cluster` first")
    past = _past(earlier)
    strata = _strata(known, past)
    length_scale = cfg.length_scale if cfg.length_scale != "median" else median_length_scale(np.array([row["centroid"] for row in known]))
    round_number = 1 + max((row["round"] for row in past), default=-1)
    rows = [
        row
        for stratum, quota in zip(strata, _quotas(strata, cfg), strict=True)
        for row in _pick(stratum, int(quota), length_scale, cfg, round_number)
    ]
    if not rows:
        raise DataError(f"select: all rows of all clusters were shown in rounds before {round_number}; lower select.rows_per_set")
    picks = centroids.sparkSession.createDataFrame(pa.Table.from_pylist(rows, schema=PICKS_TYPE))
    shown = max(row["last"] for row in rows)
    return _demonstrations(picks, shown, clusters, corpus, cfg, seed), picks.select(*TRACE_COLUMNS)


def _past(earlier: DataFrame | None) -> list[dict[str, Any]]:
    """Picks of earlier rounds, in the order they were made."""
    if earlier is None:
        return []
    rows: list[dict[str, Any]] = earlier.select("round", "label", "set_rank", "cluster_id").toArrow().to_pylist()
    return sorted(rows, key=lambda row: (row["round"], row["set_rank"]))


def _strata(known: list[dict[str, Any]], past: list[dict[str, Any]]) -> list[_Stratum]:
    """One stratum a label, by label; one without a label where the corpus has none."""
    counts = [dict(row["label_counts"]) for row in known]
    labels: list[str | None] = [*sorted({label for count in counts for label in count})] or [None]
    strata = []
    for label in labels:
        rows = np.array([row["n_rows"] if label is None else count.get(label, 0) for row, count in zip(known, counts, strict=True)])
        here = np.flatnonzero(rows > 0)
        ids = np.array([known[i]["cluster_id"] for i in here], dtype=np.int64)
        position = {cluster_id: place for place, cluster_id in enumerate(ids.tolist())}
        picked = [row["cluster_id"] for row in past if row["label"] == label]
        if unknown := set(picked) - set(position):
            raise DataError(
                f"select: earlier rounds picked cluster {min(unknown)}, which has no rows of label {label!r} now; run all rounds again"
            )
        strata.append(_Stratum(label, ids, rows[here], np.array([known[i]["centroid"] for i in here]), tuple(position[i] for i in picked)))
    return strata


def _quotas(strata: list[_Stratum], cfg: SelectConfig) -> IntArray:
    """Picks of each stratum in this round, zero where all its rows have been shown."""
    left = np.array([stratum.capacity(cfg.rows_per_set).sum() for stratum in strata])
    if cfg.demonstration_sets == "auto":
        most: IntArray = np.minimum(left, [min(AUTO_PICKS_A_LABEL, len(stratum.rows)) for stratum in strata])
        return most
    if cfg.demonstration_sets < len(strata):
        raise ConfigError(
            f"select.demonstration_sets is {cfg.demonstration_sets} but the corpus has {len(strata)} labels; set it to at least {len(strata)}, or to auto"
        )
    weights = np.array([stratum.rows.sum() if cfg.quota == "proportional" else 1 for stratum in strata])
    quotas, open_ = np.zeros(len(strata), dtype=np.int64), left > 0
    quotas[open_] = largest_remainder(weights[open_], cfg.demonstration_sets, left[open_])
    return quotas


def _pick(stratum: _Stratum, quota: int, length_scale: float, cfg: SelectConfig, round_number: int) -> list[dict[str, Any]]:
    """The picks of one stratum, one row of PICKS_TYPE each."""
    share = stratum.rows / stratum.rows.sum()
    tracker = Tracker(stratum.centroids, share, length_scale, cfg.noise, cfg.alpha)
    tracker.replay(stratum.earlier)
    picks = tracker.pick(quota, stratum.capacity(cfg.rows_per_set))
    trace = tracker.trace(cfg.reach_sd, start=len(stratum.earlier))
    times, rows = stratum.times_picked(), []
    for rank, pick in enumerate(picks):
        first = int(times[pick.position]) * cfg.rows_per_set
        times[pick.position] += 1
        values = (
            round_number, stratum.label, rank, int(stratum.cluster_ids[pick.position]), pick.posterior_sd, float(share[pick.position]),
            pick.acquisition, float(trace.mean_sd[rank]), float(trace.coverage[rank]), first, first + cfg.rows_per_set,
        )  # fmt: skip
        rows.append(dict(zip(PICKS_TYPE.names, values, strict=True)))
    return rows


def _demonstrations(picks: DataFrame, shown: int, clusters: DataFrame, corpus: DataFrame, cfg: SelectConfig, seed: int) -> DataFrame:
    """The rows of each pick with their text. ``shown``: most rows of one cluster that any pick reaches."""
    order = F.col("sq_distance") if cfg.choice == "nearest" else unit(seed, "select.demonstrations", "doc_id")
    within = Window.partitionBy("label", "cluster_id").orderBy("order", "doc_id")
    # The bound is a literal, so that Spark cuts each group before it shuffles (window group limit).
    ranked = (
        clusters.select("label", "cluster_id", "doc_id", order.alias("order"))
        .withColumn("place", F.row_number().over(within))
        .where(F.col("place") <= F.lit(shown))
        .select(F.col("label").alias("of_label"), F.col("cluster_id").alias("of_cluster"), "doc_id", "place")
    )
    same = F.col("label").eqNullSafe(F.col("of_label")) & (F.col("cluster_id") == F.col("of_cluster"))
    reached = (F.col("place") > F.col("first")) & (F.col("place") <= F.col("last"))
    chosen = ranked.join(F.broadcast(picks), same & reached).withColumn("rank_in_set", (F.col("place") - F.col("first") - 1).cast("int"))
    chosen = chosen.select("round", "label", "set_rank", "cluster_id", "rank_in_set", "doc_id", "posterior_sd")
    # picks * demonstrations rows: small against the corpus, whose texts stay where they are.
    texts = corpus.select("doc_id", "text").join(F.broadcast(chosen), "doc_id")
    return texts.select("round", "label", "set_rank", "cluster_id", "rank_in_set", "doc_id", "text", "posterior_sd")
