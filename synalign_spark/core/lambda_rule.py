"""How strongly to align: the choice of lambda along a warm-started path, for one label.

A small lambda matches the real sample closely, its noise too, and leaves few rows with weight. The rule
takes the lambda that minimises

    MMD^2 to validation rows, which shaped nothing  +  (1 - ||sum w phi||^2) * sum w^2

(bias plus sampling variance), over lambda = infinity, 1, 1/2, 1/4, ..., with a floor on the effective
sample size. Infinity keeps the base weights, so the rule can say that aligning does not pay.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from synalign_spark.core.mmd import Curvature, Point, Search, Solution, Target, dual_point, maximise
from synalign_spark.core.moments import Moments

Float64Array = npt.NDArray[np.float64]

PLAIN_LAMBDA = 1e-6  # then MMD^2 is within 2e-6 * log(rows) of the smallest that weights can reach
SMALLEST_LAMBDA = 2.0**-20
PATH_TOLERANCE = 1e-4  # on the path; the point that is taken is solved again to the full tolerance
PATH_PASSES = 100
WORSE_POINTS = 3  # the path ends after so many points that are worse than the best


@dataclass(frozen=True)
class Sample:
    """Real rows of a split: how many, and their mean feature (D,)."""

    count: int
    mean: Float64Array

    def mmd2(self, mean: Float64Array) -> float:
        """Squared distance of a weighted mean to the mean that these rows are a sample of, in the RKHS.

        Unbiased: rows have norm 1, so their sample mean is off by (1 - ||true mean||^2) / count in the
        mean square, of which (1 - ||sample mean||^2) / (count - 1) is an unbiased estimate. May be negative; NaN where the split has no rows."""
        if self.count == 0:
            return float("nan")
        noise = (1.0 - float(self.mean @ self.mean)) / (self.count - 1) if self.count > 1 else 0.0
        return float(np.sum((mean - self.mean) ** 2)) - noise


def pool(parts: list[Sample]) -> Sample:
    """All rows of several splits as one sample."""
    count = sum(part.count for part in parts)
    return Sample(count, np.sum([part.mean * (part.count / count) for part in parts if part.count], axis=0))


@dataclass(frozen=True)
class Settings:
    """rule: mmd_rule, fixed, plain or uniform; lam: lambda of rule 'fixed'; ess_floor: share of the rows;
    tolerance: relative duality gap; max_passes: full passes at most."""

    rule: str
    lam: float
    ess_floor: float
    tolerance: float
    max_passes: int


@dataclass(frozen=True)
class PathPoint:
    """One solved lambda and what the rule makes of it. score: what it minimises; passes: spent here."""

    point: Point
    mmd2_fit: float
    mmd2_validation: float
    score: float
    passes: int


@dataclass
class Path:
    """The points solved so far, in order, the one taken, and the curvature learnt."""

    points: list[PathPoint] = field(default_factory=list)
    chosen: int = 0
    curvature: Curvature = field(default_factory=Curvature)


@dataclass(frozen=True)
class Finished:
    """The end of a label's solve: moments at the base weights, the solution, and full passes in all."""

    before: Moments
    solution: Solution
    passes: int


def lambdas(settings: Settings) -> Iterator[float]:
    """The path: infinity, then falling to the lambda wanted, or to the smallest for the rule to stop at."""
    yield np.inf
    if settings.rule == "uniform" or np.isinf(settings.lam):
        return
    last, factor = {"mmd_rule": (SMALLEST_LAMBDA, 2.0), "plain": (PLAIN_LAMBDA, 4.0), "fixed": (settings.lam, 4.0)}[settings.rule]
    lam = max(1.0, last)
    while lam > last * 1.000001:
        yield lam
        lam /= factor
    yield last


def search_path(fit: Sample, validation: Sample, settings: Settings, row_share: float) -> Search[Path]:
    """Solves the path on a sample of the synthetic rows and takes a point of it.

    fit: real rows that shape theta; validation: real rows that judge it; row_share: rows of the sample over
    all rows, by which the sampling variance of the full set is smaller."""
    theta = np.zeros_like(fit.mean)
    start = yield theta
    target, path = Target(fit.mean, start.log_partition), Path()
    point = dual_point(theta, np.inf, start, target)
    for lam in lambdas(settings):
        tolerance = max(PATH_TOLERANCE, settings.tolerance)
        solved = yield from maximise(target, lam, point, path.curvature, tolerance, PATH_PASSES)
        point = solved.point
        passes = solved.passes + (0 if path.points else 1)
        path.points.append(judge(point, fit, validation, passes, row_share))
        if settings.rule == "mmd_rule" and not take(path, settings.ess_floor):
            return path
    if settings.rule != "mmd_rule":
        path.chosen = len(path.points) - 1
    return path


def judge(point: Point, fit: Sample, validation: Sample, passes: int, row_share: float) -> PathPoint:
    """The rule's score of a solved point."""
    mean = point.moments.mean
    validated = validation.mmd2(mean)
    variance = (1.0 - float(mean @ mean)) * point.moments.sum_squared_weights * row_share
    return PathPoint(point, point.mmd2(fit.mean), validated, validated + variance, passes)


def take(path: Path, ess_floor: float) -> bool:
    """Updates the choice with the newest point; false when the path need not go further."""
    newest, best = path.points[-1], path.points[path.chosen]
    if len(path.points) > 1 and newest.point.moments.ess < ess_floor * newest.point.moments.rows:
        return False  # smaller lambdas leave fewer rows still
    if newest.score < best.score:
        path.chosen = len(path.points) - 1
    return len(path.points) - 1 - path.chosen < WORSE_POINTS


def finish(real: Sample, path: Path, settings: Settings) -> Search[Finished]:
    """Solves the chosen lambda over all rows to the full tolerance, from the theta of the path.

    real: fit and validation rows together. Where the rule's floor on the effective sample size, met on the
    sample, is missed on all rows, lambda is doubled until it is met."""
    zero = np.zeros_like(real.mean)
    before = yield zero
    target = Target(real.mean, before.log_partition)
    chosen = path.points[path.chosen].point
    lam, theta, passes = chosen.lam, chosen.theta, 1
    if np.isinf(lam):
        return Finished(before, Solution(dual_point(zero, np.inf, before, target), 0, True), passes)
    point = dual_point(theta, lam, (yield theta), target)
    passes += 1
    while True:
        solution = yield from maximise(target, lam, point, path.curvature, settings.tolerance, settings.max_passes - passes)
        passes, point = passes + solution.passes, solution.point
        if settings.rule != "mmd_rule" or point.moments.ess >= settings.ess_floor * before.rows:
            return Finished(before, solution, passes)
        lam *= 2.0
        if lam > 1.0:
            return Finished(before, Solution(dual_point(zero, np.inf, before, target), 0, True), passes)
