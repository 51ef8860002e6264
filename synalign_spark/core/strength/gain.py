"""What the synthetic rows add to the real ones, for a model as a user trains it: beside how many real rows, and with what sample weights."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class TrainingRows:
    """What a user's model is trained on. real: all real rows, held-out ones too; synthetic: rows beside them, by whose number sample weights
    of mean 1 grow, and with them how little a model is regularised."""

    real: int
    synthetic: int


@dataclass(frozen=True)
class Gain:
    """Of accuracy over real rows alone, as a share. measured, measured_error: beside ``measured_rows`` real rows, and its standard error over
    the rows that judged; alone: the accuracy of real rows alone that it is over; value, error: brought to ``rows`` real rows, see ``kept_share``."""

    measured: float
    measured_error: float
    measured_rows: int
    alone: float
    value: float
    error: float
    rows: int


def gain_beside(rows: int, measured: float, error: float, measured_rows: int, mixing_weight: float, alone: float) -> Gain:
    """The gain beside ``rows`` real rows, where so much was measured beside ``measured_rows``. alone: accuracy of models without the rows.

    >>> found = gain_beside(300, 0.06, 0.02, 192, 1_000.0, 0.7)
    >>> round(found.value, 3), round(found.error, 3)
    (0.046, 0.015)"""
    share = kept_share(measured_rows, rows, mixing_weight)
    return Gain(measured, error, measured_rows, alone, share * measured, share * error, rows)


def kept_share(fewer: float, more: float, mixing_weight: float) -> float:
    """What is left of a gain beside ``fewer`` real rows when there are ``more``, at least as many.

    Rows worth m real ones take the squared error of an estimate from s^2 / n to s^2 / (n + m), by s^2 m / (n (n + m)). Accuracy went with
    the root of it: 4.4 points with 300 real rows, and 2.0, 0.9 and 0.5 with 1,000, 2,500 and 5,000 (docs/benchmarks.md).

    >>> [round(4.4 * kept_share(300, n, 1_000.0), 1) for n in (1_000, 2_500, 5_000)]
    [1.9, 0.9, 0.5]"""
    return math.sqrt(fewer * (fewer + mixing_weight) / (more * (more + mixing_weight)))
