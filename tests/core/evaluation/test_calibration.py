"""The certificate over many simulations with a known truth: level, coverage, power. tests/bench/certificate.py prints the same, and more."""

import numpy as np
import pytest

from tests.bench.support import certificate_cases as cases

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("kind", "times"), [("uniform", 1_000), ("uneven", 1_000), ("fitted", 250)])
def test_a_true_hypothesis_is_rejected_in_one_of_twenty_cases(kind, times):
    """Within 3 binomial errors; for fitted weights it may be less, since they undo part of the noise."""
    share, error = cases.rejection(kind, times, 150, 100), np.sqrt(0.05 * 0.95 / times)
    assert share < 0.05 + 3 * error
    assert share > 0.05 - 3 * error or kind == "fitted"


@pytest.mark.parametrize(("shift", "tilt"), [(0.0, 0.0), (0.1, 0.0), (0.3, 0.2), (1.0, 0.8)])
@pytest.mark.parametrize("labels", [1, 3])
def test_intervals_hold_the_truth_in_nineteen_of_twenty_cases(shift, tilt, labels):
    for name, share in cases.coverage(shift, tilt, 400, 300, 150, labels).items():
        assert share >= 0.93 - 2 * np.sqrt(0.05 * 0.95 / 400), name


@pytest.mark.parametrize("shift", [0.0, 0.3])
def test_so_do_those_of_fitted_weights(shift):
    assert cases.fitted_coverage(shift, 120, 200, 150) >= 0.93 - 2 * np.sqrt(0.05 * 0.95 / 120)


def test_power_rises_to_what_is_called_detectable():
    power = list(cases.curve(300, 150, 100).values())
    assert power[0] < 0.1 < power[-1]
    assert power[-1] > power[-2] > power[0]
    assert cases.power_at_detectable(400, 200, 120) == pytest.approx(0.8, abs=0.07)
