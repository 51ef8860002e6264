"""The normal form of a text: the same sentence gets the same characters, and so the same id.

Its rules stand here once: as a function on Python strings, and as the patterns of a regular expression for engines that
take whole columns (RE2, as in Arrow: see ``synalign_spark.udfs.text``).
"""

import re
import unicodedata
from collections.abc import Iterable
from typing import Final

# Marks that show nothing and would make two equal texts differ: zero-width space, word joiner, byte order mark, soft hyphen.
INVISIBLE = "[\u200b\u2060\ufeff\u00ad]"
FORM: Final = "NFC"
# All control characters become spaces: a NUL or a bell inside a word is noise, tabs and line ends are white space.
SPACE_CATEGORIES = ("Zs", "Zl", "Zp", "Cc")
SPACES_RE2 = "[" + "".join(rf"\p{{{category}}}" for category in SPACE_CATEGORIES) + "]+"
SPACE = " "


def normalise(text: str) -> str:
    """Unicode NFC, control characters and runs of white space as one space, invisible marks removed, ends trimmed.

    Applying it twice changes nothing. Lone surrogates, which JSON can carry and UTF-8 cannot, become U+FFFD.

    >>> normalise("  caf\\u0065\\u0301\\tau\\u200b lait ")
    'café au lait'
    """
    whole = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    composed = unicodedata.normalize(FORM, re.sub(INVISIBLE, "", whole))
    spaced = "".join(SPACE if unicodedata.category(char) in SPACE_CATEGORIES else char for char in composed)
    return SPACE.join(filter(None, spaced.split(SPACE)))


def plain_name(name: str) -> str:
    """A name as it is told from others: language models give keys back in other capitals, and with blanks, hyphens or underscores.

    >>> plain_name(" Sentiment_Intensity"), plain_name("sentiment  intensity"), plain_name("sentiment-intensity")
    ('sentiment intensity', 'sentiment intensity', 'sentiment intensity')
    """
    return SPACE.join(name.casefold().replace("_", SPACE).replace("-", SPACE).split())


def near_name(name: str) -> str:
    """A name without capitals, blanks and the punctuation that people set or leave, a whole number as one: what stays equal is nearly one name.
    Signs stay: "A-" is not "A", nor "-1" "1".

    >>> near_name("Sci-Fi"), near_name(" sci_fi."), near_name("'A-'"), near_name("-1"), near_name("C++"), near_name("1.0"), near_name("1.5")
    ('sci fi', 'sci fi', 'a-', '-1', 'c++', '1', '1.5')
    """
    plain = unicodedata.normalize("NFKC", name).casefold()
    plain = re.sub(r"^(-?\d+)\.0+$", r"\1", plain.strip())
    spaced = re.sub(r"(?<=\w)[\s_/-]+(?=\w)|\s+", SPACE, plain.replace("_", SPACE))
    return spaced.strip(" \t.,:;!?\"'`\u2018\u2019\u201c\u201d") or plain


def near_names(names: Iterable[str]) -> list[list[str]]:
    """The groups of names that are nearly one, each in the order given.

    >>> near_names(["Good", "bad", "good."]), near_names(["A", "A-"])
    ([['Good', 'good.']], [])
    """
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(near_name(name), []).append(name)
    return [group for group in groups.values() if len(group) > 1]
