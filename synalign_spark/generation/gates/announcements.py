"""How models announce a row or its label before it or behind it: "Review 2: ...", "Label: good - ...", "... (good)"."""

import re
from collections.abc import Iterable

from synalign_spark.generation.gates.check import Label

KINDS = "(?:review|text|example|sample|sentence|row)s?"  # what may follow an announced label; "World Cup: ..." is a text of label World
ALONE = (
    "(?:text|review|example|sentence|row|output|answer|response|title|headline|assistant|ai|user|human)"  # announces without a number too
)
NUMBERED = "(?:text|review|example|sample|sentence|row|output|answer|response|title|headline|paragraph|version|variation|option|item|entry|post|tweet|comment)"
ANNOUNCEMENT = re.compile(
    rf"[*_#\[\s]*(?:(?:[a-z]+ )?{NUMBERED} ?(?:#|no\.? ?)?[0-9]{{1,4}}[\]*_]* ?[:.)\]|\u2013\u2014-][*_]*(?=\s)|{ALONE}[\]*_]* ?:[*_]*(?=\s))\s*",
    re.IGNORECASE,
)
FIELD = r"(?:label|category|class|sentiment)"
ANNOUNCES, ENDS_A_SENTENCE = r"[:|]|[-\u2013\u2014](?=\s)", r"!|\.(?!\w)"  # after a label that stands before a row
LONGEST_EXCLAMATION = 3  # letters of a label that is a sentence of its own as well: "No! I did not like it."


def without_announcement(text: str) -> str:
    """The text without its kind and number before it.

    >>> without_announcement("**Review #2:** A fine film."), without_announcement("Review of the year: a fine film")
    ('A fine film.', 'Review of the year: a fine film')
    """
    found = ANNOUNCEMENT.match(text)
    return text[found.end() :] if found else text


class LabelMarks:
    """Labels before a text and behind it. Small models like to announce them, and a classifier would learn the announcement.

    Before a text only where a colon, dash, stop or exclamation mark ends the announcement; behind it only in brackets, after a bar,
    or as "Label: ...".

    >>> marks = LabelMarks(["good", "bad"])
    >>> marks.without("Good review 2: A fine film. [Label: good]", "good"), marks.other("A fine film. (bad)", "good")
    ('A fine film.', 'bad')
    """

    def __init__(self, labels: Iterable[Label]) -> None:
        known = sorted({label for label in labels if label}, key=lambda label: (-len(label), label))
        short, long = ("|".join(map(re.escape, some)) or "(?!)" for some in _by_length(known))
        kind = rf"(?:\s+{KINDS}(?: ?#?[0-9]{{1,4}})?)?[\])*_]*\s*"
        before = rf"(?:(?P<short>{short}){kind}(?:{ANNOUNCES})+|(?P<long>{long}){kind}(?:{ANNOUNCES}|{ENDS_A_SENTENCE})+)"
        self._before = re.compile(rf"[*_#\[(\s]*(?:{FIELD}\W+)?{before}[*_]*\s*", re.IGNORECASE)
        any_label = f"(?:{short}|{long})"
        named = rf"(?:{FIELD} ?[:=]? ?)?"
        self._behind = re.compile(
            rf"(?<=\S)\s*(?:\[ ?{named}(?P<square>{any_label}) ?\]|\( ?{named}(?P<round>{any_label}) ?\)|\| ?{named}(?P<bar>{any_label})"
            rf"|(?<!\w){FIELD} ?[:=] ?(?P<plain>{any_label}))[.\s]*$",
            re.IGNORECASE,
        )

    def without(self, text: str, label: Label) -> str:
        """The text without its own label before it and behind it."""
        for find in (self._before.match, self._behind.search):
            found = find(text)
            if found and label and _said(found).casefold() == label.casefold():
                text = text[: found.start()] + text[found.end() :]
        return text

    def other(self, text: str, label: Label) -> str | None:
        """The label that a text announces, where it is not its own."""
        said = [_said(found) for find in (self._before.match, self._behind.search) if (found := find(text))]
        return next((other for other in said if label and other.casefold() != label.casefold()), None)


def _said(found: re.Match[str]) -> str:
    return next(value for value in found.groupdict().values() if value)


def _by_length(labels: list[str]) -> tuple[list[str], list[str]]:
    """(those that are sentences of their own, the others)."""
    return [label for label in labels if len(label) <= LONGEST_EXCLAMATION], [label for label in labels if len(label) > LONGEST_EXCLAMATION]
