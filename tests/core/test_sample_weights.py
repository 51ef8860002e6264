"""Sample weights by label: shares survive whatever the synthetic side has."""

import numpy as np
import pytest

from synalign_spark.core.sample_weights import LabelRows, ShareError, sample_weights_by_label


def mass(found, real, synthetic):
    """Sum of the sample weights by group and side."""
    sides = ((found.real, real), (found.synthetic, synthetic))
    return [{group: factors[group] * rows[group].weight for group in rows} for factors, rows in sides]


@pytest.mark.parametrize("seed", range(40))
def test_shares_of_the_joined_rows_are_those_wanted_and_the_mean_is_one(seed):
    rng = np.random.default_rng(seed)
    labels = [f"={i}" for i in range(rng.integers(1, 7))]
    real = {label: LabelRows(n := int(rng.integers(1, 50)), n * rng.gamma(2.0)) for label in labels}
    having = [label for label in labels if rng.random() < 0.6]
    synthetic = {label: LabelRows(n := int(rng.integers(1, 90)), n * rng.gamma(2.0)) for label in having}
    total = sum(rows.weight for rows in real.values())
    wanted = {label: rows.weight / total for label, rows in real.items()} if seed % 2 else {label: rng.random() + 0.01 for label in labels}
    mixing = [2_000.0, 300.0, 0.0, 7.5][seed % 4]
    of_real, of_synthetic = mass(found := sample_weights_by_label(wanted, real, synthetic, mixing), real, synthetic)
    weight = sum(of_real.values()) + sum(of_synthetic.values())
    for label in labels:
        assert (of_real[label] + of_synthetic.get(label, 0.0)) / weight == pytest.approx(wanted[label] / sum(wanted.values()))
    rows = sum(real[label].rows for label in labels) + (sum(part.rows for part in synthetic.values()) if mixing != 0.0 else 0)
    assert weight == pytest.approx(rows), "mean 1 over the rows that have any"
    if mixing:  # within a label the synthetic rows count as its share of the mixing weight
        for label in having:
            assert of_synthetic[label] / of_real[label] == pytest.approx(mixing / sum(part.rows for part in real.values()))
    assert min([*found.real.values(), *found.synthetic.values()]) >= 0


def test_with_synthetic_rows_of_every_label_they_count_as_the_mixing_weight():
    real, synthetic = {"=a": LabelRows(225, 225.0), "=b": LabelRows(75, 75.0)}, {"=a": LabelRows(450, 450.0), "=b": LabelRows(150, 150.0)}
    found = sample_weights_by_label({"=a": 3, "=b": 1}, real, synthetic, 300.0)
    assert found.real == pytest.approx({"=a": 1.5, "=b": 1.5})
    assert found.synthetic == pytest.approx({"=a": 0.75, "=b": 0.75})


def test_a_share_that_no_row_can_carry_is_named():
    real = {"=a": LabelRows(30, 30.0), "=b": LabelRows(30, 0.0)}
    with pytest.raises(ShareError, match="no row carries the share of label b, c") as caught:
        sample_weights_by_label({"=a": 1, "=b": 1, "=c": 2}, real, {}, 100.0)
    assert caught.value.groups == ["=b", "=c"]
    assert sample_weights_by_label({"=a": 1}, real, {}, 100.0).real == {"=a": 1.0, "=b": 0.0}
