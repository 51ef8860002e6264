"""Alignment: one sampling weight per synthetic row, so that the weighted rows follow the real ones.

On the executors: checks, mean features of the real rows and, in the driver loop, every pass. On the driver:
the D-vectors of the solver, and in the local runtime the synthetic embeddings. See ``core/mmd.py`` for
the problem that is solved, and ``align_strength`` for the choice of its strength.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from pyspark import StorageLevel
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from synalign_spark.alignment.base_measure import with_base
from synalign_spark.alignment.checks import run_checks
from synalign_spark.alignment.inputs import Survey, feature_map, real_means, real_rows, survey, synthetic_rows
from synalign_spark.alignment.runtimes.choose import choose_runtime, open_rows
from synalign_spark.alignment.runtimes.device import check_device
from synalign_spark.alignment.runtimes.local import Rows, Solved
from synalign_spark.alignment.strength import Strength, choose_strength, row_share
from synalign_spark.alignment.tables import Outcome, certificate_rows, trace_rows
from synalign_spark.config.alignment import AlignConfig
from synalign_spark.core.evaluation.witness import MeanDifference
from synalign_spark.core.features import FeatureMap
from synalign_spark.core.solver.path import Sample, Settings, pool
from synalign_spark.core.solver.solve import Problem
from synalign_spark.storage.tables import CERTIFICATE, SOLVER_TRACE, WEIGHTS, Table

FEWEST_REAL_ROWS = 20  # a label with fewer keeps its base weights under a rule that validation rows, and is not split under any
FEWEST_SPLIT_ROWS = 3  # the same where a split got fewer
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
    check_device(spark, cfg)
    real = real_rows(embeddings_real, corpus if real_weights else None, cfg, seed)
    raw = synthetic_rows(embeddings_synthetic, synthetic, cfg, seed).persist(StorageLevel.MEMORY_AND_DISK)
    held = [raw]
    try:
        counts = survey(real, raw, cfg.label_shares)
        features = feature_map(real, counts.width, cfg, seed)
        means = real_means(real, features)
        texts = (corpus.select("doc_id", "text"), synthetic.select("doc_id", "text"))
        strength = choose_strength(real, raw, texts, counts, means, features, cfg, seed, report)
        rows_df = with_base(raw, texts[1], strength.base, seed)
        runtime = choose_runtime(spark, cfg, sum(counts.synthetic.values()), counts.width)
        report(f"runtime {runtime.name}: {runtime.reason}")
        if strength.base.changes and runtime.name != "local":
            held.append(rows_df.persist(StorageLevel.MEMORY_AND_DISK))
        rows = open_rows(runtime, rows_df, features, cfg, lambda table: spark.createDataFrame(table, WEIGHTS.ddl), checkpoint)
        outcomes, seconds = _outcomes(rows, means, counts, strength, cfg)
        solved = {group: _solved(outcome) for group, outcome in outcomes.items()}
        checks = run_checks(rows, real, solved, outcomes, features.bandwidths, cfg, seed)
        certificate = certificate_rows(outcomes, checks, features, cfg, seconds, counts.unmatched, strength)
        weights = rows.weights(solved)
        rows.close()
    finally:
        for frame in held:
            frame.unpersist()
    for row in certificate:
        report(f"{row['label'] or 'all rows'}: lambda {row['lambda']:.3g}, {row['passes']} passes, {row['verdict']}")
    differences = {group: _difference(means[group], outcomes.get(group)) for group in means}
    tables = (_table(spark, CERTIFICATE, certificate), _table(spark, SOLVER_TRACE, trace_rows(outcomes, strength)))
    return Aligned(weights if cfg.per_label else _within_labels(weights), *tables, features, differences)


def problem(means: Mapping[str, Sample], settings: Settings, share: float) -> Problem:
    """What a group is aligned to; few real rows are not split, and a rule that validation rows by them leaves their label alone."""
    parts = [means[name] for name in ("fit", "validation", "holdout")]
    if sum(part.count for part in parts) < FEWEST_REAL_ROWS or min(part.count for part in parts) < FEWEST_SPLIT_ROWS:
        nobody = Sample(0, np.zeros_like(parts[0].mean))
        return Problem(pool(parts), nobody, nobody, settings.for_few_rows(), share)
    return Problem(parts[0], parts[1], parts[2], settings, share)


def _outcomes(
    rows: Rows, means: Mapping[str, Mapping[str, Sample]], counts: Survey, strength: Strength, cfg: AlignConfig
) -> tuple[dict[str, Outcome], float]:
    """Solves every group: problems and answers side by side, and the seconds that it took."""
    problems = {group: problem(means[group], strength.settings, row_share(counts, group, cfg)) for group in counts.groups}
    started = time.monotonic()
    answers = rows.solve(problems)
    seconds = time.monotonic() - started
    return {
        group: Outcome(counts.synthetic[group], counts.shares[group], strength.base, problems[group], answers[group]) for group in problems
    }, seconds


def _solved(outcome: Outcome) -> Solved:
    point = outcome.end.solution.point
    return Solved(point.theta, point.moments.log_partition, outcome.end.before.log_partition, outcome.share)


def _difference(means: Mapping[str, Sample], outcome: Outcome | None) -> MeanDifference:
    """For the witness: against all real rows of the group. outcome: None for a label without synthetic rows."""
    real = pool(list(means.values())).mean
    return MeanDifference.of(real, outcome.end.solution.point.moments.mean, outcome.end.before.mean) if outcome else MeanDifference.of(real)


def _within_labels(weights: DataFrame) -> DataFrame:
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
        "log_density_ratio",
    )


def _table(spark: SparkSession, table: Table, rows: list[dict[str, Any]]) -> DataFrame:
    """A table of parameter size."""
    return spark.createDataFrame([tuple(row[name] for name in table.column_names) for row in rows], table.ddl)
