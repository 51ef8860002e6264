"""Alignment of DataFrames: one sampling weight per synthetic row, so that the weighted rows follow the real ones.

See ``core/solver/dual.py`` for the problem that is solved, ``strength`` for the choice of its strength, and ``procedure`` for the steps.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from pyspark import StorageLevel
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from synalign_spark.alignment.gathered import gathered
from synalign_spark.alignment.procedure import align_sides
from synalign_spark.alignment.sides import Side
from synalign_spark.alignment.spark_side import SparkSide, real_side, synthetic_side
from synalign_spark.compat import from_arrow
from synalign_spark.config.alignment import AlignConfig
from synalign_spark.core.evaluation.witness import MeanDifference
from synalign_spark.core.features import FeatureMap
from synalign_spark.storage.tables import CERTIFICATE, SOLVER_TRACE, WEIGHTS, Table

Report = Callable[[str], None]


@dataclass(frozen=True)
class Aligned:
    """WEIGHTS, CERTIFICATE and SOLVER_TRACE of a run, and what the witness needs: the feature map and, for each
    group of the real rows, the difference of the mean features."""

    weights: DataFrame
    certificate: DataFrame
    trace: DataFrame
    features: FeatureMap
    differences: Mapping[str, MeanDifference]


def align(
    embeddings_real: DataFrame,
    embeddings_synthetic: DataFrame,
    corpus: DataFrame,
    synthetic: DataFrame,
    cfg: AlignConfig,
    seed: int,
    report: Report = lambda line: None,
    real_weights: bool = False,
    checkpoint: str | None = None,
) -> Aligned:
    """Weights for the synthetic rows, the certificate, and the solver's trace, as their table contracts say.

    embeddings_real, embeddings_synthetic: EMBEDDINGS of each origin; corpus: CORPUS, for texts and, with real_weights, prior weights;
    synthetic: SYNTHETIC, for texts, labels and prior weights; report: gets a line for each decision worth a log entry;
    checkpoint: folder for the state of a barrier stage, where a second attempt finds it.
    Raises DataError where a side is empty, a synthetic label has no real rows, vectors are missing, not finite or
    of different widths, or base weights are negative or all 0; ConfigError where align.device or align.runtime cannot be had."""
    spark = corpus.sparkSession
    kept: list[DataFrame] = []

    def keep(side: Side) -> Side:
        if not isinstance(side, SparkSide):
            return side
        kept.append(side.frame.persist(StorageLevel.MEMORY_AND_DISK))
        return side

    prior = corpus if real_weights else None
    texts, synthetic_texts = (rows.select("doc_id", "text") for rows in (corpus, synthetic))
    real = real_side(embeddings_real, texts, prior, cfg.per_label, seed, holdout=cfg.holdout, validation=cfg.validation)
    rows = synthetic_side(embeddings_synthetic, synthetic, synthetic_texts, cfg.per_label, seed)
    try:
        sides = gathered(real, rows, (embeddings_real, synthetic), cfg)
        found = align_sides(sides[0], keep(sides[1]), cfg, seed, report, spark, checkpoint, keep)
    finally:
        for frame in kept:
            frame.unpersist()
    weights = from_arrow(spark, found.weights, WEIGHTS.ddl) if isinstance(found.weights, pa.Table) else found.weights
    tables = (_table(spark, CERTIFICATE, found.certificate), _table(spark, SOLVER_TRACE, found.trace))
    return Aligned(weights if cfg.per_label else within_labels(weights), *tables, found.features, found.differences)


def within_labels(weights: DataFrame) -> DataFrame:
    """One mixture was matched: weight_in_label and base_weight are brought to sum 1 within each label."""
    totals = weights.groupBy("label").agg(F.sum("weight_in_label").alias("w"), F.sum("base_weight").alias("q"))
    inside = F.when(F.col("w") > 0, F.col("weight_in_label") / F.col("w")).otherwise(F.lit(0.0))
    base = F.when(F.col("q") > 0, F.col("base_weight") / F.col("q")).otherwise(F.lit(0.0))
    joined = weights.alias("rows").join(F.broadcast(totals.alias("totals")), F.col("rows.label").eqNullSafe(F.col("totals.label")))
    return joined.select(
        "doc_id",
        "rows.label",
        "weight",
        inside.alias("weight_in_label"),
        base.alias("base_weight"),
        "label_confidence",
        "repaired_label",
        "log_density_ratio",
        "log_embedding_ratio",
        "capped_by",
    )


def _table(spark: SparkSession, table: Table, rows: list[dict[str, Any]]) -> DataFrame:
    """A table of parameter size."""
    return spark.createDataFrame([tuple(row[name] for name in table.column_names) for row in rows], table.ddl)
