"""The alignment itself: weights on synthetic rows whose mean feature matches that of the real rows.

    primal   minimise over w in the simplex   KL(w || q) + ||sum_i w_i phi_i - mu||^2 / (2 lambda)
    dual     maximise over theta in R^D       f(theta) = -log sum_i q_i exp(theta . phi_i) + theta . mu - lambda/2 ||theta||^2
    weights  w_i proportional to q_i exp(theta . phi_i)

At the w of any theta the primal value minus the dual value is exactly ||grad f||^2 / (2 lambda), so every
solve carries its own certificate. The dual is solved by L-BFGS (Nocedal & Wright 2006, algorithm 7.4).
A solver is a generator: it yields the theta at which it wants a pass over the rows and is sent the
``Moments``. So it knows nothing of where the rows are, and the solvers of all labels share each pass.
"""

from collections import deque
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from synalign_spark.core.moments import BLOCK_ROWS, Moments

Float64Array = npt.NDArray[np.float64]
T = TypeVar("T")
Search = Generator[Float64Array, Moments, T]
Evaluate = Callable[[Mapping[str, Float64Array]], Mapping[str, Moments]]

NEGLIGIBLE_GAP = 1e-13  # nats; below it the weights agree with the optimum to 3e-7 in total variation
SUFFICIENT = 1e-4  # Armijo's constant
MAX_TRIALS = 12  # halvings in one line search
KEPT_PAIRS = 30


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
        """The gap over the dual value; 0 where the gap itself is negligible."""
        return 0.0 if self.gap <= NEGLIGIBLE_GAP else self.gap / max(abs(self.value), 1e-300)

    def mmd2(self, mu: Float64Array) -> float:
        """||sum w phi - mu||^2."""
        return float(np.sum((self.moments.mean - mu) ** 2))


@dataclass(frozen=True)
class Solution:
    """The last point of a solve, the passes that it took, and whether the gap was reached."""

    point: Point
    passes: int
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
    so pairs stay exact when lambda changes, and carry over along a path."""

    pairs: deque[tuple[Float64Array, Float64Array]] = field(default_factory=lambda: deque(maxlen=KEPT_PAIRS))

    def learn(self, old: Point, new: Point) -> None:
        """Takes up the change of gradient between two points."""
        s = new.theta - old.theta
        y = new.moments.mean - old.moments.mean  # minus the gradient's change, lambda term left out
        if float(s @ y) > 1e-12 * float(np.sqrt((s @ s) * (y @ y))):
            self.pairs.append((s, y))

    def direction(self, gradient: Float64Array, lam: float) -> Float64Array:
        """Approximate Newton step (two-loop recursion)."""
        p, steps = gradient.copy(), []
        for s, y0 in reversed(self.pairs):
            y = y0 + lam * s
            rho = 1.0 / float(s @ y)
            alpha = rho * float(s @ p)
            p -= alpha * y
            steps.append((s, y, rho, alpha))
        if steps:
            s, y, _, _ = steps[0]  # the newest pair sets the scale
            p *= float(s @ y) / float(y @ y)
        else:
            p /= lam + 0.1  # features have norm 1, so the curvature lies between lambda and lambda + 1
        for s, y, rho, alpha in reversed(steps):
            p += (alpha - rho * float(y @ p)) * s
        return p


def maximise(target: Target, lam: float, start: Point, curvature: Curvature, tolerance: float, max_passes: int) -> Search[Solution]:
    """Maximises the dual at one lambda from ``start``, whose moments are reused whatever its lambda was.

    tolerance: relative duality gap to reach; max_passes: passes at most, after which the last point is
    returned with ``converged`` false. ``curvature`` is used and extended. Raises ValueError if lam is not positive."""
    if not lam > 0:
        raise ValueError(f"lambda must be positive, got {lam}; use 'plain' for lambda -> 0")
    if np.isinf(lam):
        theta = np.zeros_like(start.theta)
        moments = start.moments if not start.theta.any() else (yield theta)
        return Solution(dual_point(theta, lam, moments, target), int(start.theta.any()), True)
    point, passes = dual_point(start.theta, lam, start.moments, target), 0
    while point.relative_gap > tolerance and passes < max_passes:
        step = curvature.direction(point.gradient, lam)
        new, used = yield from _line_search(target, point, step, max_passes - passes)
        passes += used
        if new is None:
            if not curvature.pairs:
                break  # not even the gradient itself ascends: the point is exact to rounding
            curvature.pairs.clear()
            continue
        curvature.learn(point, new)
        point = new
    return Solution(point, passes, point.relative_gap <= tolerance)


def _line_search(target: Target, old: Point, step: Float64Array, budget: int) -> Search[tuple[Point | None, int]]:
    """Shortens the step until the dual rises enough; None where it never does. Returns the passes too."""
    slope = float(old.gradient @ step)
    if slope <= 0:
        return None, 0
    t, rounding = 1.0, 1e-13 * (1.0 + abs(old.value) + abs(old.moments.log_partition))
    for used in range(1, min(MAX_TRIALS, budget) + 1):
        theta = old.theta + t * step
        new = dual_point(theta, old.lam, (yield theta), target)
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
    wanted: dict[str, Float64Array] = {}

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


def log_weights(phi: npt.NDArray[np.floating], log_base: Float64Array, theta: Float64Array) -> Float64Array:
    """log q_i + theta . phi_i, the weights before they are normalised.

    phi: (n, D); log_base: (n,); theta: (D,). Returns (n,) float64."""
    log_a = np.empty(len(phi))
    for start in range(0, len(phi), BLOCK_ROWS):
        rows = slice(start, start + BLOCK_ROWS)
        log_a[rows] = log_base[rows] + phi[rows].astype(np.float64) @ theta
    return log_a
