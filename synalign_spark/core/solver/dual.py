"""The alignment itself: weights on synthetic rows whose mean feature matches that of the real rows.

    primal   minimise over w in the simplex   KL(w || q) + ||sum_i w_i phi_i - mu||^2 / (2 lambda)
    dual     maximise over theta in R^D       f(theta) = -log sum_i q_i exp(theta . phi_i) + theta . mu - lambda/2 ||theta||^2
    weights  w_i proportional to q_i exp(theta . phi_i)

At the w of any theta the primal value minus the dual value is exactly ||grad f||^2 / (2 lambda), so every
solve carries its own certificate. The dual is solved by L-BFGS (Nocedal & Wright 2006, algorithm 7.4); where
that is slow, at small lambda, it starts from the exact covariance of the features instead of a scalar. Over many rows
most of the work is done on a sample of them (``maximise_through_sample``).
A solver is a generator: it yields the ``Pass`` that it wants over the rows and is sent the ``Moments``.
So it knows nothing of where the rows are, and the solvers of all labels share each pass.
"""

from collections import deque
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve

from synalign_spark.core.solver.moments import Moments, Pass

Float64Array = npt.NDArray[np.float64]
T = TypeVar("T")
Search = Generator[Pass, Moments, T]
Evaluate = Callable[[Mapping[str, Pass]], Mapping[str, Moments]]

NEGLIGIBLE_GAP = 1e-13  # nats; below it the weights agree with the optimum to 3e-7 in total variation
SUFFICIENT = 1e-4  # Armijo's constant
MAX_TRIALS = 12  # halvings in one line search
KEPT_PAIRS = 30
SLOW_PASSES = 40  # of one solve, after which it asks for the covariance
WIDEST_COVARIANCE = 4_096  # D, above which the covariance takes too much memory and time
INNER_SHARE = 1e-4  # of the duality gap: how far a step through the sample solves the sample's problem
STEPS_THROUGH_SAMPLE = 12  # before the passes go on without the sample


@dataclass(frozen=True)
class Target:
    """What to match. mu: (D,) mean feature of the real rows; log_total: log sum_i q_i of the synthetic rows."""

    mu: Float64Array
    log_total: float


@dataclass(frozen=True)
class Point:
    """A theta with all that one pass tells of it under a given lambda."""

    theta: Float64Array
    lam: float
    moments: Moments
    value: float
    gradient: Float64Array

    @property
    def gap(self) -> float:
        """Primal minus dual value, in nats; 0 at lambda = infinity, where theta is 0."""
        return 0.0 if np.isinf(self.lam) else float(self.gradient @ self.gradient) / (2.0 * self.lam)

    @property
    def relative_gap(self) -> float:
        """The duality gap over the dual value; 0 where the gap itself is negligible."""
        return 0.0 if self.gap <= NEGLIGIBLE_GAP else self.gap / max(abs(self.value), 1e-300)

    def mmd2(self, mu: Float64Array) -> float:
        """||sum w phi - mu||^2."""
        return float(np.sum((self.moments.mean - mu) ** 2))


@dataclass(frozen=True)
class Goal:
    """When a solve may stop. tolerance: relative duality gap to reach; max_passes: passes at most, after which the last
    point is returned with ``converged`` false."""

    tolerance: float
    max_passes: int

    def reached(self, point: Point) -> bool:
        """Whether the point is good enough."""
        return point.relative_gap <= self.tolerance


@dataclass(frozen=True)
class Solution:
    """The last point of a solve, the passes that it took over all rows and over the sample, and whether the duality gap was reached."""

    point: Point
    passes: int
    sample_passes: int
    converged: bool


def dual_point(theta: Float64Array, lam: float, moments: Moments, target: Target) -> Point:
    """Value and gradient of the dual. lam > 0, or infinity together with theta = 0."""
    if np.isinf(lam):
        return Point(theta, lam, moments, 0.0, np.zeros_like(theta))
    value = -(moments.log_partition - target.log_total) + float(theta @ target.mu) - 0.5 * lam * float(theta @ theta)
    return Point(theta, lam, moments, value, target.mu - moments.mean - lam * theta)


@dataclass
class Curvature:
    """L-BFGS pairs (s, y) of the dual without its lambda term, which is added when they are used:
    so pairs stay exact when lambda changes, and carry over along a path. The same holds for ``covariance``, the (D, D)
    Hessian of that part at one theta, from which the recursion starts where it is there."""

    pairs: deque[tuple[Float64Array, Float64Array]] = field(default_factory=lambda: deque(maxlen=KEPT_PAIRS))
    covariance: Float64Array | None = None
    _factor: tuple[float, tuple[Float64Array, bool]] | None = None

    def learn(self, old: Point, new: Point) -> None:
        """Takes up the change of gradient between two points."""
        s = new.theta - old.theta
        y = new.moments.mean - old.moments.mean  # minus the gradient's change, lambda term left out
        if float(s @ y) > 1e-12 * float(np.sqrt((s @ s) * (y @ y))):
            self.pairs.append((s, y))

    def take_covariance(self, covariance: Float64Array) -> None:
        """Starts the recursion from this Hessian; older pairs are forgotten."""
        self.covariance, self._factor = covariance, None
        self.pairs.clear()

    def direction(self, gradient: Float64Array, lam: float) -> Float64Array:
        """Approximate Newton step (two-loop recursion)."""
        p, steps = gradient.copy(), []
        for s, y0 in reversed(self.pairs):
            y = y0 + lam * s
            rho = 1.0 / float(s @ y)
            alpha = rho * float(s @ p)
            p -= alpha * y
            steps.append((s, y, rho, alpha))
        p = self._first_guess(p, lam)
        for s, y, rho, alpha in reversed(steps):
            p += (alpha - rho * float(y @ p)) * s
        return p

    def _first_guess(self, p: Float64Array, lam: float) -> Float64Array:
        """The inverse Hessian from which the pairs start, times p."""
        if self.covariance is not None:
            if self._factor is None or self._factor[0] != lam:
                self._factor = lam, cho_factor(self.covariance + lam * np.eye(len(p)), lower=True, overwrite_a=True, check_finite=False)
            solved: Float64Array = cho_solve(self._factor[1], p, check_finite=False)
            return solved
        if self.pairs:
            s, y0 = self.pairs[-1]  # the newest pair sets the scale
            y = y0 + lam * s
            return p * (float(s @ y) / float(y @ y))
        return p / (lam + 0.1)  # features have norm 1, so the curvature lies between lambda and lambda + 1


def maximise(
    target: Target, lam: float, start: Point, curvature: Curvature, goal: Goal, everywhere: bool = True, enough_gap: float = 0.0
) -> Search[Solution]:
    """Maximises the dual at one lambda from ``start``, whose moments are reused whatever its lambda was.

    everywhere: with passes over all rows, or over the sample alone; enough_gap: an absolute duality gap that suffices as well.
    ``curvature`` is used and extended. Raises ValueError if lam is not positive."""
    if not lam > 0:
        raise ValueError(f"lambda must be positive, got {lam}; use 'plain' for lambda -> 0")

    def done(passes: int, point: Point, converged: bool) -> Solution:
        return Solution(point, passes if everywhere else 0, 0 if everywhere else passes, converged)

    if np.isinf(lam):
        theta = np.zeros_like(start.theta)
        moments = start.moments if not start.theta.any() else (yield Pass(theta, everywhere))
        return done(int(start.theta.any()), dual_point(theta, lam, moments, target), True)
    point, passes, looked = dual_point(start.theta, lam, start.moments, target), 0, 0
    while not (reached := goal.reached(point) or point.gap <= enough_gap) and passes < goal.max_passes:
        if passes - looked >= SLOW_PASSES and len(point.theta) <= WIDEST_COVARIANCE:
            curvature.take_covariance((yield Pass(point.theta, everywhere, second=True)).covariance)
            passes, looked = passes + 1, passes + 1
        step = curvature.direction(point.gradient, lam)
        new, used = yield from _line_search(target, point, step, max(1, goal.max_passes - passes), everywhere)
        passes += used
        if new is None:
            if not curvature.pairs and curvature.covariance is None:
                break  # not even the gradient itself ascends: the point is exact to rounding
            curvature.pairs.clear()
            curvature.covariance = None
            continue
        curvature.learn(point, new)
        point = new
    return done(passes, point, reached)


def maximise_through_sample(target: Target, lam: float, theta: Float64Array, curvature: Curvature, goal: Goal) -> Search[Solution]:
    """Maximises the dual over all rows with few passes over them, by solving problems on the sample.

    Each step moves the target of the sample's problem so that, at the current theta, its gradient is that of all rows, and
    goes to its solution (DANE: Shamir, Srebro & Zhang 2014; preconditioning by a sample: Hendrikx et al. 2020). With a sample
    that is all rows the first step is exact. Where steps stop paying, L-BFGS goes on over all rows.
    theta: (D,) to start from; curvature: of the sample."""
    point, passes, inner = dual_point(theta, lam, (yield Pass(theta)), target), 1, 0
    if point.value < 0.0:  # the sample's theta does worse than none: rows outside of the sample have taken all the weight
        zero = np.zeros_like(theta)
        point, passes = dual_point(zero, lam, (yield Pass(zero)), target), 2
    for _ in range(STEPS_THROUGH_SAMPLE):
        if goal.reached(point) or passes >= goal.max_passes:
            return Solution(point, passes, inner, goal.reached(point))
        sample = yield Pass(point.theta, everywhere=False)
        moved = Target(target.mu + sample.mean - point.moments.mean, sample.log_partition)
        start = dual_point(point.theta, lam, sample, moved)
        found = yield from maximise(moved, lam, start, curvature, goal, everywhere=False, enough_gap=INNER_SHARE * start.gap)
        inner += found.sample_passes + 1
        new, used = yield from _line_search(target, point, found.point.theta - point.theta, goal.max_passes - passes)
        passes += used
        if new is None or new.gap > 0.5 * point.gap:
            point = new or point
            break  # the sample says too little of all rows
        point = new
    left = Goal(goal.tolerance, max(0, goal.max_passes - passes))
    rest = yield from maximise(target, lam, point, Curvature(covariance=curvature.covariance), left)
    return Solution(rest.point, passes + rest.passes, inner, rest.converged)


def _line_search(target: Target, old: Point, step: Float64Array, budget: int, everywhere: bool = True) -> Search[tuple[Point | None, int]]:
    """Shortens the step until the dual rises enough; None where it never does. Returns the passes too."""
    slope = float(old.gradient @ step)
    if slope <= 0:
        return None, 0
    t, rounding = 1.0, 1e-13 * (1.0 + abs(old.value) + abs(old.moments.log_partition))
    for used in range(1, min(MAX_TRIALS, budget) + 1):
        theta = old.theta + t * step
        new = dual_point(theta, old.lam, (yield Pass(theta, everywhere)), target)
        new_slope = float(new.gradient @ step)
        if new.value >= old.value + SUFFICIENT * t * slope:
            return new, used
        if new.value >= old.value - rounding and abs(new_slope) <= 0.9 * slope:
            return new, used  # values differ by rounding alone: the slope decides
        secant = t * slope / max(slope - new_slope, 1e-300)
        t = min(max(secant, 0.1 * t), 0.5 * t)
    return None, min(MAX_TRIALS, budget)


def run_together(searches: Mapping[str, Search[T]], evaluate: Evaluate) -> dict[str, T]:
    """Drives the searches of all labels at once: each pass serves every search that still wants one."""
    results: dict[str, T] = {}
    wanted: dict[str, Pass] = {}

    def advance(name: str, moments: Moments | None) -> None:
        try:
            wanted[name] = next(searches[name]) if moments is None else searches[name].send(moments)
        except StopIteration as stop:
            results[name] = stop.value

    for name in sorted(searches):
        advance(name, None)
    while wanted:
        asked, wanted = wanted, {}
        found = evaluate(asked)
        for name in sorted(asked):
            advance(name, found[name])
    return results
