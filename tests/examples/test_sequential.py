"""The sequential test keeps its bound however often it is looked at, and finds differences."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import beta

from examples.retriever import interleaving, sequential

SESSIONS = 3_000


def outcomes(rng, chance, ties=0.3, sessions=SESSIONS):
    """(sessions,) of a ranker that wins a decided session with this chance."""
    return np.where(rng.random(sessions) < ties, 0, np.where(rng.random(sessions) < chance, 1, -1))


def test_the_evidence_is_the_integral():
    wins, losses = 14, 5
    integral, _ = quad(lambda p: p**wins * (1 - p) ** losses * beta(sequential.PRIOR, sequential.PRIOR).pdf(p), 0, 1)
    assert np.exp(sequential.log_evidence(np.array(wins), np.array(losses))) == pytest.approx(integral * 2 ** (wins + losses))


def test_false_alarms_are_within_their_bound_at_every_look():
    """2,000 tests of equal rankers, looked at after each session. The bound is 5%; that of a binomial test at each look is far from it."""
    rng = np.random.default_rng(11)
    alarms = careless = 0
    for _ in range(2_000):
        found = outcomes(rng, 0.5)
        alarms += sequential.decide(found).winner != 0
        z = np.cumsum(found) / np.sqrt(np.maximum(np.cumsum(found != 0), 1))
        careless += bool((np.abs(z[20:]) > 1.96).any())
    assert 0.005 < alarms / 2_000 <= sequential.ALPHA
    assert careless / 2_000 > 0.4, "what the rule is for"


@pytest.mark.parametrize(("chance", "winner"), [(0.55, 1), (0.45, -1)])
def test_a_difference_is_found_and_ends_the_test(chance, winner):
    rng = np.random.default_rng(12)
    found = [sequential.decide(outcomes(rng, chance)) for _ in range(200)]
    assert np.mean([one.winner == winner for one in found]) > 0.95
    assert np.mean([one.winner == -winner for one in found]) < 0.02
    assert np.median([one.sessions for one in found]) < SESSIONS / 2


def test_it_stops_at_the_first_session_that_is_enough():
    found = sequential.decide(np.ones(100, dtype=np.int64))
    evidence = np.exp(sequential.log_evidence(np.arange(1, 101), np.zeros(100)))
    assert found.sessions == int(np.argmax(evidence >= 20)) + 1
    assert found.evidence >= 20 > evidence[found.sessions - 2]


def test_nothing_said_and_wrong_bounds():
    assert sequential.decide(np.zeros(50, dtype=np.int64)).winner == 0
    assert sequential.decide(np.empty(0, dtype=np.int64)).sessions == 0
    with pytest.raises(ValueError, match="alpha"):
        sequential.decide(np.ones(3, dtype=np.int64), alpha=5)


@pytest.mark.slow
def test_false_alarms_of_a_whole_replay():
    """Two rankers that are equally good on average, with other documents first: alarms stay within the bound."""
    rng = np.random.default_rng(13)
    judgements = {f"q{i}": {"good": 1, "fine": 1} for i in range(40)}
    orders = [["good", "x", "fine", "y", "z"], ["x", "good", "y", "z", "fine"]]
    alarms = 0
    for trial in range(400):
        names = rng.permutation(list(judgements))
        first = {name: orders[i % 2] for i, name in enumerate(names)}
        second = {name: orders[1 - i % 2] for i, name in enumerate(names)}
        won = interleaving.replay(first, second, judgements, interleaving.CLICK_MODELS["informational"], 800, seed=trial)
        alarms += sequential.decide(won).winner != 0
    assert alarms / 400 <= sequential.ALPHA + 3 * np.sqrt(0.05 * 0.95 / 400)
