"""Which test rows a downstream classifier had right: kept with a run, so that two methods can be compared row by row."""

import base64
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Hits = npt.NDArray[np.bool_]


def packed(hits: Hits) -> str:
    """A bit a row, as text. hits: (n,)."""
    return base64.b64encode(np.packbits(hits).tobytes()).decode()


def unpacked(text: str, n: int) -> Hits:
    """(n,) hits of ``packed`` text."""
    return np.unpackbits(np.frombuffer(base64.b64decode(text), dtype=np.uint8), count=n).astype(bool)


def paired_error(first: Sequence[Hits], second: Sequence[Hits]) -> float:
    """Standard error of the mean difference of two methods' accuracies over seeds and test rows, both taken as drawn by chance.

    first, second: of each seed, the hits on the same test rows. Variances of seed means and of row means add up, which counts
    what is left of chance in both (a little too large an error)."""
    comparison = np.stack(first).astype(np.float64) - np.stack(second)  # (seeds, rows)
    return float(
        np.sqrt(sum(means.var(ddof=1) / len(means) for means in (comparison.mean(axis=0), comparison.mean(axis=1)) if len(means) > 1))
    )
