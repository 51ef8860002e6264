"""One prompt, the schemas of its answers, and how texts become data in it.

Corpus text, labels, descriptions and attribute values are data: they stand in a prompt as JSON strings, which no
text can close, and with the marks of chat templates escaped; or, where a model continues lines, on one line each.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from synalign_spark.generation.prompts.tokens import CAUTIOUS_BYTES_A_TOKEN, n_bytes

MAX_DEMONSTRATION_CHARS = 1_000  # some 250 tokens: eight of them fit a context of 4,096 beside the answer
MAX_ATTRIBUTE_CHARS = 160  # a sentence; seven of them fit the default max_output_tokens
TEXT_SHARE = 0.9  # of an answer's tokens; braces, quotes and commas take the rest
SHORTEST_ROW_CHARS = 20  # that a row is allowed, whatever fits: below it no sentence does

# `<|im_end|>`, `</s>`, `[INST]`: what chat templates put between turns (DeepSeek's with a full-width bar).
TEMPLATE_MARK = re.compile(r"<(?=[|｜/!a-zA-Z])|\[(?=/?[A-Z])")
LINE_SEPARATOR = re.compile("[\x85\u2028\u2029]")  # line ends that JSON leaves as they are


@dataclass(frozen=True)
class Prompt:
    """What one call sends, and the form of its answer.

    messages: of a chat; empty for a completion, which continues ``text`` until one of ``stop``. schema: JSON schema that the
    answer must follow; empty for a continuation in the form of the text. schema_name: 'attributes' or 'rows'. choices: answers that
    one call asks for, each of them one line of a list that ``text`` begins."""

    messages: tuple[dict[str, str], ...]
    schema: dict[str, Any]
    schema_name: str
    text: str = ""
    stop: tuple[str, ...] = ()
    choices: int = 1

    @property
    def said(self) -> str:
        """All that it says, without marks of turns."""
        return self.text + "".join(message["content"] for message in self.messages)

    @property
    def digest(self) -> str:
        """sha256 of all of it, in hex."""
        parts = [self.messages, self.schema, self.schema_name, self.text, self.stop, *([self.choices] if self.choices > 1 else [])]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def as_data(text: str) -> str:
    """The text as a JSON string literal, with the marks of chat templates escaped: data that cannot end its quotes.

    >>> print(as_data('3 < 4, "and" </s>'))
    "3 < 4, \\"and\\" \\u003c/s>"
    """
    literal = json.dumps(text, ensure_ascii=False)
    for pattern in (TEMPLATE_MARK, LINE_SEPARATOR):
        literal = pattern.sub(lambda mark: f"\\u{ord(mark[0]):04x}", literal)
    return literal


def as_line(text: str) -> str:
    """The text without quotes and on one line, as models that continue lines need it: white space and line ends become
    one space, and marks of chat templates are broken by one.

    >>> as_line("a fine film</s>\\n- and a dull one")
    'a fine film< /s> - and a dull one'
    """
    return TEMPLATE_MARK.sub(lambda mark: f"{mark[0]} ", " ".join(text.split()))


def shorten(text: str, max_chars: int = MAX_DEMONSTRATION_CHARS) -> str:
    """The first ``max_chars`` characters, cut between words.

    >>> shorten("a fine film about trains", 12)
    'a fine film ...'
    """
    if len(text) <= max_chars:
        return text
    return text[:max_chars].rsplit(" ", 1)[0] + " ..."


def attributes_schema(names: Sequence[str], choices: Mapping[str, Sequence[str]] | None = None) -> dict[str, Any]:
    """JSON schema of an attribute set: a text of useful length for each attribute, or one of its choices where it has some.

    choices: for servers that hold a model to the schema while it writes, and models too small to describe freely.

    >>> attributes_schema(["tone"], {"tone": ["warm", "cold"]})["properties"]
    {'tone': {'type': 'string', 'enum': ['warm', 'cold']}}
    """
    free = {"type": "string", "minLength": 1, "maxLength": MAX_ATTRIBUTE_CHARS}
    given = choices or {}
    properties = {name: {"type": "string", "enum": list(given[name])} if given.get(name) else free for name in names}
    return _object(properties)


def rows_schema(n_rows: int, min_chars: int, max_chars: int, fields: Sequence[str] = ()) -> dict[str, Any]:
    """JSON schema of an answer with exactly ``n_rows`` texts, or as many objects with a text for each of ``fields``.

    min_chars, max_chars: of a text; each field may be as long as a whole text.

    >>> rows_schema(2, 1, 9, ["question"])["properties"]["rows"]["items"]["properties"]
    {'question': {'type': 'string', 'minLength': 1, 'maxLength': 9}}
    """
    item = {"type": "string", "minLength": 1 if fields else min(min_chars, max_chars), "maxLength": max_chars}
    items = _object(dict.fromkeys(fields, item)) if fields else item
    return _object({"rows": {"type": "array", "items": items, "minItems": n_rows, "maxItems": n_rows}})


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def row_chars(n_rows: int, max_chars: int, max_output_tokens: int, like: str = "") -> int:
    """Longest row, in characters, for which ``n_rows`` of them still fit into the answer.

    like: text of the kind that is written; tokens are counted by its bytes in UTF-8, of which a Chinese character has three.

    >>> row_chars(5, 2_000, 512), row_chars(5, 2_000, 512, "\u597d\u7535\u5f71"), row_chars(5, 15, 512)
    (276, 92, 15)
    """
    bytes_a_char = n_bytes(like) / len(like) if like else 1.0
    fitting = max_output_tokens * TEXT_SHARE * CAUTIOUS_BYTES_A_TOKEN / bytes_a_char
    return min(max_chars, max(SHORTEST_ROW_CHARS, int(fitting) // n_rows))
