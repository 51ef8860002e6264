"""Why the distance of fitted weights looks smaller on the rows that they were fitted for, and by how much."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from synalign_spark.core.defaults import OPTIMISM_ROWS
from synalign_spark.core.features import mixture_kernel


def optimism(x: npt.NDArray[np.float32], weight: npt.NDArray[np.float64], bandwidths: Sequence[float], lam: float, ess: float) -> float:
    """Bias of the U-statistic of MMD^2, with its sign turned, for weights that the dual at lambda gave these rows.

    The U-statistic takes rows for a sample that knows nothing of its weights. But the weights undo the noise of the sample: row i, of
    weight w_i and with phi_i from the weighted mean, makes theta answer by -(C + lambda)^-1 w_i phi_i, and the mean of the other rows move by
    -C (C + lambda)^-1 w_i phi_i, against it. Twice the inner product with w_i phi_i, summed over rows, is the bias: what Efron (1986) calls
    optimism. C is the covariance of the other rows: with row i among them it would be answered by itself, where features are more than
    rows. With G = sqrt(w_i w_j) phi_i . phi_j the sum is 2 sum_i w_i (G_ii + lambda - 1 / [(G + lambda)^-1]_ii), by the inverse of a bordered
    matrix. It is 0 for base weights, and in simulations four fifths of what is there: some optimism stays.

    x: (n, d) rows in hash order, of which the first 500 are looked at; weight: (n,); lam: lambda, infinity for base weights; ess: effective
    sample size of all rows that were fitted.

    >>> x = np.random.default_rng(0).standard_normal((400, 2)).astype(np.float32)
    >>> free = optimism(x, np.ones(400), [2.0], 1e-6, 400.0)  # at lambda -> 0 it is near 2 tr C / ess
    >>> bool(0.0 < optimism(x, np.ones(400), [2.0], 0.1, 400.0) < free < 0.004), optimism(x, np.ones(400), [2.0], np.inf, 400.0)
    (True, 0.0)
    """
    kept = np.flatnonzero(weight)[:OPTIMISM_ROWS]
    if not np.isfinite(lam) or not len(kept):
        return 0.0
    w = weight[kept] / weight[kept].sum()
    kernel = mixture_kernel(x[kept], x[kept], bandwidths).astype(np.float64)
    to_mean = kernel @ w
    root = np.sqrt(w)
    gram = root[:, None] * (kernel - to_mean[:, None] - to_mean[None, :] + w @ to_mean) * root[None, :]
    own = np.diag(gram) + lam
    gram[np.diag_indices(len(w))] = own
    left = own - 1.0 / np.diag(np.linalg.inv(gram))  # 0 at least: own is not below the complement of the other rows
    return float(2.0 / ess * (w @ left) / (w @ w))
