"""The normal form of a text: the same sentence gets the same characters, and so the same id.

Its rules stand here once: as a function on Python strings, and as the patterns of a regular expression for engines that
take whole columns (RE2, as in Arrow: see ``synalign_spark.udfs.text``).
"""

import itertools
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
# Cyrillic, Greek and Armenian letters, and rare Latin ones, that look like those of ASCII in most fonts.
LATIN_OF: Final = str.maketrans(
    "\u0430\u0441\u0435\u043e\u0440\u0445\u0443\u0455\u0456\u0458\u04bb\u0501\u051b\u051d\u0410\u0412\u0421\u0415\u041d\u0406\u0408\u041a\u041c\u041e\u0420\u0405\u0422\u0425\u0423\u04ae\u04c0"
    "\u0391\u0392\u0395\u0396\u0397\u0399\u039a\u039c\u039d\u039f\u03a1\u03a4\u03a5\u03a7\u03bf\u03f2\u03f3\u0578\u0585\u057d\u0570\u0251\u0261\u0131",
    "aceopxysijhdqwABCEHIJKMOPSTXYYIABEZHIKMNOPTYXocjnouhagi",
)
_HIDDEN = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0]")  # marks of other kinds that show nothing


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
    """The groups of names that are nearly one, or look alike in other letters, each in the order given.

    >>> near_names(["Good", "bad", "good."]), near_names(["A", "A-"]), near_names(["pos", "\u0440\u043es", "pos\u200e"])
    ([['Good', 'good.']], [], [['pos', 'роs', 'pos\u200e']])
    """
    groups: dict[str, list[str]] = {}
    for name in names:
        for key in {near_name(name), near_name(looks_latin(name))}:
            groups.setdefault(key, []).append(name)
    found: list[list[str]] = []
    for group in groups.values():  # a name by both of its keys joins the others of each
        near = [other for other in found if not set(group).isdisjoint(other)]
        found = [other for other in found if other not in near] + [list(dict.fromkeys(itertools.chain(*near, group)))]
    return [group for group in found if len(group) > 1]


def looks_latin(name: str) -> str:
    """A name with the letters that its own look like in most fonts, and without what shows nothing.

    >>> looks_latin("\u0440\u043es\u200e")
    'pos'
    """
    shown = "".join(char for char in name if unicodedata.category(char) != "Cf" and not _HIDDEN.match(char))
    return shown.translate(LATIN_OF)


def shown_name(name: str) -> str:
    """A name in quotes; where it looks like another, with the codes of its letters.

    >>> print(shown_name("pos"), shown_name("\u0440\u043es"))
    'pos' 'роs' ('\u0440\u043es')
    """
    return repr(name) if name.isascii() or looks_latin(name) == name else f"{name!r} ({name!a})"
