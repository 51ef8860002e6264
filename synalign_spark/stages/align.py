"""Alignment: one sampling weight per synthetic row, so that the weighted rows follow the real ones.

On the executors: checks, mean features of the real rows and, in the driver loop, every pass. On the driver:
the D-vectors of the solver, and in the local runtime the synthetic embeddings. See ``core/mmd.py`` for
the problem that is solved and ``core/lambda_rule.py`` for the choice of its strength.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark import StorageLevel
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from synalign_spark.config import AlignConfig
from synalign_spark.core.lambda_rule import Path, Sample, Settings, finish, pool, search_path
from synalign_spark.core.mmd import run_together
from synalign_spark.stages.align_check import run_checks
from synalign_spark.stages.align_input import Survey, feature_map, real_means, real_rows, survey, synthetic_rows
from synalign_spark.stages.align_rows import LocalRows, Rows, Solved, SparkRows
from synalign_spark.stages.align_tables import Outcome, certificate_rows, trace_rows
from synalign_spark.tables import CERTIFICATE, SOLVER_TRACE, WEIGHTS, Table

FEWEST_REAL_ROWS = 20  # a label with fewer keeps its base weights under the rule, and is not split under any
FEWEST_SPLIT_ROWS = 3  # the same where a split got fewer
FEWEST_WARM_ROWS = 1_000  # of each group, in the sample that the path is solved on
Report = Callable[[str], None]


def align(
    embeddings_real: DataFrame,
    embeddings_synthetic: DataFrame,
    synthetic: DataFrame,
    cfg: AlignConfig,
    seed: int,
    report: Report = lambda line: None,
) -> tuple[DataFrame, DataFrame, DataFrame]:
    """Weights for the synthetic rows, the certificate, and the solver's trace, as their table contracts say.

    embeddings_real, embeddings_synthetic: EMBEDDINGS of each origin; synthetic: SYNTHETIC, for labels and prior weights;
    report: gets a line for each decision worth a log entry.
    Raises DataError where a side is empty, a synthetic label has no real rows, vectors are missing, not finite or
    of different widths, or base weights are negative or all 0."""
    spark = embeddings_real.sparkSession
    real = real_rows(embeddings_real, cfg, seed)
    rows_df = synthetic_rows(embeddings_synthetic, synthetic, cfg, seed).persist(StorageLevel.MEMORY_AND_DISK)
    try:
        counts = survey(real, rows_df)
        features = feature_map(real, counts.width, cfg, seed)
        means = real_means(real, features)
        runtime, reason = choose_runtime(cfg, sum(counts.synthetic.values()), counts.width)
        report(f"runtime {runtime}: {reason}")
        make = LocalTables(spark)
        rows: Rows = LocalRows(rows_df.toArrow(), features, make) if runtime == "local" else SparkRows(rows_df, features)
        started = time.monotonic()
        outcomes = solve(rows, counts, means, cfg)
        seconds = time.monotonic() - started
        solved = {group: _solved(outcome) for group, outcome in outcomes.items()}
        checks = run_checks(rows, real, solved, outcomes, features.bandwidths, cfg, seed)
    finally:
        rows_df.unpersist()
    certificate = certificate_rows(outcomes, checks, features, cfg, seconds, counts.unmatched)
    for row in certificate:
        report(f"{row['label'] or 'all rows'}: lambda {row['lambda']:.3g}, {row['passes']} passes, {row['verdict']}")
    weights = rows.weights(solved)
    return (
        weights if cfg.per_label else _within_labels(weights),
        _table(spark, CERTIFICATE, certificate),
        _table(spark, SOLVER_TRACE, trace_rows(outcomes)),
    )


class LocalTables:
    """Turns the driver's weights into a DataFrame."""

    def __init__(self, spark: SparkSession) -> None:
        self._spark = spark

    def __call__(self, table: pa.Table) -> DataFrame:
        return self._spark.createDataFrame(table, WEIGHTS.ddl)


def choose_runtime(cfg: AlignConfig, rows: int, width: int) -> tuple[str, str]:
    """'local' or 'driver_loop', and why. rows: synthetic rows; width: of their embeddings."""
    if cfg.runtime != "auto":
        return cfg.runtime, "set by align.runtime"
    size = rows * (cfg.n_features + width) * 4 / 2**30
    fits = size <= cfg.local_memory_gb
    shown = f"{rows} rows x ({cfg.n_features} features + {width}) take {size:.2f} GB in memory, {'within' if fits else 'above'} align.local_memory_gb = {cfg.local_memory_gb}"
    return ("local" if fits else "driver_loop"), shown


def solve(rows: Rows, counts: Survey, means: Mapping[str, Mapping[str, Sample]], cfg: AlignConfig) -> dict[str, Outcome]:
    """Chooses lambda and solves for every group at once: first on a hash sample, then over all rows.

    means: real rows by group and split. Returns the outcome by group."""
    groups = counts.groups
    splits = {group: _splits(means[group], cfg) for group in groups}
    warm = {group: _warm_share(counts, group, cfg) for group in groups}
    sample = rows.sample(warm)
    searches = {
        group: search_path(fit, validation, settings, sample.rows(group) / counts.synthetic[group])
        for group, (fit, validation, _, settings) in splits.items()
    }
    paths: dict[str, Path] = run_together(searches, sample.evaluate)
    whole = rows if any(share < 1.0 for share in warm.values()) else sample
    shaping = {group: pool([fit, validation]) if validation.count else fit for group, (fit, validation, _, _) in splits.items()}
    ends = run_together({group: finish(shaping[group], paths[group], splits[group][3]) for group in groups}, whole.evaluate)
    n_real = sum(counts.real[group] for group in groups)
    return {
        group: Outcome(
            counts.synthetic[group],
            shaping[group],
            splits[group][2],
            counts.real[group] / n_real,
            splits[group][3],
            paths[group],
            ends[group],
        )
        for group in groups
    }


def _splits(means: Mapping[str, Sample], cfg: AlignConfig) -> tuple[Sample, Sample, Sample, Settings]:
    """Fit, validation and holdout of a group, and its rule; few rows are not split and the rule leaves them alone."""
    lam = float("nan") if isinstance(cfg.lam, str) else cfg.lam
    rule: str = cfg.lam if isinstance(cfg.lam, str) else "fixed"
    parts = [means[name] for name in ("fit", "validation", "holdout")]
    if sum(part.count for part in parts) < FEWEST_REAL_ROWS or min(part.count for part in parts) < FEWEST_SPLIT_ROWS:
        nobody = Sample(0, np.zeros_like(parts[0].mean))
        rule = "uniform" if rule == "mmd_rule" else rule
        return pool(parts), nobody, nobody, Settings(rule, lam, cfg.ess_floor, cfg.tolerance, cfg.max_passes)
    return parts[0], parts[1], parts[2], Settings(rule, lam, cfg.ess_floor, cfg.tolerance, cfg.max_passes)


def _warm_share(counts: Survey, group: str, cfg: AlignConfig) -> float:
    """Share of a group's synthetic rows in the warm start's sample."""
    mine, total = counts.synthetic[group], sum(counts.synthetic.values())
    return min(1.0, max(cfg.warm_start_rows / total, FEWEST_WARM_ROWS / mine))


def _solved(outcome: Outcome) -> Solved:
    point = outcome.finished.solution.point
    return Solved(point.theta, point.moments.log_partition, outcome.finished.before.log_partition, outcome.share)


def _within_labels(weights: DataFrame) -> DataFrame:
    """One mixture was matched: weight_in_label and base_weight are brought to sum 1 within each label."""
    totals = weights.groupBy("label").agg(F.sum("weight_in_label").alias("w"), F.sum("base_weight").alias("q"))
    inside = F.when(F.col("w") > 0, F.col("weight_in_label") / F.col("w")).otherwise(F.lit(0.0))
    base = F.when(F.col("q") > 0, F.col("base_weight") / F.col("q")).otherwise(F.lit(0.0))
    joined = weights.alias("rows").join(F.broadcast(totals.alias("totals")), F.col("rows.label").eqNullSafe(F.col("totals.label")))
    return joined.select("doc_id", "rows.label", "weight", inside.alias("weight_in_label"), base.alias("base_weight"))


def _table(spark: SparkSession, table: Table, rows: list[dict[str, Any]]) -> DataFrame:
    """A table of parameter size."""
    return spark.createDataFrame([tuple(row[name] for name in table.column_names) for row in rows], table.ddl)
