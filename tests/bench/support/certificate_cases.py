"""Simulations with a known truth for the certificate: does its test keep its level, do its intervals cover, does it see what it says?

Real rows are normal around 0, synthetic ones around a shift, in 5 dimensions; weights proportional to exp(t . x) move their distribution by
t and nothing else. So the squared MMD of every case is known in closed form, for an RBF kernel and normal distributions
(k averaged over N(a, I) and N(b, I) is (s^2 / (s^2 + 2))^(d/2) exp(-|a - b|^2 / (2 (s^2 + 2)))).
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from synalign_spark.core.communicator import LocalCommunicator
from synalign_spark.core.evaluation.mmd import Comparison, Stratified, compare
from synalign_spark.core.evaluation.optimism import optimism
from synalign_spark.core.evaluation.permutation import Test, drawable, permutation_test
from synalign_spark.core.features import draw_feature_map
from synalign_spark.core.solver.path import Sample, Settings
from synalign_spark.core.solver.shard import Shard, ShardRows
from synalign_spark.core.solver.solve import Problem, solve

Float64Array = npt.NDArray[np.float64]

WIDTH = 5
BANDWIDTHS = (3.2, 1.6)  # the median distance of real rows, and half of it, as the product takes them
FITTED_LAMBDA = 2.0**-6  # the smallest that few real rows get: the closest fit
FITTED_REAL_ROWS = 300
FEATURES = draw_feature_map(WIDTH, 256, BANDWIDTHS, seed=0)
WEIGHTS = ("uniform", "uneven", "fitted")
SHIFTS = (0.0, 0.05, 0.1, 0.2, 0.4)


def normal(rng: np.random.Generator, n: int, shift: float = 0.0) -> npt.NDArray[np.float32]:
    """(n, 5) rows around (shift, 0, 0, 0, 0)."""
    x = rng.standard_normal((n, WIDTH))
    x[:, 0] += shift
    return x.astype(np.float32)


def mean_kernel(distance: float | Float64Array, spread: float = 2.0) -> Float64Array:
    """The kernel averaged over two normal distributions, or one and a point (spread 1). distance: of their means."""
    scales = [bandwidth**2 + spread for bandwidth in BANDWIDTHS]
    parts = [(b**2 / s) ** (WIDTH / 2) * np.exp(-np.square(distance) / (2.0 * s)) for b, s in zip(BANDWIDTHS, scales, strict=True)]
    return np.asarray(np.mean(parts, axis=0))


def true_mmd2(shift: float) -> float:
    """Squared MMD between real rows and those around the shift."""
    return float(2.0 * (mean_kernel(0.0) - mean_kernel(shift)))


def shift_of(mmd2: float) -> float:
    """The shift at which rows have this squared MMD, by bisection."""
    low, high = 0.0, 20.0
    for _ in range(60):
        middle = (low + high) / 2.0
        low, high = (middle, high) if true_mmd2(middle) < mmd2 else (low, middle)
    return low


def fitted_theta(rng: np.random.Generator, synthetic: npt.NDArray[np.float32]) -> Float64Array:
    """theta of the product's solver, to other real rows than those of the certificate."""
    mean = FEATURES(normal(rng, FITTED_REAL_ROWS)).mean(axis=0, dtype=np.float64)
    nobody = Sample(0, np.zeros_like(mean))
    rows = Shard.of({"": (FEATURES(synthetic), np.zeros(len(synthetic)))})
    problem = Problem(Sample(FITTED_REAL_ROWS, mean), nobody, nobody, Settings("fixed", FITTED_LAMBDA, 0.0, 1e-6, 200), 1.0)
    theta: Float64Array = solve({"": problem}, ShardRows(rows, rows, LocalCommunicator()).evaluate)[""].finished.solution.point.theta
    return theta


def weights_of(kind: str, rng: np.random.Generator, synthetic: npt.NDArray[np.float32]) -> Float64Array:
    """Weights that sum to 1: all the same, Pareto (1.5: their variance is infinite), or fitted."""
    if kind == "fitted":
        weight = np.exp(FEATURES(synthetic).astype(np.float64) @ fitted_theta(rng, synthetic))
    else:
        weight = np.ones(len(synthetic)) if kind == "uniform" else rng.pareto(1.5, len(synthetic)) + 1.0
    return weight / weight.sum()


def one_test(rng: np.random.Generator, kind: str, rows: int, real_rows: int, shift: float = 0.0, permutations: int = 99) -> Test | None:
    """One test as the product makes it."""
    synthetic, real = normal(rng, rows, shift), normal(rng, real_rows)
    weight = weights_of(kind, rng, synthetic)
    drawn = synthetic[rng.random(rows) < drawable([float(weight.max())], rows) * weight]
    return permutation_test(Stratified.of(drawn), Stratified.of(real), BANDWIDTHS, permutations, [int(rng.integers(2**31))])


def rejection(kind: str, times: int, rows: int, real_rows: int, shift: float = 0.0, seed: int = 0) -> float:
    """Share of tests that reject at the 5% level, of those that have rows enough."""
    rng = np.random.default_rng([seed, WEIGHTS.index(kind), int(1000 * shift)])
    found = [test.p_value <= 0.05 for _ in range(times) if (test := one_test(rng, kind, rows, real_rows, shift)) is not None]
    return float(np.mean(found))


def power_at_detectable(times: int, rows: int, real_rows: int) -> float:
    """Share of tests that reject a difference of the size which they say they find in 80 of 100 cases."""
    rng = np.random.default_rng(3)
    said = [test.detectable for _ in range(20) if (test := one_test(rng, "uniform", rows, real_rows)) is not None]
    return rejection("uniform", times, rows, real_rows, shift_of(float(np.mean(said))), seed=4)


def coverage(shift: float, tilt: float, times: int, rows: int, real_rows: int, labels: int = 1) -> dict[str, float]:
    """How often the 95% intervals hold the truth, before and after weights exp(-tilt * x), and for the share closed where it is told.

    labels: strata, whose real and synthetic rows come in different shares and lie apart; the shares wanted are equal."""
    rng = np.random.default_rng([7, int(1000 * shift), int(1000 * tilt), labels])
    truth = {"before": true_mmd2(shift) / labels, "after": true_mmd2(shift - tilt) / labels}  # sum over labels of share^2
    hits: dict[str, list[bool]] = {"before": [], "after": [], "closed": []}
    for _ in range(times):
        found = _compared(rng, shift, tilt, rows, real_rows, labels)
        for name in ("before", "after"):
            low, high = getattr(found, name).interval
            hits[name].append(low <= truth[name] <= high)
        if found.closed:
            hits["closed"].append(found.closed.low <= 1.0 - truth["after"] / truth["before"] <= found.closed.high)
    return {name: float(np.mean(found)) for name, found in hits.items() if len(found) >= times / 2}


def _compared(rng: np.random.Generator, shift: float, tilt: float, rows: int, real_rows: int, labels: int) -> Comparison:
    """Labels lie at the same place on both sides, apart along the second axis by 50: their cross terms vanish, and the MMD^2 of a label is known."""
    x, y = normal(rng, rows, shift), normal(rng, real_rows)
    strata = [np.arange(n) % (labels + odd) % labels for n, odd in ((rows, 1), (real_rows, 0))]
    for side, stratum in zip((x, y), strata, strict=True):
        side[:, 1] += 50.0 * stratum
    weight = np.exp(-tilt * x[:, 0].astype(np.float64))
    found = compare(
        Stratified(x, strata[0]), np.ones(rows), weight, Stratified(y, strata[1]), np.ones(real_rows), BANDWIDTHS, [1.0] * labels
    )
    assert found is not None
    return found


def fitted_coverage(shift: float, times: int, rows: int, real_rows: int, corrected: bool = True) -> float:
    """How often the interval after weighting by fitted weights holds the MMD^2 of the distribution that those weights give further rows."""
    rng, hits = np.random.default_rng([8, int(1000 * shift)]), []
    for _ in range(times):
        synthetic, real = normal(rng, rows, shift), normal(rng, real_rows)
        theta = fitted_theta(rng, synthetic)
        weight = np.exp(FEATURES(synthetic).astype(np.float64) @ theta)
        ess = float(weight.sum() ** 2 / np.square(weight).sum())
        bias = optimism(synthetic, weight, BANDWIDTHS, FITTED_LAMBDA, ess) if corrected else 0.0
        found = compare(Stratified.of(synthetic), np.ones(rows), weight, Stratified.of(real), np.ones(real_rows), BANDWIDTHS, optimism=bias)
        assert found is not None
        low, high = found.after.interval
        hits.append(low <= max(fitted_truth(rng, theta, shift), 0.0) <= high)
    return float(np.mean(hits))


def fitted_truth(rng: np.random.Generator, theta: Float64Array, shift: float) -> float:
    """Squared MMD to real rows of further rows by these weights, in random features: the product of two halves' differences, without bias."""
    halves = []
    for _ in range(2):
        x = FEATURES(normal(rng, 4_000, shift)).astype(np.float64)
        weight = np.exp(x @ theta)
        halves.append(weight @ x / weight.sum() - REAL_MEAN)
    return float(halves[0] @ halves[1])


def _real_mean() -> Float64Array:
    """Mean feature of real rows: cos(W x) averages to exp(-|W|^2 / 2), sin(W x) to 0."""
    half = FEATURES.n_features // 2
    found = np.zeros(2 * half)
    found[:half] = np.exp(-0.5 * np.square(FEATURES.frequencies.astype(np.float64)).sum(axis=0)) / np.sqrt(half)
    return found


REAL_MEAN = _real_mean()


def curve(times: int, rows: int, real_rows: int, shifts: Sequence[float] = SHIFTS) -> dict[str, float]:
    """Share of tests that reject, by the squared MMD that is there."""
    return {f"{true_mmd2(shift):.2g}": rejection("uniform", times, rows, real_rows, shift) for shift in shifts}
