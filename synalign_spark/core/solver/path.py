"""How strongly to align: the choice of lambda along a warm-started path, for one label.

A small lambda matches the real sample closely, its noise too, and leaves few rows with weight. Four rules:
``mmd_rule`` takes the lambda that minimises

    MMD^2 to real rows that shaped nothing  +  (1 - ||sum w phi||^2) * sum w^2

(bias plus sampling variance), over lambda = infinity, 1, 1/2, 1/4, ..., with a floor on the effective sample size.
The real rows are cross-fitted: each half validates the weights that the other half shaped, and the scores add up.
Infinity keeps the base weights, so the rule can say that aligning does not pay. ``ess_rule`` takes the smallest lambda
that keeps the floor, down to one over the real rows; labels choose it together (:mod:`common_lambda`).
``fixed`` and ``plain`` are given lambdas.
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from synalign_spark.core.defaults import LABEL_FLOOR, NOISE_ROWS, PATH_STEP, PLAIN_LAMBDA, SMALLEST_LAMBDA, WORSE_POINTS
from synalign_spark.core.solver.dual import Curvature, Goal, Point, Search, Solution, Target, dual_point, maximise, maximise_through_sample
from synalign_spark.core.solver.moments import Moments, Pass

Float64Array = npt.NDArray[np.float64]

LARGEST_LAMBDA = 1e3  # weights are within 0.1% of the base weights there
PATH_TOLERANCE = 1e-4  # on the path; the point that is taken is solved again to the full tolerance
PATH_PASSES = 200  # over the sample, for one lambda
WITH_FLOOR = ("mmd_rule", "ess_rule")


@dataclass(frozen=True)
class Sample:
    """Real rows of a split: how many (effectively, where they have weights), and their mean feature (D,)."""

    count: float
    mean: Float64Array

    def mmd2(self, mean: Float64Array) -> float:
        """Squared distance of a weighted mean to the mean that these rows are a sample of, in the RKHS.

        Unbiased: rows have norm 1, so their sample mean is off by (1 - ||true mean||^2) / count in the
        mean square, of which (1 - ||sample mean||^2) / (count - 1) is an unbiased estimate. May be negative; NaN where the split has no rows.

        >>> half = Sample(4, np.array([0.5, 0.0]))
        >>> half.mmd2(np.array([0.5, 0.0])), half.mmd2(np.array([1.0, 0.0]))  # (1 - 1/4) / 3 is noise
        (-0.25, 0.0)
        """
        if self.count == 0:
            return float("nan")
        noise = (1.0 - float(self.mean @ self.mean)) / (self.count - 1) if self.count > 1 else 0.0
        return float(np.sum((mean - self.mean) ** 2)) - noise


def pool(parts: list[Sample]) -> Sample:
    """All rows of several splits as one sample.

    >>> both = pool([Sample(3, np.array([1.0, 0.0])), Sample(1, np.array([0.0, 1.0]))])
    >>> both.count, both.mean.tolist()
    (4, [0.75, 0.25])
    """
    count = sum(part.count for part in parts)
    if not count:
        return parts[0]
    return Sample(count, np.sum([part.mean * (part.count / count) for part in parts if part.count], axis=0))


@dataclass(frozen=True)
class Settings:
    """rule: mmd_rule, ess_rule, fixed, plain or uniform; lam: lambda of rule 'fixed'; ess_floor: share of the rows, for the first two;
    tolerance: relative duality gap; max_passes: full passes at most; weight_cap: largest weight, as a multiple of 1 / rows."""

    rule: str
    lam: float
    ess_floor: float
    tolerance: float
    max_passes: int
    weight_cap: float = np.inf

    def for_few_rows(self) -> "Settings":
        """The same for a label with too few real rows to validate by: the base weights, unless lambda is given."""
        return replace(self, rule="uniform") if self.rule in WITH_FLOOR else self

    def allows(self, moments: Moments, rows: int) -> bool:
        """Whether the weights of a label keep its floor and the cap. rows: those with a positive base weight."""
        return self.keeps_floor(moments, rows) and self.keeps_cap(moments, rows)

    def keeps_floor(self, moments: Moments, rows: int) -> bool:
        """Whether they keep the floor on the effective sample size; a rule without one is content with any."""
        floor = self.ess_floor * LABEL_FLOOR[self.rule] if self.rule in WITH_FLOOR else 0.0
        return moments.ess >= floor * rows

    def keeps_cap(self, moments: Moments, rows: int) -> bool:
        """Whether the largest of them is within the cap."""
        return moments.max_weight * rows <= self.weight_cap * (1 + 1e-9)

    @property
    def given(self) -> float:
        """The lambda that a rule without a choice is given; not a number under the others."""
        return {"plain": PLAIN_LAMBDA, "fixed": self.lam}.get(self.rule, float("nan"))


@dataclass(frozen=True)
class PathPoint:
    """One solved lambda, by both halves of the real rows, and what the rule makes of it. score: what it minimises; passes:
    over the sample, spent here. ``point`` is that of the first half."""

    point: Point
    theta: Float64Array
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

    @property
    def passes(self) -> int:
        """Passes over the sample, in all."""
        return sum(point.passes for point in self.points)


@dataclass(frozen=True)
class Finished:
    """The end of a label's solve: moments under the weights that the rows came with, and the solution.

    passes, sample_passes: in all, over all rows and over the sample; raised: whether lambda was raised to keep a floor or cap."""

    before: Moments
    solution: Solution
    passes: int
    sample_passes: int
    raised: bool

    @property
    def lam(self) -> float:
        """lambda of the solution."""
        return self.solution.point.lam

    def after(self, earlier: "Finished", path: "Path") -> "Finished":
        """This end with the passes of an earlier one from the same path counted in."""
        inner = self.sample_passes + earlier.sample_passes - path.passes
        return replace(self, passes=self.passes + earlier.passes, sample_passes=inner)


def lambdas(settings: Settings, real_rows: float) -> Iterator[float]:
    """The path: infinity, then falling to the lambda wanted, or to the smallest for the rule to stop at. real_rows: that are matched.

    >>> list(lambdas(Settings("fixed", 0.1, 0.1, 1e-6, 100), 300.0))
    [inf, 1.0, 0.25, 0.1]
    >>> list(lambdas(Settings("ess_rule", float("nan"), 0.4, 1e-6, 100), 4.0))  # a quarter: closer is the noise of four rows
    [inf, 1.0, 0.7071067811865476, 0.5, 0.3535533905932738, 0.25]
    """
    yield np.inf
    if settings.rule == "uniform" or np.isinf(settings.lam):
        return
    last = SMALLEST_LAMBDA.get(settings.rule, settings.given)
    step = PATH_STEP.get(
        settings.rule, 2.0 if np.isinf(settings.weight_cap) else 1.0
    )  # a cap stops where it is broken, as near as by doubling
    if settings.rule == "ess_rule":  # a point of the path that all labels share
        last = max(last, 2.0 ** (-step * math.floor(math.log2(max(real_rows, NOISE_ROWS) / NOISE_ROWS) / step)))
    first = max(1.0, last)
    for place in itertools.count():
        lam = first * 2.0 ** (-step * place)  # to the bit a power of two times another: a doubled lambda is on the path again
        if lam <= last * 1.000001:
            break
        yield lam
    yield last


def search_path(halves: tuple[Sample, Sample], settings: Settings, row_share: float) -> Search[Path]:
    """Solves the path on a sample of the synthetic rows and takes a point of it.

    halves: of the real rows; the second may be empty, then nothing is validated. row_share: rows of the sample over
    all rows, by which the sampling variance of the full set is smaller."""
    theta = np.zeros_like(halves[0].mean)
    start = yield Pass(theta, everywhere=False)
    path, goal = Path(), Goal(max(PATH_TOLERANCE, settings.tolerance), PATH_PASSES)
    folds = [(fit, validate) for fit, validate in (halves, halves[::-1]) if fit.count]
    if settings.rule != "mmd_rule" or not halves[1].count:
        folds = [(pool(list(halves)), halves[1])]
    points = [dual_point(theta, np.inf, start, Target(fit.mean, start.log_partition)) for fit, _ in folds]
    for lam in lambdas(settings, pool(list(halves)).count):
        used = 0 if path.points else 1
        for fold, (fit, _) in enumerate(folds):
            target = Target(fit.mean, start.log_partition)
            if settings.rule not in WITH_FLOOR and points[fold].theta.any():
                points[fold], used = (yield from _carried_on(points[fold], lam, target)), used + 1
            solved = yield from maximise(target, lam, points[fold], path.curvature, goal, everywhere=False)
            points[fold], used = solved.point, used + solved.sample_passes
        path.points.append(_path_point(points, folds, used, row_share))
        if settings.rule in WITH_FLOOR and not take(path, settings):
            return path
        newest = path.points[-1].point.moments
        if settings.rule not in WITH_FLOOR and not settings.keeps_cap(newest, newest.rows):
            return path  # smaller lambdas have larger weights, and raising the wanted one step by step takes many slow solves
        if settings.rule not in WITH_FLOOR:
            path.chosen = len(path.points) - 1
    return path


def _carried_on(point: Point, lam: float, target: Target) -> Search[Point]:
    """Where to start at the next lambda, at the cost of one pass over the sample: theta as it is or, where the dual is higher there,
    as it would be if the distance stayed as it is, for theta is the difference of the means over lambda. Starts from the old theta
    end, at small lambda, where one row has all the weight and no step is of use."""
    as_it_is = dual_point(point.theta, lam, point.moments, target)
    theta = point.theta * (point.lam / lam)
    scaled = dual_point(theta, lam, (yield Pass(theta, everywhere=False)), target)
    return scaled if scaled.value > as_it_is.value else as_it_is


def _path_point(points: list[Point], folds: list[tuple[Sample, Sample]], passes: int, row_share: float) -> PathPoint:
    """The rule's score of a solved lambda: means over the folds."""
    fits, validated, scores = [], [], []
    for point, (fit, validate) in zip(points, folds, strict=True):
        mean = point.moments.mean
        fits.append(point.mmd2(fit.mean))
        validated.append(validate.mmd2(mean))
        scores.append(validated[-1] + (1.0 - float(mean @ mean)) * point.moments.sum_squared_weights * row_share)
    theta = np.mean([point.theta for point in points], axis=0)
    return PathPoint(points[0], theta, float(np.mean(fits)), float(np.mean(validated)), float(np.mean(scores)), passes)


def take(path: Path, settings: Settings) -> bool:
    """Updates the choice with the newest point; false when the path need not go further."""
    newest, best = path.points[-1], path.points[path.chosen]
    if len(path.points) > 1 and not settings.allows(newest.point.moments, newest.point.moments.rows):
        return False  # smaller lambdas leave fewer rows still
    if settings.rule == "ess_rule" or newest.score < best.score:
        path.chosen = len(path.points) - 1
    return len(path.points) - 1 - path.chosen < WORSE_POINTS


def finish(real: Sample, path: Path, settings: Settings) -> Search[Finished]:
    """Solves the chosen lambda over all rows to the full tolerance, from the theta of the path.

    real: all rows that may shape the weights. Where the floor on the effective sample size, met on the
    sample, is missed on all rows, or the cap on the largest weight, lambda is doubled until they are met."""
    zero = np.zeros_like(real.mean)
    before = yield Pass(zero, prior=True)
    base = yield Pass(zero)
    target, chosen = Target(real.mean, base.log_partition), path.points[path.chosen]
    lam, theta, passes, inner = chosen.point.lam, chosen.theta, 2, path.passes
    raised = bool(lam > settings.given * (1 + 1e-6))
    while not np.isinf(lam):
        left = Goal(settings.tolerance, max(1, settings.max_passes - passes))
        solution = yield from maximise_through_sample(target, lam, theta, path.curvature, left)
        passes, inner, theta = passes + solution.passes, inner + solution.sample_passes, solution.point.theta
        if settings.allows(solution.point.moments, base.rows):
            return Finished(before, solution, passes, inner, raised)
        lam, raised = (lam * 2.0 if lam < LARGEST_LAMBDA else np.inf), True
    return Finished(before, Solution(dual_point(zero, np.inf, base, target), 0, 0, True), passes, inner, raised)
