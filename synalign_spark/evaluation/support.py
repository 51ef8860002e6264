"""Precision, recall, density and coverage: whether the rows lie where real rows lie, and everywhere they do.

Precision and recall by nearest neighbours are those of Kynkaanniemi et al. 2019 (arXiv 1904.06991), density and coverage those of Naeem
et al. 2020 (arXiv 2002.09797), who mend what one outlier does to the first two.
"""

import numpy as np
import numpy.typing as npt

from synalign_spark.evaluation.rows import Float32Array, Float64Array

NEIGHBOURS = 5  # k of both papers


def distances(x: Float32Array, y: Float32Array) -> Float64Array:
    """(n, m) Euclidean distances of (n, d) and (m, d) rows.

    >>> distances(np.array([[0, 0]], np.float32), np.array([[3, 4]], np.float32)).tolist()
    [[5.0]]
    """
    from scipy.spatial.distance import cdist

    found: Float64Array = cdist(x.astype(np.float64), y.astype(np.float64))
    return found


def radii(x: Float32Array) -> Float64Array:
    """(n,) distance of each row to its k-th nearest other row; 0 for equal rows. x: at least k + 1 rows."""
    apart = distances(x, x)
    return np.asarray(np.partition(apart, NEIGHBOURS, axis=1)[:, NEIGHBOURS])  # the row itself is the nearest


def support(rows: Float32Array, real: Float32Array) -> dict[str, float]:
    """Precision, recall, density and coverage of (n, d) rows against (m, d) real ones, each with more than k rows.

    precision: share of the rows within a real row's k-th neighbour; density: real balls around a row over k, on average; recall: share of real
    rows within a row's k-th neighbour; coverage: share of real rows with a row within their k-th neighbour.

    >>> rng = np.random.default_rng(0)
    >>> real, same, narrow = (rng.normal(0, s, (200, 2)).astype(np.float32) for s in (1, 1, 0.1))
    >>> {name: round(value, 1) for name, value in support(narrow, real).items()}
    {'precision': 1.0, 'recall': 0.1, 'density': 0.9, 'coverage': 0.1}
    >>> min(support(same, real).values()) > 0.85
    True
    """
    to_real = distances(rows, real)  # (n, m)
    within: npt.NDArray[np.bool_] = to_real <= radii(real)[None, :]
    reached = to_real <= radii(rows)[:, None]
    return {
        "precision": float(within.any(axis=1).mean()),
        "recall": float(reached.any(axis=0).mean()),
        "density": float(within.sum() / (NEIGHBOURS * len(rows))),
        "coverage": float(within.any(axis=0).mean()),
    }
