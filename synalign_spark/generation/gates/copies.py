"""Copies of real rows: a row most of whose grams stand in one real row, whether or not it was among those that were shown."""

from collections.abc import Sequence
from typing import Protocol

GATE = "copied"


class RealRows(Protocol):
    """The real rows that no row may copy: :class:`synalign_spark.core.copy_index.CopyIndex`, or what looks through the corpus."""

    @property
    def in_memory(self) -> bool:
        """Whether asking costs nothing; otherwise each call of ``overlaps`` is a pass over the corpus."""
        ...

    def overlaps(self, texts: Sequence[str]) -> list[float]:
        """Of each text the largest share of its grams (:func:`synalign_spark.core.grams.grams`) that stand in one real row."""
        ...
