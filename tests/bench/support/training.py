"""What a downstream classifier is trained on: rows drawn by weight, all rows with weights, and real rows beside either."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from synalign_spark.core.strength.mixing_weight import usual_mixing_weight
from tests.bench.support.draws import by_keys, by_weight
from tests.bench.support.methods import Weighting

Int64Array = npt.NDArray[np.int64]
Float64Array = npt.NDArray[np.float64]
Labels = npt.NDArray[np.str_]

WAYS = ("drawn", "weighted", "with_real", "each_one")


@dataclass(frozen=True)
class TrainingSet:
    """rows: (m,) places in the stack, a place twice is a row twice; weight: (m,) sample weights."""

    rows: Int64Array
    weight: Float64Array


def sample_weights(real: float, synthetic: float, mixing_weight: float | None) -> tuple[float, float]:
    """(weight of a real row, weight of a synthetic row), of mean 1 over the rows that have any.

    real, synthetic: numbers of rows; mixing_weight: of all synthetic rows together, in real rows, or None, where every row counts as one.

    >>> sample_weights(300, 600, 300.0)
    (1.5, 0.75)"""
    if mixing_weight is None or not real or not synthetic:
        return 1.0, 1.0
    scale = (real + (synthetic if mixing_weight else 0.0)) / (real + mixing_weight)
    return scale, scale * mixing_weight / synthetic


def training_sets(weighting: Weighting, labels: Labels, real: Int64Array, offset: int, draws: int, seed: int) -> Mapping[str, TrainingSet]:
    """The four ways of training on weighted synthetic rows.

    labels: (n,) of the synthetic rows, which lie at ``offset`` and after it in the stack; real: places of the real rows.
    drawn: ``draws`` rows by weight; weighted: every row with its weight, mean 1; with_real: real rows and the drawn ones, which together count
    as the method says or, where it says nothing, by the product's ``usual_mixing_weight``; each_one: the same rows, each of weight one."""
    if weighting.without_replacement:
        places = by_keys(weighting.log_weight, weighting.weight, labels, draws, seed)
    else:
        places = by_weight(weighting.weight, labels, draws, seed)
    drawn, both = places + offset, np.concatenate([real, places + offset])
    used = np.flatnonzero(weighting.weight > 0)
    return {
        "drawn": TrainingSet(drawn, np.ones(len(drawn))),
        "weighted": TrainingSet(used + offset, weighting.weight[used] * len(used) / weighting.weight[used].sum()),
        "with_real": TrainingSet(both, _beside(weighting, labels[places], len(real))),
        "each_one": TrainingSet(both, np.ones(len(both))),
    }


def _beside(weighting: Weighting, labels: Labels, n_real: int) -> Float64Array:
    """(n_real + m,) sample weights of mean 1, of the real rows and of the drawn ones. labels: (m,) of these."""
    if weighting.beside is None:
        pair = sample_weights(n_real, len(labels), usual_mixing_weight(len(labels)))
        return np.repeat(pair, [n_real, len(labels)])
    weight = np.zeros(len(labels))
    for label, together in weighting.beside.synthetic.items():
        of_label = labels == label
        weight[of_label] = together / max(of_label.sum(), 1)
    joined: Float64Array = np.concatenate([weighting.beside.real, weight])
    return joined * ((n_real + np.count_nonzero(weight)) / joined.sum())
