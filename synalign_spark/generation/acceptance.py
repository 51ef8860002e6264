"""Which of the rows that a language model wrote are accepted, and why the others are not.

Pure and deterministic: rows are looked at one after the other in the order of their requests, never in
the order in which answers arrived, so a duplicate is always the later row of the plan.
"""

import hashlib
import re
import unicodedata
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from synalign_spark.core.text import normalise

NGRAM = 5
KINDS = "(?:review|text|example|sample|sentence|row)s?"  # what may follow an announced label; "World Cup: ..." is a text of label World
Gram = tuple[str, ...]


@dataclass(frozen=True)
class Verdict:
    """``reason`` is None for an accepted row, else a reason code of the REFUSALS contract."""

    text: str
    reason: str | None = None
    detail: str | None = None

    @property
    def doc_id(self) -> str:
        """sha256 of the normalised text, in hex."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def fold(text: str) -> str:
    """What makes two rows the same: letters and digits of the case-folded words; everything else separates.

    >>> fold("A Fine, fine FILM!")
    'a fine fine film'
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join("".join(char if char.isalnum() or unicodedata.category(char).startswith("M") else " " for char in folded).split())


def without_label(text: str, label: str | None) -> str:
    """The text without the label before it ("Positive: a fine film"): small models like to announce it, and a classifier
    would learn the announcement. Only where a colon, dash, stop or exclamation mark ends the announcement.

    >>> without_label("Positive review: a fine film", "positive")
    'a fine film'
    """
    if not label:
        return text
    announced = re.match(rf"\W*(?:label\W+)?{re.escape(label)}(?:\s+{KINDS})?\s*(?:[:.!|]|[-\u2013\u2014](?=\s))+\s*", text, re.IGNORECASE)
    return text[announced.end() :] if announced else text


def ngrams(folded: str) -> set[Gram]:
    """The word 5-grams of a folded text; empty for fewer than five words."""
    words = folded.split()
    return {tuple(words[i : i + NGRAM]) for i in range(len(words) - NGRAM + 1)}


@dataclass(frozen=True)
class CopyIndex:
    """The demonstrations that a row must not copy, prepared for the check: folded texts and their word 5-grams."""

    folded: frozenset[str]
    grams: frozenset[Gram]

    @classmethod
    def of(cls, demonstrations: Iterable[str]) -> "CopyIndex":
        folded = frozenset(fold(text) for text in demonstrations)
        return cls(folded, frozenset(gram for text in folded for gram in ngrams(text)))


NO_COPIES = CopyIndex(frozenset(), frozenset())


def overlap(folded: str, grams: Collection[Gram]) -> float:
    """Share of the row's distinct word 5-grams that stand in a demonstration; 0 for fewer than five words.

    A shorter row is a phrase that anybody may write again; it counts as copied only where it equals a
    whole demonstration.

    >>> overlap("a b c d e f", ngrams("x a b c d e"))
    0.5
    """
    found = ngrams(folded)
    return sum(gram in grams for gram in found) / len(found) if found else 0.0


@dataclass
class Acceptor:
    """Says of rows, one by one, whether they are accepted, and remembers the accepted ones.

    min_chars, max_chars: limits after normalisation; copy_overlap: share of 5-grams from which a row is a copy.

    >>> Acceptor(10, 100, 0.6).check("Too short").reason
    'too_short'
    """

    min_chars: int
    max_chars: int
    copy_overlap: float
    _seen: set[bytes] = field(default_factory=set)

    def check(self, raw: str, copies: CopyIndex = NO_COPIES, label: str | None = None) -> Verdict:
        """The verdict on one row of a label. Does not remember it: see ``accept``."""
        text = without_label(normalise(raw), label)
        folded = fold(text)
        if not any(char.isalpha() for char in folded):
            return Verdict(text, "empty", "no letters" if text else "no text")
        if len(text) < self.min_chars:
            return Verdict(text, "too_short", f"{len(text)} characters, at least {self.min_chars} are asked for")
        if len(text) > self.max_chars:
            return Verdict(text, "too_long", f"{len(text)} characters, at most {self.max_chars} are allowed")
        if folded in copies.folded:
            return Verdict(text, "copied", "equals a demonstration")
        share = overlap(folded, copies.grams)
        if share > 0 and share >= self.copy_overlap:
            return Verdict(text, "copied", f"{share:.0%} of its word {NGRAM}-grams stand in a demonstration")
        if _key(folded) in self._seen:
            return Verdict(text, "duplicate", "equals an accepted row but for case and punctuation")
        return Verdict(text)

    def accept(self, verdict: Verdict) -> None:
        """Remembers an accepted row, so that its repetitions are duplicates."""
        self._seen.add(_key(fold(verdict.text)))


def _key(folded: str) -> bytes:
    """16 bytes a row: a million rows take some 100 MB less than their texts would."""
    return hashlib.blake2b(folded.encode(), digest_size=16).digest()
