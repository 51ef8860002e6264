"""Which texts copy which: texts by their grams, asked for the largest share of a text's grams that stand in one other text.

In one text and not in all of them together: common grams ("one of the best films of the") are in many. A short text is looked at twice, by
its grams and, among short texts, by its short grams; the larger share counts.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from synalign_spark.core.grams import UInt64Array, grams, short_grams

Float64Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class CopyIndex:
    """n texts by their grams, 12 bytes a gram and 8 a text. grams: (m,) sorted; rows: (m,) the set of grams that each is of; sizes: (2 n,)
    grams of each set: of text i the sets 2 i, its grams, and 2 i + 1, its short grams."""

    grams: UInt64Array
    rows: npt.NDArray[np.uint32]
    sizes: npt.NDArray[np.uint32]

    @property
    def in_memory(self) -> bool:
        """Asking costs no pass over anything."""
        return True

    @classmethod
    def of(cls, found: UInt64Array, sizes: npt.NDArray[np.integer]) -> "CopyIndex":
        """found, sizes: as of :func:`gram_lists`."""
        rows = np.repeat(np.arange(len(sizes), dtype=np.uint32), sizes)
        order = np.argsort(found, kind="stable")
        return cls(found[order], rows[order], sizes.astype(np.uint32))

    @classmethod
    def of_texts(cls, texts: Iterable[str]) -> "CopyIndex":
        """The index of a few texts.

        >>> index = CopyIndex.of_texts(["the quick brown fox jumps over the lazy dog today"])
        >>> index.overlaps(["The quick brown fox jumps over the lazy dog, again!", "a lazy dog"])
        [0.875, 0.0]
        """
        return cls.of(*gram_lists(texts))

    def overlaps(self, texts: Sequence[str]) -> list[float]:
        """Of each given text the largest share of its grams that stand in one indexed text."""
        return [max(self._overlap(grams(text)), self._overlap(short_grams(text))) for text in texts]

    def _overlap(self, wanted: UInt64Array) -> float:
        first, last = np.searchsorted(self.grams, wanted), np.searchsorted(self.grams, wanted, side="right")
        if not (last > first).any():
            return 0.0
        rows = np.concatenate([self.rows[a:b] for a, b in zip(first, last, strict=True)])
        return float(np.unique(rows, return_counts=True)[1].max() / len(wanted))

    def covered(self, texts: Sequence[str]) -> Float64Array:
        """The other way round: of each of the n indexed texts the largest share of its grams that stand in one given text. Returns (n,).

        >>> index = CopyIndex.of_texts(["The quick brown fox jumps over the lazy dog, again!", "a lazy dog"])
        >>> index.covered(["the quick brown fox jumps over the lazy dog today"]).round(2).tolist()
        [0.88, 0.0]
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
        larger: Float64Array = best.reshape(-1, 2).max(axis=1)
        return larger


def gram_lists(texts: Iterable[str]) -> tuple[UInt64Array, npt.NDArray[np.int64]]:
    """The grams and then the short grams of each of n texts, one text after the other, and (2 n,) how many each set has."""
    found = [some for text in texts for some in (grams(text), short_grams(text))]
    return np.concatenate(found or [np.empty(0, np.uint64)]), np.array([len(some) for some in found], dtype=np.int64)
