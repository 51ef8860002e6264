"""Biases that are known, planted in real rows, and how far weights undo them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata, spearmanr
from sklearn.decomposition import PCA

from synalign_spark.core.features import median_distance, mixture_kernel
from tests.bench.support.corpora import Corpus
from tests.bench.support.planted import class_mix, kept

Float64Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

LEAST = 0.15  # the smallest probability of keeping a row; the largest is 1
SCALES = (1.0, 0.5)  # of the median distance: the bandwidths that the product matches by default
BANDWIDTH_ROWS, MEASURED_ROWS = 1_000, 4_000


@dataclass(frozen=True)
class Planted:
    """Three parts of a table. true: (n,) weights of the synthetic rows that undo the bias, summing to 1; rare: masks of the rows of each part
    that the bias takes away."""

    real: Corpus
    synthetic: Corpus
    unseen: Corpus
    true: Float64Array
    rare: Mapping[str, Mask]


def topic(rows: Corpus, seed: int) -> Float64Array:
    """(n,) probabilities of being kept: LEAST beyond the median of the label along the first principal component of all embeddings.

    One direction for all labels: biases that point apart would cancel in the distance of all rows together."""
    along = PCA(1, random_state=seed).fit_transform(rows.x)[:, 0]
    median = {label: np.median(along[rows.labels == label]) for label in np.unique(rows.labels)}
    return np.where(along > np.array([median[label] for label in rows.labels]), LEAST, 1.0)


def length(rows: Corpus, seed: int) -> Float64Array:
    """From 1 for the shortest row to LEAST for the longest, by the rank."""
    ranks = rankdata([len(text) for text in rows.texts]) / len(rows)
    probability: Float64Array = LEAST**ranks
    return probability


def label(rows: Corpus, seed: int) -> Float64Array:
    """From 1 for the first label to LEAST for the last."""
    return class_mix(rows.labels, LEAST)


BIASES: Mapping[str, Callable[[Corpus, int], Float64Array]] = {"topic": topic, "length": length, "label": label}


def plant(rows: Corpus, bias: str, seed: int) -> Planted:
    """Rows in three parts of equal size by the seed, of which the second is thinned. Rare are the rows that are kept less often than sqrt(LEAST)."""
    probability = BIASES[bias](rows, seed)
    rare = probability < np.sqrt(LEAST)
    parts = np.array_split(np.random.default_rng([seed, 0xB1A]).permutation(len(rows)), 3)
    parts[1] = parts[1][kept(probability[parts[1]], seed)]
    true = 1.0 / probability[parts[1]]
    real, synthetic, unseen = (rows.take(part) for part in parts)
    return Planted(
        real,
        synthetic,
        unseen,
        true / true.sum(),
        {name: rare[part] for name, part in zip(("real", "synthetic", "unseen"), parts, strict=True)},
    )


def measure(planted: Planted, weight: Float64Array) -> dict[str, Any]:
    """How near weights, (n,) summing to 1, come to the true ones. spearman: None where all weights are alike; mmd2_ratio: of the plain estimates, in which
    few effective rows count as distance; closed: share of the unbiased distance between the rows as given and with true weights."""
    rare, even = planted.rare, np.full(len(weight), 1.0 / len(weight))
    unseen = planted.unseen.take(slice(MEASURED_ROWS)).x
    median = median_distance(unseen[:BANDWIDTH_ROWS])
    kernels = tuple(
        mixture_kernel(a, b, [scale * median for scale in SCALES])
        for a, b in ((planted.synthetic.x,) * 2, (planted.synthetic.x, unseen), (unseen, unseen))
    )
    mmd2 = {name: weighted_mmd2(w, *kernels) for name, w in (("given", even), ("weighted", weight), ("true", planted.true))}
    unbiased = {
        name: weighted_mmd2(w, *kernels, unbiased=True) for name, w in (("given", even), ("weighted", weight), ("true", planted.true))
    }
    return {
        "spearman": round(float(spearmanr(weight, planted.true).statistic), 3) if np.ptp(weight) else None,
        "rare_share": {
            "real": round(float(rare["real"].mean()), 3),
            "given": round(float(rare["synthetic"].mean()), 3),
            "weighted": round(float(weight[rare["synthetic"]].sum()), 3),
        },
        "ess_share": {name: round(float(1.0 / np.sum(w**2) / len(w)), 3) for name, w in (("weighted", weight), ("true", planted.true))},
        "mmd2": {name: round(value, 5) for name, value in mmd2.items()},
        "mmd2_unbiased": {name: round(value, 5) for name, value in unbiased.items()},
        "mmd2_ratio": round(mmd2["weighted"] / mmd2["true"], 3),
        "closed": round((unbiased["given"] - unbiased["weighted"]) / (unbiased["given"] - unbiased["true"]), 3),
    }


def weighted_mmd2(weight: Float64Array, within: Any, across: Any, other: Any, unbiased: bool = False) -> float:
    """MMD^2 of weighted rows to rows of equal weight (Gretton et al. 2012, equations 3 and 5).

    weight: (n,) summing to 1; within: (n, n), across: (n, m), other: (m, m) kernels; unbiased: leaves the pairs of a row with itself out, so that it
    is about 0, and below it by chance, where both follow one distribution."""
    m, squares = len(other), float(np.sum(weight**2))
    own, theirs = float(weight @ within @ weight), float(other.sum(dtype=np.float64))
    cross = float(weight @ across.mean(axis=1, dtype=np.float64))
    if unbiased:
        own = (own - float(weight**2 @ np.diag(within))) / (1.0 - squares)
        return own + (theirs - float(np.trace(other))) / (m * (m - 1)) - 2.0 * cross
    return own + theirs / m**2 - 2.0 * cross
