"""How strongly to align: the base measure of a run, and how much the synthetic rows count beside real ones.

With labels, one procedure for every size: a base measure of label confidence and density ratios, averaged over components, the smallest lambda
that keeps a floor on the effective sample size, and, when the solve has ended, the mixing weight by cross-validation of its weights on the real
rows, kept at its usual value unless they speak against it. A label with fewer than five real rows keeps the weights that its rows came with.
Without labels: MMD, and no more than the number of real rows. What is decided before any row is seen lies in ``plan``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from synalign_spark.alignment.plan import Plan
from synalign_spark.alignment.refit import Refit
from synalign_spark.core.defaults import CROSS_VALIDATION_ROWS, FEWEST_SHAPING_ROWS, SAME_WEIGHTS
from synalign_spark.core.features import FeatureMap
from synalign_spark.core.outliers import OutlierRules
from synalign_spark.core.solver.dual import Point
from synalign_spark.core.solver.path import Settings
from synalign_spark.core.strength.base_measure import BaseMeasure, SideRows, fit_base_measure
from synalign_spark.core.strength.cross_validation import MixingChoice, choose_mixing_weight
from synalign_spark.core.strength.mixing_weight import mixing_weights, safe_mixing_weight, unjudged_mixing_weight

Report = Callable[[str], None]


@dataclass(frozen=True)
class Strength:
    """The rule of a run and its base measure. shaping: groups that are aligned by it; mixing_weight: of the synthetic rows beside real ones;
    choice: what cross-validation found, None where it was not asked, or not yet; unjudged: why it was not; method: ``align.method``."""

    settings: Settings
    base: BaseMeasure
    shaping: tuple[str, ...]
    mixing_weight: float
    choice: MixingChoice | None = None
    unjudged: str | None = None
    method: str = "synalign"


@dataclass(frozen=True)
class LookedAt:
    """Samples of both sides that shape the base measure and judge. texts: of the synthetic rows, (n,), None where a side has none."""

    real: SideRows
    synthetic: SideRows
    texts: list[str] | None


def choose_strength(plan: Plan, looked_at: LookedAt | None, report: Report) -> Strength:
    """Lambda's settings and the base measure, with the mixing weight of the plan. looked_at: None where the plan looks at no rows."""
    base = _fit(plan, looked_at.real, looked_at.synthetic) if looked_at and plan.components else BaseMeasure()
    report(f"strength: {plan.settings.rule}{_in_words(base)}")
    return Strength(plan.settings, base, plan.shaping, plan.mixing_weight, unjudged=plan.unjudged, method=plan.method)


def judged(
    strength: Strength, plan: Plan, looked_at: LookedAt | None, rules: OutlierRules | None, features: FeatureMap,
    ends: Mapping[str, Point], seed: int, report: Report,
) -> Strength:  # fmt: skip
    """The strength with the mixing weight that cross-validation chooses, where the plan has it judged, for weights fitted as those of the run.
    Where these cannot be had, since its solve did not end, nothing is judged.

    rules: of outliers; features, ends: of the solve; seed: of the folds."""
    if looked_at is None or plan.unjudged:
        return strength
    real = looked_at.real.take(_thinned(looked_at.real.group, CROSS_VALIDATION_ROWS[0], seed))
    places = _thinned(looked_at.synthetic.group, CROSS_VALIDATION_ROWS[1], seed)
    outlier = _outliers(looked_at, strength.base, rules)[places]
    made = looked_at.synthetic.take(places)
    refit = Refit(features, {name: end.lam for name, end in ends.items()}, made, outlier, plan.settings.weight_cap)
    apart = refit.difference(looked_at.real, strength.base, {name: end.theta for name, end in ends.items()})
    if apart > SAME_WEIGHTS:
        report(f"mixing weight: not judged, for weights fitted again differ from those of the run (total variation {apart:.2f})")
        why = "no model was trained with these weights, which a second fit does not give again"
        return replace(strength, mixing_weight=unjudged_mixing_weight(plan.trained.synthetic, plan.trained.real), unjudged=why)
    usual, safe = plan.mixing_weight, safe_mixing_weight(plan.mixing_weight, plan.trained.real)
    choice = choose_mixing_weight(
        real, made, lambda seen: refit.weights(seen, _fit(plan, seen, made)), mixing_weights(usual, safe), safe, plan.trained, seed
    )
    report(f"beside real rows the synthetic ones count as {choice.mixing_weight:,.0f}, by {choice.validation_rows:,} real rows")
    return replace(strength, mixing_weight=choice.mixing_weight, choice=choice)


def unusable(strength: Strength, why: str, auto: bool) -> Strength:
    """The strength where the vectors tell no row from another: no model judges, and rows of which the advice is not to use them count nothing,
    unless the mixing weight was given. why: in words; auto: whether it was not."""
    return replace(strength, mixing_weight=0.0 if auto else strength.mixing_weight, choice=None, unjudged=why)


def _outliers(looked_at: LookedAt, base: BaseMeasure, rules: OutlierRules | None) -> npt.NDArray[np.bool_]:
    """(n,) whether each synthetic row must not gain weight."""
    rows, views = looked_at.synthetic, looked_at.synthetic.views
    if rules is None:
        return np.zeros(len(rows.group), dtype=bool)
    ratio = np.full(len(rows.group), np.nan)
    if base.words is not None:
        ratio = base.words.log_ratio(views.ngrams, rows.group, rows.half)
    disputed = np.zeros(len(rows.group), dtype=bool)
    if base.classifiers is not None:
        disputed = base.classifiers.other_labels(views.x, views.labels, rows.half) != None  # noqa: E711  (element by element)
    found: npt.NDArray[np.bool_] = rules.reasons(views.x, rows.group, looked_at.texts, ratio, disputed) != None  # noqa: E711
    return found


def _fit(plan: Plan, real: SideRows, synthetic: SideRows) -> BaseMeasure:
    """The base measure that these real rows shape, of the groups that they have."""
    floor = plan.settings.ess_floor if plan.settings.rule == "ess_rule" else 0.0
    groups = [name for name in plan.shaping if (real.group == name).any()]
    return fit_base_measure(real.take(np.isin(real.group, groups)), synthetic, plan.components, groups, floor, plan.method)


def _thinned(group: npt.NDArray[np.object_], most: int, seed: int) -> npt.NDArray[np.int64]:
    """Places of about so many of the rows, drawn by the seed, and of each label as many as shape it, or all: a rare one stays in every fold.
    They stay in the order of their ids.

    >>> group = np.array(["a"] * 90 + ["b"] * 5, dtype=object)
    >>> [int((group[_thinned(group, 20, seed)] == "b").sum()) for seed in range(3)]
    [5, 5, 5]
    """
    if len(group) <= most:
        return np.arange(len(group))
    drawn = np.random.default_rng(seed).permutation(len(group))
    rare = [drawn[group[drawn] == label][:FEWEST_SHAPING_ROWS] for label in sorted(set(group.tolist()), key=str)]
    return np.unique(np.concatenate([drawn[:most], *rare]))


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
