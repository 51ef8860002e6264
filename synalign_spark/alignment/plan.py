"""What the counts and the configuration decide of the strength, before any row is looked at: the rule, and what the base measure is made of."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from synalign_spark.alignment.survey import Survey
from synalign_spark.config.alignment import AlignConfig
from synalign_spark.core.defaults import (
    CONFIDENCE_EXPONENT,
    EMBEDDING_RATIO_EXPONENTS,
    ENOUGH_ROWS,
    ESS_FLOOR,
    FEWEST_SHAPING_ROWS,
    SAME_SHARES,
    UNLABELLED_ESS_FLOOR,
    WORD_RATIO_EXPONENT,
)
from synalign_spark.core.solver.path import Settings
from synalign_spark.core.strength.base_measure import Component
from synalign_spark.core.strength.gain import TrainingRows
from synalign_spark.core.strength.mixing_weight import unjudged_mixing_weight, usual_mixing_weight
from synalign_spark.errors import ConfigError

PEERS = {"dsir": (Component(words=1.0),), "density_ratio": (Component(embeddings=1.0),), "imp": (Component(confidence=1.0),)}


@dataclass(frozen=True)
class Plan:
    """What decides the strength. method: ``align.method``; settings: the rule, see ``rule_of``, and lambda's bounds; shaping: groups with real
    rows enough to shape a base measure; labelled: whether two labels of the real rows are among them; components: of the base measure, none
    where rows keep their weights; mixing_weight: the given or the usual one, or for want of judges no more than there are real rows;
    unjudged: why cross-validation cannot judge the weights, None where it can, and may lower the mixing weight; looked_at: groups whose real
    rows are looked at, none where no row of either side must be; trained: rows that the gain speaks of: all real ones, and as many
    synthetic ones as are drawn where there are many."""

    method: str
    settings: Settings
    shaping: tuple[str, ...]
    labelled: bool
    components: tuple[Component, ...]
    mixing_weight: float
    unjudged: str | None
    looked_at: tuple[str, ...]
    trained: TrainingRows


def plan_strength(counts: Survey, cfg: AlignConfig, texts: bool) -> Plan:
    """The plan by the configuration and the counts. texts: whether both sides have them.

    Raises ConfigError where label confidence is asked for without labels to learn it from, or a density ratio of words without texts."""
    shaping = tuple(group for group in sorted(counts.real) if counts.shaping_rows(group) >= FEWEST_SHAPING_ROWS)
    labelled = len(shaping) > 1 and bool(set(shaping) & set(counts.groups))
    _check(cfg, labelled, len(set(shaping) & set(counts.groups)), texts)
    rule = rule_of(cfg, labelled)
    components = components_of(cfg, rule, texts)
    unjudged = _unjudged(counts, cfg, labelled)
    usual = unjudged_mixing_weight(counts.n_synthetic, counts.n_teaching) if unjudged else usual_mixing_weight(counts.n_synthetic)
    # classifiers are to tell a label from every other, so with labels all of them are looked at
    looked_at = (tuple(sorted(counts.real)) if labelled else shaping) if shaping and (components or not unjudged) else ()
    return Plan(
        cfg.method, _settings(cfg, rule, counts.n_synthetic), shaping, labelled, components,
        usual if cfg.mixing_weight == "auto" else cfg.mixing_weight, unjudged, looked_at,
        TrainingRows(counts.n_teaching, min(counts.n_synthetic, int(ENOUGH_ROWS))),
    )  # fmt: skip


def _unjudged(counts: Survey, cfg: AlignConfig, labelled: bool) -> str | None:
    """Why no model can say whether the rows help, in words; None where models can."""
    if not labelled:
        return f"no model was trained on them, which takes two labels with {FEWEST_SHAPING_ROWS} real rows each"
    if cfg.mixing_weight != "auto":
        return "no model was trained on them, for align.mixing_weight is given"
    if counts.wanted is not None and _other_shares(counts.wanted, counts.real_weight) > SAME_SHARES:
        return "no model was trained for the label shares that are asked for, which are not those of the real rows"
    return None


def _other_shares(wanted: Mapping[str, float], real: Mapping[str, float]) -> float:
    """Total variation of the label shares that are wanted from those of the real rows, both of any positive sum."""
    total, of_real = sum(wanted.values()), sum(real.values())
    return 0.5 * sum(abs(wanted.get(group, 0.0) / total - real.get(group, 0.0) / of_real) for group in {*wanted, *real})


def _check(cfg: AlignConfig, labelled: bool, both_sides: int, texts: bool) -> None:
    """Raises ConfigError for what is asked for and cannot be had of these rows. both_sides: labels with synthetic rows among those."""
    if cfg.method == "imp" and (not labelled or both_sides < 2):
        raise ConfigError(
            f"align.method is imp, but it needs two labels with {FEWEST_SHAPING_ROWS} real rows each and synthetic ones; set it to synalign or mmd"
        )
    if cfg.method == "dsir" and not texts:
        raise ConfigError("align.method is dsir, but it reads words, and there are no texts; set it to synalign or density_ratio")
    if not labelled and cfg.label_confidence != "auto" and cfg.label_confidence > 0:
        raise ConfigError(
            f"align.label_confidence is {cfg.label_confidence:g}, but it needs two labels with {FEWEST_SHAPING_ROWS} real rows each; set it to auto or 0"
        )
    if not texts and cfg.density_ratio != "auto" and cfg.density_ratio > 0:
        raise ConfigError(f"align.density_ratio is {cfg.density_ratio:g}, but it reads words, and there are no texts; set it to auto or 0")


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


def usual_ess_floor(rule: str, synthetic: int) -> float:
    """Share of the rows that their effective number may not fall below. synthetic: number of rows, at least 1.

    >>> usual_ess_floor("ess_rule", 5_000), usual_ess_floor("ess_rule", 40_000), usual_ess_floor("mmd_rule", 40_000)
    (0.4, 0.1, 0.1)"""
    return min(ESS_FLOOR, ENOUGH_ROWS / synthetic) if rule == "ess_rule" else UNLABELLED_ESS_FLOOR


def _settings(cfg: AlignConfig, rule: str, n_synthetic: int) -> Settings:
    floor = usual_ess_floor(rule, n_synthetic) if cfg.ess_floor == "auto" else cfg.ess_floor
    usual_lambda = np.inf if rule == "fixed" else float("nan")  # of a method that matches nothing
    fixed = usual_lambda if isinstance(cfg.regularization, str) else cfg.regularization
    cap = np.inf if cfg.max_weight is None else cfg.max_weight
    return Settings(rule, fixed, floor, cfg.tolerance, cfg.max_passes, cap)
