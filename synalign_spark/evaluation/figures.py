"""The figures of an evaluation: what each is, and which way is better."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

KINDS = ("uniform", "weighted", "real")  # rows: each counted once, by their weights; and real rows in their place, for comparison


@dataclass(frozen=True)
class Value:
    """A figure and its 95% interval; NaN where none is known."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, value: float, resampled: npt.NDArray[np.float64], least: float = -np.inf, most: float = np.inf) -> "Value":
        """With the normal interval of the standard deviation over resamples; no figure of its kind is below ``least``, or above ``most``.

        >>> Value.of(0.5, np.array([0.4, 0.6]))
        Value(value=0.5, low=0.2228, high=0.7772)
        """
        error = 1.96 * float(np.std(resampled, ddof=1)) if len(resampled) > 1 else float("nan")
        return cls(value, round(max(value - error, least), 4), round(min(value + error, most), 4))


@dataclass(frozen=True)
class Meaning:
    """What a figure says. better: 'higher', 'lower', or 'real' for the nearer to that of real rows."""

    group: str
    unit: str
    better: str
    words: str


MEANINGS: Mapping[str, Meaning] = {
    "mmd2": Meaning("fidelity", "mmd2", "lower", "squared distance of the two distributions by an RBF kernel; 0 where they agree"),
    "energy_distance": Meaning("fidelity", "1", "lower", "energy distance of the embeddings; 0 where they agree"),
    "precision": Meaning("fidelity", "share", "higher", "rows that lie among the real ones"),
    "recall": Meaning("fidelity", "share", "higher", "real rows that lie among these"),
    "density": Meaning("fidelity", "1", "real", "real neighbourhoods around a row, over 5"),
    "coverage": Meaning("fidelity", "share", "higher", "real rows with one of these in their neighbourhood"),
    "length_distance": Meaning("fidelity", "words", "lower", "mean shift from the lengths of real texts"),
    "label_distance": Meaning("fidelity", "share", "lower", "rows that would need another label to have the real shares"),
    "distinct_1": Meaning("diversity", "share", "real", "distinct words over all"),
    "distinct_2": Meaning("diversity", "share", "real", "distinct pairs of words over all"),
    "self_bleu": Meaning("diversity", "share", "real", "BLEU of a text against the others: high where they repeat each other"),
    "vendi": Meaning("diversity", "rows", "real", "unlike rows in effect (Vendi score)"),
    "near_share": Meaning("copying", "share", "real", "rows with a real one at a cosine of 0.95 or more"),
    "nearest_cosine": Meaning("copying", "cosine", "real", "mean cosine to the nearest real row"),
    "copied_share": Meaning("copying", "share", "real", "rows of which 60 % of the runs of words stand in one real text"),
    "accuracy": Meaning("utility", "share", "higher", "of a model trained on these rows alone, on held-out real rows"),
    "macro_f1": Meaning("utility", "share", "higher", "mean F1 over labels of a model trained on these rows alone"),
    "accuracy_beside_real": Meaning("utility", "share", "higher", "of a model trained on them beside the real rows"),
    "macro_f1_beside_real": Meaning("utility", "share", "higher", "mean F1 over labels, beside the real rows"),
    "gain_beside_real": Meaning("utility", "share", "higher", "in accuracy over the real rows alone"),
}
