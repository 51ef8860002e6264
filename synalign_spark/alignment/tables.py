"""The certificate and the solver's trace, as rows of their tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from synalign_spark.alignment.strength import Strength
from synalign_spark.alignment.verdicts import alike_in_words, strength_in_words, unmatched_in_words, usefulness
from synalign_spark.core.evaluation.certificate import CAP, FLOOR, Checked, Findings, Usefulness, verdict
from synalign_spark.core.evaluation.mmd import Comparison
from synalign_spark.core.evaluation.permutation import Test, holm
from synalign_spark.core.features import FeatureMap
from synalign_spark.core.groups import ALL, label_of
from synalign_spark.core.solver.dual import NEGLIGIBLE_GAP
from synalign_spark.core.solver.path import Finished, pool
from synalign_spark.core.solver.solve import Answer, Problem
from synalign_spark.core.strength.base_measure import BaseMeasure
from synalign_spark.core.strength.cross_validation import MixingChoice

Float64Array = npt.NDArray[np.float64]

SAME = 1e-6  # relative, of weights that two passes over the same rows give


@dataclass(frozen=True)
class Outcome:
    """All that is known of a group after its solve. share: of the group among the weights."""

    n_synthetic: int
    share: float
    base: BaseMeasure
    problem: Problem
    answer: Answer

    @property
    def end(self) -> Finished:
        """The end of the solve, over all rows."""
        return self.answer.finished

    @property
    def unweighted(self) -> bool:
        """Whether the final weights are those that the rows came with, to the rounding of a pass."""
        before, after = self.end.before, self.end.solution.point.moments
        first, second = (np.array([moments.ess, moments.max_weight]) for moments in (before, after))
        return np.allclose(first, second, rtol=SAME, atol=0.0) and np.allclose(before.mean, after.mean, rtol=0.0, atol=SAME)

    @property
    def held_by(self) -> str:
        """What allowed no lambda: FLOOR or CAP, else empty."""
        settings, points = self.problem.settings, self.answer.path.points
        if not np.isinf(self.end.lam) or np.isinf(settings.lam):
            return ""
        tried = points[min(1, len(points) - 1)].point.moments
        if not settings.keeps_floor(tried, tried.rows):
            return FLOOR
        return CAP if not settings.keeps_cap(tried, tried.rows) or (self.end.raised and np.isfinite(settings.weight_cap)) else ""


def trace_rows(outcomes: Mapping[str, Outcome], strength: Strength) -> list[dict[str, Any]]:
    """Rows of the solver_trace table: the path of each group, and what cross-validation tried, with the point that was taken."""
    rows = [
        {
            "mixing_weight": None, "kind": "path", "label": label_of(group), "step": step, "lambda": p.point.lam, **_exponents(outcome.base),
            "dual_value": p.point.value, "duality_gap": p.point.gap, "mmd2_fit": p.mmd2_fit, "mmd2_validation": p.mmd2_validation,
            "score": p.score, "accuracy": None, "ess": p.point.moments.ess, "passes": p.passes, "chosen": step == outcome.answer.path.chosen,
        }
        for group, outcome in sorted(outcomes.items())
        for step, p in enumerate(outcome.answer.path.points)
    ]  # fmt: skip
    return rows + (_mixing(strength.choice, _exponents(strength.base)) if strength.choice else [])


def _mixing(choice: MixingChoice, path: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What cross-validation tried beside the real rows. path: columns of the base measure's trace rows."""
    unknown = dict.fromkeys(("label", "dual_value", "duality_gap", "mmd2_fit", "mmd2_validation", "ess")) | {"passes": 0, "lambda": np.inf}
    return [
        {
            **unknown, **path, "kind": "mixing_weight", "step": step, "score": one.log_loss, "accuracy": one.overall,
            "mixing_weight": one.mixing_weight, "chosen": one.mixing_weight == choice.mixing_weight,
        }
        for step, one in enumerate(choice.tried)
    ]  # fmt: skip


def _exponents(base: BaseMeasure) -> dict[str, float]:
    """Columns of both tables: means over the components."""
    means = base.mean_exponents
    return {
        "label_confidence_exponent": means.confidence,
        "density_ratio_exponent": means.words,
        "embedding_ratio_exponent": means.embeddings,
    }


def certificate_rows(
    outcomes: Mapping[str, Outcome],
    checks: Mapping[str, Checked],
    features: FeatureMap,
    seconds: float,
    unmatched: Sequence[str],
    strength: Strength,
) -> list[dict[str, Any]]:
    """Rows of the certificate table: one a label, and one for the whole (label null).

    checks: by group, and under 'whole' where there are labels; seconds: of the solve; strength: what was chosen;
    unmatched: labels of real rows without synthetic rows, which the verdict on the whole names."""
    common = {
        "bandwidths": list(features.bandwidths), "n_features": features.n_features, "seconds": seconds, "mixing_weight": strength.mixing_weight,
    }  # fmt: skip
    useful, nothing = usefulness(strength), Usefulness(strength.mixing_weight)
    groups = sorted(outcomes)
    by_label = list(outcomes) != [ALL]
    corrected = [_adjusted([checks[group] for group in groups], place) for place in ("before", "after")]
    rows = [
        {
            **common, **_of_models(nothing if by_label else useful), "label": label_of(group),
            **_numbers([outcomes[group]], checks[group], (before, after), len(groups), None if by_label else useful, strength.method),
        }
        for group, before, after in zip(groups, *corrected, strict=True)
    ]  # fmt: skip
    if by_label:
        whole = checks["whole"]
        alone = tuple(_adjusted([whole], place)[0] for place in ("before", "after"))
        numbers = _numbers([outcomes[group] for group in groups], whole, (alone[0], alone[1]), 1, useful, strength.method)
        rows.append({**common, **_of_models(useful), "label": None, **numbers})
    labels = [*unmatched, *(label for group in groups if (label := label_of(group)) is not None)]
    rows[-1]["verdict"] = "; ".join(
        [rows[-1]["verdict"], *strength_in_words(strength), *unmatched_in_words(unmatched), *alike_in_words(labels)]
    )
    return rows


def _adjusted(checks: Sequence[Checked], place: str) -> list[float | None]:
    """p-values by Holm over the tests that there are. place: before or after."""
    tests: list[Test | None] = [getattr(one, place) for one in checks]
    adjusted = iter(holm([test.p_value for test in tests if test]))
    return [next(adjusted) if test else None for test in tests]


def _of_models(useful: Usefulness) -> dict[str, Any]:
    gain = useful.gain
    if gain and not useful.mixing_weight:  # of rows that count nothing
        gain = replace(gain, value=0.0, error=0.0)
    names = {"gain": "value", "gain_error": "error", "gain_measured": "measured", "gain_measured_rows": "measured_rows"}
    return {name: getattr(gain, of) if gain else None for name, of in names.items()}


def _numbers(
    parts: list[Outcome], checked: Checked, adjusted: tuple[float | None, float | None], tests: int, useful: Usefulness | None, method: str
) -> dict[str, Any]:
    """The figures of one group, or of several as one: means, values and gaps add up by share. adjusted: p-values before and after, by Holm
    over so many tests; method: ``align.method``."""
    raw = np.array([part.share for part in parts]) if len(parts) > 1 else np.ones(1)  # a label alone may have the share 0
    shares = raw / raw.sum()
    ends = [part.end.solution.point for part in parts]
    real, held_out = pool([part.problem.real for part in parts]), sum(part.problem.holdout.count for part in parts)
    before = _mix(shares, [part.end.before.mean for part in parts])
    after = _mix(shares, [end.moments.mean for end in ends])
    sum_squares = float(sum(s**2 * end.moments.sum_squared_weights for s, end in zip(shares, ends, strict=True)))
    value, gap = (float(sum(s * x for s, x in zip(shares, xs, strict=True))) for xs in ([e.value for e in ends], [e.gap for e in ends]))
    lams, rules = {end.lam for end in ends}, {part.problem.settings.rule for part in parts}
    numbers: dict[str, Any] = {
        "n_synthetic": sum(part.n_synthetic for part in parts), "n_real_fit": round(real.count), "n_real_holdout": round(held_out),
        "rule": max(rules, key=lambda rule: rule != "uniform"), "lambda": lams.pop() if len(lams) == 1 else float("nan"),
        **_exponents(parts[0].base),
        "mmd2_fit_before": float(np.sum((before - real.mean) ** 2)), "mmd2_fit_after": float(np.sum((after - real.mean) ** 2)),
        **_of_distances(checked.comparison), **_of_test(checked.before, adjusted[0], "before"), **_of_test(checked.after, adjusted[1], "after"),
        "n_permutations": checked.after.permutations if checked.after else None,
        "dual_value": value, "duality_gap": gap, "relative_gap": gap / max(abs(value), 1e-300) if gap > NEGLIGIBLE_GAP else 0.0,
        "ess": 1.0 / sum_squares, "max_weight": float(max(s * end.moments.max_weight for s, end in zip(shares, ends, strict=True))),
        "passes": max(part.end.passes for part in parts), "sample_passes": max(part.end.sample_passes for part in parts),
    }  # fmt: skip
    found = Findings(
        rule=numbers["rule"], lam=numbers["lambda"], checked=checked, ess_share=numbers["ess"] / numbers["n_synthetic"],
        converged=all(part.end.solution.converged for part in parts), unweighted=all(part.unweighted for part in parts), method=method,
        adjusted=adjusted[1], adjusted_before=adjusted[0], tests=tests, raised=any(part.end.raised for part in parts),
        held_by=max(part.held_by for part in parts), confidence_exponent=numbers["label_confidence_exponent"],
        density_ratio_exponent=numbers["density_ratio_exponent"], embedding_ratio_exponent=numbers["embedding_ratio_exponent"], usefulness=useful,
    )  # fmt: skip
    return numbers | {"verdict": verdict(found)}


def _of_distances(comparison: Comparison | None) -> dict[str, Any]:
    names = [f"mmd2_{place}{what}" for place in ("before", "after", "floor") for what in ("", "_error", "_low", "_high")]
    names += ["closed_share", "closed_share_low", "closed_share_high", "n_compared", "n_compared_real"]
    if comparison is None:
        return dict.fromkeys(names)
    estimates = (comparison.before, comparison.after, comparison.floor)
    values: list[Any] = [value for one in estimates for value in ((one.mmd2, one.error, *one.interval) if one else (None,) * 4)]
    closed = comparison.closed
    values += [closed.share, closed.low, closed.high] if closed else [None, None, None]
    return dict(zip(names, [*values, comparison.rows, comparison.real_rows], strict=True))


def _of_test(test: Test | None, adjusted: float | None, place: str) -> dict[str, Any]:
    names = ("p_value", "p_value_error", "detectable_mmd2", "n_tested", "n_tested_real")
    values = (test.p_value, test.p_value_error, test.detectable, test.rows, test.real_rows) if test else (None,) * len(names)
    return {f"{name}_{place}": value for name, value in zip(names, values, strict=True)} | {f"p_adjusted_{place}": adjusted}


def _mix(shares: Float64Array, means: list[Float64Array]) -> Float64Array:
    """(D,) mean of a mixture of groups."""
    mixed: Float64Array = shares @ np.stack(means)
    return mixed
