"""How strongly to align: the rule for a run, its base measure, and how much the rows count beside real ones.

With labels, one procedure for every size: a base measure of label confidence and density ratios, averaged over components, the smallest lambda
that keeps a floor on the effective sample size, and the mixing weight by cross-validation on the real rows, kept at its usual value unless
they speak against it. A label with fewer than five real rows keeps the weights that its rows came with. Without labels: MMD.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from synalign_spark.alignment.samples import RealSample, synthetic_sample
from synalign_spark.alignment.survey import Survey
from synalign_spark.config.alignment import AlignConfig
from synalign_spark.core.defaults import (
    CONFIDENCE_EXPONENT,
    CROSS_VALIDATION_ROWS,
    EMBEDDING_RATIO_EXPONENTS,
    ENOUGH_ROWS,
    ESS_FLOOR,
    FEWEST_SHAPING_ROWS,
    UNLABELLED_ESS_FLOOR,
    WORD_RATIO_EXPONENT,
)
from synalign_spark.core.solver.path import Settings
from synalign_spark.core.strength.base_measure import BaseMeasure, Component, SideRows, fit_base_measure
from synalign_spark.core.strength.cross_validation import Fit, MixingChoice, choose_mixing_weight
from synalign_spark.core.strength.mixing_weight import mixing_weights, usual_mixing_weight
from synalign_spark.errors import ConfigError

Report = Callable[[str], None]

PEERS = {"dsir": (Component(words=1.0),), "density_ratio": (Component(embeddings=1.0),), "imp": (Component(confidence=1.0),)}


@dataclass(frozen=True)
class Plan:
    """What decides the strength. rule: see ``rule_of``; shaping: groups with real rows enough to shape a base measure; labelled: whether two
    labels of the real rows are among them; components: of the base measure, none where rows keep their weights."""

    rule: str
    shaping: tuple[str, ...]
    labelled: bool
    components: tuple[Component, ...]


@dataclass(frozen=True)
class Strength:
    """The rule of a run and its base measure. shaping: groups that are aligned by it; choice: what cross-validation found; mixing_weight: of
    the synthetic rows beside real ones, None without labels."""

    settings: Settings
    base: BaseMeasure
    shaping: tuple[str, ...]
    choice: MixingChoice | None = None
    mixing_weight: float | None = None


def plan_strength(counts: Survey, cfg: AlignConfig, texts: bool) -> Plan:
    """The rule by the configuration and the counts. texts: whether both sides have them.

    Raises ConfigError where label confidence is asked for without labels to learn it from, or a density ratio of words without texts."""
    shaping = tuple(group for group in sorted(counts.real) if counts.shaping_rows(group) >= FEWEST_SHAPING_ROWS)
    labelled = len(shaping) > 1 and bool(set(shaping) & set(counts.groups))
    rule = rule_of(cfg, labelled)
    if cfg.method == "imp" and not labelled:
        raise ConfigError(
            f"align.method is imp, but it needs two labels with {FEWEST_SHAPING_ROWS} real rows each; set it to synalign or mmd"
        )
    if cfg.method == "dsir" and not texts:
        raise ConfigError("align.method is dsir, but it reads words, and there are no texts; set it to synalign or density_ratio")
    if not labelled and cfg.label_confidence != "auto" and cfg.label_confidence > 0:
        raise ConfigError(
            f"align.label_confidence is {cfg.label_confidence:g}, but it needs two labels with {FEWEST_SHAPING_ROWS} real rows each; set it to auto or 0"
        )
    if not texts and cfg.density_ratio != "auto" and cfg.density_ratio > 0:
        raise ConfigError(f"align.density_ratio is {cfg.density_ratio:g}, but it reads words, and there are no texts; set it to auto or 0")
    return Plan(rule, shaping, labelled, components_of(cfg, rule, texts))


def rule_of(cfg: AlignConfig, labelled: bool) -> str:
    """ess_rule, mmd_rule, fixed or plain. labelled: whether rows are matched by two labels or more."""
    if cfg.regularization == "auto" and cfg.method != "synalign":
        return "plain" if cfg.method == "mmd" else "fixed"
    if cfg.regularization != "auto":
        return cfg.regularization if isinstance(cfg.regularization, str) else "fixed"
    return "ess_rule" if labelled else "mmd_rule"


def components_of(cfg: AlignConfig, rule: str, texts: bool) -> tuple[Component, ...]:
    """Of the base measure. Exponents that are not given are the usual ones under the ess_rule, and 0 under the others; another method
    than synalign has at most one factor, as it is."""
    if cfg.method != "synalign":
        return PEERS.get(cfg.method, ())

    def exponent(given: float | str, usual: float) -> float:
        return float(given) if given != "auto" else usual if rule == "ess_rule" else 0.0

    a = exponent(cfg.label_confidence, CONFIDENCE_EXPONENT)
    b = exponent(cfg.density_ratio, WORD_RATIO_EXPONENT) if texts else 0.0
    averaged = cfg.embedding_ratio == "auto" and rule == "ess_rule"
    of_embeddings = EMBEDDING_RATIO_EXPONENTS if averaged else (exponent(cfg.embedding_ratio, 0.0),)
    found = tuple(Component(a, b, c) for c in of_embeddings)
    return () if set(found) == {Component()} else found


def needs_rows(plan: Plan, cfg: AlignConfig) -> bool:
    """Whether rows of both sides must be looked at to choose the strength."""
    return bool(plan.shaping) and (bool(plan.components) or (plan.labelled and cfg.mixing_weight == "auto"))


def looked_at(plan: Plan, counts: Survey, cfg: AlignConfig) -> Sequence[str]:
    """Groups whose real rows are looked at: with labels all of them, for classifiers are to tell a label from every other."""
    if not needs_rows(plan, cfg):
        return ()
    return tuple(sorted(counts.real)) if plan.labelled else plan.shaping


def choose_strength(
    plan: Plan, real_rows: RealSample, synthetic_rows: pa.Table | None, counts: Survey, cfg: AlignConfig, seed: int, report: Report
) -> Strength:
    """Lambda's settings, the base measure and the mixing weight. real_rows, synthetic_rows: samples of both sides, the latter None where
    ``needs_rows`` is false; seed: of the folds."""
    base, choice, mixing, settings = BaseMeasure(), None, _given_mixing_weight(counts, cfg), _settings(cfg, plan, counts.n_synthetic)
    if synthetic_rows is not None:
        real, synthetic = real_rows.shaping(), synthetic_sample(synthetic_rows)
        floor = settings.ess_floor if plan.rule == "ess_rule" else 0.0

        def fit(shaping: SideRows, aligned: SideRows) -> BaseMeasure:
            groups = [name for name in plan.shaping if (shaping.group == name).any()]
            return fit_base_measure(shaping.take(np.isin(shaping.group, groups)), aligned, plan.components, groups, floor, cfg.method)

        if plan.components:
            base = fit(real, synthetic)
        if plan.labelled and cfg.mixing_weight == "auto":
            choice = _cross_validated(fit, real, synthetic, counts, seed)
            mixing = choice.mixing_weight
    report(f"strength: {plan.rule}{_in_words(base)}{_mixing_in_words(choice)}")
    return Strength(settings, base, plan.shaping, choice, mixing)


def _cross_validated(fit: Fit, real: SideRows, synthetic: SideRows, counts: Survey, seed: int) -> MixingChoice:
    """The mixing weight that bounded samples of both sides choose."""
    usual = usual_mixing_weight(counts.n_synthetic)
    few, made = (_thinned(rows, most, seed) for rows, most in zip((real, synthetic), CROSS_VALIDATION_ROWS, strict=True))
    return choose_mixing_weight(few, made, fit, mixing_weights(usual), usual, seed)


def _thinned(rows: SideRows, most: int, seed: int) -> SideRows:
    """At most so many of the rows, drawn by the seed; they lie in the order of their ids."""
    n = len(rows.group)
    return rows if n <= most else rows.take(np.sort(np.random.default_rng(seed).permutation(n)[:most]))


def _given_mixing_weight(counts: Survey, cfg: AlignConfig) -> float | None:
    """The one that is given, or the usual one where there are labels; without them every row counts as one."""
    if cfg.mixing_weight != "auto":
        return cfg.mixing_weight
    return usual_mixing_weight(counts.n_synthetic) if counts.has_labels else None


def _in_words(base: BaseMeasure) -> str:
    means = base.mean_exponents
    exponents = (
        ("label confidence", means.confidence),
        ("the density ratio of words", means.words),
        ("the density ratio of embeddings", means.embeddings),
    )
    named = [f"{name} to the power of {exponent:g}" for name, exponent in exponents if exponent]
    averaged = f" (means over {len(base.components)} components)" if len(base.components) > 1 else ""
    return f" with {', '.join(named)}{averaged}" if named else ", rows start from the weights that they came with"


def _mixing_in_words(choice: MixingChoice | None) -> str:
    if choice is None:
        return ""
    return f"; beside real rows the synthetic ones count as {choice.mixing_weight:,.0f}, by {choice.validation_rows:,} real rows"


def usual_ess_floor(rule: str, synthetic: int) -> float:
    """Share of the rows that their effective number may not fall below. synthetic: number of rows, at least 1.

    >>> usual_ess_floor("ess_rule", 5_000), usual_ess_floor("ess_rule", 40_000), usual_ess_floor("mmd_rule", 40_000)
    (0.4, 0.1, 0.1)"""
    return min(ESS_FLOOR, ENOUGH_ROWS / synthetic) if rule == "ess_rule" else UNLABELLED_ESS_FLOOR


def _settings(cfg: AlignConfig, plan: Plan, n_synthetic: int) -> Settings:
    floor = usual_ess_floor(plan.rule, n_synthetic) if cfg.ess_floor == "auto" else cfg.ess_floor
    usual_lambda = np.inf if plan.rule == "fixed" else float("nan")  # of a method that matches nothing
    fixed = usual_lambda if isinstance(cfg.regularization, str) else cfg.regularization
    cap = np.inf if cfg.max_weight is None else cfg.max_weight
    return Settings(plan.rule, fixed, floor, cfg.tolerance, cfg.max_passes, cap)
