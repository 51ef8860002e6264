"""Rows drawn by weight, label by label: each label gets its share of the draws."""

import numpy as np
import numpy.typing as npt

from synalign_spark.core.sampling.resample import quotas, systematic_copies, to_ticks

Int64Array = npt.NDArray[np.int64]
Float64Array = npt.NDArray[np.float64]
Labels = npt.NDArray[np.str_]


def by_weight(weights: Float64Array, labels: Labels, draws: int, seed: int) -> Int64Array:
    """Systematic sampling: a row of weight w gets floor or ceil of draws * w copies.

    weights: (n,) >= 0; labels: (n,). Returns (draws,) places. The rows are shuffled first: in one fixed order only a handful of
    different samples exist (two of them where every row is wanted half a time), and seeds would repeat each other."""
    rng, parts = np.random.default_rng([seed, 0xD4A]), []
    for label, wanted in _quotas(weights, labels, draws).items():
        rows = rng.permutation(np.flatnonzero(labels == label))
        u = float(rng.random())
        if wanted:
            ticks = to_ticks(weights[rows] / weights[rows].sum())
            parts.append(np.repeat(rows, systematic_copies(ticks, 0, int(ticks.sum()), wanted, u)))
    return np.concatenate(parts)


def by_keys(log_weights: Float64Array, weights: Float64Array, labels: Labels, draws: int, seed: int) -> Int64Array:
    """Gumbel top-n: draws without replacement by weight, the sampling of DSIR (Xie et al. 2023, section 3).

    log_weights: (n,), of any scale within a label; weights: (n,), which give each label its share of the draws.
    Returns (draws,) places; where a label has fewer rows than it is to give, all of them come once (twice, ...) before the draw."""
    rng, parts = np.random.default_rng([seed, 0x6B1]), []
    for label, wanted in _quotas(weights, labels, draws).items():
        rows = np.flatnonzero(labels == label)
        keys = log_weights[rows] + rng.gumbel(size=len(rows))
        whole, rest = divmod(wanted, len(rows))
        parts += [np.tile(rows, whole), rows[np.argsort(-keys, kind="stable")[:rest]]]
    return np.concatenate(parts)


def _quotas(weights: Float64Array, labels: Labels, draws: int) -> dict[str, int]:
    """Draws of each label, in proportion to the weight of its rows."""
    return quotas({str(label): float(weights[labels == label].sum()) for label in np.unique(labels)}, draws)
