"""From a raw answer to attributes or rows, or to the reason why not.

Rows that stood complete before an answer was cut are given up too: keeping them would favour short rows, and the last
of them cannot be told from a half one in every case. Lines of a continued list are whole once another begins.
"""

import re
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from synalign_spark.config.generation import PLACEHOLDER
from synalign_spark.generation.calls import Answer
from synalign_spark.generation.prompts import Prompt
from synalign_spark.generation.reading import COMPLETE, FILTERED, Parsed, as_cut, filtered, load, storable

NUMBER = re.compile(r"^\s*([0-9]{1,3})[.)]\s+")
ROW_KEYS = ("text", "row", "content", "sentence", "value")
LIST_MARK = re.compile(r"^(?:[-*\u2022\u2013]|[0-9]{1,3}[.)])(?:\s+|$)")


class _Rows(BaseModel):
    model_config = ConfigDict(strict=True)
    rows: list[str] = Field(min_length=1)


_SCALAR: TypeAdapter[str | int | float | bool] = TypeAdapter(str | int | float | bool)


def parse_answer(prompt: Prompt, answer: Answer, n_rows: int, fields: Sequence[str] = (), template: str | None = None) -> Parsed:
    """The rows of an answer to a prompt for rows: as JSON, or as the lines of a continued list.

    fields, template: as ``names`` and ``template`` of :func:`parse_objects`, where rows have parts."""
    text, reason, refusal = answer.answer, answer.finish_reason, answer.refusal
    if prompt.text and not prompt.schema:
        return parse_continuation(text, reason, n_rows, prompt.stop, refusal)
    if fields:
        return parse_objects(text, reason, n_rows, refusal, names=fields, template=template)
    return parse_rows(text, reason, n_rows, refusal)


def parse_rows(answer: str | None, finish_reason: str | None, n_rows: int, refusal: str | None = None) -> Parsed:
    """The texts of a step-2 answer, in their order, at most ``n_rows`` of them.

    >>> parse_rows('Here you are: {"rows": ["a fine film", "a dull one"]}', "stop", 5).rows
    ('a fine film', 'a dull one')
    >>> parse_rows('{"rows": ["a fine film", "a du', "length", 5).status
    'truncated'
    """
    data = load(answer, finish_reason, refusal)
    if isinstance(data, Parsed):
        return data
    items = data.get("rows", next(iter(data.values()), None) if len(data) == 1 else None) if isinstance(data, dict) else data
    if isinstance(items, list):
        items = [_text_of(item) for item in items]
    try:
        rows = _Rows.model_validate({"rows": items}).rows
    except ValidationError as err:
        return Parsed("unparsable", f"expected {{'rows': [strings]}}: {_first_error(err)}")
    return Parsed("ok", rows=_without_numbers(rows[:n_rows]))


def parse_attributes(answer: str | None, finish_reason: str | None, names: tuple[str, ...], refusal: str | None = None) -> Parsed:
    """The attribute values of a step-1 answer, in the order of ``names``; unknown and empty ones are left out.

    Unparsable when none of the names has a value.

    >>> parse_attributes('{"Tone": "warm", "mood": "x"}', "stop", ("topic", "tone")).attributes
    (('tone', 'warm'),)
    """
    data = load(answer, finish_reason, refusal)
    if isinstance(data, Parsed):
        return data
    if isinstance(data, list) and data and all(isinstance(part, dict) for part in data):
        data = {key: value for part in reversed(data) for key, value in part.items()}  # the first of a name counts
    if not isinstance(data, dict):
        return Parsed("unparsable", f"expected an object of attributes, got {type(data).__name__}")
    if len(data) == 1 and isinstance(inner := next(iter(data.values())), dict):
        data = inner
    given = {_plain_key(key): _value_of(value) for key, value in data.items()}
    found = tuple((name, given[_plain_key(name)]) for name in names if given.get(_plain_key(name)))
    if not found:
        return Parsed("unparsable", f"none of the attributes {', '.join(names)} has a value")
    return Parsed("ok", attributes=found)


def parse_continuation(
    answer: str | None, finish_reason: str | None, n_rows: int, stop: tuple[str, ...] = (), refusal: str | None = None
) -> Parsed:
    """The rows of a continued list: its lines up to the first stop mark, at most ``n_rows`` of them, without their list marks.

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
    text, cut = answer or "", reason not in COMPLETE
    for mark in filter(None, stop):
        before, found, _ = text.partition(mark)
        text, cut = before, cut and not found
    lines = text.split("\n")
    whole = lines[:-1] if cut else lines
    rows = tuple(row for row in (LIST_MARK.sub("", line.strip(), count=1).strip() for line in whole) if row)
    if rows:
        return Parsed("ok", rows=rows[:n_rows])
    return as_cut(finish_reason) if cut and text.strip() else Parsed("unparsable", "nothing was written")


def _without_numbers(rows: list[str]) -> tuple[str, ...]:
    """The rows without the list numbers that small models put before all of them (1., 2., ...): else equal rows look different."""
    numbers = [NUMBER.match(row) for row in rows]
    if len(rows) > 1 and all(found and int(found[1]) == place for place, found in enumerate(numbers, 1)):
        return tuple(NUMBER.sub("", row, count=1) for row in rows)
    return tuple(rows)


def _text_of(item: Any) -> Any:
    """A row given as an object with one known text key is that text; anything else stays as it is."""
    if isinstance(item, dict):
        return next((item[key] for key in ROW_KEYS if isinstance(item.get(key), str)), item)
    return item


def _value_of(value: Any) -> str:
    """A value on one line. It goes into prompts, so it must be text that can be sent."""
    if isinstance(value, list):
        return ", ".join(filter(None, (_value_of(part) for part in value)))
    try:
        return " ".join(storable(str(_SCALAR.validate_python(value))).split())
    except ValidationError:
        return ""


def _plain_key(key: Any) -> str:
    return " ".join(str(key).casefold().replace("_", " ").replace("-", " ").split())


def _first_error(err: ValidationError) -> str:
    first = err.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg']}"


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

    names: of the fields, all of which a row must have, none of them empty; others are left out. template: how a text is made of
    them, ``{name}`` for each; None puts them under each other. A field that holds braces is not looked into.

    >>> found = parse_objects('{"rows": [{"Title": "Trains", "body": "They run {title}."}]}', "stop", 5, names=["title", "body"])
    >>> found.rows, found.fields
    (('Trains\\nThey run {title}.',), ({'title': 'Trains', 'body': 'They run {title}.'},))
    """
    data = load(answer, finish_reason, refusal)
    if isinstance(data, Parsed):
        return data
    items = data.get("rows", [data]) if isinstance(data, dict) else data
    if not isinstance(items, list) or not items:
        return Parsed("unparsable", f"expected {{'rows': [objects]}}, got {type(items).__name__}")
    found = []
    for place, item in enumerate(items[:n_rows]):
        given = {_plain_key(key): _field_of(value) for key, value in item.items()} if isinstance(item, dict) else {}
        row = {name: given.get(_plain_key(name), "") for name in names}
        if missing := [name for name, value in row.items() if not value]:
            return Parsed("unparsable", f"rows.{place}: lacks {', '.join(missing)}")
        found.append(row)
    whole = template or "\n".join(f"{{{name}}}" for name in names)
    return Parsed("ok", rows=tuple(_filled(whole, row) for row in found), fields=tuple(found))


def _filled(template: str, fields: dict[str, str]) -> str:
    return re.sub(PLACEHOLDER, lambda mark: fields[mark[1]], template)


def _field_of(value: Any) -> str:
    """A text as it is, line ends and all; anything else as the value of an attribute."""
    return storable(value.strip()) if isinstance(value, str) else _value_of(value)
