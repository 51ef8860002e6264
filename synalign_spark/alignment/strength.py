"""How strongly to align: the rule for a run, and what it needs from the tables.

Three cases, unless the configuration fixes lambda: labels and enough real rows (probes choose lambda and how far to trust the
labels), labels and fewer rows (agreement by real and synthetic rows, the likeness of words, and the smallest lambda that keeps 0.4 of
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
from synalign_spark.core.strength.candidates import AGREEMENTS, LIKENESSES, Choice, choose_by_probes
from synalign_spark.core.strength.classifiers import fit_label_probe, fit_shared_probes, together
from synalign_spark.core.strength.density_ratio import fit_likeness, joined
from synalign_spark.core.strength.mixing_weight import best_mass, masses, usual_mass
from synalign_spark.core.strength.teachers import Lead, Rule, lead_of_synthetic
from synalign_spark.errors import ConfigError

FEWEST_JUDGES = 20  # real rows of a label in each half; a label with fewer takes no part in the choice
MOST_SAMPLED = 5  # times warm_start_rows; so many rows are all taken: at small lambda a sample of few rows misleads
SAMPLED = 0.1  # of more rows, so that a pass over the sample costs little beside one over all
UNASKED = Rule(agreement=0.0, floor=0.1, likeness=0.0)  # where no real rows say more
Report = Callable[[str], None]


@dataclass(frozen=True)
class Strength:
    """The rule of a run. choice: what probes found; mass: of the synthetic rows beside real ones, None without labels; lead: what
    real rows too few for probes know."""

    settings: Settings
    base: Base
    choice: Choice | None = None
    mass: float | None = None
    lead: Lead | None = None


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

    Raises ConfigError where label agreement is asked for and there are no labels to learn it from."""
    enough = [group for group in counts.groups if min(means[group][half].count for half in HALVES) >= FEWEST_JUDGES]
    judged = [group for group in enough if counts.shares[group] > 0]
    judging = sum(means[group][half].count for group in judged for half in HALVES)
    classes = len(judged) > 1
    if not classes and isinstance(cfg.label_agreement, float) and cfg.label_agreement > 0:
        raise ConfigError(
            f"align.label_agreement is {cfg.label_agreement:g}, but it needs two labels with {2 * FEWEST_JUDGES} real rows each; set it to auto or 0"
        )
    rule = rule_of(cfg, classes, judging)
    if rule == "probes":
        return _by_probes(real, synthetic, texts, counts, means, features, cfg, seed, judged, report)
    return _without_probes(real, synthetic, texts, counts, cfg, rule, seed, judged, report)


def _without_probes(
    real: DataFrame, synthetic: DataFrame, texts: tuple[DataFrame, DataFrame], counts: Survey, cfg: AlignConfig, rule: str, seed: int,
    judged: list[str], report: Report,
) -> Strength:  # fmt: skip
    """The strength that is given, or that of too few real rows or of rows without labels."""
    classes, few = len(judged) > 1, rule == "ess_rule"
    powers = [0.0 if power == "auto" else power for power in (cfg.label_agreement, cfg.word_likeness)]
    base, lead, said = Base(), None, ", without label agreement"
    if judged and (few or any(powers)):
        there, made = real_side(real, texts[0], counts, judged, seed), synthetic_side(synthetic, texts[1], counts, cfg, judged, seed)
        lead = lead_of_synthetic(there.views, made.views) if few else None
        usual = lead.rule if lead else UNASKED
        a = usual.agreement if cfg.label_agreement == "auto" else cfg.label_agreement
        b = usual.likeness if cfg.word_likeness == "auto" else cfg.word_likeness
        likeness = fit_likeness(there.texts, made.texts, judged) if b else None
        base = Base(likeness=likeness, likeness_power=b if likeness else 0.0)
        if classes and (few or a):
            base = replace(base, power=a, probe=fit_shared_probes(there.labelled, made.labelled, made.half))
            said = f" with label agreement to the power of {a:g}"
    words = f" and word likeness to the power of {base.likeness_power:g}" if base.likeness else ""
    report(f"strength: {rule}{said}{words}{_lead(lead, cfg)}")
    return Strength(_settings(cfg, rule, lead=lead), base, mass=_mass(cfg, classes, counts), lead=lead)


def _lead(lead: Lead | None, cfg: AlignConfig) -> str:
    """What few real rows know, in words."""
    if lead is None:
        return ""
    known = f"students of the synthetic rows label {lead.taught:.0%} of the real ones right, a probe of real rows {lead.own:.0%}"
    return f" ({known}; probes choose from {cfg.probe_rows:,} real rows)"


def _by_probes(
    real: DataFrame, synthetic: DataFrame, texts: tuple[DataFrame, DataFrame], counts: Survey, means: Mapping[str, Mapping[str, Sample]],
    features: FeatureMap, cfg: AlignConfig, seed: int, judged: list[str], report: Report,
) -> Strength:  # fmt: skip
    """The strength that probes choose."""
    halves = real_halves(real, texts[0], means, counts, judged)
    pool = synthetic_pool(synthetic, texts[1], counts, features, cfg, seed, judged)
    agreements = AGREEMENTS if cfg.label_agreement == "auto" else (cfg.label_agreement,)
    likenesses = LIKENESSES if cfg.word_likeness == "auto" else (cfg.word_likeness,)
    shares = {group: counts.shares[group] for group in judged}
    tried = masses(sum(counts.synthetic.values())) if cfg.synthetic_mass == "auto" else sorted({0.0, cfg.synthetic_mass})
    choice = choose_by_probes(halves, pool, shares, agreements, likenesses=likenesses, masses=tried)
    best = choice.best
    report(f"strength: probes took lambda {best.lam:.3g}, label agreement to the power of {best.agreement:g} and word likeness to the power "
           f"of {best.likeness:g} among {len(choice.tried)} candidates: accuracy {best.accuracy:.1%} on {choice.judges:,} real rows")  # fmt: skip
    likeness = fit_likeness(joined([half.texts for half in halves]), pool.texts, judged) if best.likeness else None
    both = together(halves[0].rows, halves[1].rows)
    base = Base(best.agreement, fit_label_probe(both.x, both.labels, both.weight), likeness, best.likeness if likeness else 0.0)
    mass = best_mass(choice.beside, choice.judges).mass if cfg.synthetic_mass == "auto" else cfg.synthetic_mass
    return Strength(_settings(cfg, "probes", best.lam), base, choice, mass)


def _mass(cfg: AlignConfig, classes: bool, counts: Survey) -> float | None:
    """The mass that is given, or where nothing judges it the usual one."""
    if cfg.synthetic_mass != "auto":
        return cfg.synthetic_mass
    return usual_mass(sum(counts.synthetic.values())) if classes else None


def rule_of(cfg: AlignConfig, classes: bool, judging: float) -> str:
    """The rule by the configuration and the data. classes: whether rows are matched by two labels or more; judging: real rows
    that shape the weights."""
    if cfg.lam != "auto":
        return cfg.lam if isinstance(cfg.lam, str) else "fixed"
    if not classes:
        return "mmd_rule"
    return "probes" if judging >= cfg.probe_rows else "ess_rule"


def _settings(cfg: AlignConfig, rule: str, lam: float = float("nan"), lead: Lead | None = None) -> Settings:
    floor = (lead.rule if lead else UNASKED).floor if cfg.ess_floor == "auto" else cfg.ess_floor
    fixed = lam if isinstance(cfg.lam, str) else cfg.lam
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
