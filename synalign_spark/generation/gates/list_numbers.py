"""The numbers that models put before the rows of a list, and the ordinals that are no such numbers: "2. Bundesliga", "1. FC K\u00f6ln"."""

import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from synalign_spark.generation.gates.language import code_of

LIST_NUMBER = re.compile(
    r"(?:\(?[0-9]{1,3}[.)](?=\s|[A-Z])|[0-9\uff10-\uff19]{1,3}[\u3001\uff0e\uff09]|[\u2460-\u2473]|\[[0-9]{1,3}\](?=\s)|[0-9]{1,3}:(?=\s)|\(?[a-zA-Z]\)(?=\s)|#[0-9]{1,3}[.):](?=\s))\s*(?=\S)"
)
BEFORE_A_WORD = re.compile(r"(?P<number>[0-9]{1,3})\. ?(?P<word>[^\W\d_][\w-]*)")
WITHIN = re.compile(r"(?<=\w )[0-9]{1,3}\. ([^\W\d_][\w-]*)")  # behind a word, where no list begins
WORD = re.compile(r"[^\W\d_][\w-]*")
# German names that are told by their number, in whatever language a row is; "Regionalliga" and its like end in "liga".
NUMBERED_NAMES = {
    "fc", "fck", "fcn", "fcm", "ffc", "fsv", "hfc", "weltkrieg", "jahrhundert", "spieltag", "runde", "platz", "etage", "auflage", "kapitel",
    "geburtstag", "advent", "januar", "februar", "m\u00e4rz", "mai", "juni", "juli", "oktober", "dezember",
}  # fmt: skip
# Languages that write an ordinal with a dot, where a capital letter after it may be any noun's or name's.
WITH_A_DOT = {"de", "da", "no", "nb", "nn", "fi", "is", "et", "lv", "cs", "sk", "pl", "hu", "hr", "sr", "bs", "sl", "tr", "lb", "fo"}
# Real rows with a number before a word, and their share of those with the word, that make it an ordinal's: "in 12. The" is one of thousands.
FEWEST_NAMED, NAMED_SHARE = 2, 0.05


def list_number(text: str, last: int = 999) -> re.Match[str] | None:
    """The place in a list that a text begins with, a letter or a number up to ``last``; None where there is none, as in "007. ...".

    >>> list_number("2. A fine film.").group(), list_number("(500) Days of Summer", 99), list_number("007. He is back")
    ('2. ', None, None)
    """
    found = LIST_NUMBER.match(text)
    digits = number_in(found)
    if found is None or (digits and (int(digits) > last or digits.startswith("00"))):
        return None
    return found


def number_in(found: re.Match[str] | None) -> str:
    """The digits of a list number; empty where it is a letter, or none."""
    return "".join(filter(str.isdecimal, found.group())) if found else ""


def consecutive(numbers: Sequence[str]) -> bool:
    """Whether they count on by one, as the places of a list do.

    >>> consecutive(["6", "7", "8"]), consecutive(["2", "1"]), consecutive(["2"])
    (True, False, False)
    """
    return len(numbers) > 1 and all(numbers) and all(int(after) == int(before) + 1 for before, after in pairwise(numbers))


class Ordinals:
    """Tells "2. Bundesliga: Hamburg wins" from "2. Hamburg wins", by the word behind the number.

    >>> ordinals = Ordinals(["He plays in the 3. Division now.", "The 2. Division is new."], "German")
    >>> [ordinals.named(text) for text in ("1. FC K\u00f6ln wins", "2. Division: a win", "2. The film", "1.5 films")]
    [True, True, False, False]
    >>> ordinals.likely("5. Sinfonie von Mahler"), ordinals.likely("1. Hamburg siegt"), ordinals.likely("6. The film")
    (True, False, False)
    """

    def __init__(self, rows: Sequence[str] = (), language: str = "") -> None:
        """rows: texts of real rows; language: that is asked for."""
        self._dotted = code_of(language) in WITH_A_DOT if language else False
        self._first = {found.group().casefold() for text in rows if (found := WORD.match(text))}
        named = Counter(word for text in rows for word in {word.casefold() for word in WITHIN.findall(text)})
        wanted = {word for word, n in named.items() if n >= FEWEST_NAMED}
        holding = Counter(word for text in rows for word in {word.casefold() for word in WORD.findall(text)} & wanted) if wanted else {}
        self._named = NUMBERED_NAMES | {word for word in wanted if named[word] >= NAMED_SHARE * holding[word]}

    def named(self, text: str) -> bool:
        """Whether a text begins with a number and a word that is told by it, as is known or as real rows have it."""
        found = BEFORE_A_WORD.match(text)
        return found is not None and ((word := found["word"].casefold()) in self._named or word.endswith("liga"))

    def likely(self, text: str) -> bool:
        """Whether it begins with an ordinal, as far as can be told of it alone: where ordinals have a dot, also a number other than 1 before
        a capital letter, if no real row begins with that word."""
        found = BEFORE_A_WORD.match(text)
        if found is None or self.named(text):
            return found is not None
        return self._dotted and int(found["number"]) > 1 and found["word"][0].isupper() and found["word"].casefold() not in self._first
