"""The shapes in which models put rows and attributes into JSON, beside the one that they are asked for.

What is read is what was asked for under another name or in another wrapping; nothing is guessed of an object that may mean two things.
"""

import contextlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from synalign_spark.core.text import plain_name

ROWS, DEEPEST = "rows", 3  # the name that is asked for; objects round the one that has it
ROW_KEYS = ("text", "row", "content", "sentence", "value")
NOT_THE_TEXT = ("label", "sentiment", "category", "class", "id")  # what models write beside it
NUMBER = re.compile(r"[^\W\d_]{0,20}[ _-]?([0-9]{1,6})")  # "1", "row_1", "review 1"


def holder_of(data: Any, names: Sequence[str], depth: int = DEEPEST) -> dict[str, Any] | None:
    """The first object with one of the names, it or one within it: models call functions in words, and put answers in objects of theirs.

    >>> holder_of({"name": "rows", "arguments": {"rows": ["a"]}}, ["rows"])
    {'rows': ['a']}
    """
    inner = opened(data)
    if not isinstance(inner, dict):
        return None
    if {plain_name(str(key)) for key in inner} & set(map(plain_name, names)):
        return inner
    within = (holder_of(value, names, depth - 1) for value in inner.values()) if depth else ()
    return next(filter(None, within), None)


def rows_in(data: Mapping[str, Any], otherwise: Any) -> Any:
    """What an object holds its rows in: what it calls "rows", else the list that it has beside their label; ``otherwise`` where there is
    neither.

    >>> rows_in({"label": "good", "reviews": ["a"]}, None), rows_in({"text": "a", "notes": ["b"]}, None)
    (['a'], None)
    """
    only = _only(data)
    return _called_rows(data, only if isinstance(only, list) else otherwise)


def _called_rows(data: Mapping[str, Any], otherwise: Any) -> Any:
    return next((value for key, value in data.items() if plain_name(str(key)) == ROWS), otherwise)


def rows_of_fields_in(data: Any, names: Sequence[str]) -> Any:
    """What an answer holds its rows of fields in: one of them itself, whose fields may be lists."""
    if not isinstance(data, dict):
        return data
    found = holder_of(data, [ROWS, *names])
    return rows_in(data, data) if found is None else _called_rows(found, found)


def listed(data: Any) -> Any:
    """A map of numbers to rows is the list of them, in the order of the numbers; anything else stays as it is.

    >>> listed({"1": "a fine film", "0": "a dull one"})
    ['a dull one', 'a fine film']
    """
    if isinstance(data, dict) and data and all(NUMBER.fullmatch(str(key)) for key in data):
        return [data[key] for key in sorted(data, key=lambda key: int(NUMBER.fullmatch(str(key))[1]))]  # type: ignore[index]
    return data


def text_within(item: Any) -> Any:
    """A row given as an object is its text of a known name, or all that it has beside its label; anything else stays as it is.

    >>> text_within({"Text": "a fine film", "note": "b"}), text_within({"label": "good", "review": "a fine film"})
    ('a fine film', 'a fine film')
    """
    if not isinstance(item, dict):
        return item
    texts = {plain_name(str(key)): value for key, value in item.items() if isinstance(value, str)}
    only = _only(item)
    return next((texts[key] for key in ROW_KEYS if key in texts), only if isinstance(only, str) else item)


def by_name(data: Any, names: Sequence[str]) -> dict[str, Any]:
    """The object that a list of names with their values stands for, under whatever keys; empty where it is anything else.

    >>> by_name({"attributes": [{"attribute": "Tone", "value": "warm"}]}, ["tone"])
    {'tone': 'warm'}
    """
    items = opened(_only(data) if isinstance(data, dict) else data)
    known, found = set(map(plain_name, names)), dict[str, Any]()
    for item in items if isinstance(items, list) else ():
        pair = list(item.values()) if isinstance(item, dict) else []
        if len(pair) == 2 and isinstance(pair[0], str) and plain_name(pair[0]) in known:
            found.setdefault(plain_name(pair[0]), pair[1])  # the first of a name counts
    return found


def by_columns(inside: Mapping[str, Any], names: Sequence[str]) -> list[dict[str, Any]]:
    """The rows of an object with a list for each of several fields, all of one length; none where it is anything else.

    >>> by_columns({"title": ["One", "Two"], "body": ["First.", "Second."]}, ["title", "body"])
    [{'title': 'One', 'body': 'First.'}, {'title': 'Two', 'body': 'Second.'}]
    """
    given = {plain_name(str(key)): value for key, value in inside.items()}
    columns = [given.get(plain_name(name)) for name in names]
    lists = [column for column in columns if isinstance(column, list)]
    if len(names) < 2 or len(lists) < len(columns) or len(set(map(len, lists))) != 1:
        return []
    return [dict(zip(names, row, strict=True)) for row in zip(*lists, strict=True)]


def _only(data: Mapping[str, Any]) -> Any:
    """The one value of an object beside a label; None where there are several."""
    values = [value for key, value in data.items() if plain_name(str(key)) not in NOT_THE_TEXT]
    return values[0] if len(values) == 1 else None


def opened(value: Any) -> Any:
    """The object or list that a text is the JSON of, where models write JSON within JSON; anything else stays as it is."""
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        with contextlib.suppress(ValueError, RecursionError):
            return json.loads(value)
    return value
