"""What synthetic rows are worth: how far they lie from held-out real rows, and what a model that learns from them alone knows of those.

Nothing here was shown to the language model: held-out rows are no demonstrations, and ``align`` does not see them.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

import synalign_spark as sa
from synalign_spark.core.evaluation.mmd import mmd2
from synalign_spark.core.features import median_distance
from tests.bench.support.classifiers import CLASSIFIERS, Stack
from tests.bench.support.corpora import Corpus, embedded
from tests.bench.support.training import TrainingSet

Float64Array = npt.NDArray[np.float64]
BANDWIDTH_ROWS = 2_000


def mmd2_heldout(x: npt.NDArray[np.float32], real: npt.NDArray[np.float32], heldout: npt.NDArray[np.float32]) -> float:
    """U-statistic of the MMD^2 between rows and held-out real rows; around 0 for real rows, below it by chance too.

    x: (n, d) unit vectors; real: those from which the RBF bandwidth is taken, their median distance. NaN for fewer than 5 rows."""
    found = mmd2(x, heldout, [median_distance(real[:BANDWIDTH_ROWS])])
    return found.mmd2 if found else float("nan")


def aligned(real: Corpus, synthetic: Corpus, seed: int) -> Float64Array:
    """(n,) the weights that the product gives the rows, with mean 1."""
    sides = [
        pd.DataFrame({"id": rows.ids, "text": rows.texts, "label": rows.labels, "embedding": list(rows.x)}) for rows in (real, synthetic)
    ]
    weight = sa.align(*sides, id="id", label="label", embedding="embedding", seed=seed).weights["weight"].to_numpy(dtype=np.float64)
    return weight / weight.mean()


def corpus_of(ids: Sequence[str], texts: list[str], labels: Sequence[str]) -> Corpus:
    """The rows with their vectors."""
    return Corpus(np.array(ids), texts, np.array(labels), embedded(ids, texts))


def scores(real: Corpus, synthetic: Corpus, heldout: Corpus, seed: int) -> dict[str, Any]:
    """MMD^2 and the accuracies, in percent, of classifiers trained on the rows as they are and with their weights; top: the rows of highest weight."""
    weight = aligned(real, synthetic, seed)
    n = len(synthetic)
    stacked = Stack(
        np.concatenate([synthetic.x, heldout.x]), [*synthetic.texts, *heldout.texts], np.concatenate([synthetic.labels, heldout.labels])
    )
    test = np.arange(n, n + len(heldout))
    ways = {"as_is": TrainingSet(np.arange(n), np.ones(n)), "weighted": TrainingSet(np.arange(n), weight)}
    accuracy = {
        name: {way: round(100 * float(np.mean(student(stacked, rows, test) == heldout.labels)), 1) for way, rows in ways.items()}
        for name, student in CLASSIFIERS.items()
    }
    heaviest = np.argsort(-weight, kind="stable")[:10]
    return {
        "mmd2_heldout": round(mmd2_heldout(synthetic.x, real.x, heldout.x), 4),
        "accuracy": accuracy,
        "ess_share": round(float(weight.sum() ** 2 / np.square(weight).sum() / n), 3),
        "top": [[round(float(weight[i]), 1), str(synthetic.labels[i]), synthetic.texts[i]] for i in heaviest],
    }
