"""From a raw answer to attributes or rows, or to the reason why not.

``finish_reason`` is looked at before the text: an answer that was cut off is never repaired, because
repaired JSON of a truncated answer is valid and wrong (a half sentence becomes a row). Rows that stood
complete before the cut are given up too: keeping them would favour short rows, and the last of them
cannot be told from a half one in every case. Servers say "stop" of answers that were cut, too: JSON that
never closes was cut, whatever they say. Repair (json-repair) is for finished answers alone; what comes out of
it must still pass validation. Of a model that reasons, only what stands after its last reasoning is an answer.
"""

import json
import re
from dataclasses import dataclass
from typing import Any

from json_repair import repair_json
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from synalign_spark.generation.calls import Answer
from synalign_spark.generation.prompts import Prompt

COMPLETE = ("stop", "eos", "end_turn", None, "")
CUT = ("length", "max_tokens")
FILTERED = ("content_filter", "refusal", "safety")
NUMBER = re.compile(r"^\s*([0-9]{1,3})[.)]\s+")
ROW_KEYS = ("text", "row", "content", "sentence", "value")
# Around the reasoning of DeepSeek, Qwen and their kin, of Mistral's and of Kimi's models; gpt-oss ends it where its final channel begins.
REASONING_BEGINS = re.compile(r"<(?:think|thinking|thought|reasoning)>|\[THINK\]|\u25c1think\u25b7|<\|channel\|>analysis", re.IGNORECASE)
REASONING_ENDS = re.compile(
    r"</(?:think|thinking|thought|reasoning)>|\[/THINK\]|\u25c1/think\u25b7|<\|channel\|>final<\|message\|>", re.IGNORECASE
)
LIST_MARK = re.compile(r"^(?:[-*\u2022\u2013]|[0-9]{1,3}[.)])(?:\s+|$)")


@dataclass(frozen=True)
class Parsed:
    """status: ok, refused, truncated or unparsable. Exactly one of ``rows`` and ``attributes`` is filled when ok."""

    status: str
    detail: str | None = None
    rows: tuple[str, ...] = ()
    attributes: tuple[tuple[str, str], ...] = ()


class _Rows(BaseModel):
    model_config = ConfigDict(strict=True)
    rows: list[str] = Field(min_length=1)


_SCALAR: TypeAdapter[str | int | float | bool] = TypeAdapter(str | int | float | bool)


def parse_answer(prompt: Prompt, answer: Answer, n_rows: int) -> Parsed:
    """The rows of an answer to a prompt for rows: as JSON, or as the lines of a continued list."""
    if prompt.schema or not prompt.text:
        return parse_rows(answer.answer, answer.finish_reason, n_rows, answer.refusal)
    return parse_continuation(answer.answer, answer.finish_reason, n_rows, prompt.stop, answer.refusal)


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
        return _filtered(finish_reason)
    text, cut = answer or "", reason not in COMPLETE
    for mark in filter(None, stop):
        before, found, _ = text.partition(mark)
        text, cut = before, cut and not found
    lines = text.split("\n")
    whole = lines[:-1] if cut else lines
    rows = tuple(row for row in (LIST_MARK.sub("", line.strip(), count=1).strip() for line in whole) if row)
    if rows:
        return Parsed("ok", rows=rows[:n_rows])
    return _cut_off(finish_reason) if cut and text.strip() else Parsed("unparsable", "nothing was written")


def strict_json(answer: str | None) -> Any:
    """The JSON value that an answer is, its reasoning aside. Raises ValueError where it is anything else."""
    try:
        return json.loads(answer or "")
    except RecursionError as err:
        raise ValueError("nested too deep") from err
    except ValueError:
        rest = _after_reasoning(answer or "")
        if rest is None or rest == answer:
            raise
        return json.loads(rest)


def cut_off(finish_reason: str | None) -> bool:
    """Whether a server says that an answer reached its token limit."""
    return (finish_reason or "").lower() in CUT


def reasons(answer: str) -> bool:
    """Whether an answer begins a reasoning that it does not end."""
    return _after_reasoning(answer) is None


def holds_json(answer: str | None, finish_reason: str | None, refusal: str | None) -> bool:
    """Whether an answer that came whole holds JSON; refused and cut ones count as if they did."""
    data = _load(answer, finish_reason, refusal)
    return not isinstance(data, Parsed) or data.status != "unparsable"


def _load(answer: str | None, finish_reason: str | None, refusal: str | None) -> Any:
    """The decoded JSON value, or a Parsed that says why there is none."""
    reason = finish_reason.lower() if finish_reason else finish_reason
    if refusal:
        return Parsed("refused", refusal[:500])
    if reason in FILTERED:
        return _filtered(finish_reason)
    if reason in CUT:
        return _cut_off(finish_reason)
    if not answer or not answer.strip():
        return Parsed("unparsable", "the answer is empty")
    try:
        return strict_json(answer)
    except ValueError as err:
        rest = _after_reasoning(answer)
        if rest is None:
            return Parsed("truncated", "the model's reasoning never ends")
        if not any(bracket in rest for bracket in "{["):
            return Parsed("unparsable", "no JSON in the answer")
        if not _closes(rest):
            return Parsed("truncated", f"the answer never closes (finish_reason {finish_reason})")
        if reason not in COMPLETE:
            return Parsed("unparsable", f"not JSON, and not finished (finish_reason {finish_reason}): {err}")
    return _repair(rest)


def _filtered(finish_reason: str | None) -> Parsed:
    return Parsed("refused", f"the server filtered the answer (finish_reason {finish_reason})")


def _cut_off(finish_reason: str | None) -> Parsed:
    return Parsed("truncated", f"the answer reached its token limit (finish_reason {finish_reason})")


def _after_reasoning(answer: str) -> str | None:
    """What stands after the last end of reasoning; None where reasoning begins that never ends.

    A server's template may have begun the reasoning, so its end alone is enough."""
    *_, rest = REASONING_ENDS.split(answer)
    return None if REASONING_BEGINS.search(rest) else rest.strip()


def _closes(answer: str) -> bool:
    """Whether every bracket outside of double quotes, and every double quote, closes. Where quotes are not escaped this may say no
    of a whole answer: that costs an answer, the other error a wrong row.

    >>> _closes('Here: {"rows": ["a [", "b"]}'), _closes('{"rows": ["a]}')
    (True, False)
    """
    outside = re.sub(r'"(?:[^"\\]|\\.)*"', "", answer, flags=re.DOTALL)
    open_ = 0
    for char in outside:
        open_ = max(0, open_ + (char in "{[") - (char in "}]"))
    return open_ == 0 and '"' not in outside


def _repair(answer: str) -> Any:
    """The JSON value in an answer with a fence, a preface or a slip in it. Never called on a truncated answer."""
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
