"""Length: rows far shorter or longer than the real rows of their label."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from synalign_spark.generation.gates.check import Check, Label

GATE = "length"
QUANTILES = (0.01, 0.99)  # beyond them are the odd ones of the real rows, such as titles and pasted pages
FACTOR = 2.0  # beyond the quantiles, so that only what is far outside is refused
FEWEST_ROWS = 100  # of a label; with fewer it follows all rows, and with fewer of these the gate is off: the quantile would be the extreme


@dataclass(frozen=True)
class Bounds:
    """Characters: the shortest and the longest row that is not far outside."""

    low: float
    high: float

    @classmethod
    def of(cls, lengths: Sequence[int]) -> "Bounds":
        low, high = np.quantile(lengths, QUANTILES)
        return cls(float(low) / FACTOR, float(high) * FACTOR)


def checks(rows: Sequence[tuple[str, Label]]) -> list[Check]:
    """The check of the gate, by the lengths of real rows; none where they are too few. rows: (text, label).

    >>> short, long = [("a fine film", "x")] * 100, [("a fine film " * 20, "y")] * 100
    >>> check = checks(short + long)[0]
    >>> check.find("a" * 200, "x"), check.find("a" * 200, "y")
    ('200 characters; real rows of the label have mostly 11 to 11', None)
    """
    if len(rows) < FEWEST_ROWS:
        return []
    by_label: dict[Label, list[int]] = {}
    for text, label in rows:
        by_label.setdefault(label, []).append(len(text))
    all_rows = Bounds.of([len(text) for text, _ in rows])
    bounds = {label: Bounds.of(lengths) for label, lengths in by_label.items() if len(lengths) >= FEWEST_ROWS}
    return [Check(GATE, "outlier", _Outlier(all_rows, bounds))]


@dataclass(frozen=True)
class _Outlier:
    all_rows: Bounds
    by_label: Mapping[Label, Bounds]

    def __call__(self, text: str, label: Label) -> str | None:
        bounds = self.by_label.get(label, self.all_rows)
        if bounds.low <= len(text) <= bounds.high:
            return None
        return f"{len(text)} characters; real rows of the label have mostly {bounds.low * FACTOR:.0f} to {bounds.high / FACTOR:.0f}"
