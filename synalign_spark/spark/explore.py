"""Demonstrations straight from a DataFrame: embed, cluster and select in one call, nothing stored."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from synalign_spark.compat import from_arrow, to_arrow
from synalign_spark.config import Config, EmbedConfig
from synalign_spark.core.sampling.strata import WEIGHT_STEPS, DemonstrationSet, LabelClusters
from synalign_spark.spark.cluster import cluster
from synalign_spark.spark.columns import SHOWN_COLUMNS, RealColumns, Unusable, check_earlier, check_n, check_shown, check_zeros
from synalign_spark.spark.embed import encoding_tasks
from synalign_spark.spark.holdout import deciding_id, held_out, held_out_by_label
from synalign_spark.spark.keys import content_id, labelled_content_id
from synalign_spark.spark.lengths import with_lengths
from synalign_spark.spark.select import choose_sets, demonstrations, label_clusters, most_places, picked_sets, sets_table
from synalign_spark.spark.user_columns import is_zeros, label_column, text_column, user_column, vector_column
from synalign_spark.udfs.embed import embed_udf
from synalign_spark.udfs.encoder import encoder_info


@dataclass(frozen=True)
class Exploration:
    """One round on the driver.

    clusters: k centroids and their rows by label; sets: the demonstration sets; shown: their rows, SHOWN_COLUMNS."""

    clusters: LabelClusters
    sets: list[DemonstrationSet]
    shown: pa.Table


def explore(
    frame: DataFrame, columns: RealColumns, cfg: Config, seed: int, earlier: DataFrame | None = None, holdout: float = 0.0
) -> Exploration:
    """One round of exploration-aware sampling over the rows of a DataFrame.

    columns: without an embedding column texts are embedded by ``cfg.embed``; earlier: demonstrations of the rounds before;
    holdout: share of the rows that are not shown and shape no cluster.
    Rows of one id count once; rows of weight 0 are left out; a null weight counts as 1.
    In this call: a check, the embedding (kept on the executors while the call lasts), k-means and the choice of rows.
    On the driver: vectors of few rows that k-means is fitted on, the centroids and the rows shown.
    Raises DataError for rows that cannot be used, ConfigError for an embedder that cannot be."""
    cfg.select.refuse_rows()
    rows = _rows(frame, columns, cfg.embed, seed, holdout).persist()
    try:
        with cluster(rows.select("doc_id", "label", "embedding"), cfg.cluster, seed) as (centroids, assigned):
            clusters = label_clusters(centroids)
            if columns.weight:
                clusters = replace(clusters, weights=_weights(rows, assigned, clusters))
            if earlier is not None:
                _check_earlier(earlier, assigned)
            check_n(cfg.demonstration_sets, cfg.select.rows_per_set, clusters.labels())
            sets = choose_sets(clusters, cfg.select, cfg.demonstration_sets, picked_sets(earlier), seed)
            table = from_arrow(frame.sparkSession, sets_table(sets))
            shown = demonstrations(table, most_places(sets), assigned, rows, cfg.select, seed)
            shown = with_lengths(shown, table, assigned, rows)
            return Exploration(clusters, sets, to_arrow(shown.select(*SHOWN_COLUMNS).orderBy("label", "round", "set_rank", "rank_in_set")))
    finally:
        rows.unpersist()


def _rows(frame: DataFrame, columns: RealColumns, embedder: EmbedConfig, seed: int, holdout: float) -> DataFrame:
    """doc_id, text, label, embedding and share_steps of the rows that are not held out: one row an id. Checks all rows."""
    columns.check(frame.columns)
    text = text_column(frame, columns.text)
    label = label_column(frame, columns.label) if columns.label else F.lit(None).cast("string")
    weight = user_column(columns.weight).cast("double") if columns.weight else F.lit(1.0)
    named = frame.select(
        text.alias("text"),
        label.alias("label"),
        F.when(weight.isNull() | F.isnan(weight), 1.0).otherwise(weight).alias("weight"),
        (user_column(columns.label).isNotNull() & label.isNull() if columns.label else F.lit(False)).alias("bad_label"),
        *([user_column(columns.id).cast("string").alias("doc_id")] if columns.id else []),
        *([vector_column(frame, columns.embedding).alias("embedding")] if columns.embedding else []),
    )
    if not columns.id:
        named = named.withColumn("doc_id", labelled_content_id("text", "label") if columns.label else content_id("text"))
    deciding = deciding_id(columns.id is not None)
    shown = ~held_out(seed, holdout, deciding)
    n_rows, heaviest = _check_rows(named, columns, shown)
    steps = F.greatest(F.lit(1), F.rint(F.col("weight") / F.lit(heaviest) * F.lit(WEIGHT_STEPS))).cast("long")
    # Of one id text and label are the same; where vectors differ the smallest is taken, so that no order shows.
    same = [F.min(name).alias(name) for name in ("text", "label", *(["embedding"] if columns.embedding else []))]
    counted = named.where(F.col("weight") > 0)
    check_shown(held_out_by_label(counted, seed, holdout, deciding), columns.label)
    rows = counted.where(shown).groupBy("doc_id").agg(*same, F.sum(steps).alias("share_steps"))
    if columns.embedding:
        return rows
    spread = rows.repartition(encoding_tasks(frame.sparkSession, n_rows), "doc_id")
    return spread.withColumn("embedding", embed_udf(encoder_info(embedder))("text"))


def _check_rows(named: DataFrame, columns: RealColumns, shown: Column) -> tuple[int, float]:
    """The number of rows of positive weight and the largest weight, after one pass. Raises DataError for rows that cannot be used.

    shown: whether a row is not held out; of others the vectors are not looked at, as in pandas."""
    looked_at = shown & (F.col("weight") > 0)
    bad_weight = (F.col("weight") < 0) | (F.col("weight") == float("inf"))
    repeated: Column = F.count("doc_id") - F.count_distinct("doc_id") if columns.id else F.lit(0)
    found = named.agg(
        F.count_if(F.col("weight") > 0).alias("rows"),
        F.count_if(F.coalesce(F.trim("text"), F.lit("")) == "").alias("empty_text"),
        F.count_if(F.col("doc_id").isNull() & F.col("text").isNotNull()).alias("null_id"),
        repeated.alias("repeated_id"),
        F.count_if(bad_weight).alias("bad_weight"),
        F.count_if("bad_label").alias("bad_label"),
        F.max("weight").alias("heaviest"),
        F.count_if(looked_at).alias("looked_at"),
        (F.count_if(looked_at & is_zeros(F.col("embedding"))) if columns.embedding else F.lit(0)).alias("zeros"),
    )
    seen = to_arrow(found).to_pylist()[0]  # one row
    heaviest, n_looked_at, zeros = (seen.pop(name) for name in ("heaviest", "looked_at", "zeros"))
    Unusable(**seen).refuse(columns)
    check_zeros(zeros, n_looked_at, columns.embedding)
    return int(seen["rows"]), float(heaviest)


def _weights(rows: DataFrame, assigned: DataFrame, clusters: LabelClusters) -> dict[str | None, npt.NDArray[np.float64]]:
    """Weight of the rows of each label in each cluster, as whole steps: k * labels numbers on the driver."""
    summed = (
        assigned.join(rows.select("doc_id", "share_steps"), "doc_id")
        .groupBy("label", "cluster_id")
        .agg(F.sum("share_steps").alias("steps"))
    )
    weights = {label: np.zeros(len(clusters.ids)) for label in clusters.rows}
    for cell in to_arrow(summed).to_pylist():
        label = None if None in weights else cell["label"]
        if label in weights:
            weights[label][cell["cluster_id"]] += cell["steps"]
    return weights


def _check_earlier(earlier: DataFrame, assigned: DataFrame) -> None:
    """Raises DataError unless the demonstrations of earlier rounds are where they were."""
    wanted = earlier.select(
        F.col("doc_id").alias("shown_id"), F.col("label").alias("of_label"), F.col("cluster_id").alias("of_cluster")
    ).distinct()
    same = (
        (F.col("doc_id") == F.col("shown_id")) & F.col("label").eqNullSafe(F.col("of_label")) & (F.col("cluster_id") == F.col("of_cluster"))
    )
    check_earlier(wanted.join(assigned, same, "left_anti").count(), wanted.count())
