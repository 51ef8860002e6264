"""What a text in 8 bits would be in other encodings of Latin letters: the readings whose words have the letters of one language."""

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping

WORDS_LOOKED_AT = 2_000  # different ones
FIT = 0.9  # of the words, that have the letters of a language
AGAINST = 0.5  # of the words that two encodings read otherwise: fewer that are Western ones are evidence against windows-1252
SHOWN = 3
ENOUGH, OFTEN = 10, 0.25  # of so many words fewer of the letters that tell encodings apart are those of no text: loan words and names
# Letters beside a to z that words of a language have, and what no word has: "\u00f5" in Portuguese stands before "e" alone. Words of English have any.
WESTERN = {
    "Catalan": ("àèéíïòóúüç·", ""), "Danish or Norwegian": ("æøåéèêôöä", ""), "Dutch": ("éèëïóöüáíúê", ""), "Estonian": ("äöõüšž", ""),
    "Faroese": ("áíóúýæøð", "^ð"), "Finnish or Swedish": ("äöåéüšž", ""), "French": ("àâæçéèêëîïôœùûüÿ", "ù.|à[^-]"), "German": ("äöüßéèàçñ", ""),
    "Icelandic": ("áéíóúýþæðö", "þ$|^ð"), "Italian": ("àèéìíîòóùú", "[àìòù].|è[^']"), "Spanish": ("áéíóúüñ", ""), "Galician": ("áéíóúïüñ", ""),
    "Portuguese": ("áàâãçéêíóôõúü", "õ[^e]|õ$|ã[^eiosn]"), "Welsh or Irish": ("áéíóúâêîôûïë", ""), "Albanian": ("ëç", ""),
}  # fmt: skip
# Encodings by Python's name and iconv's, with the languages that are written in them.
_CENTRAL = {
    "Czech": ("áčďéěíňóřšťúůýž", ""), "Slovak": ("áäčďéíĺľňóôŕšťúýž", ""), "Polish": ("ąćęłńóśźż", ""), "Hungarian": ("áéíóöőúüű", ""),
    "Romanian": ("ăâîşţșț", ""), "Croatian or Slovenian": ("čćđšž", ""),
}  # fmt: skip
_TURKISH = {"Turkish": ("çğıöşüâîû\u0307", "^ğ")}  # the dot that a small "\u0130" has
_BALTIC = {"Lithuanian": ("ąčęėįšųūž", ""), "Latvian": ("āčēģīķļņšūž", "")}
OTHERS: tuple[tuple[str, str, Mapping[str, tuple[str, str]]], ...] = (
    ("cp1250", "WINDOWS-1250", _CENTRAL), ("iso8859_2", "ISO-8859-2", _CENTRAL), ("cp1254", "WINDOWS-1254", _TURKISH),
    ("cp1257", "WINDOWS-1257", _BALTIC), ("iso8859_15", "ISO-8859-15", WESTERN), ("mac_roman", "MACINTOSH", WESTERN), ("cp850", "CP850", WESTERN),
)  # fmt: skip
_WORD = re.compile(rb"[A-Za-z\x80-\xff]*[\x80-\xff][A-Za-z\x80-\xff]*")
_BEFORE, _AFTER = "“‘«„‚¿¡€£§©–—•…°·", "”’“‘»…–—•™®°º²³ª€£·"  # signs that stand at a word


def readings(block: bytes) -> tuple[dict[str, str], bool]:
    """The other encodings of Latin letters that a text in windows-1252 may as well be in, each with its first words in it; and whether the words are
    evidence against windows-1252.

    >>> readings("na\\u00efve".encode("cp1252")), readings("d\\u016fm".encode("cp1250"))[1], readings("caf\\u00e9 und m\\u00fcde".encode("cp1252"))
    (({'WINDOWS-1250': 'naďve', 'WINDOWS-1257': 'naļve'}, False), True, ({}, False))
    """
    words = list(_words(block))
    found: dict[str, str] = {}
    against = False
    for codec, name, languages in OTHERS:
        pairs = [(word.decode("cp1252", "replace"), word.decode(codec, "replace")) for word in words]
        differ = [(western, other) for western, other in pairs if western != other and not _bare(western).isascii()]
        if not differ or (len(words) >= ENOUGH and len(differ) < OFTEN * len(words)):
            continue
        if _share([other for _, other in pairs], languages, of_one=True) < FIT:
            continue
        if (first := shown(other for _, other in differ)) not in found.values():
            found[name] = first
        against = against or _share([western for western, _ in differ], WESTERN, of_one=False) <= AGAINST
    return found, against


def _words(block: bytes) -> Iterator[bytes]:
    seen: set[bytes] = set()
    for found in _WORD.finditer(block):
        if found.group() not in seen and re.search(rb"[A-Za-z]", found.group()):  # what stands alone is a sign as often as a letter
            seen.add(found.group())
            yield found.group()
            if len(seen) == WORDS_LOOKED_AT:
                return


def shown(words: Iterable[str]) -> str:
    """The first words, each once."""
    return ", ".join(itertools.islice(dict.fromkeys(words), SHOWN))


def _bare(word: str) -> str:
    """A word without the signs that stand at it."""
    return word.lstrip(_BEFORE).rstrip(_AFTER)


def _share(words: list[str], languages: Mapping[str, tuple[str, str]], of_one: bool) -> float:
    """The share of words that have the letters of some language, or of that one which has most."""
    plain = list(map(_bare, words))
    fits = [[_fits(word, *one) for word in plain] for one in languages.values()]
    if of_one:
        return max(map(sum, fits)) / len(plain)
    return sum(map(any, zip(*fits, strict=True))) / len(plain)


def _fits(word: str, letters: str, never: str) -> bool:
    """Whether a word has letters of a language alone, and no capital of its own within small ones."""
    small = word.lower()
    capital = any(b.isupper() and not b.isascii() and a.islower() for a, b in itertools.pairwise(word))
    return not capital and all(char.isascii() or char in letters for char in small) and not (never and re.search(never, small))
