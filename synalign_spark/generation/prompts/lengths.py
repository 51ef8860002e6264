"""How long a row should be: as long as the real rows of its cluster, in words, or in characters where words are not spaced."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from synalign_spark.core.sampling.lengths import COLUMNS, LONGEST_WORD, text_lengths

CHARS_A_WORD = 6  # with the space behind it: reviews and news in English have 5.4 to 6.2


@dataclass(frozen=True)
class Length:
    """From ``low`` to ``high`` in ``unit``, 'words' or 'characters'; both ends belong to it."""

    low: int
    high: int
    unit: str = "words"

    def within(self, max_chars: int) -> "Length":
        """The part of it that rows of at most ``max_chars`` characters can have.

        >>> Length(20, 90).within(276)
        Length(low=20, high=46, unit='words')
        """
        most = max(1, max_chars // CHARS_A_WORD if self.unit == "words" else max_chars)
        return Length(min(self.low, most), min(self.high, most), self.unit)


def length_of(row: Mapping[str, Any], texts: Sequence[str]) -> Length:
    """The length of a demonstration set's cluster, by the columns of the demonstrations table, else that of its texts.

    row: one of the set's rows; the four columns may be missing or null.

    >>> length_of({}, ["a fine film", "one of the year's best"])
    Length(low=3, high=5, unit='words')
    >>> length_of({"words_p10": 8, "words_p90": 30, "chars_p10": 40, "chars_p90": 160}, [])
    Length(low=8, high=30, unit='words')
    >>> length_of({}, ["一部非常好看的电影,值得推荐给所有人"]).unit
    'characters'
    """
    known = [row.get(name) for name in COLUMNS]
    if any(value is None for value in known):
        known = list(text_lengths(texts).values())
    words_low, words_high, chars_low, chars_high = (max(1, int(value or 0)) for value in known)
    if chars_high > LONGEST_WORD * words_high:
        return Length(chars_low, chars_high, "characters")
    return Length(words_low, words_high)
