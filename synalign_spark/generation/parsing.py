"""From a raw answer to attributes or rows, or to the reason why not.

``finish_reason`` is looked at before the text: an answer that was cut off is never repaired, because
repaired JSON of a truncated answer is valid and wrong (a half sentence becomes a row). Rows that stood
complete before the cut are given up too: keeping them would favour short rows, and the last of them
cannot be told from a half one in every case. Repair (json-repair) is for finished answers alone; what
comes out of it must still pass validation.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from json_repair import repair_json
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from synalign_spark.config.generation import PLACEHOLDER

COMPLETE = ("stop", "eos", "end_turn", None, "")
CUT = ("length", "max_tokens")
FILTERED = ("content_filter", "refusal", "safety")
NUMBER = re.compile(r"^\s*([0-9]{1,3})[.)]\s+")
ROW_KEYS = ("text", "row", "content", "sentence", "value")


@dataclass(frozen=True)
class Parsed:
    """status: ok, refused, truncated or unparsable. Exactly one of ``rows`` and ``attributes`` is filled when ok.

    fields: of each of ``rows`` its parts by name, where rows have parts."""

    status: str
    detail: str | None = None
    rows: tuple[str, ...] = ()
    attributes: tuple[tuple[str, str], ...] = ()
    fields: tuple[dict[str, str], ...] = ()


class _Rows(BaseModel):
    model_config = ConfigDict(strict=True)
    rows: list[str] = Field(min_length=1)


_SCALAR: TypeAdapter[str | int | float | bool] = TypeAdapter(str | int | float | bool)


def parse_rows(answer: str | None, finish_reason: str | None, n_rows: int, refusal: str | None = None) -> Parsed:
    """The texts of a step-2 answer, in their order, at most ``n_rows`` of them.

    >>> parse_rows('Here you are: {"rows": ["a fine film", "a dull one"]}', "stop", 5).rows
    ('a fine film', 'a dull one')
    >>> parse_rows('{"rows": ["a fine film", "a du', "length", 5).status
    'truncated'
    """
    data = _load(answer, finish_reason, refusal)
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
    data = _load(answer, finish_reason, refusal)
    if isinstance(data, Parsed):
        return data
    if not isinstance(data, dict):
        return Parsed("unparsable", f"expected an object of attributes, got {type(data).__name__}")
    if len(data) == 1 and isinstance(inner := next(iter(data.values())), dict):
        data = inner
    given = {_plain_key(key): _value_of(value) for key, value in data.items()}
    found = tuple((name, given[_plain_key(name)]) for name in names if given.get(_plain_key(name)))
    if not found:
        return Parsed("unparsable", f"none of the attributes {', '.join(names)} has a value")
    return Parsed("ok", attributes=found)


def _load(answer: str | None, finish_reason: str | None, refusal: str | None) -> Any:
    """The decoded JSON value, or a Parsed that says why there is none."""
    reason = finish_reason.lower() if finish_reason else finish_reason
    if refusal:
        return Parsed("refused", refusal[:500])
    if reason in FILTERED:
        return Parsed("refused", f"the server filtered the answer (finish_reason {finish_reason})")
    if reason in CUT:
        return Parsed("truncated", f"the answer reached its token limit (finish_reason {finish_reason})")
    if not answer or not answer.strip():
        return Parsed("unparsable", "the answer is empty")
    try:
        return json.loads(answer)
    except (ValueError, RecursionError) as err:
        if reason not in COMPLETE:
            return Parsed("unparsable", f"not JSON, and not finished (finish_reason {finish_reason}): {err}")
    return _repair(answer)


def _repair(answer: str) -> Any:
    """The JSON value in an answer with a fence, a preface or a slip in it. Never called on a truncated answer."""
    if not any(bracket in answer for bracket in "{["):
        return Parsed("unparsable", "no JSON in the answer")
    try:
        data = repair_json(answer, return_objects=True, skip_json_loads=True)
    except (ValueError, RecursionError, IndexError, TypeError) as err:
        return Parsed("unparsable", f"cannot be repaired: {err}")
    if isinstance(data, list) and data and all(isinstance(part, dict) for part in data) and any("rows" in part for part in data):
        data = next(part for part in data if "rows" in part)
    return data if data not in ("", None, [], {}) else Parsed("unparsable", "no JSON in the answer")


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
    if isinstance(value, list):
        return ", ".join(filter(None, (_value_of(part) for part in value)))
    try:
        return " ".join(str(_SCALAR.validate_python(value)).split())
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
    data = _load(answer, finish_reason, refusal)
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
    return value.strip() if isinstance(value, str) else _value_of(value)
