"""What makes two texts the same or nearly so: their units, and hashes of runs of units.

A unit is a word or, in scripts that set no space between words, a character. Case, punctuation and white space tell no texts
apart; symbols do: "C++" is not "C#", and each emoji is a unit.
"""

import functools
import re
import unicodedata
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from xxhash import xxh64_intdigest

UInt64Array = npt.NDArray[np.uint64]

WORD_GRAM, CHARACTER_GRAM = 5, 6  # units a gram: six characters are some three words of Chinese or one and a half of Thai
# Han, kana, Thai, Lao, Tibetan, Burmese and Khmer: first and last code point
UNSPACED = ((0x0E00, 0x0FFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x3041, 0x30FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x3134F))  # fmt: skip
TELLING_PUNCTUATION = "#%&@"  # of category P, and yet part of what is named: "C#", "R&D"
MULTIPLIER = 0x9E3779B97F4A7C15  # odd: 2^64 over the golden ratio (Knuth, The Art of Computer Programming 3, 6.4)
# Of a short text one changed word takes five grams of a dozen, so that it is looked at by shorter ones too, among short texts.
SHORT_WORD_GRAM, SHORT_CHARACTER_GRAM = 3, 4
MOST_SHORT_GRAMS = 14  # of a text of at most 16 words: from 17 on three fifths of the grams outlive one changed word
FEWEST_GRAMS = 4  # of a text that is compared by its grams; a shorter one only as a whole
KEPT_CHARACTERS = 10_000
KEPT_HASHES = 1_000_000  # of distinct words: some 150 MB of a dictionary


class _Units(dict[int, str]):
    """For ``str.translate``: what becomes of a character, found when it is first met."""

    def __missing__(self, code: int) -> str:
        char, category = chr(code), unicodedata.category(chr(code))
        if (unspaced(char) and category[0] in "LMN") or category == "So":
            found = f" {char} "
        elif (category[0] in "LMNS" and char != "`") or char in TELLING_PUNCTUATION:
            found = char
        else:
            found = " "
        self[code] = found
        return found


_UNITS = _Units()
_PLAIN_WORDS = re.compile(r"\b\w\w+\b")  # as scikit-learn's vectorisers have it
_HASHES: dict[str, int] = {}


def unspaced(char: str) -> bool:
    """Whether a character is of a script that sets no space between words."""
    code = ord(char)
    return code >= UNSPACED[0][0] and any(first <= code <= last for first, last in UNSPACED)


def units(text: str) -> list[str]:
    """The units of a text, in order; none for a text of punctuation alone.

    >>> units("A Fine, fine FILM! C++"), units("\\u597d\\u7535\\u5f71 3D")
    (['a', 'fine', 'fine', 'film', 'c++'], ['\u597d', '\u7535', '\u5f71', '3d'])
    """
    return unicodedata.normalize("NFKC", text).casefold().translate(_UNITS).split()


def lexical_tokens(text: str) -> list[str]:
    """What classifiers of words and word pairs take for words: runs of two letters or digits at least, as scikit-learn does; but the units of a
    text in which letters bear marks, such as Hindi, or whose script sets no spaces: its characters, whose pairs stand for words.

    >>> lexical_tokens("a fine film"), lexical_tokens("\u597d\u7535\u5f71")
    (['fine', 'film'], ['好', '电', '影'])
    """
    if text.isascii() or not any(_needs_units(char) for char in set(text)):
        return _PLAIN_WORDS.findall(text)
    return units(text)


@functools.lru_cache(maxsize=KEPT_CHARACTERS)
def _needs_units(char: str) -> bool:
    return unspaced(char) or unicodedata.category(char)[0] == "M"


def by_characters(found: Sequence[str]) -> bool:
    """Whether most units of a text are single characters of a script without spaces."""
    return 2 * sum(len(unit) == 1 and unspaced(unit) for unit in found) > len(found)


def unit_hashes(found: Sequence[str]) -> UInt64Array:
    """The XXH64 of each unit, shape (n,)."""
    if len(_HASHES) > KEPT_HASHES:
        _HASHES.clear()
    hashes = _HASHES
    for unit in found:
        if unit not in hashes:
            hashes[unit] = xxh64_intdigest(unit.encode())
    return np.fromiter((hashes[unit] for unit in found), dtype=np.uint64, count=len(found))


def runs(hashes: UInt64Array, size: int) -> UInt64Array:
    """A hash of each run of ``size`` units. hashes: (n,); returns (n - size + 1,), empty for fewer units: a polynomial modulo 2^64."""
    n = max(len(hashes) - size + 1, 0)
    total = np.zeros(n, dtype=np.uint64)
    for shift in range(size):
        total = total * np.uint64(MULTIPLIER) + hashes[shift : shift + n]
    return total


def whole(hashes: UInt64Array) -> int:
    """The hash of a text as a whole: equal texts, but for case and punctuation, have the same. hashes: (n,) of its units."""
    total = len(hashes)
    for value in hashes.tolist():
        total = (total * MULTIPLIER + value) % 2**64
    return total


def grams(text: str) -> UInt64Array:
    """Hashes of the distinct grams of a text, sorted: runs of WORD_GRAM words, or of CHARACTER_GRAM characters where words are
    not separated by spaces. A text of fewer than FEWEST_GRAMS of them has one hash, of the whole: it is a phrase that
    anybody may write again, and a copy only of a text that is that phrase. Empty for a text without units.

    >>> len(grams("one two three four five six seven eight")), len(grams("one two")), len(grams("?!"))
    (4, 1, 0)
    """
    found = units(text)
    hashes, size = unit_hashes(found), CHARACTER_GRAM if by_characters(found) else WORD_GRAM
    if len(found) < size + FEWEST_GRAMS - 1:
        return np.array([whole(hashes)] if found else [], dtype=np.uint64)
    return np.unique(runs(hashes, size))


def short_grams(text: str) -> UInt64Array:
    """Hashes of the distinct short grams of a short text, sorted: runs of SHORT_WORD_GRAM words or SHORT_CHARACTER_GRAM characters. Empty for
    a text of fewer than FEWEST_GRAMS or more than MOST_SHORT_GRAMS of them.

    >>> len(short_grams("one two three four five six")), len(short_grams("one two three")), len(short_grams("word " * 17))
    (4, 0, 0)
    """
    found = units(text)
    size = SHORT_CHARACTER_GRAM if by_characters(found) else SHORT_WORD_GRAM
    if not FEWEST_GRAMS <= len(found) - size + 1 <= MOST_SHORT_GRAMS:
        return np.empty(0, dtype=np.uint64)
    return np.unique(runs(unit_hashes(found), size))
