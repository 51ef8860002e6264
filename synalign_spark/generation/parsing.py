"""From a raw answer to attributes or rows, or to the reason why not.

Rows that stood complete before an answer was cut are given up too: keeping them would favour short rows, and the last
of them cannot be told from a half one in every case. Lines of a continued list are whole once another begins.
"""

import json
import re
from collections.abc import Mapping, Sequence
from types import NoneType
from typing import Any

from pydantic import TypeAdapter, ValidationError

from synalign_spark.config.generation import PLACEHOLDER
from synalign_spark.core.grams import units
from synalign_spark.core.text import plain_name
from synalign_spark.generation.calls import Answer
from synalign_spark.generation.prompts import MAX_ATTRIBUTE_CHARS, Prompt, shorten
from synalign_spark.generation.reading import COMPLETE, FAILED, FILTERED, BadRow, Parsed, as_cut, failed, filtered, load, storable
from synalign_spark.generation.shapes import ROWS, by_columns, by_name, holder_of, listed, opened, rows_in, rows_of_fields_in, text_within

DASH = re.compile(r"^-(?:\s+|$)")  # of the list in the prompts for models that continue text
NO_VALUE = ("string", "null", "n/a")  # of an attribute; "none" and "unknown" may be what it is
SHOWN_CHARS = 500  # of what is no row
JSON_NAMES = {int: "a number", float: "a number", bool: "true or false", dict: "an object", list: "a list", NoneType: "null", str: "a text"}


_SCALAR: TypeAdapter[str | int | float | bool] = TypeAdapter(str | int | float | bool)


def parse_answer(prompt: Prompt, answer: Answer, n_rows: int, fields: Sequence[str] = (), template: str | None = None) -> Parsed:
    """The rows of an answer to a prompt for rows: as JSON, or as the lines of a continued list.

    fields, template: as ``names`` and ``template`` of :func:`parse_objects`, where rows have parts."""
    text, reason, refusal = answer.answer, answer.finish_reason, answer.refusal
    if prompt.text and not prompt.schema:
        # Of several answers each has ended at a stop mark by itself.
        return parse_continuation(text, reason, n_rows, prompt.stop if prompt.choices == 1 else (), refusal)
    if fields:
        return parse_objects(text, reason, n_rows, refusal, names=fields, template=template)
    return parse_rows(text, reason, n_rows, refusal)


def parse_rows(answer: str | None, finish_reason: str | None, n_rows: int, refusal: str | None = None) -> Parsed:
    """The texts of a step-2 answer, in their order, at most ``n_rows`` of them; what stands among them and is no text is told.

    >>> parse_rows('Here you are: {"rows": ["a fine film", "a dull one"]}', "stop", 5).rows
    ('a fine film', 'a dull one')
    >>> parse_rows('{"rows": ["a fine film", "a du', "length", 5).status
    'truncated'
    """
    data = load(answer, finish_reason, refusal)
    if isinstance(data, Parsed):
        return data
    items = listed(holder_of(data, [ROWS]) or data)
    if isinstance(items, dict):
        items = listed(rows_in(items, next(iter(items.values())) if len(items) == 1 else items))
    if isinstance(inner := opened(items), list):
        items = inner
    if n_rows == 1 and isinstance(one := text_within(items), str) and one.strip():
        items = [one]  # one row was asked for, and it is no list of one
    if not isinstance(items, list) or not items:
        return Parsed("unparsable", f"expected {{'rows': [strings]}}, got {_shown(data)}")
    found = [text_within(item) for item in items[:n_rows]]
    bad = tuple(BadRow(place, _shown(item), f"{_named(item)}, not a text") for place, item in enumerate(found) if not isinstance(item, str))
    if len(bad) == len(found):
        return Parsed("unparsable", f"expected {{'rows': [strings]}}: row {bad[0].place} is {bad[0].words}")
    return Parsed("ok", rows=tuple(item for item in found if isinstance(item, str)), bad=bad)


def parse_attributes(answer: str | None, finish_reason: str | None, names: tuple[str, ...], refusal: str | None = None) -> Parsed:
    """The attribute values of a step-1 answer, in the order of ``names``; unknown and empty ones are left out.

    Unparsable when none of the names has a value. An answer that was cut after the last value that was asked for lacks a bracket alone.

    >>> parse_attributes('{"Tone": "warm", "mood": "x"}', "stop", ("topic", "tone")).attributes
    (('tone', 'warm'),)
    >>> parse_attributes('{"tone": "warm"  ', "length", ("tone",)).attributes
    (('tone', 'warm'),)
    """
    data = load(answer, finish_reason, refusal)
    if isinstance(data, Parsed):
        closed = _closed(answer or "", names) if data.status == "truncated" else None
        if closed is None:
            return data
        data = closed
    whole = data
    if isinstance(data, list) and data and all(isinstance(part, dict) for part in data):
        data = {key: value for part in reversed(data) for key, value in part.items()}  # the first of a name counts
    if not isinstance(data, dict):
        return Parsed("unparsable", f"expected an object of attributes, got {type(data).__name__}")
    data = holder_of(data, names) or by_name(whole, names) or data
    given = {plain_name(str(key)): _value_of(value) for key, value in data.items()}
    found = tuple((name, given[plain_name(name)]) for name in names if given.get(plain_name(name)))
    if not found:
        return Parsed("unparsable", f"none of the attributes {', '.join(names)} has a value")
    return Parsed("ok", attributes=found)


def _closed(answer: str, names: Sequence[str]) -> dict[str, Any] | None:
    """The object that an answer is once it is closed, if it has every name; None otherwise. Small models go on with white space.

    A number may go on, so the last value must be a text or a list."""
    whole = answer.rstrip()
    try:
        data = json.loads(whole if whole.endswith("}") else whole + "}") if whole.endswith(('"', "]", "}")) else None
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) and set(map(plain_name, names)) <= set(map(plain_name, data)) else None


def parse_continuation(
    answer: str | None, finish_reason: str | None, n_rows: int, stop: tuple[str, ...] = (), refusal: str | None = None
) -> Parsed:
    """The rows of a continued list: its lines up to the first stop mark, at most ``n_rows`` of them, without the list's dashes.

    A line is whole once another begins or the answer has ended by itself; the last line of an answer that was cut is no row.

    >>> parse_continuation(" a fine film\\n- a dull one\\n", "stop", 5).rows
    ('a fine film', 'a dull one')
    >>> parse_continuation(" a fine film\\n- a du", "length", 5).rows
    ('a fine film',)
    """
    reason = finish_reason.lower() if finish_reason else finish_reason
    if refusal:
        return Parsed("refused", refusal[:500])
    if reason in FILTERED:
        return filtered(finish_reason)
    if reason in FAILED:
        return failed(finish_reason)
    text, cut = answer or "", reason not in COMPLETE
    for mark in filter(None, stop):
        before, found, _ = text.partition(mark)
        text, cut = before, cut and not found
    lines = text.split("\n")
    whole = lines[:-1] if cut else lines
    rows = tuple(row for row in (DASH.sub("", line.strip(), count=1).strip() for line in whole) if row)
    if rows:
        return Parsed("ok", rows=rows[:n_rows])
    return as_cut(finish_reason) if cut and text.strip() else Parsed("unparsable", "nothing was written")


def _named(item: Any) -> str:
    return JSON_NAMES.get(type(item), type(item).__name__)


def _shown(item: Any) -> str:
    return json.dumps(item, ensure_ascii=False, default=str)[:SHOWN_CHARS]


def _value_of(value: Any) -> str:
    """A value on one line; empty for what stands for none. It goes into prompts, so it must be text that can be sent.

    >>> _value_of({"value": ["warm", "..."]}), _value_of(3), _value_of("N/A")
    ('warm', '3', '')
    """
    if isinstance(value, list):
        return ", ".join(filter(None, (_value_of(part) for part in value)))
    if isinstance(value, dict):
        return _value_of(value.get("value", ""))
    try:
        said = shorten(" ".join(storable(str(_SCALAR.validate_python(value))).split()), MAX_ATTRIBUTE_CHARS)
    except ValidationError:
        return ""
    return said if units(said) and said.casefold() not in NO_VALUE else ""


def parse_objects(
    answer: str | None,
    finish_reason: str | None,
    n_rows: int,
    refusal: str | None = None,
    *,
    names: Sequence[str],
    template: str | None = None,
) -> Parsed:
    """The rows of a step-2 answer where each is an object of texts, at most ``n_rows`` of them: their texts and their fields.

    names: of the fields, all of which a row must have, none of them empty, else it is told as none; others are left out. template:
    as in :func:`text_of`.

    >>> found = parse_objects('{"rows": [{"Title": "Trains", "body": "They run {title}."}]}', "stop", 5, names=["title", "body"])
    >>> found.rows, found.fields
    (('Trains\\nThey run {title}.',), ({'title': 'Trains', 'body': 'They run {title}.'},))
    """
    data = load(answer, finish_reason, refusal)
    if isinstance(data, Parsed):
        return data
    inside = opened(rows_of_fields_in(data, names))
    items = listed(inside)
    if isinstance(inside, dict) and not (isinstance(items, list) and any(isinstance(item, dict) for item in items)):
        items = by_columns(inside, names) or [inside]  # one row, whose fields may have numbers in their names
    if not isinstance(items, list) or not items:
        return Parsed("unparsable", f"expected {{'rows': [objects]}}, got {_shown(data)}")
    found: list[dict[str, str]] = []
    bad: list[BadRow] = []
    for place, item in enumerate(map(opened, items[:n_rows])):
        if isinstance(item, dict) and len(item) == 1 and isinstance(inner := next(iter(item.values())), dict):
            item = inner
        given = {plain_name(str(key)): _field_of(value) for key, value in item.items()} if isinstance(item, dict) else {}
        row = {name: given.get(plain_name(name), "") for name in names}
        if missing := [name for name, value in row.items() if not value]:
            bad.append(BadRow(place, _shown(item), f"lacks {', '.join(missing)}"))
        else:
            found.append(row)
    if not found:
        return Parsed("unparsable", f"rows.{bad[0].place}: {bad[0].words}")
    return Parsed("ok", rows=tuple(text_of(row, template) for row in found), fields=tuple(found), bad=tuple(bad))


def text_of(fields: Mapping[str, str], template: str | None) -> str:
    """The text of a row of fields. template: ``{name}`` for each; None puts them under each other. A field that holds braces is not
    looked into.

    >>> text_of({"title": "Trains", "body": "They run {title}."}, "{title}: {body}")
    'Trains: They run {title}.'
    """
    whole = template or "\n".join(f"{{{name}}}" for name in fields)
    return re.sub(PLACEHOLDER, lambda mark: fields.get(mark[1], mark[0]), whole)


def _field_of(value: Any) -> str:
    """A text as it is, line ends and all, and a list of them as its paragraphs; anything else as the value of an attribute."""
    if isinstance(value, list):
        return "\n".join(filter(None, map(_field_of, value)))
    return value.strip() if isinstance(value, str) else _value_of(value)
