"""How long texts are: percentiles of their words and characters."""

import math
from collections.abc import Sequence

LOW, HIGH = 0.1, 0.9  # a fifth of the texts, the shortest and the longest, is left out of the length that is asked for
# Characters a word, on average, above which a text sets no spaces between words: 10 of 65,000 rows of AG News, IMDb and
# Amazon reviews are above it, single long words and addresses; ten sentences in Chinese, Japanese and Thai have 18 to 45.
LONGEST_WORD = 12
COLUMNS = ("words_p10", "words_p90", "chars_p10", "chars_p90")  # of the demonstrations table


def text_lengths(texts: Sequence[str]) -> dict[str, int]:
    """The columns of the demonstrations table that say how long the texts of a cluster are. Words are parted by white space.

    >>> text_lengths(["a fine film", "one of the year's best"])
    {'words_p10': 3, 'words_p90': 5, 'chars_p10': 12, 'chars_p90': 21}
    """
    words, chars = sorted(len(text.split()) for text in texts), sorted(map(len, texts))
    values = (percentile(counts, share) for counts in (words, chars) for share in (LOW, HIGH))
    return dict(zip(COLUMNS, values, strict=True))


def percentile(ordered: Sequence[int], share: float) -> int:
    """Percentile of rising whole numbers, between neighbours by proportion and rounded half up; 0 of none.

    >>> percentile([10, 20, 30], 0.9), percentile([], 0.9)
    (28, 0)
    """
    if not ordered:
        return 0
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return math.floor(ordered[below] + (place - below) * (ordered[above] - ordered[below]) + 0.5)
