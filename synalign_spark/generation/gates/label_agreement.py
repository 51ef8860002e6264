"""Label agreement: rows that do not sound like their label, by a classifier of the real rows."""

from collections.abc import Sequence

import numpy as np

from synalign_spark.generation.gates.check import Find, Label

GATE = "label_agreement"
FEWEST_ROWS = 100  # of all labels together; of fewer a classifier knows too little to overrule a label


def finder(rows: Sequence[tuple[str, Label]], threshold: float) -> Find | None:
    """What finds the rows that the gate refuses; None where the real rows are too few or have fewer than two labels.

    rows: (text, label) of real rows; threshold: of p(label | text), below which a row is refused. A row without a label passes."""
    labelled = [(text, label) for text, label in rows if label is not None]
    if len(labelled) < FEWEST_ROWS or len({label for _, label in labelled}) < 2:
        return None
    from synalign_spark.core.strength.text_labels import fit_text_labels  # scikit-learn: a second to import, for those who ask for it

    probability = fit_text_labels(*zip(*labelled, strict=True))

    def find(text: str, label: Label) -> str | None:
        chance = 1.0 if label is None else float(probability([text], np.array([label], dtype=object))[0])
        return f"p({label} | text) is {chance:.2f} by a classifier of the real rows, below {threshold}" if chance < threshold else None

    return find
