"""Form: what is no text at all (identifiers, file names, list markers, code, a label alone), one phrase over and over, and what is
left of the packaging that could not be taken off: a lone list number, marks of a chat template, markup."""

import re
from collections.abc import Sequence

from synalign_spark.core.grams import units, unspaced
from synalign_spark.generation.gates.announcements import KINDS, LabelMarks
from synalign_spark.generation.gates.check import Check, Find, Label
from synalign_spark.generation.gates.list_numbers import Ordinals, list_number
from synalign_spark.generation.gates.packaging import TURN_MARK
from synalign_spark.generation.gates.scripts import Scripts
from synalign_spark.generation.reading import REASONING_BEGINS, REASONING_ENDS

GATE = "form"
# No two neighbours of a pattern that may take the same character, nor a start at each character of a run: hostile rows cost seconds then.
FILE = re.compile(
    r"(?<![\w.-])[\w.-]*\w\.(?:txt|csv|tsv|json|jsonl|xml|ya?ml|md|html?|py|js|java|cpp|sh|sql|log|ini|cfg|pdf|docx?|xlsx?|png|jpe?g|gif|zip|gz)\b",
    re.IGNORECASE,
)
MARKER = re.compile(r"\W*(?:(?:\d{1,3}[.):\]]\W*)*(?:[a-z]|[ivx]{1,4})|\d{1,3})[.):\]]\W*", re.IGNORECASE)
JOINED = re.compile(r"\w_\w|\w\w[/\\=:.]\w|\w[/\\=:.]\w\w|[a-z][A-Z]\w*[a-z][A-Z]|\w\(\)")
DEBRIS = re.compile(
    r"""```|\s*[\[{](?:["'](?!\s)|\s*[\]}[{])|[\]}"',\s]*$|.{0,20}["']\s*[\]}]+\s*,?\s*$|.{0,40}\b(?:rows|text|label|texts|review)["']\s*:"""
    r"|\s*def \w+\(|\s*(?:class|import|from|function|const|var|return|public|#include|SELECT)\b[^.]*(?:[{};=*]|\(\)\s*[;:]?)\s*$"
)
CHAT_MARK = re.compile(f"{TURN_MARK}|{REASONING_BEGINS.pattern}|{REASONING_ENDS.pattern}", re.IGNORECASE)
MARKUP = re.compile(
    r"</?(?:p|br|b|i|u|em|strong|div|span|a|ul|ol|li|h[1-6]|table|tr|td|font|img|text|rows?|review|sentence|example|output|answer)(?:\s[^<>]*)?/?>",
    re.IGNORECASE,
)
ENTITY = re.compile(r"&(?:amp|lt|gt|quot|apos|nbsp|#\d{2,5}|#x[0-9a-f]{2,5});", re.IGNORECASE)
ESCAPE = re.compile(r"\\u[0-9a-fA-F]{4}|\\x[0-9a-fA-F]{2}")
STRANGE = re.compile("[\ufffd\u202a-\u202e\u2066-\u2069]")  # what stood there is lost, or it is shown in another order than it is written
# Letters of Cyrillic, and of Greek those that look Latin, beside a Latin letter: such a row is no copy to a comparison of characters.
FOREIGN = "\u0400-\u052f\u0391\u0392\u0395-\u0397\u0399\u039a\u039c\u039d\u039f\u03a1\u03a4\u03a5\u03a7\u03bf"
LOOK_ALIKE = re.compile(rf"\b\w*?(?:[A-Za-z][{FOREIGN}]|[{FOREIGN}][A-Za-z])\w*")
SPACED = re.compile(r"(?<!\S)(?:[A-Za-z]\s){10,}[A-Za-z](?!\S)")  # "r e s p e c t" is emphasis
LAST_NUMBER = 99  # what is more, "(500) Days of Summer", is hardly a place in an answer
# A list in one row; in a longer text people number what they say.
SECOND_AND_THIRD = re.compile(
    r"^.{1,120}?\s\(?2[.)]\s\S.{0,120}?\s\(?3[.)]\s\S|[.!?]\s(?:review|text|example|sentence|row) ?#?[2-9]\d? ?:|^(?:\"[^\"]+\",\s?)+\"[^\"]+\",?$",
    re.IGNORECASE,
)
FEWEST_PIECES = 3  # "3D" and "9 1/2" are titles
UNFINISHED = re.compile(
    r"[^\W\d_][\w\u0900-\u0dff]{1,3}[)\]\"'\u00bb\u201d]?(?:\s*[,\u3001\uff0c\u060c](?:\s*[.!?])?|\s*[;\uff1b\u061b]|[:\uff1a])\s*$"
)  # neither "(:" nor "D:"
OPEN_END = re.compile(r"(?:^|[\s,])(?:and|nor|than|the|an|(?:of|in|to|for|with|from) (?:the|a|an))(?:\s*[.\u2026])+\s*$", re.IGNORECASE)
QUOTATION = re.compile(
    r'^\s*(?:"[^"]*|\u201c[^\u201c\u201d"]*|\u201e[^\u201c\u201d"]*)$'
)  # where a mark is missing further on, people forgot it: 1 % of real rows have an odd number
WORD = re.compile(r"[^\W\d_]{2}")  # two letters together
REPEATED_CHARACTER, REPEATED_UNIT, REPEATED_PHRASE = 12, 5, 4  # in a row
LONGEST_PHRASE = 4  # words
CHARACTER_RUN = re.compile(rf"([^\s.\-_=*~!?])\1{{{REPEATED_CHARACTER - 1},}}")
FEWEST_UNITS, DISTINCT_RUNS, RUN = 8, 0.5, 3
FEW_DISTINCT, MOST_OVER_AND_OVER = 3, 60  # times as many words as distinct ones; of a row, for long texts repeat "the" and "a"
LISTED = r"[^\W\d_](?:[^\W\d_]|['\u2019-](?=[^\W\d_]))*+"
ENUMERATION = re.compile(rf"(?<![\w'\u2019-]){LISTED}(?:\s*+,\s*+(?:(?:and|or)\s++)?{LISTED})++", re.IGNORECASE)
NO_NOUN = re.compile(rf"\W*an?\s++{LISTED}(?:\s*+,\s*+(?:and\s++)?{LISTED}){{2,}}+\s*+\.?\s*+", re.IGNORECASE)
LIST_ITEM = re.compile(rf"(?:\b(and|or)\s+)?({LISTED})", re.IGNORECASE)
SHORTEST_LISTED = 4  # letters; "die, Wesley, die" is speech
MOST_LISTED = 40  # units of a row that such a list spoils: in a longer one somebody may well name a thing again
PHRASE_TWICE = 4  # words of a phrase that stands twice in a row of at most MOST_OVER_AND_OVER
FEWEST_TWICE = 6  # units of a row that is the same words twice; "no way, no way" is emphasis


def checks(labels: Sequence[Label], ordinals: Ordinals | None = None, scripts: Scripts | None = None) -> list[Check]:
    """The checks of the gate. labels: all labels of the run; ordinals: that are no list numbers; scripts: of the real rows.

    >>> [check.name for check in checks(["positive"]) if check.find("positive.txt:negative.txt", None)]
    ['identifier', 'file_name']
    """
    return [
        Check(GATE, "label_alone", _label_alone(labels)),
        Check(GATE, "identifier", _identifier),
        Check(GATE, "file_name", _file_names),
        Check(GATE, "list_marker", _list_marker),
        Check(GATE, "debris", _debris),
        Check(GATE, "numbers", _numbers),
        Check(GATE, "unfinished", _unfinished),
        Check(GATE, "open_end", _finder(OPEN_END, "it ends in the middle")),
        Check(GATE, "quotation", _finder(QUOTATION, "a quotation that never ends")),
        Check(GATE, "repetition", _repetition),
        Check(GATE, "phrase_twice", _phrase_twice),
        Check(GATE, "list_number", _list_number(ordinals or Ordinals())),
        Check(GATE, "several", _finder(SECOND_AND_THIRD, "several rows in one")),
        Check(GATE, "chat_mark", _finder(CHAT_MARK, "a mark of a chat template")),
        Check(GATE, "markup", _finder(MARKUP, "markup")),
        Check(GATE, "entity", _finder(ENTITY, "markup")),
        Check(GATE, "escape", _finder(ESCAPE, "an escaped character")),
        Check(GATE, "strange_character", _strange),
        Check(GATE, "look_alike", _look_alike),
        Check(GATE, "spaced", _finder(SPACED, "letters set apart")),
        Check(GATE, "other_script", (scripts or Scripts()).find),
        Check(GATE, "other_label", _other_label(labels)),
    ]


def _finder(pattern: re.Pattern[str], words: str) -> Find:
    def find(text: str, _label: Label) -> str | None:
        return f'{words}: "{found.group()[:60]}"' if (found := pattern.search(text)) else None

    return find


def _list_number(ordinals: Ordinals) -> Find:
    def find(text: str, _label: Label) -> str | None:
        found = None if ordinals.likely(text) else list_number(text, LAST_NUMBER)
        return f'a list number before it: "{found.group().strip()}"' if found else None

    return find


def _strange(text: str, _label: Label) -> str | None:
    return f"the character U+{ord(found.group()):04X}" if (found := STRANGE.search(text)) else None


def _look_alike(text: str, _label: Label) -> str | None:
    """Letters of two scripts in one word of a text in Latin ones; in a Russian text "SMS" may well have a Russian ending."""
    found = LOOK_ALIKE.search(text)
    latin, foreign = (sum(map(str.isascii, filter(str.isalpha, text))), len(re.findall(f"[{FOREIGN}]", text))) if found else (0, 0)
    return f'letters of two scripts in one word: "{found.group()[:60]}"' if found and latin > foreign else None


def _other_label(labels: Sequence[Label]) -> Find:
    marks = LabelMarks(labels)

    def find(text: str, label: Label) -> str | None:
        return f'it announces the label "{other}"' if (other := marks.other(text, label)) else None

    return find


def _label_alone(labels: Sequence[Label]) -> Find:
    kind = re.compile(rf"(?:{KINDS}|label|strings?|new|another|synthetic|generated)?\d*", re.IGNORECASE)  # "string": a schema's own word
    known = {tuple(units(label)): label for label in labels if label}

    def find(text: str, _label: Label) -> str | None:
        words = tuple(word for word in units(text) if not kind.fullmatch(word))
        if not words:
            return "nothing but a name for a text"
        if len(words) > 2 and all((word,) in known for word in words):
            return "nothing but labels"
        return f'nothing but the label "{known[words]}"' if words in known else None

    return find


def _identifier(text: str, _label: Label) -> str | None:
    """One piece without a space in it, of parts joined as names in code are; or several of them and nothing else."""
    pieces = text.strip(" .,;\"'`*").split()
    joined = [piece for piece in pieces if JOINED.search(piece) and not any(map(unspaced, piece))]
    return f'a name as in code: "{text[:60]}"' if pieces and len(joined) == len(pieces) else None


def _file_names(text: str, _label: Label) -> str | None:
    left = FILE.sub("", text)
    found = FILE.search(text)
    return f'a file name: "{found.group()[:60]}"' if found and sum(map(str.isalpha, left)) <= len("and, or: file") else None


def _list_marker(text: str, _label: Label) -> str | None:
    return "a list marker alone" if MARKER.fullmatch(text) else None


def _debris(text: str, _label: Label) -> str | None:
    return f'JSON or code: "{text[:60]}"' if DEBRIS.match(text) else None


def _numbers(text: str, _label: Label) -> str | None:
    """Numbers and no word: a piece of a table, or of a list of sources.

    >>> _numbers("2021, 2019, 2018. 136 p.", None), _numbers("2001 again", None)
    ('numbers without a word: "2021, 2019, 2018. 136 p."', None)
    """
    if WORD.search(text) or any(map(unspaced, text)):
        return None
    pieces = [piece for piece in text.split() if any(map(str.isalnum, piece))]
    numbers = sum(any(map(str.isdigit, piece)) for piece in pieces)
    return f'numbers without a word: "{text[:60]}"' if len(pieces) >= FEWEST_PIECES and numbers > len(pieces) / 2 else None


def _words(text: str) -> list[str]:
    """The units of a text without emoji: five stars or laughing faces are no phrase."""
    return [unit for unit in units(text) if unit.isascii() or any(map(str.isalnum, unit))]


def _in_a_row(words: list[str], length: int) -> tuple[int, str]:
    """How often a phrase of so many words stands in a row, at most, and which. words: at least none."""
    longest, end, same = 0, 0, 0
    for place, (before, after) in enumerate(zip(words, words[length:], strict=False)):
        same = same + 1 if before == after else 0
        if same > longest:
            longest, end = same, place + 1
    return longest // length + 1, " ".join(words[end : end + length])


def _unfinished(text: str, _label: Label) -> str | None:
    """A comma or colon at the end, or an article before a list of single words and nothing that these say something of.

    >>> _unfinished("an awkward , vulgar , and insensitive .", None), _unfinished("an awkward , vulgar , insensitive film .", None)
    ('it ends in the middle: "an awkward , vulgar , and insensitive ."', None)
    """
    found = UNFINISHED.search(text) or NO_NOUN.fullmatch(text)
    return f'it ends in the middle: "{found.group()[:60]}"' if found else None


def _listed_twice(text: str) -> str | None:
    """A word that stands twice in one list of words, others between or "and" before it; not once more for emphasis, which no compound is.

    >>> _listed_twice("a shallow , mediocre , shallow ."), _listed_twice("dumb, dumb, dumb"), _listed_twice("it goes on and on, again and again")
    ('shallow', None, None)
    """
    for found in ENUMERATION.finditer(text):
        items = [(joined.lower(), word.casefold()) for joined, word in LIST_ITEM.findall(found.group())]
        last: dict[str, int] = {}
        for place, (joined, word) in enumerate(items):
            apart = place - last.get(word, place) > 1 or (word in last and joined and len(last) > 1)
            if (apart or (word in last and "-" in word)) and len(word) >= SHORTEST_LISTED:
                return str(word)
            last[word] = place
    return None


def _phrase_twice(text: str, _label: Label) -> str | None:
    """A phrase of four words twice in a short row: small models go on with what they have just said; people do it less often, and may mean it.

    >>> _phrase_twice("it has a lot of great actors and has a lot of good ideas", None), _phrase_twice("a lot of wit , a lot of heart", None)
    ('"has a lot of" twice', None)
    """
    words = _words(text)
    if len(words) > MOST_OVER_AND_OVER or any(map(unspaced, text)):  # four characters are a word or two
        return None
    first: dict[tuple[str, ...], int] = {}
    for place in range(len(words) - PHRASE_TWICE + 1):
        phrase = tuple(words[place : place + PHRASE_TWICE])
        if place - first.setdefault(phrase, place) >= PHRASE_TWICE:
            return f'"{" ".join(phrase)}" twice'
    return None


def _repetition(text: str, _label: Label) -> str | None:
    if found := CHARACTER_RUN.search(text):
        return f'the character "{found.group(1)}" {len(found.group())} times in a row'
    words = _words(text)
    if len(words) <= MOST_LISTED and (listed := _listed_twice(text)):
        return f'"{listed}" twice in one list'
    half, odd = divmod(len(words), 2)
    if len(words) >= FEWEST_TWICE and not odd and words[:half] == words[half:]:
        return "the same words twice"
    for length in range(1, LONGEST_PHRASE + 1):
        times, phrase = _in_a_row(words, length)
        if times >= (REPEATED_UNIT if length == 1 else REPEATED_PHRASE) or (length == 1 and RUN <= times == len(words)):
            return f'"{phrase}" {times} times in a row'
    if FEWEST_UNITS <= len(words) <= MOST_OVER_AND_OVER and FEW_DISTINCT * len(set(words)) <= len(words) and not any(map(unspaced, text)):
        return f"{len(set(words))} distinct words among {len(words)}"
    runs = [tuple(words[i : i + RUN]) for i in range(len(words) - RUN + 1)]
    if len(words) >= FEWEST_UNITS and len(set(runs)) <= DISTINCT_RUNS * len(runs):
        return f"{len(set(runs))} distinct runs of {RUN} words among {len(runs)}"
    return None
