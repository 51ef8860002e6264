"""Scripts: words in one that no real row is written in. Small models fall into another language in the midst of a row, and a word wholly of
Cyrillic letters that look Latin ("\u0441\u043e\u0441\u043e") is no copy to a comparison of characters."""

import functools
import re
import unicodedata
from collections.abc import Sequence

from synalign_spark.core.text import LATIN_OF
from synalign_spark.generation.gates.check import Label
from synalign_spark.generation.gates.language import code_of

FEWEST_ROWS = 100  # real rows, that show which scripts there are none of
LATIN = "LATIN"  # names in it stand among words of any other
LETTERS = ("Lu", "Ll", "Lt", "Lo")
LOOKS_LATIN = frozenset(map(chr, LATIN_OF))  # letters that look like Latin ones in most fonts
SHORTEST = 2  # letters of another word: "\u03c0" and "\u0394" are signs
WORD = re.compile(r"[^\W\d_]+")
# Languages that are written in them beside Latin letters, by the first word of the letters' names.
LANGUAGES = {
    "CYRILLIC": {"ru", "uk", "be", "bg", "mk", "sr", "kk", "ky", "mn", "tg", "tt", "ba", "cv"}, "ARABIC": {"ar", "fa", "ur", "ps", "ckb", "ug", "sd"},
    "CJK": {"zh", "wuu", "yue", "ja", "ko"}, "BOPOMOFO": {"zh"}, "HIRAGANA": {"ja"}, "KATAKANA": {"ja"}, "HANGUL": {"ko"}, "THAI": {"th"}, "LAO": {"lo"},
    "DEVANAGARI": {"hi", "mr", "ne", "sa"}, "BENGALI": {"bn", "as"}, "HEBREW": {"he", "yi"}, "GREEK": {"el"}, "ARMENIAN": {"hy"}, "GEORGIAN": {"ka"},
    "TAMIL": {"ta"}, "TELUGU": {"te"}, "KANNADA": {"kn"}, "MALAYALAM": {"ml"}, "GUJARATI": {"gu"}, "GURMUKHI": {"pa"}, "ORIYA": {"or"},
    "SINHALA": {"si"}, "KHMER": {"km"}, "MYANMAR": {"my"}, "ETHIOPIC": {"am"}, "TIBETAN": {"dz"},
}  # fmt: skip


@functools.lru_cache(maxsize=10_000)
def script_of(char: str) -> str | None:
    """The script of a letter, as the first word of its Unicode name; None for signs, and letters that modify others.

    >>> script_of("e"), script_of("\u0435"), script_of("\u7535"), script_of("1")
    ('LATIN', 'CYRILLIC', 'CJK', None)
    """
    return unicodedata.name(char, "").split(" ")[0] or None if unicodedata.category(char) in LETTERS else None


class Scripts:
    """The scripts of the real rows, and of the language that is asked for.

    >>> Scripts(["a fine film"]).find("\u0441\u043e\u0441\u043e chanel", None)
    'a word in letters that look Latin and are Cyrillic, as no real row has them: "\u0441\u043e\u0441\u043e"'
    >>> Scripts(["a fine film"] * 100).find("a fine \u7535\u5f71", None)
    'a word in a script that no real row has (CJK): "\u7535\u5f71"'
    """

    def __init__(self, rows: Sequence[str] = (), language: str = "") -> None:
        """rows: texts of real rows."""
        code = code_of(language) if language else None
        self._known: set[str | None] = {None, LATIN, *(script for script, languages in LANGUAGES.items() if code in languages)}
        self._enough = len(rows) >= FEWEST_ROWS
        self._known |= {script_of(char) for text in rows if not text.isascii() for char in set(_compatible(text))}

    def find(self, text: str, _label: Label) -> str | None:
        """The first word in another script, in words: any of two letters and more where the real rows are many, and else one that looks Latin."""
        for word in () if text.isascii() else WORD.findall(_compatible(text)):
            if (other := script_of(word[0])) in self._known or LATIN in map(script_of, word):
                continue
            if LOOKS_LATIN.issuperset(word):
                return f'a word in letters that look Latin and are {str(other).capitalize()}, as no real row has them: "{word[:60]}"'
            if self._enough and len(word) >= SHORTEST:
                return f'a word in a script that no real row has ({other}): "{word[:60]}"'
        return None


def _compatible(text: str) -> str:
    return unicodedata.normalize("NFKC", text)
