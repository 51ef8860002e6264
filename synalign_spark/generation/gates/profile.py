"""What the gates know of the real rows: a sample of them, and which rows would be copies."""

from collections.abc import Iterable
from dataclasses import dataclass

from synalign_spark.core.copy_index import CopyIndex
from synalign_spark.generation.gates.check import Label
from synalign_spark.generation.gates.copies import RealRows

SAMPLE_ROWS = 20_000  # real rows in a sample, at most
CALIBRATION_ROWS = 5_000  # of them, for calibration: each check looks at each


@dataclass(frozen=True)
class RealProfile:
    """rows: (text, label) of a sample of the real rows, drawn by hash, none of them held out; copies: all real rows, those held out too."""

    rows: tuple[tuple[str, Label], ...]
    copies: RealRows

    @classmethod
    def of(cls, rows: Iterable[tuple[str, Label]]) -> "RealProfile":
        """Of a few real rows that are all there is: without a corpus, the demonstrations."""
        found = tuple(dict.fromkeys(rows))
        return cls(found, CopyIndex.of_texts([text for text, _ in found]))
