"""The certificate and the solver's trace, as rows of their tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from synalign_spark.config import AlignConfig
from synalign_spark.core.certificate import Check, Findings, verdict
from synalign_spark.core.features import FeatureMap
from synalign_spark.core.lambda_rule import Finished, Path, Sample, Settings
from synalign_spark.stages.align_input import label_of

Float64Array = npt.NDArray[np.float64]
Checks = tuple[Check | None, Check | None]  # base weights, final weights


@dataclass(frozen=True)
class Outcome:
    """All that is known of a group after its solve. share: of the group in the corpus, over groups with synthetic rows."""

    n_synthetic: int
    real: Sample
    holdout: Sample
    share: float
    settings: Settings
    path: Path
    finished: Finished


def trace_rows(outcomes: Mapping[str, Outcome]) -> list[dict[str, Any]]:
    """Rows of the solver_trace table: the path of each group, with the point that was taken."""
    return [
        {
            "label": label_of(group), "step": step, "lambda": p.point.lam, "dual_value": p.point.value, "duality_gap": p.point.gap,
            "mmd2_fit": p.mmd2_fit, "mmd2_validation": p.mmd2_validation, "score": p.score, "ess": p.point.moments.ess,
            "passes": p.passes, "chosen": step == outcome.path.chosen,
        }
        for group, outcome in sorted(outcomes.items())
        for step, p in enumerate(outcome.path.points)
    ]  # fmt: skip


def certificate_rows(
    outcomes: Mapping[str, Outcome],
    checks: Mapping[str, Checks],
    features: FeatureMap,
    cfg: AlignConfig,
    seconds: float,
    unmatched: Sequence[str],
) -> list[dict[str, Any]]:
    """Rows of the certificate table: one a label, and one for the whole (label null).

    checks: by group, and under None for the whole where there are labels; seconds: of the solve;
    unmatched: labels of real rows without synthetic rows, which the verdict on the whole names."""
    common = {
        "bandwidths": list(features.bandwidths), "n_features": features.n_features, "n_permutations": cfg.permutations, "seconds": seconds,
    }  # fmt: skip
    rows = [{**common, "label": label_of(group), **_numbers([outcome], checks[group])} for group, outcome in sorted(outcomes.items())]
    if list(outcomes) != [""]:
        rows.append({**common, "label": None, **_numbers([outcomes[group] for group in sorted(outcomes)], checks["whole"])})
    if unmatched:
        rows[-1]["verdict"] += f"; no synthetic rows for label {', '.join(unmatched[:10])}: the weights cover the other labels only"
    return rows


def _numbers(parts: list[Outcome], checks: Checks) -> dict[str, Any]:
    """The figures of one group, or of several as one: means, values and gaps add up by share."""
    shares = np.array([part.share for part in parts]) / sum(part.share for part in parts)
    ends = [part.finished.solution.point for part in parts]
    real, holdout = _pool([part.real for part in parts]), _pool([part.holdout for part in parts])
    before = _mix(shares, [part.finished.before.mean for part in parts])
    after = _mix(shares, [end.moments.mean for end in ends])
    sum_squares = float(sum(s**2 * end.moments.sum_squared_weights for s, end in zip(shares, ends, strict=True)))
    value, gap = (float(sum(s * x for s, x in zip(shares, xs, strict=True))) for xs in ([e.value for e in ends], [e.gap for e in ends]))
    lams, rules = {end.lam for end in ends}, {part.settings.rule for part in parts}
    numbers: dict[str, Any] = {
        "n_synthetic": sum(part.n_synthetic for part in parts), "n_real_fit": real.count, "n_real_holdout": holdout.count,
        "rule": max(rules, key=lambda rule: rule != "uniform"), "lambda": lams.pop() if len(lams) == 1 else float("nan"),
        "mmd2_fit_before": float(np.sum((before - real.mean) ** 2)), "mmd2_fit_after": float(np.sum((after - real.mean) ** 2)),
        "mmd2_holdout_before": holdout.mmd2(before), "mmd2_holdout_after": holdout.mmd2(after),
        "exact_mmd2_before": checks[0].mmd2 if checks[0] else None, "exact_mmd2_after": checks[1].mmd2 if checks[1] else None,
        "p_value_before": checks[0].p_value if checks[0] else None, "p_value_after": checks[1].p_value if checks[1] else None,
        "dual_value": value, "duality_gap": gap, "relative_gap": gap / max(abs(value), 1e-300) if gap > 1e-13 else 0.0,
        "ess": 1.0 / sum_squares, "max_weight": float(max(s * end.moments.max_weight for s, end in zip(shares, ends, strict=True))),
        "passes": max(part.finished.passes for part in parts),
    }  # fmt: skip
    return numbers | {"verdict": verdict(_findings(numbers, parts, checks))}


def _findings(numbers: Mapping[str, Any], parts: list[Outcome], checks: Checks) -> Findings:
    return Findings(
        rule=numbers["rule"], lam=numbers["lambda"], holdout_before=numbers["mmd2_holdout_before"], holdout_after=numbers["mmd2_holdout_after"],
        p_before=numbers["p_value_before"], p_after=numbers["p_value_after"], tested_rows=checks[1].rows if checks[1] else 0,
        ess_share=numbers["ess"] / numbers["n_synthetic"], converged=all(part.finished.solution.converged for part in parts),
    )  # fmt: skip


def _pool(parts: list[Sample]) -> Sample:
    """Several samples as one; a group without rows in the split adds nothing."""
    count = sum(part.count for part in parts)
    return Sample(count, sum((part.mean * (part.count / count) for part in parts if part.count), np.zeros_like(parts[0].mean)))


def _mix(shares: Float64Array, means: list[Float64Array]) -> Float64Array:
    """(D,) mean of a mixture of groups."""
    mixed: Float64Array = shares @ np.stack(means)
    return mixed
