"""How strongly to align: the rule for a run, and the base measure and lambda that it leads to.

Three cases, unless the configuration fixes lambda: labels and enough real rows (cross-validation chooses lambda and how far to trust the
labels), labels and fewer rows (label confidence by real and synthetic rows, the density ratio of words, and the smallest lambda that keeps
a floor on the effective sample size), no labels (MMD).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from synalign_spark.alignment.base_measure import BaseMeasure
from synalign_spark.alignment.samples import RealSample, synthetic_pool, synthetic_sample
from synalign_spark.alignment.survey import Survey
from synalign_spark.config.alignment import AlignConfig
from synalign_spark.core.defaults import CONFIDENCE_EXPONENTS, DENSITY_RATIO_EXPONENTS, FEWEST_VALIDATION_ROWS, NO_RULE, FewRowsRule
from synalign_spark.core.features import FeatureMap
from synalign_spark.core.solver.path import Sample, Settings
from synalign_spark.core.strength.candidates import Choice, choose_by_cross_validation
from synalign_spark.core.strength.classifiers import fit_label_classifier, fit_shared_classifiers, together
from synalign_spark.core.strength.density_ratio import fit_density_ratio, joined
from synalign_spark.core.strength.mixing_weight import best_mixing_weight, default_mixing_weight, mixing_weights
from synalign_spark.core.strength.teachers import TeacherComparison, compare_teachers
from synalign_spark.errors import ConfigError

Report = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """What decides the strength. rule: see ``rule_of``; eligible: groups with real rows enough to take part; texts: whether there are any."""

    rule: str
    eligible: tuple[str, ...]
    texts: bool

    @property
    def labelled(self) -> bool:
        """Whether rows are matched by two labels or more."""
        return len(self.eligible) > 1


@dataclass(frozen=True)
class Strength:
    """The rule of a run and its base measure. choice: what cross-validation found; mixing_weight: of the synthetic rows beside real ones,
    None without labels; teachers: who teaches the labels better, where real rows are too few to validate by."""

    settings: Settings
    base: BaseMeasure
    choice: Choice | None = None
    mixing_weight: float | None = None
    teachers: TeacherComparison | None = None


def plan_strength(counts: Survey, cfg: AlignConfig, texts: bool) -> Plan:
    """The rule by the configuration and the counts. texts: whether both sides have them.

    Raises ConfigError where label confidence is asked for without labels to learn it from, or a density ratio of words without texts."""
    enough = [group for group in counts.groups if counts.smaller_half(group) >= FEWEST_VALIDATION_ROWS]
    eligible = tuple(group for group in enough if counts.shares[group] > 0)
    rows = sum(counts.effective[group][half] for group in eligible for half in ("fit", "validation"))
    plan = Plan(rule_of(cfg, len(eligible) > 1, rows), eligible, texts)
    if not plan.labelled and cfg.label_confidence != "auto" and cfg.label_confidence > 0:
        raise ConfigError(
            f"align.label_confidence is {cfg.label_confidence:g}, but it needs two labels with {2 * FEWEST_VALIDATION_ROWS} real rows each; set it to auto or 0"
        )
    if not texts and cfg.density_ratio != "auto" and cfg.density_ratio > 0:
        raise ConfigError(f"align.density_ratio is {cfg.density_ratio:g}, but it reads words, and there are no texts; set it to auto or 0")
    return plan


def rule_of(cfg: AlignConfig, labelled: bool, rows: float) -> str:
    """cross_validation, ess_rule, mmd_rule, fixed or plain. labelled: whether rows are matched by two labels or more; rows: real rows
    that shape the weights."""
    if cfg.regularization != "auto":
        return cfg.regularization if isinstance(cfg.regularization, str) else "fixed"
    if not labelled:
        return "mmd_rule"
    return "cross_validation" if rows >= cfg.cross_validation_rows else "ess_rule"


def needs_rows(plan: Plan, cfg: AlignConfig) -> bool:
    """Whether rows of both sides must be looked at to choose the strength."""
    asked = any(exponent != "auto" and exponent > 0 for exponent in (cfg.label_confidence, cfg.density_ratio))
    return bool(plan.eligible) and (plan.rule in ("cross_validation", "ess_rule") or asked)


def choose_strength(
    plan: Plan, real: RealSample, synthetic: pa.Table | None, means: Mapping[str, Mapping[str, Sample]], features: FeatureMap,
    counts: Survey, cfg: AlignConfig, report: Report,
) -> Strength:  # fmt: skip
    """Lambda's settings and the base measure. real, synthetic: samples of both sides, None where ``needs_rows`` is false."""
    if synthetic is None:
        return _without_rows(plan, counts, cfg, report)
    if plan.rule == "cross_validation":
        return _by_cross_validation(plan, real, synthetic, means, features, counts, cfg, report)
    return _by_teachers(plan, real, synthetic, counts, cfg, report)


def _without_rows(plan: Plan, counts: Survey, cfg: AlignConfig, report: Report) -> Strength:
    report(f"strength: {plan.rule}, without label confidence")
    return Strength(_settings(cfg, plan.rule, NO_RULE), BaseMeasure(), mixing_weight=_mixing_weight(plan, counts, cfg))


def _by_teachers(plan: Plan, real_rows: RealSample, synthetic_rows: pa.Table, counts: Survey, cfg: AlignConfig, report: Report) -> Strength:
    """The strength that is given, or that of too few real rows."""
    real, synthetic = real_rows.shaping(), synthetic_sample(synthetic_rows)
    few = plan.rule == "ess_rule"
    teachers = compare_teachers(real.views, synthetic.views) if few else None
    usual = teachers.rule if teachers else NO_RULE
    a = usual.confidence if cfg.label_confidence == "auto" else cfg.label_confidence
    b = usual.density_ratio if cfg.density_ratio == "auto" else cfg.density_ratio
    density_ratio = fit_density_ratio(real.texts, synthetic.texts, plan.eligible) if b and plan.texts else None
    base = BaseMeasure(density_ratio=density_ratio, density_ratio_exponent=b if density_ratio else 0.0)
    words = [", without label confidence"]
    if plan.labelled and (few or a):
        classifier = fit_shared_classifiers(real.labelled, synthetic.labelled, synthetic.half)
        base, words = replace(base, confidence_exponent=a, classifier=classifier), [f" with label confidence to the power of {a:g}"]
    if density_ratio:
        words.append(f" and the density ratio of words to the power of {b:g}")
    report(f"strength: {plan.rule}{''.join(words)}{_in_words(teachers, cfg)}")
    return Strength(_settings(cfg, plan.rule, usual), base, mixing_weight=_mixing_weight(plan, counts, cfg), teachers=teachers)


def _in_words(teachers: TeacherComparison | None, cfg: AlignConfig) -> str:
    """What few real rows know."""
    if teachers is None:
        return ""
    return (
        f" (classifiers trained on synthetic rows are right on {teachers.synthetic:.0%} of the real ones, one trained on real rows on "
        f"{teachers.real:.0%}; cross-validation chooses from {cfg.cross_validation_rows:,} real rows on)"
    )


def _by_cross_validation(
    plan: Plan, real: RealSample, synthetic: pa.Table, means: Mapping[str, Mapping[str, Sample]], features: FeatureMap, counts: Survey,
    cfg: AlignConfig, report: Report,
) -> Strength:  # fmt: skip
    """The strength that downstream classifiers choose."""
    halves, pool = real.halves(means, plan.eligible), synthetic_pool(synthetic, features)
    exponents = CONFIDENCE_EXPONENTS if cfg.label_confidence == "auto" else (cfg.label_confidence,)
    of_words = (0.0,) if not plan.texts else DENSITY_RATIO_EXPONENTS if cfg.density_ratio == "auto" else (cfg.density_ratio,)
    shares = {group: counts.shares[group] for group in plan.eligible}
    tried = mixing_weights(counts.n_synthetic) if cfg.mixing_weight == "auto" else sorted({0.0, cfg.mixing_weight})
    choice = choose_by_cross_validation(halves, pool, shares, exponents, density_ratio_exponents=of_words, mixing_weights=tried)
    best = choice.best
    report(f"strength: cross-validation took lambda {best.lam:.3g}, label confidence to the power of {best.confidence:g} and the density ratio of words "
           f"to the power of {best.density_ratio:g} among {len(choice.tried)} candidates: accuracy {best.accuracy:.1%} on {choice.validation_rows:,} real rows")  # fmt: skip
    density_ratio = fit_density_ratio(joined([half.texts for half in halves]), pool.texts, plan.eligible) if best.density_ratio else None
    both = together(halves[0].rows, halves[1].rows)
    classifier = fit_label_classifier(both.x, both.labels, both.weight)
    base = BaseMeasure(best.confidence, classifier, density_ratio, best.density_ratio if density_ratio else 0.0)
    given = cfg.mixing_weight
    weight = best_mixing_weight(choice.mixing, choice.validation_rows).mixing_weight if given == "auto" else given
    return Strength(_settings(cfg, plan.rule, NO_RULE, best.lam), base, choice, weight)


def _mixing_weight(plan: Plan, counts: Survey, cfg: AlignConfig) -> float | None:
    """The one that is given, or the usual one where nothing validates it."""
    if cfg.mixing_weight != "auto":
        return cfg.mixing_weight
    return default_mixing_weight(counts.n_synthetic) if plan.labelled else None


def _settings(cfg: AlignConfig, rule: str, usual: FewRowsRule, lam: float = float("nan")) -> Settings:
    floor = usual.ess_floor if cfg.ess_floor == "auto" else cfg.ess_floor
    fixed = lam if isinstance(cfg.regularization, str) else cfg.regularization
    cap = np.inf if cfg.max_weight is None else cfg.max_weight
    return Settings(rule, fixed, floor, cfg.tolerance, cfg.max_passes, cap)
