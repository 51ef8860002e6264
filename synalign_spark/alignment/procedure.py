"""The alignment from two sides to weights and certificate, whatever the rows lie in: see ``sides``.

On the executors, where there are any: checks, mean features of the real rows and, in the driver loop, every pass. In this process: bounded
samples of both sides, the D-vectors of the solver, and in the local runtime the synthetic embeddings.
"""

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from synalign_spark.alignment.base_measure import with_base_measure
from synalign_spark.alignment.checks import degenerate, run_checks, told_alike
from synalign_spark.alignment.inputs import bandwidths, real_means
from synalign_spark.alignment.outliers import capped, outlier_rules, with_outliers, without_common
from synalign_spark.alignment.plan import Plan, plan_strength
from synalign_spark.alignment.runtimes.choose import choose_runtime, open_rows
from synalign_spark.alignment.runtimes.device import check_device
from synalign_spark.alignment.runtimes.rows import Rows, Solved
from synalign_spark.alignment.samples import RealSample, draw_real, draw_synthetic, solver_shares, synthetic_rows, with_weight
from synalign_spark.alignment.scoring import Scorer
from synalign_spark.alignment.sides import SPLITS, Side
from synalign_spark.alignment.strength import LookedAt, Strength, choose_strength, judged, unusable
from synalign_spark.alignment.survey import Survey, survey
from synalign_spark.alignment.tables import Outcome, certificate_rows, trace_rows
from synalign_spark.config.alignment import AlignConfig
from synalign_spark.core.defaults import FEWEST_TEST_ROWS
from synalign_spark.core.evaluation.witness import MeanDifference
from synalign_spark.core.features import FeatureMap, draw_feature_map
from synalign_spark.core.outliers import OutlierRules
from synalign_spark.core.solver.path import Sample, Settings, pool
from synalign_spark.core.solver.solve import Problem
from synalign_spark.core.strength.base_measure import BaseMeasure
from synalign_spark.udfs.arrow import to_matrix

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

Report = Callable[[str], None]
LOOKED_AT_FOR_VECTORS = 1_000  # synthetic rows of which it is asked whether their vectors tell them apart


@dataclass(frozen=True)
class AlignedSides:
    """weights: columns of ``runtimes.rows.WEIGHTED``, an Arrow table or a DataFrame; certificate, trace: rows of those tables; features,
    differences: what the witness needs; mixing_weight: for sample weights; scorer: weighs these and other rows."""

    weights: Any
    certificate: list[dict[str, Any]]
    trace: list[dict[str, Any]]
    features: FeatureMap
    differences: Mapping[str, MeanDifference]
    mixing_weight: float
    scorer: Scorer


def align_sides(
    real: Side, synthetic: Side, cfg: AlignConfig, seed: int, report: Report = lambda line: None, spark: "SparkSession | None" = None,
    checkpoint: str | None = None, keep: Callable[[Side], Side] = lambda side: side,
) -> AlignedSides:  # fmt: skip
    """Weights for the synthetic rows, with what is known of them.

    report: gets a line for each decision worth a log entry; spark: where the rows are DataFrames; checkpoint: folder for the state of a
    barrier stage; keep: persists rows that several passes read. Raises DataError and ConfigError as ``align.align`` says."""
    check_device(spark, cfg)
    seen = _prepared(real, synthetic, cfg, report)
    kernel = bandwidths(seen.real, cfg.bandwidth, cfg.bandwidth_scales)
    features = draw_feature_map(seen.counts.width, cfg.n_features, kernel, seed)
    means = real_means(real, features)
    strength = choose_strength(seen.plan, seen.looked_at, report)
    runtime = choose_runtime(spark, cfg, seen.counts.n_synthetic, seen.counts.width)
    report(f"runtime {runtime.name}: {runtime.reason}")
    rules = outlier_rules(seen.real, strength.base, seen.texts) if cfg.caps_outliers else None
    based, rules = _based(synthetic, strength.base, rules, keep, runtime.name != "local", report)
    with contextlib.closing(open_rows(runtime, based, features, checkpoint)) as rows:
        outcomes, seconds = _outcomes(rows, means, seen.counts, strength, solver_shares(seen.counts, cfg.warm_start_rows))
        solved = {group: _solved(outcome) for group, outcome in outcomes.items()}
        capped_rows = capped(rows, solved, outcomes, cfg.caps_outliers, cfg.max_weight, report)
        solved, outcomes = capped_rows.solved, capped_rows.outcomes
        checks = run_checks(rows, seen.real, solved, outcomes, features.bandwidths, cfg.certificate_rows, cfg.permutations, seed)
        weights = rows.weights(solved)
    checks = told_alike(checks, seen.alike)
    if seen.alike:
        strength = unusable(strength, seen.alike, cfg.mixing_weight == "auto")
    else:
        ends = {group: outcome.end.solution.point for group, outcome in outcomes.items()}
        strength = judged(strength, seen.plan, seen.looked_at, rules, features, ends, seed, report)
    certificate = certificate_rows(outcomes, checks, features, seconds, seen.counts.unmatched, strength)
    for row in certificate:
        report(f"{row['label'] or 'all rows'}: lambda {row['lambda']:.3g}, {row['passes']} passes, {row['verdict']}")
    differences = {group: _difference(means[group], outcomes.get(group)) for group in means}
    scorer = Scorer(features, strength.base, rules, solved, cfg.per_label, seed)
    return AlignedSides(weights, certificate, trace_rows(outcomes, strength), features, differences, strength.mixing_weight, scorer)


@dataclass(frozen=True)
class _Prepared:
    """What is known before anything is fitted. real: sample of the real rows; looked_at: rows that shape and judge, None where none must;
    texts: whether both sides have them; alike: why the vectors tell no row from another, in words, empty where they do."""

    counts: Survey
    plan: Plan
    real: RealSample
    looked_at: LookedAt | None
    texts: bool
    alike: str


def _prepared(real: Side, synthetic: Side, cfg: AlignConfig, report: Report) -> _Prepared:
    """Counts, plan and samples; where vectors tell no row from another, a plan by which rows keep the weights that they came with."""
    counts = survey(real, synthetic, cfg.label_shares)
    texts = real.has_texts and synthetic.has_texts
    plan = plan_strength(counts, cfg, texts)
    real_sample = draw_real(real, counts, plan.looked_at, cfg.certificate_rows, for_reference=cfg.caps_outliers)
    made = draw_synthetic(synthetic, counts, cfg.warm_start_rows if plan.looked_at else LOOKED_AT_FOR_VECTORS)
    x = real_sample.bandwidth_rows()
    alike = degenerate(x, to_matrix(made.column("embedding"))) if len(x) >= FEWEST_TEST_ROWS else ""
    if alike:
        report(f"rows keep the weights that they came with: {alike}")
        plan = replace(plan, components=(), settings=plan.settings.for_few_rows())
    looked_at = _looked_at(real_sample, made, texts) if plan.looked_at else None
    return _Prepared(counts, plan, real_sample, looked_at, texts, alike)


def _based(
    synthetic: Side, base: BaseMeasure, rules: OutlierRules | None, keep: Callable[[Side], Side], passes: bool, report: Report
) -> tuple[Side, OutlierRules | None]:
    """The rows with their base measure and outliers marked, and the rules that are left. passes: whether each pass reads them anew."""
    based = with_base_measure(synthetic, base)
    if rules is None:
        return (keep(based) if base.changes and passes else based), None
    marked = keep(with_outliers(based, rules))
    rules = without_common(rules, marked, report)
    return (keep(with_outliers(based, rules)) if rules.lifted else marked), rules


def _looked_at(real: RealSample, synthetic: pa.Table, texts: bool) -> LookedAt:
    """The rows that shape the base measure and judge. synthetic: of ``draw_synthetic``; texts: whether both sides have them."""
    rows = with_weight(synthetic)
    words = [text or "" for text in rows.column("text").to_pylist()] if texts else None
    return LookedAt(real.shaping(), synthetic_rows(rows), words)


def problem(means: Mapping[str, Sample], settings: Settings, share: float, split: bool, halves: bool, shaping: bool) -> Problem:
    """What a group is aligned to. split: false for few real rows: nothing is held out; halves: false where they cannot validate each other,
    so that a rule that needs it leaves the label alone; shaping: false for so few that any rule but one with a given lambda does."""
    fit, validation, holdout = (means[name] for name in SPLITS)
    if split:
        return Problem(fit, validation, holdout, settings if halves or settings.rule == "ess_rule" else settings.for_few_rows(), share)
    nobody = Sample(0, np.zeros_like(fit.mean))
    enough = shaping and settings.rule == "ess_rule"
    return Problem(pool([fit, validation, holdout]), nobody, nobody, settings if enough else settings.for_few_rows(), share)


def _outcomes(
    rows: Rows, means: Mapping[str, Mapping[str, Sample]], counts: Survey, strength: Strength, sampled: Mapping[str, float]
) -> tuple[dict[str, Outcome], float]:
    """Solves every group: problems and answers side by side, and the seconds that it took. sampled: share of its rows in the solver's sample."""
    problems = {
        group: problem(
            means[group], strength.settings, sampled[group], counts.is_split(group), counts.has_halves(group), group in strength.shaping
        )
        for group in counts.groups
    }
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
    if outcome is None:
        return MeanDifference.of(real)
    return MeanDifference.of(real, outcome.end.solution.point.moments.mean, outcome.end.before.mean)
