"""How models announce a row or its label before it or behind it: "Review 2: ...", "Label: good - ...", "... (good)"."""

import re
from collections.abc import Iterable

from synalign_spark.generation.gates.check import Label

KINDS = "(?:review|text|example|sample|sentence|row|headline|comment|post|tweet)s?"  # what may follow an announced label; "World Cup: ..." is a text of label World
ALONE = (
    "(?:(?:(?:new|another|generated|synthetic|rewritten) )?(?:text|review|example|sentence|row)|output|answer|response|title|headline|rewritten|paraphrased?|assistant|user|human|rezension|bewertung|beispiel|satz|"
    "antwort|ausgabe|texte|avis|critique|exemple|phrase|réponse|sortie|texto|reseña|ejemplo|frase|respuesta|salida|"
    "文本|评论|例子|示例|句子|输出|回答|助手|标题|レビュー|例|文|出力|回答)"  # announces without a number too
)
NUMBERED = (
    "(?:text|review|example|sample|sentence|row|output|answer|response|title|headline|paragraph|version|variation|option|item|entry|post|"
    "tweet|comment|rezension|bewertung|beispiel|satz|avis|critique|exemple|phrase|reseña|ejemplo|frase|文本|评论|例子|示例|句子|レビュー|例|文)"
)
ANNOUNCEMENT = re.compile(
    rf"[*_#\[\s]*(?:(?:[a-z]+ )?{NUMBERED} ?(?:#|no\.? ?)?[0-9]{{1,4}}[\]*_]* ?(?:[:.)\]|\u2013\u2014-][*_]*(?=\s)|\uff1a)|{ALONE}[\]*_]* ?(?::[*_]*(?=\s)|\uff1a))\s*",
    re.IGNORECASE,
)
UNSPACED_FIELD = "(?:标签|類別|类别|情感|分类|ラベル|感情)"  # no space sets it apart from the row before it
FIELD = rf"(?:label|category|class|sentiment|kategorie|klasse|stimmung|catégorie|classe|categoría|clase|{UNSPACED_FIELD})"
ANNOUNCES, ENDS_A_SENTENCE = (
    r"[:|\uff1a]|[-\u2013\u2014=]>|\u2192|[-\u2013\u2014](?=\s)",
    r"!|\.(?!\w)|\u3002",
)  # after a label that stands before a row
OPENS, CLOSES = r"\[(<{\u3010\uff08\u300c\u300a", r"\])>}\u3011\uff09\u300d\u300b"  # brackets, for classes of characters
BETWEEN = re.compile(r"[\s_/-]+")  # in a label: models write "card lost" for "card_lost"
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
        short, long = ("|".join(map(_written, some)) or "(?!)" for some in _by_length(known))
        any_label = f"(?:{short}|{long})"
        which = rf"(?:\s+(?:\w+ )?{KINDS}(?: ?#?[0-9]{{1,4}})?)?"
        kind = rf"{which}[\])*_]*\s*"
        named = rf"(?:{FIELD} ?[:=\uff1a]? ?)?"
        before = (
            rf"(?:(?P<short>{short}){kind}(?:{ANNOUNCES})+|(?P<long>{long}){kind}(?:{ANNOUNCES}|{ENDS_A_SENTENCE})+"
            rf"|[{OPENS}] ?{named}(?P<bracketed>{any_label}){which} ?[{CLOSES}](?:{ANNOUNCES})*|(?:#|__label__)(?P<marked>{any_label})(?=\s)"
            rf"|{FIELD} ?[:=\uff1a] ?(?P<field>{any_label})(?=\s)|an? (?P<article>{any_label})\s+(?:\w+ )?{KINDS} ?:)"
        )
        self._before = re.compile(rf"[*_#\[(\s]*(?:{FIELD}\W+)?{before}[*_]*\s*", re.IGNORECASE)
        self._behind = re.compile(
            rf"(?<=\S)\s*(?:[{OPENS}] ?{named}(?P<inside>{any_label}){which} ?[{CLOSES}]|\| ?{named}(?P<bar>{any_label})"
            rf"|(?:(?<=\s)[-\u2013\u2014]\s|[-=]>|\u2192|#)\s*(?P<pointed>{any_label})|\*\*(?P<bold>{any_label})\*\*"
            rf"|(?:(?<!\w){FIELD} ?[:=\uff1a]?|{UNSPACED_FIELD} ?[:=\uff1a]) ?(?P<plain>{any_label}))[.\u3002\s]*$",
            re.IGNORECASE,
        )

    def without(self, text: str, label: Label) -> str:
        """The text without its own label before it and behind it."""
        for find in (self._before.match, self._behind.search):
            found = find(text)
            if found and label and _plain(_said(found)) == _plain(label):
                text = text[: found.start()] + text[found.end() :]
        return text

    def other(self, text: str, label: Label) -> str | None:
        """The label that a text announces, where it is not its own."""
        said = [_said(found) for find in (self._before.match, self._behind.search) if (found := find(text))]
        return next((other for other in said if label and _plain(other) != _plain(label)), None)


def _said(found: re.Match[str]) -> str:
    return next(value for value in found.groupdict().values() if value)


def _plain(label: str) -> str:
    return BETWEEN.sub(" ", label.strip()).casefold()


def _written(label: str) -> str:
    """A pattern of a label as people write it.

    >>> [bool(re.fullmatch(_written("card_lost"), text)) for text in ("card_lost", "card lost", "cardlost")]
    [True, True, False]
    """
    return r"[\s_/-]+".join(map(re.escape, BETWEEN.split(label))) if BETWEEN.sub("", label) else re.escape(label)


def _by_length(labels: list[str]) -> tuple[list[str], list[str]]:
    """(those that are sentences of their own, the others)."""
    return [label for label in labels if len(label) <= LONGEST_EXCLAMATION], [label for label in labels if len(label) > LONGEST_EXCLAMATION]
