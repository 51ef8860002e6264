"""Planted biases have the weights that they are said to have, and the distance is that of the kernel written out."""

import numpy as np
import pytest

from tests.bench.support.biases import BIASES, LEAST, measure, plant, weighted_mmd2
from tests.bench.support.simulated import simulated

ROWS = simulated(3_000, 0, 0).real


@pytest.mark.parametrize("bias", BIASES)
def test_the_true_weights_bring_back_what_the_bias_takes_away(bias):
    planted = plant(ROWS, bias, 0)
    real, given, true = planted.rare["real"].mean(), planted.rare["synthetic"].mean(), planted.true[planted.rare["synthetic"]].sum()
    assert given < real - 0.1
    assert true == pytest.approx(real, abs=0.08)
    assert planted.true.max() / planted.true.min() <= 1 / LEAST + 1e-9
    parts = [set(part.texts) for part in (planted.real, planted.synthetic, planted.unseen)]
    assert len(set.union(*parts)) == sum(len(part) for part in parts)


def test_the_true_weights_and_even_ones_are_measured_as_such():
    planted = plant(ROWS, "topic", 1)
    right = measure(planted, planted.true)
    assert (right["spearman"], right["mmd2_ratio"], right["closed"]) == (1.0, 1.0, 1.0)
    assert right["mmd2"]["given"] > 1.5 * right["mmd2"]["true"]
    assert abs(right["mmd2_unbiased"]["true"]) < 0.001 < right["mmd2_unbiased"]["given"] / 2
    even = measure(planted, np.full(len(planted.true), 1 / len(planted.true)))
    assert even["rare_share"]["weighted"] == even["rare_share"]["given"]
    assert even["mmd2_ratio"] > 1.5
    assert (even["spearman"], even["closed"]) == (None, 0.0)


def test_the_distance_is_the_sum_over_pairs():
    rng = np.random.default_rng(0)
    x, y, weight = rng.normal(size=(4, 2)), rng.normal(size=(3, 2)), np.array([0.4, 0.3, 0.2, 0.1])

    def kernel(a, b):
        return np.exp(-np.sum((a[:, None] - b[None]) ** 2, axis=2) / 2)

    all_pairs = sum(weight[i] * weight[j] * kernel(x, x)[i, j] for i in range(4) for j in range(4))
    apart = sum(weight[i] * weight[j] * kernel(x, x)[i, j] for i in range(4) for j in range(4) if i != j) / (1 - np.sum(weight**2))
    cross = 2 * sum(weight[i] * kernel(x, y)[i, j] / 3 for i in range(4) for j in range(3))
    theirs, theirs_apart = kernel(y, y).mean(), (kernel(y, y).sum() - 3) / 6
    kernels = kernel(x, x), kernel(x, y), kernel(y, y)
    assert weighted_mmd2(weight, *kernels) == pytest.approx(all_pairs + theirs - cross)
    assert weighted_mmd2(weight, *kernels, unbiased=True) == pytest.approx(apart + theirs_apart - cross)
