"""Why the distance of fitted weights looks smaller on the rows that they were fitted for, and by how much."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from synalign_spark.core.defaults import OPTIMISM_ROWS
from synalign_spark.core.features import mixture_kernel


def optimism(x: npt.NDArray[np.float32], weight: npt.NDArray[np.float64], bandwidths: Sequence[float], lam: float, ess: float) -> float:
    """Bias of the U-statistic of MMD^2, with its sign turned, for weights that the dual at lambda gave these rows.

    The U-statistic takes rows for a sample that knows nothing of its weights. But the weights also undo the noise of the sample: with e the
    noise in the weighted mean embedding, of covariance C / ess, and C the covariance of the weighted rows, theta answers it by
    -(C + lambda)^-1 e and moves the mean that further rows would have by -C (C + lambda)^-1 e, against e. The expected inner product of
    the two, twice, is the bias: 2 / ess tr C (C + lambda)^-1 C, what Efron (1986) calls optimism. It is 0 for base weights.

    x: (n, d) rows in hash order, of which the first 500 are looked at; weight: (n,); lam: lambda, infinity for base weights; ess: effective
    sample size of all rows that were fitted.

    >>> x = np.random.default_rng(0).standard_normal((100, 3)).astype(np.float32)
    >>> free = optimism(x, np.ones(100), [2.0], 1e-9, 100.0)  # at lambda -> 0 it is 2 tr C / ess
    >>> bool(0.0 < optimism(x, np.ones(100), [2.0], 0.1, 100.0) < free < 0.02), optimism(x, np.ones(100), [2.0], np.inf, 100.0)
    (True, 0.0)
    """
    w = weight[:OPTIMISM_ROWS]
    if not np.isfinite(lam) or w.sum() <= 0:
        return 0.0
    w = w / w.sum()
    kernel = mixture_kernel(x[:OPTIMISM_ROWS], x[:OPTIMISM_ROWS], bandwidths).astype(np.float64)
    to_mean = kernel @ w
    root = np.sqrt(w)
    spectrum = np.linalg.eigvalsh(root[:, None] * (kernel - to_mean[:, None] - to_mean[None, :] + w @ to_mean) * root[None, :])
    spectrum = spectrum[spectrum > 0]  # of C
    return float(2.0 / ess * np.sum(spectrum**2 / (spectrum + lam)))
