"""The choice of lambda: it stops short of noise, keeps its floor, and stays uniform where aligning does not pay."""

import numpy as np
import pytest
from scipy.optimize import nnls

from synalign_spark.core.communicator import LocalCommunicator
from synalign_spark.core.features import draw_feature_map
from synalign_spark.core.solver.dual import run_together
from synalign_spark.core.solver.path import PLAIN_LAMBDA, SMALLEST_LAMBDA, Sample, Settings, finish, lambdas, pool, search_path
from synalign_spark.core.solver.shard import Shard, ShardRows


def settings(rule="mmd_rule", lam=float("nan"), floor=0.1):
    return Settings(rule, lam, floor, 1e-6, 500)


def rows(seed, n, shares):
    """Features of rows around three centres."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).standard_normal((3, 8))
    x = centres[rng.choice(3, n, p=shares)] + 0.4 * rng.standard_normal((n, 8))
    x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    return draw_feature_map(8, 128, [0.7, 0.35], 0)(x)


def sample(phi):
    return Sample(len(phi), phi.astype(np.float64).mean(axis=0))


def whole(groups):
    """Rows of which the sample is all."""
    shard = Shard.of(groups)
    return ShardRows(shard, shard, LocalCommunicator())


def choose(real_shares, setting, n_real=400, n_synthetic=900):
    """Path, end and features of the synthetic rows, which come in equal shares."""
    real, synthetic = rows(1, n_real, real_shares), rows(2, n_synthetic, [1 / 3] * 3)
    rows_ = whole({"": (synthetic, np.zeros(n_synthetic))})
    fit, validation = sample(real[: n_real // 2]), sample(real[n_real // 2 :])
    path = run_together({"": search_path((fit, validation), setting, 1.0)}, rows_.evaluate)[""]
    return path, run_together({"": finish(pool([fit, validation]), path, setting)}, rows_.evaluate)[""]


def test_a_shifted_set_is_aligned_and_noise_is_not_followed():
    path, end = choose([0.7, 0.2, 0.1], settings())
    fits = [p.mmd2_fit for p in path.points]
    assert fits == sorted(fits, reverse=True)  # the fit improves all along the path
    assert 0 < path.chosen < len(path.points) - 1  # the choice does not
    assert path.points[path.chosen].score == min(p.score for p in path.points)
    assert end.solution.converged
    truth = rows(3, 20_000, [0.7, 0.2, 0.1]).astype(np.float64).mean(axis=0)
    plain = choose([0.7, 0.2, 0.1], settings("plain"))[1]
    error, noisy, start = (
        float(np.sum((m.mean - truth) ** 2)) for m in (end.solution.point.moments, plain.solution.point.moments, end.before)
    )
    assert error < 0.1 * start
    assert error < noisy  # plain MMD matches the sample's noise


def test_uniform_stays_where_the_rows_already_match():
    path, end = choose([1 / 3] * 3, settings(), n_real=60)
    assert path.points[path.chosen].score <= path.points[0].score
    assert end.solution.point.moments.ess > 0.8 * end.before.rows


@pytest.mark.parametrize("floor", [0.3, 0.9])
def test_the_floor_on_the_effective_sample_size_holds(floor):
    _, end = choose([0.97, 0.02, 0.01], settings(floor=floor))
    assert end.solution.point.moments.ess >= floor * end.before.rows
    assert end.solution.point.moments.ess < end.before.rows


def test_the_ess_rule_goes_on_to_half_of_its_floor_in_one_label_or_to_its_smallest_lambda():
    bound, _ = choose([0.97, 0.02, 0.01], settings("ess_rule", floor=0.9))
    free, end = choose([0.6, 0.3, 0.1], settings("ess_rule", floor=0.001), n_real=40)
    taken = bound.points[bound.chosen]
    assert taken.point.moments.ess >= 0.45 * 900
    assert bound.points[-1].point.moments.ess < 0.45 * 900  # the next one breaks it
    assert free.points[free.chosen].point.lam == 2.0**-5  # the point of the path next above 1 / 40
    assert end.solution.converged


def test_an_unreachable_floor_keeps_the_base_weights():
    synthetic, real = rows(2, 300, [1 / 3] * 3), rows(1, 200, [0.8, 0.1, 0.1])
    skewed = np.where(np.arange(300) < 3, 0.0, -20.0)  # base weights on three rows: their own sample size is below the floor
    rows_ = whole({"": (synthetic, skewed)})
    path = run_together({"": search_path((sample(real[:100]), sample(real[100:])), settings(floor=0.5), 1.0)}, rows_.evaluate)[""]
    assert path.chosen == 0
    assert np.isinf(path.points[0].point.lam)


def test_fixed_and_plain_end_where_they_should():
    assert choose([0.7, 0.2, 0.1], settings("fixed", 0.03))[1].solution.point.lam == 0.03
    assert choose([0.7, 0.2, 0.1], settings("fixed", 50.0))[1].solution.point.lam == 50.0
    plain = choose([0.7, 0.2, 0.1], settings("plain"))[1].solution
    assert plain.point.lam == PLAIN_LAMBDA
    assert list(lambdas(settings("uniform"), 64)) == [np.inf]
    path = list(lambdas(settings("fixed", 0.1), 64))
    assert path == sorted(path, reverse=True)
    assert path[-1] == 0.1
    path = list(lambdas(settings("ess_rule"), 64))
    assert len(path) == 14
    assert list(lambdas(settings("ess_rule"), 1e9))[: len(path)] == path  # labels with more rows go on along the same path
    assert list(lambdas(settings("ess_rule"), 1e9))[-1] == SMALLEST_LAMBDA["ess_rule"]
    assert list(lambdas(settings("ess_rule"), 1.0)) == [np.inf, 1.0]
    assert all(2.0 * lam in path for lam in path if lam <= 0.5)  # to the bit: a lambda that is raised stays on the path


def test_mmd_to_a_finite_sample_is_unbiased():
    """Mean over many samples of the estimate is the distance to the true mean; without the correction it is not."""
    population = rows(5, 4000, [0.5, 0.3, 0.2]).astype(np.float64)
    mean, other = population.mean(axis=0), rows(6, 500, [1 / 3] * 3).astype(np.float64).mean(axis=0)
    rng, true = np.random.default_rng(0), float(np.sum((population.mean(axis=0) - other) ** 2))
    estimates = [sample(population[rng.integers(0, 4000, 10)]).mmd2(other) for _ in range(2000)]
    assert np.mean(estimates) == pytest.approx(true, abs=4 * np.std(estimates) / np.sqrt(2000))
    assert (1 - mean @ mean) / 10 > 8 * np.std(estimates) / np.sqrt(2000)  # the bias would show
    assert np.isnan(Sample(0, np.zeros(3)).mmd2(np.zeros(3)))


def test_splits_pool_to_the_whole():
    phi = rows(7, 90, [0.5, 0.3, 0.2])
    together = pool([sample(phi[:20]), sample(phi[20:])])
    assert together.count == 90
    np.testing.assert_allclose(together.mean, sample(phi).mean, rtol=1e-12)


@pytest.mark.parametrize("seed", [2, 5, 6])
def test_plain_mmd_of_few_rows_far_from_the_real_ones_is_solved(seed):
    """More features than rows, and a distance that no weights close: starts from the theta of the lambda before ended on one row."""
    rng = np.random.default_rng(seed)

    def directions(n, shift):
        x = rng.standard_normal((n, 64)) * rng.gamma(1.0, 1.0, 64) + shift
        return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)

    make = draw_feature_map(64, 1024, [1.2, 0.6], 0)
    real, synthetic = make(directions(50, 0.3 * rng.standard_normal(64))), make(directions(200, 0.0))
    rows_, setting, halves = whole({"": (synthetic, np.zeros(200))}), settings("plain"), (sample(real[:25]), sample(real[25:]))
    path = run_together({"": search_path(halves, setting, 1.0)}, rows_.evaluate)[""]
    end = run_together({"": finish(pool(list(halves)), path, setting)}, rows_.evaluate)[""]
    assert end.solution.converged
    mean, heavy = pool(list(halves)).mean, 1e3  # heavy: how much the sum of the weights counts in the oracle
    best, _ = nnls(np.vstack([synthetic.T.astype(np.float64), np.full((1, 200), heavy)]), np.append(mean, heavy))
    least = float(np.sum((synthetic.T.astype(np.float64) @ (best / best.sum()) - mean) ** 2))
    assert end.solution.point.mmd2(mean) <= least + 2e-6 * np.log(200) + 1e-9
