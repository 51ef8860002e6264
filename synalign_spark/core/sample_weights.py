"""Sample weights for training on real and synthetic rows together, which keep the share of every label.

A model that is trained on both sides learns the label shares of what it is given, whatever they are. So each label has its wanted
share of all weight, and within it the real rows stand to the synthetic ones as the number of real rows to the mixing weight (Ben-David
et al. 2010, section 5, for each label): a label without synthetic rows is taught by its real rows, at the full share.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from synalign_spark.core.groups import group_of, label_of


@dataclass(frozen=True)
class LabelRows:
    """Rows of one label on one side. rows: their number, copies of a drawn row counted each; weight: sum of their own weights."""

    rows: int
    weight: float

    @property
    def teach(self) -> bool:
        """Whether there is anything to learn from them."""
        return self.rows > 0 and self.weight > 0


def rows_by_group(labels: Sequence[str | None], weight: npt.NDArray[np.float64]) -> dict[str, LabelRows]:
    """Rows of some weight, and their weight, by group. labels: n of them, None for a row without one; weight: (n,).

    >>> rows_by_group(["good", "bad", "good"], np.array([1.0, 2.0, 0.0]))
    {'=bad': LabelRows(rows=1, weight=2.0), '=good': LabelRows(rows=1, weight=1.0)}"""
    names, code = np.unique([group_of(label) for label in labels], return_inverse=True)
    rows, total = (np.bincount(code, values, len(names)) for values in (weight > 0, weight))
    return {str(name): LabelRows(int(n), float(w)) for name, n, w in zip(names, rows, total, strict=True)}


NO_ROWS = LabelRows(0, 0.0)


class ShareError(ValueError):
    """A label that is to have a share of the weight and has no row to carry it. groups: of those labels."""

    def __init__(self, groups: list[str]) -> None:
        super().__init__(f"no row carries the share of label {', '.join(str(label_of(group) or '(none)') for group in groups[:10])}")
        self.groups = groups


@dataclass(frozen=True)
class SampleWeights:
    """By group of rows: what a real, and a synthetic, row's own weight is multiplied with to give its sample weight; 0 where it has none."""

    real: Mapping[str, float]
    synthetic: Mapping[str, float]


def sample_weights_by_label(
    shares: Mapping[str, float], real: Mapping[str, LabelRows], synthetic: Mapping[str, LabelRows], mixing_weight: float
) -> SampleWeights:
    """Sample weights of mean 1 over the rows that are used: of groups with a share, on sides that count.

    shares: wanted share of each group, of any positive sum; a group that is not named has none. real, synthetic: rows by group.
    mixing_weight: real rows that all synthetic ones count as, of which each label has its share.
    Raises ShareError for a wanted share that no row can carry.

    >>> real = {"=good": LabelRows(150, 150.0), "=bad": LabelRows(150, 150.0)}
    >>> found = sample_weights_by_label({"=good": 1, "=bad": 1}, real, {"=bad": LabelRows(600, 600.0)}, 300.0)
    >>> found.real["=good"] * 150, found.real["=bad"] * 150, found.synthetic["=bad"] * 600
    (450.0, 225.0, 225.0)"""
    wanted = {group: share / sum(shares.values()) for group, share in shares.items() if share > 0}
    sides = {group: (real.get(group, NO_ROWS), synthetic.get(group, NO_ROWS)) for group in {*shares, *real, *synthetic}}
    parts = _parts({group: sides[group] for group in wanted}, wanted, mixing_weight)
    used = sum(rows.rows for group in parts for rows, part in zip(sides[group], parts[group], strict=True) if part)
    factors = [
        {group: used * wanted[group] * parts[group][side] / sides[group][side].weight if group in parts and parts[group][side] else 0.0 for group in sides}
        for side in (0, 1)
    ]  # fmt: skip
    return SampleWeights(*factors)


def wanted_shares(real: Mapping[str, LabelRows], label_shares: Mapping[str, float] | None) -> dict[str, float]:
    """The share of each group, up to a factor: as set by label, else that of the real rows' weight."""
    if label_shares is None:
        return {group: rows.weight for group, rows in real.items()}
    return {group_of(label): share for label, share in label_shares.items()}


def _parts(
    sides: Mapping[str, tuple[LabelRows, LabelRows]], wanted: Mapping[str, float], mixing_weight: float
) -> dict[str, tuple[float, float]]:
    """The real rows' and the synthetic rows' part of each group, which sum to 1."""
    n_real = sum(real.rows for real, _ in sides.values() if real.teach)
    found, dead = {}, []
    for group, (real, synthetic) in sorted(sides.items()):
        of_real, of_synthetic = n_real * real.teach, mixing_weight * synthetic.teach
        if not of_real + of_synthetic:
            dead.append(group)
            continue
        found[group] = of_real / (of_real + of_synthetic), of_synthetic / (of_real + of_synthetic)
    if dead:
        raise ShareError(dead)
    return found
