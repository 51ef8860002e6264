import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF

from synalign_spark.core.sampling import contenders, factor, gp
from synalign_spark.core.sampling.contenders import TIE
from synalign_spark.core.sampling.gp import Tracker, median_length_scale


def refitted_sd(centroids, picked, length_scale, noise):
    """Posterior standard deviation by a regressor fitted on the candidates picked; its targets do not matter."""
    if not picked:
        return np.ones(len(centroids))
    model = GaussianProcessRegressor(RBF(length_scale), alpha=noise**2, optimizer=None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(centroids[picked], np.zeros(len(picked))).predict(centroids, return_std=True)[1]


def naive_picks(centroids, share, length_scale, noise, alpha, count, start=()):
    """The loop as published: refit, predict everywhere, take the largest; equal values go to the smaller id."""
    picked, values = list(start), []
    for _ in range(count):
        value = refitted_sd(centroids, picked, length_scale, noise) * share**alpha
        picked.append(int(np.flatnonzero(value >= value.max() * (1 - TIE))[0]))
        values.append(value.max())
    return picked[len(start) :], values


@st.composite
def problems(draw):
    k, d = draw(st.integers(1, 14)), draw(st.integers(1, 4))
    # A coarse grid gives equal centroids and exact ties; the normal draw gives neither.
    grid = hnp.arrays(np.float64, (k, d), elements=st.integers(-2, 2).map(float))
    centroids = draw(st.one_of(grid, st.integers(0, 10**6).map(lambda seed: np.random.default_rng(seed).normal(size=(k, d)))))
    share = draw(hnp.arrays(np.float64, (k,), elements=st.sampled_from([0.1, 0.2, 0.5, 1.0])))
    length_scale, noise = draw(st.floats(0.3, 3.0)), draw(st.floats(0.05, 1.0))
    return centroids, share / share.sum(), length_scale, noise, draw(st.sampled_from([0.0, 0.5, 1.0]))


@settings(max_examples=40)
@given(problems(), st.integers(1, 18))
def test_picks_are_those_of_the_refitted_regressor(problem, count):
    centroids, _, length_scale, noise, _ = problem
    tracker = Tracker(*problem)
    selected = tracker.pick(count)
    want, values = naive_picks(*problem, count)
    assert [candidate.position for candidate in selected] == want
    np.testing.assert_allclose([candidate.acquisition for candidate in selected], values, atol=1e-8)
    np.testing.assert_allclose(tracker.posterior_sd(), refitted_sd(centroids, want, length_scale, noise), atol=1e-8)
    for j, candidate in enumerate(selected):
        assert candidate.posterior_sd == pytest.approx(refitted_sd(centroids, want[:j], length_scale, noise)[candidate.position], abs=1e-8)


@settings(max_examples=25)
@given(problems(), st.integers(0, 6), st.integers(1, 6))
def test_a_later_round_goes_on(problem, first, second):
    whole = [candidate.position for candidate in Tracker(*problem).pick(first + second)]
    tracker = Tracker(*problem)
    earlier = [candidate.position for candidate in tracker.pick(first)]
    replayed = Tracker(*problem)
    replayed.replay(earlier)
    for state in (tracker, replayed):
        assert earlier + [candidate.position for candidate in state.pick(second)] == whole
        assert state.picked == whole


def test_trace_by_hand():
    # Two far centroids and noise 1: to pick one halves its variance and leaves the other at 1.
    tracker = Tracker(np.array([[0.0], [1e6]]), np.array([0.75, 0.25]), 1.0, 1.0)
    selected = tracker.pick(2)
    assert [candidate.position for candidate in selected] == [0, 1]
    trace = tracker.trace(reach_sd=0.8)
    half = np.sqrt(0.5)
    np.testing.assert_allclose(trace.mean_sd, [0.75 * half + 0.25, half])
    np.testing.assert_allclose(trace.coverage, [0.75, 1.0])
    np.testing.assert_allclose(tracker.trace(0.8, start=1).mean_sd, [half])


def test_variance_never_rises_and_the_trace_falls():
    rng = np.random.default_rng(0)
    tracker = Tracker(rng.normal(size=(40, 3)), rng.dirichlet(np.ones(40)), 1.0, 0.1, 0.5)
    before = tracker.posterior_sd()
    for _ in range(30):
        tracker.pick(1)
        after = tracker.posterior_sd()
        assert (after <= before + 1e-12).all()
        before = after
    trace = tracker.trace(0.7)
    assert (np.diff(trace.mean_sd) <= 1e-12).all()
    assert (np.diff(trace.coverage) >= -1e-12).all()


def themed(k, d=32):
    """Like embeddings: unit vectors about 12 themes, and cluster shares of a long tail."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(12, d))[rng.integers(12, size=k)] + 0.5 * rng.normal(size=(k, d))
    share = 1 / np.arange(1.0, k + 1)
    return x / np.linalg.norm(x, axis=1, keepdims=True), share / share.sum()


@pytest.mark.parametrize("alpha", [0.0, 0.5])
def test_picks_of_several_blocks_are_those_of_the_refitted_regressor(alpha):
    x, share = themed(400)
    problem = (x, share, median_length_scale(x), 0.1, alpha)
    tracker = Tracker(*problem)
    want, values = naive_picks(*problem, 150)
    selected = tracker.pick(150)
    assert [candidate.position for candidate in selected] == want
    np.testing.assert_allclose([candidate.acquisition for candidate in selected], values, rtol=1e-9)
    for t in (1, 64, 150):
        sd = refitted_sd(x, want[:t], problem[2], 0.1)
        assert tracker.trace(0.7).mean_sd[t - 1] == pytest.approx(share @ sd, rel=1e-9)
        assert tracker.trace(0.7).coverage[t - 1] == pytest.approx(share @ (sd < 0.7), rel=1e-9)


@pytest.mark.parametrize(("block", "fewest", "most", "part"), [(1, 1, 1, 7), (5, 1, 3, 64), (64, 2, 400, 401), (7, 16, 16, 100)])
@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_picks_do_not_depend_on_blocks_and_contenders(monkeypatch, block, fewest, most, part, alpha):
    x, share = themed(300)
    problem = (x, share, median_length_scale(x), 0.1, alpha)
    want = Tracker(*problem).pick(90, np.full(300, 2))
    monkeypatch.setattr(gp, "BLOCK", block)
    monkeypatch.setattr(contenders, "FEWEST", fewest)
    monkeypatch.setattr(contenders, "MOST", most)
    monkeypatch.setattr(factor, "PART", part)
    got = Tracker(*problem).pick(90, np.full(300, 2))
    assert [one.position for one in got] == [one.position for one in want]
    np.testing.assert_allclose([one.acquisition for one in got], [one.acquisition for one in want], rtol=1e-9)


def test_a_fold_changes_nothing_but_the_state():
    x, share = themed(40)
    problem = (x, share, median_length_scale(x), 0.3, 0.5)
    whole, folded = Tracker(*problem), Tracker(*problem)
    want = whole.pick(120)
    got = []
    for _ in range(3):
        got += folded.pick(40)
        trace = folded.trace(0.7, len(got) - 40)
        np.testing.assert_allclose(trace.mean_sd, whole.trace(0.7).mean_sd[len(got) - 40 : len(got)], rtol=1e-9)
        folded.fold()
    assert [one.position for one in got] == [one.position for one in want] == folded.picked
    np.testing.assert_allclose(folded.posterior_sd(), whole.posterior_sd(), rtol=1e-9)


@pytest.mark.parametrize("shift", [0.0, 1e7, np.array([0.0, 1e9])])
def test_distances_far_from_the_origin_are_those_near_it(shift):
    x = np.random.default_rng(0).integers(-8, 8, size=(30, 2)) / 4
    apart = x + (shift if np.ndim(shift) == 0 else np.outer(np.arange(30) % 2, shift))  # all of them, or half of them
    near = np.exp(-np.square(x[:, None] - x).sum(axis=2) / 2)
    near[(apart[:, None] != apart).any(axis=2) & (near == 1)] = 0
    if np.ndim(shift):
        near[(np.arange(30)[:, None] - np.arange(30)) % 2 == 1] = 0
    np.testing.assert_allclose(factor.PivotedFactor(apart, 1.0, 0.1).prior(range(30), slice(None)), near, atol=1e-12)


def test_capacity_bounds_the_picks():
    tracker = Tracker(np.array([[0.0], [5.0]]), np.array([0.5, 0.5]), 1.0, 0.1)
    assert [candidate.position for candidate in tracker.pick(9, np.array([1, 3]))] == [0, 1, 1, 1]
    assert tracker.pick(3, np.array([0, 0])) == []


def test_equal_values_go_to_the_smaller_id():
    corners = np.array([[1.0, 1.0], [-1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]])
    assert [candidate.position for candidate in Tracker(corners, np.full(4, 0.25), 1.0, 0.1).pick(4)] == [0, 3, 1, 2]


def test_median_length_scale(monkeypatch):
    assert median_length_scale(np.array([[0.0], [1.0], [3.0]])) == 2.0
    assert median_length_scale(np.zeros((1, 2))) == 1.0
    assert median_length_scale(np.zeros((3, 2))) == 1.0
    monkeypatch.setattr(gp, "MEDIAN_OF_MOST", 3)
    assert median_length_scale(np.array([[0.0], [7.0], [1.0], [7.0], [3.0]])) == 2.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"share": np.array([1.0, 0.0])}, "positive number"),
        ({"noise": 0.0}, "noise must be positive"),
        ({"length_scale": np.inf}, "length_scale"),
    ],
)
def test_bad_input_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        Tracker(**({"centroids": np.eye(2), "share": np.array([0.5, 0.5]), "length_scale": 1.0, "noise": 0.1} | change))
