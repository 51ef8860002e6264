"""The distance of rows to held-out real rows, on vectors of which it is known."""

import math

import numpy as np
import pytest

from tests.bench.support.row_scores import mmd2_heldout


def unit_rows(n, shift, seed):
    rows = np.random.default_rng(seed).normal(size=(n, 8)) + shift
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_rows_of_the_same_distribution_are_at_no_distance_and_others_are_not():
    real, heldout = unit_rows(600, 0.0, 0), unit_rows(300, 0.0, 1)
    assert abs(mmd2_heldout(unit_rows(300, 0.0, 2), real, heldout)) < 0.003
    assert mmd2_heldout(unit_rows(300, 0.5, 3), real, heldout) > 0.03


def test_the_distance_is_the_u_statistic_of_the_kernel_written_out():
    x, heldout = unit_rows(7, 0.3, 4), unit_rows(6, 0.0, 5)
    bandwidth = float(np.median([np.linalg.norm(a - b) for i, a in enumerate(heldout) for b in heldout[:i]]))

    def kernel(a, b):
        return math.exp(-float(np.sum((a - b) ** 2)) / (2 * bandwidth**2))

    within = [np.mean([kernel(a, b) for i, a in enumerate(rows) for j, b in enumerate(rows) if i != j]) for rows in (x, heldout)]
    between = np.mean([kernel(a, b) for a in x for b in heldout])
    assert mmd2_heldout(x, heldout, heldout) == pytest.approx(sum(within) - 2 * between, abs=1e-5)


def test_too_few_rows_have_no_distance():
    assert math.isnan(mmd2_heldout(unit_rows(4, 0.0, 6), unit_rows(50, 0.0, 7), unit_rows(50, 0.0, 8)))
