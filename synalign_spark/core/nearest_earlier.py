"""Of vectors in an order: the nearest one before each, where it is near enough to be a copy."""

import numpy as np
import numpy.typing as npt

ROWS_AT_ONCE = 512  # whose cosines with all rows before them are held: 40 MB beside 20,000 rows
DIGITS = 6  # float32 sums tell no more apart, and equal vectors are to tie


def nearest_earlier(
    x: npt.NDArray[np.float32], least: float, wanted: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """The rows with an earlier one at a cosine of ``least`` or more, and the nearest of these, ties to the earliest.

    x: (n, d) rows of unit norm; wanted: (n,) the rows to ask for. Returns (m,) rows, (m,) rows before them, (m,) cosines to DIGITS digits.

    >>> x = np.array([[1, 0], [0, 1], [0.6, 0.8], [1, 0]], dtype=np.float32)
    >>> [part.tolist() for part in nearest_earlier(x, 0.7, np.ones(4, dtype=bool))]
    [[2, 3], [1, 0], [0.8, 1.0]]
    """
    asked = np.flatnonzero(wanted)
    rows, before, cosines = [np.empty(0, np.int64)], [np.empty(0, np.int64)], [np.empty(0)]
    for first in range(0, len(asked), ROWS_AT_ONCE):
        some = asked[first : first + ROWS_AT_ONCE]
        cosine = np.round(np.minimum(x[some] @ x[: some[-1]].T, 1.0), DIGITS)  # (b, rows before the last)
        cosine[np.arange(cosine.shape[1])[None, :] >= some[:, None]] = -np.inf
        if not cosine.shape[1]:
            continue
        nearest = cosine.argmax(axis=1)  # (b,)
        found = cosine[np.arange(len(some)), nearest].astype(np.float64).round(DIGITS)
        near = found >= least
        rows.append(some[near])
        before.append(nearest[near])
        cosines.append(found[near])
    return np.concatenate(rows), np.concatenate(before), np.concatenate(cosines)
