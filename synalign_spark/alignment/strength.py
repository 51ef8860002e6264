"""How strongly to align: the base measure of a run, and how much the synthetic rows count beside real ones.

With labels, one procedure for every size: a base measure of label confidence and density ratios, averaged over components, the smallest lambda
that keeps a floor on the effective sample size, and the mixing weight by cross-validation on the real rows, kept at its usual value unless
they speak against it. A label with fewer than five real rows keeps the weights that its rows came with. Without labels: MMD, and the usual
mixing weight. What is decided before any row is seen lies in ``plan``.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from synalign_spark.alignment.plan import Plan
from synalign_spark.alignment.samples import RealSample, synthetic_sample
from synalign_spark.core.defaults import CROSS_VALIDATION_ROWS
from synalign_spark.core.solver.path import Settings
from synalign_spark.core.strength.base_measure import BaseMeasure, SideRows, fit_base_measure
from synalign_spark.core.strength.cross_validation import MixingChoice, choose_mixing_weight
from synalign_spark.core.strength.mixing_weight import mixing_weights

Report = Callable[[str], None]


@dataclass(frozen=True)
class Strength:
    """The rule of a run and its base measure. shaping: groups that are aligned by it; mixing_weight: of the synthetic rows beside real ones;
    choice: what cross-validation found, None where it was not asked; method: ``align.method``."""

    settings: Settings
    base: BaseMeasure
    shaping: tuple[str, ...]
    mixing_weight: float
    choice: MixingChoice | None = None
    method: str = "synalign"


def choose_strength(plan: Plan, real_rows: RealSample, synthetic_rows: pa.Table | None, seed: int, report: Report) -> Strength:
    """Lambda's settings, the base measure and the mixing weight. real_rows, synthetic_rows: samples of both sides, the latter None where
    the plan looks at no rows; seed: of the folds."""
    base, choice = BaseMeasure(), None
    if synthetic_rows is not None:
        real, synthetic = real_rows.shaping(), synthetic_sample(synthetic_rows)
        if plan.components:
            base = _fit(plan, real, synthetic)
        if plan.validated:
            choice = _cross_validated(plan, real, synthetic, seed)
    report(f"strength: {plan.settings.rule}{_in_words(base)}{_mixing_in_words(choice)}")
    return Strength(plan.settings, base, plan.shaping, plan.mixing_weight if choice is None else choice.mixing_weight, choice, plan.method)


def _fit(plan: Plan, real: SideRows, synthetic: SideRows) -> BaseMeasure:
    """The base measure that these real rows shape, of the groups that they have."""
    floor = plan.settings.ess_floor if plan.settings.rule == "ess_rule" else 0.0
    groups = [name for name in plan.shaping if (real.group == name).any()]
    return fit_base_measure(real.take(np.isin(real.group, groups)), synthetic, plan.components, groups, floor, plan.method)


def _cross_validated(plan: Plan, real: SideRows, synthetic: SideRows, seed: int) -> MixingChoice:
    """The mixing weight that bounded samples of both sides choose."""
    few, made = (_thinned(rows, most, seed) for rows, most in zip((real, synthetic), CROSS_VALIDATION_ROWS, strict=True))
    usual, trained = plan.mixing_weight, plan.trained
    return choose_mixing_weight(
        few, made, lambda shaping, aligned: _fit(plan, shaping, aligned), mixing_weights(usual), usual, trained, seed
    )


def _thinned(rows: SideRows, most: int, seed: int) -> SideRows:
    """At most so many of the rows, drawn by the seed; they lie in the order of their ids."""
    n = len(rows.group)
    return rows if n <= most else rows.take(np.sort(np.random.default_rng(seed).permutation(n)[:most]))


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
