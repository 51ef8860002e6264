"""Which texts share a forward pass, and how wide it is: counted here, so that a test can tell what is wasted.

A text of few tokens in a pass of long ones is padded to their length, and the model computes every slot. Texts are
therefore taken in the order of their lengths. A matrix product rounds differently for another number of rows or
columns, so a text has other last bits in other company. Where they must not differ, every pass has one of a few
fixed shapes: always all its rows (the rest are dummies), and a width that follows from the text's own length.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Batch:
    """One forward pass. ``texts``: positions of the texts; ``rows`` and ``width``: its shape, dummies and padding with it."""

    texts: IntArray
    rows: int
    width: int


def batches(lengths: IntArray, batch_size: int, fixed: bool, most_slots: int | None = None) -> Iterator[Batch]:
    """Forward passes for texts of so many tokens, each text once.

    lengths: (n,) tokens a text; batch_size: most rows a pass; fixed: shapes that depend on no other text; most_slots: rows times
    width of a pass at most, where one row is no more than that.

    >>> [(b.texts.tolist(), b.rows, b.width) for b in batches(np.array([9, 3, 4]), 2, fixed=False)]
    [([1, 2], 2, 4), ([0], 1, 9)]
    >>> [(b.texts.tolist(), b.rows, b.width) for b in batches(np.array([9, 3, 4]), 2, fixed=True)]
    [([1, 2], 2, 8), ([0], 2, 16)]
    >>> [(b.texts.tolist(), b.rows, b.width) for b in batches(np.array([9, 3, 4]), 3, fixed=False, most_slots=10)]
    [([1, 2], 2, 4), ([0], 1, 9)]
    """
    widths = fixed_widths(lengths) if fixed else np.maximum(lengths, 1)  # (n,)
    order = np.argsort(widths, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(widths[order])) + 1) if fixed else [order]
    for group in groups:
        start = 0
        while start < len(group):
            texts, most = group[start : start + batch_size], batch_size
            if most_slots is not None:
                fit = np.arange(1, len(texts) + 1) * widths[texts] <= most_slots  # True, then False: widths never fall
                most = min(batch_size, max(1, most_slots // int(widths[texts[0]])))  # of a fixed shape
                texts = texts[: max(1, int(fit.sum()))]
            yield Batch(texts, most if fixed else len(texts), int(widths[texts[-1]]))
            start += len(texts)


def fixed_widths(lengths: IntArray) -> IntArray:
    """Widths of fixed shapes: lengths rounded up to steps that grow with them, so that there are few shapes and at most a quarter (of short texts 7 tokens) is wasted.

    >>> fixed_widths(np.array([0, 5, 64, 65, 130])).tolist()
    [8, 8, 64, 80, 160]
    """
    step = np.where(lengths <= 64, 8, np.where(lengths <= 128, 16, 32))
    rounded: IntArray = np.maximum(-(-lengths // step), 1) * step
    return rounded


def slots(lengths: IntArray, batch_size: int, fixed: bool) -> int:
    """Token slots that the model computes for texts of so many tokens: the anchor is ``sum(lengths)``."""
    return sum(batch.rows * batch.width for batch in batches(lengths, batch_size, fixed))
