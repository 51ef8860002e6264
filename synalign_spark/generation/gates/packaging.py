"""Packaging: what models put round a good row, such as list marks, announcements, quotes and end marks. It is taken off.

The real rows decide here too: what more than 1 % of them wear themselves is no packaging, and stays.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from synalign_spark.core.text import normalise
from synalign_spark.generation.gates.announcements import LabelMarks, without_announcement
from synalign_spark.generation.gates.check import Check, Label, calibrated
from synalign_spark.generation.gates.list_numbers import Ordinals, consecutive, list_number, number_in
from synalign_spark.generation.reading import REASONING_BEGINS, REASONING_ENDS

LIST = "list_number"
NAME = "packaging"  # before the name of a kind where it is said that real rows wear it
BULLET = re.compile(r"^(?:[-*+>\u2022\u2023\u25e6\u25aa\u25cf\u00b7\u2013\u2014]|#{1,6})\s+(?=[^\W\d]|[\"'\u201c\u2018*_<(\[])")
# Ends of turns and texts in the chat templates of Llama, Mistral, Gemma, Qwen, DeepSeek and their kin.
TURN_MARK = r"<\|[\w-]{1,40}\|>|<\uff5c[^\uff5c<>]{1,40}\uff5c>|</?s>|\[/?INST\]|<</?SYS>>|<(?:start|end)_of_turn>|<(?:eos|bos|pad)>"
# At the ends of a row, in runs: (at the start, behind it). A run is read once, wherever it stands; "+$" would be tried from each piece of it.
END_MARKS = re.compile(rf"(?P<start>^(?:(?:{TURN_MARK})\s*)+)|(?:\s*(?:{TURN_MARK}))+")
QUOTES = (('"', '"'), ("\u201c", "\u201d"), ("\u201e", "\u201c"), ("\u201e", "\u201d"), ("\u00ab", "\u00bb"), ("\u2018", "\u2019"), ("'", "'"), ("`", "`"))  # fmt: skip
EMPHASIS = (("**", "**"), ("__", "__"), ("*", "*"))
APOSTROPHE = re.compile(r"(?<=\w)['\u2019](?=\w)")
JSON_END = re.compile(r'"\s*[,\]}]+$')
MOST_BEFORE = 20  # rows that an answer's numbers may count beyond its own: demonstrations, and rows of answers before it
MOST_LAYERS = 50  # "1. 1. 1. ..." to the end of an answer took 14 s of 20,000 characters
LEAST_BEFORE_JSON_END = 20  # characters; what is shorter is debris of JSON, and refused as such
ELEMENT = re.compile(r"<([a-z][\w-]{0,20})(?:\s[^<>]*)?>\s*((?:(?!</?\1\b).)*?)\s*</\1>", re.IGNORECASE)
BREAKS = re.compile(r"(?P<start>^(?:<br ?/?>\s*)+)|(?:\s*<br ?/?>)+", re.IGNORECASE)
ESCAPES = re.compile(r"(?P<start>^(?:\\[nrt](?=\s|\\|[A-Z])\s*)+)|(?:\s*\\[nrt])+")
COUNT = re.compile(
    r"(?<=\S)\s+(?:[\[(] ?(?:about |approx\.? |~ ?)?\d{1,5} (?:words?|characters?|chars|tokens) ?[\])]"
    r"|[\[(]?(?:word|character) count ?[:=] ?\d{1,5} ?[\])]?)\.?$",
    re.IGNORECASE,
)
CLOSING = re.compile(
    r"(?<=\S)\s+(?:(?:(?:please |do )?(?:feel free to )?let me know if (?:you(?:'d| would| need| want| have| like)\b|there(?:'s| is) anything)[^.!?]{0,80}"
    r"|i hope (?:this|these|that) (?:helps?|meets? your [^.!?]{0,60})))[.!?]*$",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Wrapping:
    """One kind of packaging. without: the text without it, or as it was where it does not wear it."""

    name: str
    without: Callable[[str, Label], str]

    @property
    def check(self) -> Check:
        """For calibration: a real row fails that would be changed."""

        def find(text: str, label: Label) -> str | None:
            return self.name if self.without(text, label) != text else None

        return Check(NAME, self.name, find)


class Packaging:
    """Takes the packaging off the rows of an answer. switched_off: the kinds that real rows wear, with the share that does;
    skipped: those that real rows of one label wear, by kind and label;
    taken_off: rows by the kind that was taken off them, so far.

    >>> Packaging(["good"], []).off(["1. A fine film.", '2. "Good: two hours of fun"'], "good")
    ['A fine film.', 'two hours of fun']
    """

    def __init__(self, labels: Sequence[Label], real: Iterable[tuple[str, Label]], ordinals: Ordinals | None = None) -> None:
        """labels: of the run; real: (text, label) of real rows, which decide what is packaging; ordinals: that are no list numbers."""
        self._ordinals = ordinals or Ordinals()
        found = wrappings(labels, self._ordinals)
        kept = calibrated([wrapping.check for wrapping in found], ((normalise(text), label) for text, label in real))
        self.switched_off, self.skipped = kept.switched_off, kept.skipped
        self.taken_off: Counter[str] = Counter()
        names = {check.name for check in kept.active}
        self._labels = frozenset(labels)
        self._singly = [wrapping for wrapping in found if wrapping.name in names and wrapping.name != LIST]
        self._list = [wrapping for wrapping in found if wrapping.name in names and wrapping.name == LIST]

    def off(self, texts: Sequence[str], label: Label) -> list[str]:
        """The normalised texts of one answer for a label without their packaging; list numbers go where most of the texts have one that
        can be a place in the answer: in "(500) Days of Summer", "2. Bundesliga: ..." and among rows without, as "10. December was cold",
        it is more than that."""
        worn = {name for name, by_label in self.skipped.items() if label in by_label}
        singly, numbers = ([one for one in some if str(one.check) not in worn] for some in (self._singly, self._list))
        found = [self._peeled(text, label, singly) for text in texts]
        last = len(found) + MOST_BEFORE
        places = self._places(found, last)
        if 2 * sum(place is not None for place in places) <= len(found):
            return found
        placed = [
            replace(one, without=lambda text, _label: text[at.end() :] if (at := self._place(text, last)) else text) for one in numbers
        ]
        return [text if place is None else self._peeled(text, label, [*singly, *placed]) for text, place in zip(found, places, strict=True)]

    def _places(self, texts: Sequence[str], last: int) -> list[re.Match[str] | None]:
        """The place in a list of each of the texts of an answer. Ordinals are none: what looks like one where an answer has one text, and
        what is known as one where it has several, but for such as count on among others that are none."""
        places = [self._place(text, last) for text in texts]
        if len(texts) == 1:
            return [None if self._ordinals.likely(texts[0]) else places[0]]
        named = [self._ordinals.named(text) for text in texts]
        numbered = [place for place in places if place]
        if not all(one for one, place in zip(named, places, strict=True) if place) and consecutive(
            [number_in(place) for place in numbered]
        ):
            return places
        return [None if one else place for one, place in zip(named, places, strict=True)]

    def _place(self, text: str, last: int) -> re.Match[str] | None:
        """As ``list_number``, but for a number with a colon that is a label, which may be another row's, and for the first of several: what
        has "1." and "2." in it is a list in one row, and its numbers are left to say so."""
        found = list_number(text, last)
        number, colon, _ = found.group().partition(":") if found else ("", "", "")
        several = found and (digits := re.search("[0-9]+", number)) and re.search(rf"\s\(?{int(digits[0]) + 1}[.)]\s", text)
        return None if several or (colon and number in self._labels) else found

    def _peeled(self, text: str, label: Label, wrappings: Sequence[Wrapping]) -> str:
        """Layer after layer, until nothing is left to take off. What has more than MOST_LAYERS is no row in packaging, and stays."""
        left, taken_off = text, Counter[str]()
        for _ in range(MOST_LAYERS):
            before = left
            for wrapping in wrappings:
                without = wrapping.without(left, label)
                if without != left:
                    taken_off[wrapping.name] += 1
                    left = without
            if left == before:
                self.taken_off += taken_off
                return left
        return text


def wrappings(labels: Sequence[Label], ordinals: Ordinals | None = None) -> list[Wrapping]:
    """All kinds of packaging. labels: of the run; ordinals: that are no list numbers.

    >>> [wrapping.name for wrapping in wrappings([]) if wrapping.without("<p>A fine film.</p></s>", None) != "<p>A fine film.</p></s>"]
    ['end_mark']
    """
    marks, known = LabelMarks(labels), ordinals or Ordinals()
    return [
        Wrapping("reasoning", _without_reasoning),
        Wrapping("end_mark", _without_ends(END_MARKS)),
        Wrapping("escape", _without_ends(ESCAPES)),
        Wrapping("quotes", _without_quotes),
        Wrapping("emphasis", lambda text, _label: _without_pair(text, EMPHASIS)),
        Wrapping("element", _without_element),
        Wrapping("line_break", _without_ends(BREAKS)),
        Wrapping(LIST, lambda text, _label: text[at.end() :] if (at := list_number(text)) and not known.named(text) else text),
        Wrapping("bullet", _without(BULLET)),
        Wrapping("announcement", lambda text, _label: without_announcement(text)),
        Wrapping("label", marks.without),
        Wrapping("count", _without(COUNT)),
        Wrapping("closing", _without(CLOSING)),
    ]


def _without(pattern: re.Pattern[str]) -> Callable[[str, Label], str]:
    return lambda text, _label: pattern.sub("", text).strip()  # of a normalised text, whose ends are trimmed


def _without_ends(pattern: re.Pattern[str]) -> Callable[[str, Label], str]:
    """pattern: of runs; those in the midst of a text stay."""

    def kept(found: re.Match[str]) -> str:
        return "" if found["start"] or found.end() == len(found.string) else found.group()

    return lambda text, _label: pattern.sub(kept, text).strip()


def _without_reasoning(text: str, _label: Label) -> str:
    """What stands after the last reasoning of a text that begins with one."""
    if REASONING_ENDS.search(text) and (REASONING_BEGINS.match(text) or REASONING_ENDS.match(text)):
        return REASONING_ENDS.split(text)[-1].strip()
    return text


def _without_pair(text: str, pairs: Iterable[tuple[str, str]]) -> str:
    """The text without the marks that stand round all of it; marks of parts of it stay.

    >>> _without_pair("'It isn't bad'", QUOTES), _without_pair('"Good" or "bad"', QUOTES)
    ("It isn't bad", '"Good" or "bad"')
    """
    for opening, closing in pairs:
        inner = text[len(opening) : -len(closing)]
        if inner and text.startswith(opening) and text.endswith(closing):
            between = APOSTROPHE.sub("", inner)
            if opening not in between and closing not in between:
                return inner.strip()
    return text


def _without_quotes(text: str, _label: Label) -> str:
    """Quotes round the text, and what JSON leaves behind it: a quote that was never opened, a comma."""
    found = JSON_END.search(text)
    if found and found.start() > LEAST_BEFORE_JSON_END:
        if text.count('"') % 2:
            return text[: found.start()].rstrip()
        if text.startswith('"'):
            return text[: found.start() + 1]
    return _without_pair(text, QUOTES)


def _without_element(text: str, _label: Label) -> str:
    found = ELEMENT.fullmatch(text)
    return found[2] if found else text
