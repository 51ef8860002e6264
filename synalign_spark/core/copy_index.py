"""Which texts copy which: texts by their grams, asked for the largest share of a text's grams that stand in one other text.

In one text and not in all of them together: common grams ("one of the best films of the") are in many.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from synalign_spark.core.grams import UInt64Array, grams

Float64Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class CopyIndex:
    """n texts by their grams, 12 bytes a gram and 4 a text. grams: (m,) sorted; rows: (m,) the text of each; sizes: (n,) grams of each text."""

    grams: UInt64Array
    rows: npt.NDArray[np.uint32]
    sizes: npt.NDArray[np.uint32]

    @property
    def in_memory(self) -> bool:
        """Asking costs no pass over anything."""
        return True

    @classmethod
    def of(cls, found: UInt64Array, sizes: npt.NDArray[np.integer]) -> "CopyIndex":
        """found: the grams of all texts, one text after the other; sizes: (n,) how many each has."""
        rows = np.repeat(np.arange(len(sizes), dtype=np.uint32), sizes)
        order = np.argsort(found, kind="stable")
        return cls(found[order], rows[order], sizes.astype(np.uint32))

    @classmethod
    def of_texts(cls, texts: Iterable[str]) -> "CopyIndex":
        """The index of a few texts.

        >>> index = CopyIndex.of_texts(["the quick brown fox jumps over the lazy dog today"])
        >>> index.overlaps(["The quick brown fox jumps over the lazy dog, again!", "a lazy dog"])
        [0.8333333333333334, 0.0]
        """
        return cls.of(*gram_lists(texts))

    def overlaps(self, texts: Sequence[str]) -> list[float]:
        """Of each given text the largest share of its grams that stand in one indexed text."""
        return [self._overlap(grams(text)) for text in texts]

    def _overlap(self, wanted: UInt64Array) -> float:
        first, last = np.searchsorted(self.grams, wanted), np.searchsorted(self.grams, wanted, side="right")
        if not (last > first).any():
            return 0.0
        rows = np.concatenate([self.rows[a:b] for a, b in zip(first, last, strict=True)])
        return float(np.unique(rows, return_counts=True)[1].max() / len(wanted))

    def covered(self, texts: Sequence[str]) -> Float64Array:
        """The other way round: of each indexed text the largest share of its grams that stand in one given text. Returns (n,).

        >>> index = CopyIndex.of_texts(["The quick brown fox jumps over the lazy dog, again!", "a lazy dog"])
        >>> index.covered(["the quick brown fox jumps over the lazy dog today"]).round(2).tolist()
        [0.83, 0.0]
        """
        found, sizes = gram_lists(texts)
        given = np.repeat(np.arange(len(sizes), dtype=np.uint64), sizes)
        first, last = np.searchsorted(self.grams, found), np.searchsorted(self.grams, found, side="right")
        hits = np.flatnonzero(last > first)
        best = np.zeros(len(self.sizes))
        if len(hits):
            pairs = np.concatenate([given[i] * np.uint64(len(best)) + self.rows[first[i] : last[i]] for i in hits])
            pair, counts = np.unique(pairs, return_counts=True)
            rows = (pair % np.uint64(len(best))).astype(np.int64)
            np.maximum.at(best, rows, counts / self.sizes[rows])
        return best


def gram_lists(texts: Iterable[str]) -> tuple[UInt64Array, npt.NDArray[np.int64]]:
    """The grams of texts, one text after the other, and (n,) how many each has."""
    found = [grams(text) for text in texts]
    return np.concatenate(found or [np.empty(0, np.uint64)]), np.array([len(some) for some in found], dtype=np.int64)
