"""The base measure: by hand from its factors, its average, its flattening, and labels that keep their weights."""

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import softmax

from synalign_spark.core.strength.base_measure import (
    BaseMeasure,
    Component,
    Factors,
    component_logs,
    fit_base_measure,
    largest_power,
)
from tests.core.strength.planted import rows, side

GROUPS = ["=bad", "=good"]
COMPONENTS = (Component(1.5, 1.0, 0.0), Component(1.5, 1.0, 1.0))


def weights(base, synthetic):
    """(n,) of the rows' own weights times what the base measure makes of them."""
    views = synthetic.views
    factors = base.factors(views.x, views.ngrams, views.labels, synthetic.group, synthetic.half)
    return views.weight * np.exp(base.log_factor(factors, synthetic.group)), factors


def test_components_are_products_of_powers():
    factors = Factors(np.log([0.5, 0.25]), np.array([1.0, -1.0]), None)
    logs = component_logs((Component(2.0, 0.5), Component(0.0, 1.0, 3.0)), factors, 2)
    np.testing.assert_allclose(logs, [[2 * np.log(0.5) + 0.5, 2 * np.log(0.25) - 0.5], [1.0, -1.0]])


def test_the_measure_is_the_mean_of_normalised_components():
    real, synthetic = side(*rows(0, 200)[:3]), side(*rows(1, 300, noise=0.3)[:3])
    base = fit_base_measure(real, synthetic, COMPONENTS, GROUPS)
    found, factors = weights(base, synthetic)
    for group in GROUPS:
        own = synthetic.group == group
        parts = softmax(component_logs(COMPONENTS, factors, len(own))[:, own], axis=1)  # each sums to 1
        np.testing.assert_allclose(found[own] / own.sum(), parts.mean(axis=0), rtol=1e-9)
    assert base.components == COMPONENTS
    assert base.mean_exponents == Component(1.5, 1.0, 0.5)


def test_rows_with_wrong_labels_lose_their_weight():
    (x, texts, labels, wrong), real = rows(1, 600, noise=0.4), side(*rows(0, 200)[:3])
    synthetic = side(x, texts, labels)
    found, _ = weights(fit_base_measure(real, synthetic, COMPONENTS, GROUPS, 0.3), synthetic)
    assert found[wrong].sum() / found.sum() < 0.1 * wrong.mean()


def test_weights_that_the_rows_came_with_multiply_it():
    real, (x, texts, labels, _) = side(*rows(0, 200)[:3]), rows(1, 300, noise=0.3)
    prior = np.where(np.arange(300) < 30, 0.0, np.random.default_rng(0).random(300))
    once, doubled = (side(x, texts, labels, weight) for weight in (prior, 2 * prior))
    found, factors = weights(fit_base_measure(real, once, COMPONENTS[:1], GROUPS), once)
    np.testing.assert_allclose(weights(fit_base_measure(real, doubled, COMPONENTS[:1], GROUPS), doubled)[0], 2 * found, rtol=1e-9)
    ratio = found / np.exp(component_logs(COMPONENTS[:1], factors, 300)[0])
    for group in GROUPS:
        own = (synthetic_group := once.group == group) & (prior > 0)
        assert np.ptp(ratio[own] / prior[own]) < 1e-9 * np.max(ratio[own] / prior[own])
        assert found[synthetic_group].sum() == pytest.approx(prior[synthetic_group].sum())
    assert not found[:30].any()


def test_a_label_that_takes_no_part_and_an_unseen_one_keep_their_weights():
    real, synthetic = side(*rows(0, 200)[:3]), side(*rows(1, 300, noise=0.3)[:3])
    synthetic.group[:10] = "=rare"
    synthetic.views.labels[:10] = "rare"
    base = fit_base_measure(real, synthetic, COMPONENTS, GROUPS, 0.3)
    found, _ = weights(base, synthetic)
    np.testing.assert_array_equal(found[:10], 1.0)
    assert found[10:].std() > 0.1


def test_without_components_or_without_texts():
    real, synthetic = side(*rows(0, 200)[:3], words=False), side(*rows(1, 300)[:3], words=False)
    found, factors = weights(fit_base_measure(real, synthetic, COMPONENTS, GROUPS), synthetic)
    assert factors.log_words is None
    assert found.std() > 0.01
    nothing = BaseMeasure()
    assert not nothing.changes
    np.testing.assert_array_equal(weights(nothing, synthetic)[0], 1.0)


@pytest.mark.parametrize("floor", [0.3, 0.6, 0.9])
def test_a_component_is_flattened_just_as_far_as_the_floor_asks(floor):
    rng = np.random.default_rng(0)
    logs, prior = 4 * rng.standard_normal(500), np.ones(500)

    def ess(t):
        w = np.exp(t * logs)
        return w.sum() ** 2 / np.sum(w**2)

    expected = brentq(lambda t: ess(t) - floor * 500, 0.0, 1.0)
    assert largest_power([(logs, prior)], floor) == pytest.approx(expected, abs=1e-6)
    halves = [(logs[:200], prior[:200]), (logs[200:], prior[200:])]
    t = largest_power(halves, floor)
    kept = sum(np.exp(t * part).sum() ** 2 / np.exp(2 * t * part).sum() for part, _ in halves)
    assert kept == pytest.approx(floor * 500, rel=1e-5)  # labels keep it together
    assert largest_power([(0.01 * logs, prior)], floor) == 1.0


def test_the_floor_holds_for_the_average_too():
    real, synthetic = side(*rows(0, 60, topics=(0.95, 0.05))[:3]), side(*rows(1, 800, noise=0.4)[:3])
    found, _ = weights(fit_base_measure(real, synthetic, COMPONENTS, GROUPS, 0.5), synthetic)
    kept = sum(found[synthetic.group == g].sum() ** 2 / np.sum(found[synthetic.group == g] ** 2) for g in GROUPS)
    assert kept >= 0.5 * 800 * 0.999
