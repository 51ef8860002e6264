"""Whether rows are copies of real ones: by the cosine of their embeddings, and by the runs of words that they share."""

from dataclasses import dataclass

import numpy as np

from synalign_spark.core.copy_index import CopyIndex
from synalign_spark.evaluation.rows import Float64Array, IntArray, Rows

NEAR_COSINE = 0.95  # embeddings of all-MiniLM-L6-v2: paraphrases of one sentence lie around it
COPIED_SHARE = 0.6  # of a text's grams, as generate.copy_overlap
WORST = 20  # pairs that are shown
BLOCK = 1_024  # rows whose cosines to all real rows are there at a time


@dataclass(frozen=True)
class Copying:
    """Of each row: nearest: (n,) place of the real row nearest by cosine; cosine: (n,) to it; overlap: (n,) largest share of the row's grams
    that stand in one real text, None without texts."""

    nearest: IntArray
    cosine: Float64Array
    overlap: Float64Array | None

    def of(self, places: IntArray) -> dict[str, float]:
        """Shares of some of the rows that are near a real one, and that copy one."""
        found = {"near_share": float((self.cosine[places] >= NEAR_COSINE).mean()), "nearest_cosine": float(self.cosine[places].mean())}
        return found if self.overlap is None else {**found, "copied_share": float((self.overlap[places] >= COPIED_SHARE).mean())}

    def worst(self, rows: Rows, real: Rows) -> list[dict[str, object]]:
        """The WORST pairs, the nearest first: place and text of the row, those of the real row, cosine, overlap."""
        key = self.cosine if self.overlap is None else np.maximum(self.cosine, self.overlap)
        return [
            {
                "row": int(place),
                "text": None if rows.texts is None else rows.texts[place],
                "real_row": int(self.nearest[place]),
                "real_text": None if real.texts is None else real.texts[self.nearest[place]],
                "cosine": float(self.cosine[place]),
                "overlap": None if self.overlap is None else float(self.overlap[place]),
            }
            for place in np.argsort(-key, kind="stable")[:WORST]
        ]


def copying(rows: Rows, real: Rows) -> Copying:
    """How near each row is to a real one.

    >>> x = np.eye(2, dtype=np.float32)
    >>> found = copying(Rows(x, np.ones(2), ["a fine film", "a dull day"]), Rows(x[:1], np.ones(1), ["A fine film!"]))
    >>> found.cosine.tolist(), found.overlap.tolist()
    ([1.0, 0.0], [1.0, 0.0])
    """
    unit, unit_real = (side.x / np.maximum(np.linalg.norm(side.x, axis=1, keepdims=True), 1e-30) for side in (rows, real))
    nearest, cosine = np.empty(len(rows), dtype=np.int64), np.empty(len(rows))
    for start in range(0, len(rows), BLOCK):
        cosines = unit[start : start + BLOCK] @ unit_real.T
        nearest[start : start + BLOCK] = cosines.argmax(axis=1)
        cosine[start : start + BLOCK] = cosines.max(axis=1)
    overlap = None
    if rows.texts is not None and real.texts is not None:
        overlap = np.array(CopyIndex.of_texts(real.texts).overlaps(rows.texts))
    return Copying(nearest, cosine, overlap)
