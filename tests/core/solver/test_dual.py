"""The solver against an exact conic solver, finite differences, closed forms and its own certificate."""

import itertools

import clarabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from synalign_spark.core.solver.dual import Curvature, Goal, Target, dual_point, maximise, run_together
from synalign_spark.core.solver.moments import Pass, log_weights
from synalign_spark.core.solver.shard import Shard


def features(seed, n, width):
    phi = np.random.default_rng(seed).standard_normal((n, width))
    return (phi / np.linalg.norm(phi, axis=1, keepdims=True)).astype(np.float32)


def solve(phi, mu, lam, log_base=None, tolerance=1e-9, passes=2000):
    """The solution, with its weights."""
    log_base = np.zeros(len(phi)) if log_base is None else log_base
    shard = Shard.of({"": (phi, log_base)})
    start = shard.evaluate({"": Pass(np.zeros(phi.shape[1]))})[""]
    target = Target(mu, start.log_partition)
    at_zero = dual_point(np.zeros(phi.shape[1]), np.inf, start, target)
    solution = run_together({"": maximise(target, lam, at_zero, Curvature(), Goal(tolerance, passes))}, shard.evaluate)[""]
    w = np.exp(log_weights(phi, log_base, solution.point.theta) - solution.point.moments.log_partition)
    return solution, w


def primal(w, phi, mu, lam, q):
    kl = float(np.sum(w[w > 0] * np.log(w[w > 0] / q[w > 0])))
    return kl + float(np.sum((w @ phi - mu) ** 2)) / (2 * lam)


def exact(phi, mu, lam, q):
    """Primal optimum by clarabel: w, t with t_i >= w_i log(w_i / q_i) in exponential cones, r = sum w phi - mu."""
    n, width = phi.shape
    size = 2 * n + width
    quadratic = sparse.diags(np.concatenate([np.zeros(2 * n), np.full(width, 1.0 / lam)]), format="csc")
    linear = np.concatenate([np.zeros(n), np.ones(n), np.zeros(width)])
    equal = sparse.bmat([[phi.T, sparse.csc_matrix((width, n)), -sparse.identity(width)], [np.ones((1, n)), None, None]])
    rows = np.arange(n)
    cone = sparse.coo_matrix(
        (np.concatenate([np.ones(n), -np.ones(n)]), (np.concatenate([3 * rows, 3 * rows + 1]), np.concatenate([n + rows, rows]))),
        shape=(3 * n, size),
    )
    bound = np.concatenate([mu, [1.0], np.stack([np.zeros(n), np.zeros(n), q], axis=1).ravel()])
    settings_ = clarabel.DefaultSettings()
    settings_.verbose = False
    settings_.tol_gap_rel = settings_.tol_gap_abs = settings_.tol_feas = 1e-10
    cones = [clarabel.ZeroConeT(width + 1), *[clarabel.ExponentialConeT()] * n]
    return clarabel.DefaultSolver(quadratic, linear, sparse.vstack([equal, cone]).tocsc(), bound, cones, settings_).solve()


@pytest.mark.parametrize(("lam", "uniform"), [(0.1, True), (1e-2, False), (1e-3, True)])
def test_objective_and_weights_are_those_of_an_exact_conic_solver(lam, uniform):
    phi, rng = features(0, 600, 24), np.random.default_rng(1)
    q = np.full(600, 1 / 600) if uniform else rng.dirichlet(np.ones(600))
    mu = phi[:40].mean(axis=0).astype(np.float64)
    solution, w = solve(phi, mu, lam, np.log(q))
    found = exact(phi.astype(np.float64), mu, lam, q)
    assert primal(w, phi.astype(np.float64), mu, lam, q) == pytest.approx(found.obj_val, rel=1e-6)
    assert solution.point.value == pytest.approx(found.obj_val, rel=1e-6)
    np.testing.assert_allclose(w, np.array(found.x)[:600], atol=2e-5)


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.sampled_from([1.0, 0.1, 0.01]))
def test_primal_minus_dual_is_the_gap_at_any_theta(seed, lam):
    rng = np.random.default_rng(seed)
    phi, log_q, theta = features(seed, 30, 5), np.log(rng.dirichlet(np.ones(30))), rng.standard_normal(5)
    mu = 0.3 * rng.standard_normal(5)
    point = dual_point(theta, lam, Shard.of({"": (phi, log_q)}).evaluate({"": Pass(theta)})[""], Target(mu, 0.0))
    w = np.exp(log_weights(phi, log_q, theta) - point.moments.log_partition)
    assert w.sum() == pytest.approx(1.0, abs=1e-12)
    assert primal(w, phi.astype(np.float64), mu, lam, np.exp(log_q)) - point.value == pytest.approx(point.gap, rel=1e-9, abs=1e-12)


def test_gradient_by_finite_differences():
    phi, rng = features(2, 40, 6), np.random.default_rng(2)
    mu, theta, shard = 0.2 * rng.standard_normal(6), rng.standard_normal(6), Shard.of({"": (phi, np.zeros(40))})

    def at(theta):
        return dual_point(theta, 0.05, shard.evaluate({"": Pass(theta)})[""], Target(mu, np.log(40)))

    step = 1e-5
    numeric = [(at(theta + step * e).value - at(theta - step * e).value) / (2 * step) for e in np.eye(6)]
    np.testing.assert_allclose(at(theta).gradient, numeric, rtol=1e-6, atol=1e-9)


def test_two_rows_by_hand():
    """Rows +e and -e, mu = m e: the optimum solves atanh(x) + (x - m) / lambda = 0 with x = w_1 - w_2."""
    phi = np.array([[1.0], [-1.0]], dtype=np.float32)
    _, w = solve(phi, np.array([0.6]), 0.5, tolerance=1e-12)
    x = w[0] - w[1]
    assert np.arctanh(x) + (x - 0.6) / 0.5 == pytest.approx(0.0, abs=1e-5)


def test_a_sample_of_the_rows_themselves_keeps_the_base_weights():
    phi = features(3, 50, 8)
    solution, w = solve(phi, phi.astype(np.float64).mean(axis=0), 1e-3)
    np.testing.assert_allclose(w, 1 / 50, atol=1e-8)
    assert solution.passes <= 1


def test_large_lambda_is_uniform_and_infinity_exactly_so():
    phi, mu = features(4, 50, 8), np.full(8, 0.2)
    np.testing.assert_allclose(solve(phi, mu, 1e6)[1], 1 / 50, rtol=1e-5)
    solution, w = solve(phi, mu, np.inf)
    np.testing.assert_allclose(w, 1 / 50, rtol=1e-12)
    assert (solution.point.gap, solution.point.value, solution.passes) == (0.0, 0.0, 0)


def test_small_lambda_reaches_the_smallest_mmd():
    """Plain MMD: a quadratic program over the simplex, solved exactly by clarabel."""
    phi, n = features(5, 120, 10), 120
    mu = phi[:9].astype(np.float64).mean(axis=0) * 1.4  # outside of the rows' convex hull, so the minimum is not 0
    p = phi.astype(np.float64)
    settings_ = clarabel.DefaultSettings()
    settings_.verbose = False
    constraints = sparse.vstack([np.ones((1, n)), -sparse.identity(n)]).tocsc()
    cones = [clarabel.ZeroConeT(1), clarabel.NonnegativeConeT(n)]
    found = clarabel.DefaultSolver(
        sparse.triu(p @ p.T).tocsc(), -p @ mu, constraints, np.concatenate([[1.0], np.zeros(n)]), cones, settings_
    ).solve()
    smallest = 2 * found.obj_val + float(mu @ mu)
    lam = 1e-4
    solution, w = solve(phi, mu, lam, tolerance=1e-6)
    mmd2 = float(np.sum((w @ p - mu) ** 2))
    assert solution.converged
    assert smallest - 1e-7 <= mmd2 <= smallest + 2 * lam * np.log(n) + 1e-6


def test_duplicated_rows_share_the_weight_and_change_nothing():
    phi, mu = features(6, 40, 6), np.full(6, 0.2)
    _, w = solve(phi, mu, 0.01)
    _, twice = solve(np.concatenate([phi, phi]), mu, 0.01)
    np.testing.assert_allclose(twice[:40] + twice[40:], w, atol=1e-6)
    np.testing.assert_allclose(twice[:40], twice[40:], rtol=1e-10)


def test_scaling_the_base_measure_changes_nothing():
    phi, mu, log_q = features(7, 40, 6), np.full(6, 0.2), np.log(np.random.default_rng(7).random(40))
    np.testing.assert_allclose(solve(phi, mu, 0.01, log_q)[1], solve(phi, mu, 0.01, log_q + 5.0)[1], atol=1e-7)


def test_labels_in_the_same_passes_get_what_they_get_alone():
    groups = {name: (features(seed, n, 6), np.zeros(n)) for name, seed, n in (("a", 8, 60), ("b", 9, 25), ("c", 10, 1))}
    shard, mu, passes = Shard.of(groups), np.full(6, 0.2), []

    def evaluate(thetas):
        passes.append(sorted(thetas))
        return shard.evaluate(thetas)

    searches = {}
    for name in groups:
        start = shard.evaluate({name: Pass(np.zeros(6))})[name]
        target = Target(mu, start.log_partition)
        searches[name] = maximise(target, 0.01, dual_point(np.zeros(6), np.inf, start, target), Curvature(), Goal(1e-9, 500))
    together = run_together(searches, evaluate)
    for name, (phi, _) in groups.items():
        np.testing.assert_array_equal(together[name].point.theta, solve(phi, mu, 0.01)[0].point.theta)
    assert len(passes) == max(solution.passes for solution in together.values())


def test_passes_run_out_honestly():
    phi, mu = features(11, 200, 30), features(12, 3, 30).astype(np.float64).mean(axis=0)
    solution, _ = solve(phi, mu, 1e-5, passes=4)
    assert not solution.converged
    assert solution.passes == 4
    assert solution.point.relative_gap > 1e-9


@pytest.mark.parametrize("lam", [0.0, -1.0, float("nan")])
def test_lambda_must_be_positive(lam):
    with pytest.raises(ValueError, match="lambda must be positive"):
        solve(features(0, 5, 4), np.zeros(4), lam)


def test_curvature_stays_exact_when_lambda_changes():
    """The secant equation of the newest pair: the direction of (minus) the gradient's change is the step itself, under any lambda."""
    phi, mu, rng = features(13, 50, 6), np.full(6, 0.1), np.random.default_rng(13)
    shard, curvature = Shard.of({"": (phi, np.zeros(50))}), Curvature()
    thetas = [rng.standard_normal(6) for _ in range(4)]

    def at(theta, lam):
        return dual_point(theta, lam, shard.evaluate({"": Pass(theta)})[""], Target(mu, np.log(50)))

    for old, new in itertools.pairwise(thetas):
        curvature.learn(at(old, 0.1), at(new, 0.1))
    for lam in (0.1, 0.001):
        change = at(thetas[-2], lam).gradient - at(thetas[-1], lam).gradient
        np.testing.assert_allclose(curvature.direction(change, lam), thetas[-1] - thetas[-2], rtol=1e-9, atol=1e-12)
