"""Weights of rows as numbers that sums can bear."""

import numpy as np


def power_of_two_scale(largest: float) -> float:
    """The power of two that brings the largest of some weights into (0.5, 1]; 1 where it is not positive and finite.

    Weights count relative to each other, and a power of two changes no digit of them. After it, sums of them, and of their squares, in
    whole steps of 2^-32 hold 2^31 rows in 64 bits, and what falls below a step is less than 10^-9 of the largest weight.

    >>> power_of_two_scale(1.0), power_of_two_scale(10_000.0) * 16_384, power_of_two_scale(1e-6) > 500_000
    (1.0, 1.0, True)"""
    if not 0.0 < largest < np.inf:
        return 1.0
    mantissa, exponent = np.frexp(largest)
    return float(np.exp2(-(exponent - (mantissa == 0.5))))
