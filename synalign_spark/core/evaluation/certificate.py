"""What the weights achieve, in words: first what to do with the rows and why, then the figures.

Distances (:mod:`mmd`) and tests (:mod:`permutation`) rest on held-out real rows, which shaped no weight; the gain on the others, by
cross-validation.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from synalign_spark.core.defaults import FEWEST_TEST_ROWS, TEST_LEVEL
from synalign_spark.core.evaluation.mmd import Comparison, Estimate
from synalign_spark.core.evaluation.permutation import Test
from synalign_spark.core.strength.gain import Gain

PEERS = ("dsir", "density_ratio", "imp")  # methods of other papers whose weights are a base measure
FLOOR, CAP = "ess_floor", "max_weight"  # what a rule keeps to


@dataclass(frozen=True)
class Checked:
    """What samples on the driver say of a label, or of all of them.

    comparison: distances, None where too few rows are there; before, after: tests of base weights and weights, None likewise;
    degenerate: what makes distances, tests and weights meaningless, in words, else empty; untested: what makes distances and tests alone so,
    for it holds of the held-out rows, which decide no weight; left_out: groups that could not be compared."""

    comparison: Comparison | None = None
    before: Test | None = None
    after: Test | None = None
    degenerate: str = ""
    untested: str = ""
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class Usefulness:
    """What the weighted rows do for models beside real rows.

    mixing_weight: real rows that the synthetic ones count as; gain: over real rows alone, None where no model was trained; unjudged: why none
    was. The rows behind the gain chose nothing that they judge: see ``cross_validation``."""

    mixing_weight: float
    gain: Gain | None = None
    unjudged: str = "no model was trained on them"


@dataclass(frozen=True)
class Findings:
    """What a verdict is made of. unweighted: whether the rows keep the weights that they came with, whatever the base measure is; adjusted:
    p-value of the test after weighting, corrected for ``tests`` labels, and adjusted_before; held_by: what allowed no lambda, FLOOR or CAP, else empty;
    usefulness: None for a single label, which gets no advice of its own."""

    rule: str
    lam: float
    checked: Checked
    ess_share: float
    converged: bool
    unweighted: bool = False
    method: str = "synalign"
    adjusted: float | None = None
    adjusted_before: float | None = None
    tests: int = 1
    raised: bool = False
    held_by: str = ""
    confidence_exponent: float = 0.0
    density_ratio_exponent: float = 0.0
    embedding_ratio_exponent: float = 0.0
    usefulness: Usefulness | None = None

    @property
    def told_apart(self) -> bool | None:
        """Whether the test tells the weighted rows from real ones; None without a test."""
        return None if self.adjusted is None else self.adjusted <= TEST_LEVEL

    @property
    def differ(self) -> bool:
        """Whether a test tells the rows from real ones, before weighting or after."""
        return bool(self.told_apart) or (self.adjusted_before is not None and self.adjusted_before <= TEST_LEVEL)


def verdict(found: Findings) -> str:
    """The certificate in words."""
    parts = [advice(found), *_how(found), *_figures(found), f"effective sample size {found.ess_share:.0%} of the rows"]
    if not found.converged:
        parts.append("the duality gap was not reached: raise align.max_passes or lambda")
    if found.raised:
        parts.append("lambda was raised to keep the effective sample size or the largest weight within bounds")
    return "; ".join(part for part in parts if part)


def advice(found: Findings) -> str:
    """Use the rows with their weights, or do not, and why; "use" where models gained alone, for rows near real ones may still harm. Of a
    single label only what is known of its distribution."""
    if found.checked.degenerate:
        words = f"{found.checked.degenerate}, so no distance or test means anything: check the embedding model and the texts"
        return words if found.usefulness is None else f"do not use these rows yet: {words}"
    if found.usefulness is None:
        return _nearness(found)
    if not found.usefulness.mixing_weight and found.usefulness.gain is None:
        return "the synthetic rows are not used, as configured: align.mixing_weight is 0, and so is each sample_weight of theirs"
    if found.usefulness.gain is not None:
        return _by_models(found.usefulness.mixing_weight, found.usefulness.gain)
    comparison, why = found.checked.comparison, found.usefulness.unjudged
    if comparison is None:
        return f"nothing is known of these rows: {why}, and {_nearness(found)}"
    if comparison.closed and comparison.closed.high < 0:
        return f"do not use these rows before a test set of your own speaks for them: {_nearness(found)}, and {why}"
    return f"whether these rows help is not known: {why}; {_nearness(found)}"


def _by_models(mixing_weight: float, found: Gain) -> str:
    """Advice where models were trained on real rows with and without the synthetic ones."""
    gain, error, rows = 100 * found.value, 100 * found.error, f"the {found.rows:,} real rows"
    if mixing_weight == 0:
        return f"do not use these rows: models trained on them beside {rows} are no better than on the real rows alone"
    if gain < -2 * error:
        return f"do not use these rows: models trained on them beside {rows} lose {-gain:.1f} points of accuracy (+- {error:.1f})"
    if round(gain, 1) == 0:
        return f"no difference was seen: models are as good beside {rows} with these rows as without (+- {max(error, 0.05):.1f} points)"
    if gain <= 0:
        return (
            f"no gain was seen: beside {rows} models lose {abs(gain):.1f} points of accuracy (+- {error:.1f}), no more than chance may take"
        )
    small = " if at all, for chance gives as much" if gain <= 2 * error else ""
    return f"use these rows with sample_weight{small}: beside {rows} models gain {gain:.1f} points of accuracy (+- {error:.1f})"


def _nearness(found: Findings) -> str:
    """What the distances say, in a clause."""
    comparison = found.checked.comparison
    if found.checked.untested:
        return f"their distance is unknown: {found.checked.untested}"
    if comparison is None:
        return f"their distance is unknown, with fewer than {FEWEST_TEST_ROWS} held-out real rows or synthetic rows of weight"
    if comparison.closed is None:
        seen = "they differ from real rows, but by too little" if found.differ else "their distance to real rows is too small"
        return f"before weighting already {seen} for these held-out rows to measure"
    if found.unweighted:
        return "they keep the weights that they came with"
    if comparison.closed.low > 0:
        return "the weights bring them nearer to the real rows"
    if comparison.closed.high < 0:
        return "the weights take them farther from the real rows"
    return "the weights make no difference to their distance that can be measured"


def _how(found: Findings) -> list[str]:
    """Why the weights are as they are, where that is not by a lambda."""
    if not np.isinf(found.lam):
        return []
    if found.checked.degenerate:
        return ["base weights kept" if found.unweighted else f"weights by {_base_measure(found)} alone"]
    weights = "base weights kept" if found.unweighted else f"weights by {_base_measure(found)} alone"
    if found.rule == "uniform":
        return [f"too few real rows to align by, of the label or in a half of them (align.validation): {weights}"]
    if found.held_by == CAP:
        return [f"align.max_weight allows no lambda: {weights}, as far as they are within it"]
    if found.rule in ("fixed", "plain"):
        return [f"{weights}, as configured"]
    if found.rule == "ess_rule" or found.held_by == FLOOR:
        return [f"no lambda keeps the effective sample size: {weights}"]
    if found.unweighted:
        return ["uniform could not be beaten on validation rows: base weights kept"]
    return [f"{weights}: matching the distribution as well did not pay on validation rows"]


def _base_measure(found: Findings) -> str:
    """What the weights are where nothing is matched."""
    if found.method in PEERS:
        return f"the method {found.method}"
    exponents = (
        ("label confidence", found.confidence_exponent),
        ("the density ratio of words", found.density_ratio_exponent),
        ("the density ratio of embeddings", found.embedding_ratio_exponent),
    )
    return " and ".join(name for name, exponent in exponents if exponent) or "the base measure"


def _figures(found: Findings) -> list[str]:
    if found.checked.degenerate:
        return []
    if found.checked.untested:
        return [f"no distance and no test: {found.checked.untested}"]
    return [*_distances(found), _test(found), *_left_out(found.checked.left_out)]


def _distances(found: Findings) -> list[str]:
    comparison = found.checked.comparison
    if comparison is None:
        return []
    distance = f"MMD^2 to held-out real rows {_shown(comparison.before)}"
    if not found.unweighted:
        distance += f" before and {_shown(comparison.after)} after weighting"
    if comparison.floor is not None:
        distance += f"; between halves of the real rows {round(comparison.floor.mmd2, 4) + 0.0:.4f} +- {comparison.floor.error:.4f}"
    closed = comparison.closed
    if closed is None and not found.differ:
        return [f"{distance}: there was nothing to close that could be measured"]
    if found.unweighted:
        return [distance]
    if closed is None:
        return [f"{distance}: how much of it is closed cannot be measured"]
    share, low, high = (round(value, 2) + 0.0 for value in (closed.share, closed.low, closed.high))  # no "-0%"
    if share < 0:
        return [f"{distance}: the distance grew by {-share:.0%} (95% {0.0 - high:.0%} to {0.0 - low:.0%})"]
    return [f"{distance}: {share:.0%} of the distance is closed (95% {low:.0%} to {high:.0%})"]


def _shown(estimate: Estimate) -> str:
    """With its interval. An unbiased estimate of almost nothing is below 0 as often as above, and no distance is.

    >>> _shown(Estimate(0.03, 0.01)), _shown(Estimate(-0.0004, 0.0005))
    ('0.0300 (95% 0.0104 to 0.0496)', 'about 0 (estimate -0.0004, 95% 0.0000 to 0.0006)')
    """
    low, high = estimate.interval
    interval = f"95% {low:.4f} to {high:.4f}"
    shown = round(estimate.mmd2, 4) + 0.0  # no -0
    return f"{shown:.4f} ({interval})" if shown >= 0 else f"about 0 (estimate {shown:.4f}, {interval})"


def _test(found: Findings) -> str:
    test, comparison = found.checked.after, found.checked.comparison
    if test is None:
        return (
            f"no test: fewer than {FEWEST_TEST_ROWS} rows can be drawn without one coming twice, or as few are held out"
            if comparison is not None
            else f"no test: fewer than {FEWEST_TEST_ROWS} held-out or drawn rows"
        )
    corrected = f", {found.adjusted:.3f} by Holm over {found.tests} labels" if found.tests > 1 and found.adjusted is not None else ""
    of_before = ""
    if comparison is not None and comparison.closed is not None:
        of_before = f", {test.detectable / comparison.before.mmd2:.0%} of the distance before weighting,"
    finds = f"it finds a difference of {test.detectable:.4f}{of_before} in 80 of 100 cases"
    who = "the rows" if found.unweighted else "the weighted rows"
    told = f"{who} can still be told from real ones" if found.told_apart else f"{who} cannot be told from real ones"
    return f"{told} by a test at the 5% level on {test.rows} of them and {test.real_rows} real rows (p = {test.p_value:.3f}{corrected}; {finds})"


def _left_out(labels: Sequence[str]) -> list[str]:
    """labels: those that the distances and the test do not cover."""
    return (
        [f"label {', '.join(labels[:10])} not compared: too few held-out or different rows, or one row has most of the weight"]
        if labels
        else []
    )
