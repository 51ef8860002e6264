"""How strongly to align: the rule for a run, and what it needs from the tables.

Three cases, unless the configuration fixes lambda: labels and enough real rows (classifiers choose lambda and how far to trust the
labels), labels and fewer rows (label confidence by real and synthetic rows, the density ratio of words, and the smallest lambda that keeps 0.4 of
the rows, 0.6 where real rows know little), no labels (MMD).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from pyspark.sql import DataFrame

from synalign_spark.alignment.base_measure import Base
from synalign_spark.alignment.inputs import Survey
from synalign_spark.alignment.samples import FEWEST_SAMPLE_ROWS, HALVES, real_halves, real_side, synthetic_pool, synthetic_side
from synalign_spark.config.alignment import AlignConfig
from synalign_spark.core.features import FeatureMap
from synalign_spark.core.solver.path import Sample, Settings
from synalign_spark.core.strength.candidates import CONFIDENCE_EXPONENTS, DENSITY_RATIO_EXPONENTS, Choice, choose_by_cross_validation
from synalign_spark.core.strength.classifiers import fit_label_classifier, fit_shared_classifiers, together
from synalign_spark.core.strength.density_ratio import fit_density_ratio, joined
from synalign_spark.core.strength.mixing_weight import best_mixing_weight, default_mixing_weight, mixing_weights
from synalign_spark.core.strength.teachers import Rule, TeacherComparison, compare_teachers
from synalign_spark.errors import ConfigError

FEWEST_VALIDATION_ROWS = 20  # real rows of a label in each half; a label with fewer takes no part in the choice
MOST_SAMPLED = 5  # times warm_start_rows; so many rows are all taken: at small lambda a sample of few rows misleads
SAMPLED = 0.1  # of more rows, so that a pass over the sample costs little beside one over all
UNASKED = Rule(confidence=0.0, floor=0.1, density_ratio=0.0)  # where no real rows say more
Report = Callable[[str], None]


@dataclass(frozen=True)
class Strength:
    """The rule of a run. choice: what classifiers found; mixing_weight: of the synthetic rows beside real ones, None without labels; comparison: what
    real rows too few for classifiers know."""

    settings: Settings
    base: Base
    choice: Choice | None = None
    mixing_weight: float | None = None
    comparison: TeacherComparison | None = None


def choose_strength(
    real: DataFrame,
    synthetic: DataFrame,
    texts: tuple[DataFrame, DataFrame],
    counts: Survey,
    means: Mapping[str, Mapping[str, Sample]],
    features: FeatureMap,
    cfg: AlignConfig,
    seed: int,
    report: Report,
) -> Strength:
    """Chooses the rule, lambda and the base measure. real, synthetic: ``align_input``'s rows; texts: doc_id and text of both sides.

    Raises ConfigError where label label confidence is asked for and there are no labels to learn it from."""
    enough = [group for group in counts.groups if min(means[group][half].count for half in HALVES) >= FEWEST_VALIDATION_ROWS]
    validated = [group for group in enough if counts.shares[group] > 0]
    validation = sum(means[group][half].count for group in validated for half in HALVES)
    classes = len(validated) > 1
    if not classes and isinstance(cfg.label_confidence, float) and cfg.label_confidence > 0:
        raise ConfigError(
            f"align.label_confidence is {cfg.label_confidence:g}, but it needs two labels with {2 * FEWEST_VALIDATION_ROWS} real rows each; set it to auto or 0"
        )
    rule = rule_of(cfg, classes, validation)
    if rule == "cross_validation":
        return _by_cross_validation(real, synthetic, texts, counts, means, features, cfg, seed, validated, report)
    return _without_cross_validation(real, synthetic, texts, counts, cfg, rule, seed, validated, report)


def _without_cross_validation(
    real: DataFrame, synthetic: DataFrame, texts: tuple[DataFrame, DataFrame], counts: Survey, cfg: AlignConfig, rule: str, seed: int,
    validated: list[str], report: Report,
) -> Strength:  # fmt: skip
    """The strength that is given, or that of too few real rows or of rows without labels."""
    classes, few = len(validated) > 1, rule == "ess_rule"
    powers = [0.0 if power == "auto" else power for power in (cfg.label_confidence, cfg.density_ratio)]
    base, comparison, said = Base(), None, ", without label label confidence"
    if validated and (few or any(powers)):
        there, made = real_side(real, texts[0], counts, validated, seed), synthetic_side(synthetic, texts[1], counts, cfg, validated, seed)
        comparison = compare_teachers(there.views, made.views) if few else None
        usual = comparison.rule if comparison else UNASKED
        a = usual.confidence if cfg.label_confidence == "auto" else cfg.label_confidence
        b = usual.density_ratio if cfg.density_ratio == "auto" else cfg.density_ratio
        density_ratio = fit_density_ratio(there.texts, made.texts, validated) if b else None
        base = Base(density_ratio=density_ratio, density_ratio_exponent=b if density_ratio else 0.0)
        if classes and (few or a):
            base = replace(base, power=a, classifier=fit_shared_classifiers(there.labelled, made.labelled, made.half))
            said = f" with label label confidence to the power of {a:g}"
    words = f" and word density ratio to the power of {base.density_ratio_exponent:g}" if base.density_ratio else ""
    report(f"strength: {rule}{said}{words}{_lead(comparison, cfg)}")
    return Strength(_settings(cfg, rule, comparison=comparison), base, mixing_weight=_mass(cfg, classes, counts), comparison=comparison)


def _lead(comparison: TeacherComparison | None, cfg: AlignConfig) -> str:
    """What few real rows know, in words."""
    if comparison is None:
        return ""
    known = f"downstream classifiers of the synthetic rows label {comparison.taught:.0%} of the real ones right, a classifier of real rows {comparison.own:.0%}"
    return f" ({known}; classifiers choose from {cfg.cross_validation_rows:,} real rows)"


def _by_cross_validation(
    real: DataFrame, synthetic: DataFrame, texts: tuple[DataFrame, DataFrame], counts: Survey, means: Mapping[str, Mapping[str, Sample]],
    features: FeatureMap, cfg: AlignConfig, seed: int, validated: list[str], report: Report,
) -> Strength:  # fmt: skip
    """The strength that classifiers choose."""
    halves = real_halves(real, texts[0], means, counts, validated)
    pool = synthetic_pool(synthetic, texts[1], counts, features, cfg, seed, validated)
    confidence_exponents = CONFIDENCE_EXPONENTS if cfg.label_confidence == "auto" else (cfg.label_confidence,)
    density_ratio_exponents = DENSITY_RATIO_EXPONENTS if cfg.density_ratio == "auto" else (cfg.density_ratio,)
    shares = {group: counts.shares[group] for group in validated}
    tried = mixing_weights(sum(counts.synthetic.values())) if cfg.mixing_weight == "auto" else sorted({0.0, cfg.mixing_weight})
    choice = choose_by_cross_validation(
        halves, pool, shares, confidence_exponents, density_ratio_exponents=density_ratio_exponents, mixing_weights=tried
    )
    best = choice.best
    report(f"strength: classifiers took lambda {best.lam:.3g}, label label confidence to the power of {best.confidence:g} and word density ratio to the power "
           f"of {best.density_ratio:g} among {len(choice.tried)} candidates: accuracy {best.accuracy:.1%} on {choice.validation:,} real rows")  # fmt: skip
    density_ratio = fit_density_ratio(joined([half.texts for half in halves]), pool.texts, validated) if best.density_ratio else None
    both = together(halves[0].rows, halves[1].rows)
    base = Base(
        best.confidence, fit_label_classifier(both.x, both.labels, both.weight), density_ratio, best.density_ratio if density_ratio else 0.0
    )
    mixing_weight = best_mixing_weight(choice.beside, choice.validation).mixing_weight if cfg.mixing_weight == "auto" else cfg.mixing_weight
    return Strength(_settings(cfg, "cross_validation", best.lam), base, choice, mixing_weight)


def _mass(cfg: AlignConfig, classes: bool, counts: Survey) -> float | None:
    """The mixing weight that is given, or where nothing validates it the usual one."""
    if cfg.mixing_weight != "auto":
        return cfg.mixing_weight
    return default_mixing_weight(sum(counts.synthetic.values())) if classes else None


def rule_of(cfg: AlignConfig, classes: bool, validation: float) -> str:
    """The rule by the configuration and the data. classes: whether rows are matched by two labels or more; validation: real rows
    that shape the weights."""
    if cfg.regularization != "auto":
        return cfg.regularization if isinstance(cfg.regularization, str) else "fixed"
    if not classes:
        return "mmd_rule"
    return "cross_validation" if validation >= cfg.cross_validation_rows else "ess_rule"


def _settings(cfg: AlignConfig, rule: str, lam: float = float("nan"), comparison: TeacherComparison | None = None) -> Settings:
    floor = (comparison.rule if comparison else UNASKED).floor if cfg.ess_floor == "auto" else cfg.ess_floor
    fixed = lam if isinstance(cfg.regularization, str) else cfg.regularization
    cap = np.inf if cfg.max_weight is None else cfg.max_weight
    return Settings(rule, fixed, floor, cfg.tolerance, cfg.max_passes, cap)


def row_share(counts: Survey, group: str, cfg: AlignConfig) -> float:
    """Share of a group's synthetic rows in the solver's sample."""
    mine, total = counts.synthetic[group], sum(counts.synthetic.values())
    return min(1.0, max(sample_rows(total, cfg.warm_start_rows) / total, FEWEST_SAMPLE_ROWS / mine))


def sample_rows(total: int, fewest: int) -> int:
    """Rows of the solver's sample of ``total``. fewest: align.warm_start_rows."""
    most = MOST_SAMPLED * fewest
    return total if total <= most else min(max(fewest, int(SAMPLED * total)), most)
