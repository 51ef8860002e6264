"""From a raw answer to its JSON value, or to the reason why there is none.

``finish_reason`` is looked at before the text: an answer that was cut off is never repaired, because
repaired JSON of a truncated answer is valid and wrong (a half sentence becomes a row). Servers say "stop" of
answers that were cut, too: JSON that never closes was cut, whatever they say. Repair (json-repair) is for finished
answers alone. Of a model that reasons, only what stands after its last reasoning is an answer.
"""

import contextlib
import json
import re
from dataclasses import dataclass
from typing import Any

from json_repair import repair_json

from synalign_spark.generation.gates import meta

COMPLETE = ("stop", "stop_sequence", "eos", "eos_token", "end_turn", "tool_calls", "function_call", None, "")
CUT = ("length", "max_tokens")
FILTERED = (
    "content_filter",
    "refusal",
    "safety",
    "prohibited_content",
    "blocklist",
    "recitation",
    "spii",
)  # OpenAI's, Anthropic's, Gemini's
FAILED = (
    "error",
    "abort",
    "aborted",
    "cancelled",
    "malformed_function_call",
)  # OpenRouter's, vLLM's, Gemini's: what stands there is no answer, however whole
FENCE = re.compile(r"^[ \t]*```\w*[ \t]*\n(.*?)^[ \t]*```", re.DOTALL | re.MULTILINE)
STRING = re.compile(r'"(?:[^"\\]|\\.)*("?)', re.DOTALL)  # to the end where it never closes: many that never do would cost n^2
# Around the reasoning of DeepSeek, Qwen and their kin (Seed's with a prefix), of Mistral's, Kimi's, OpenThinker's and Cohere's models; gpt-oss
# ends it where its final channel begins.
_TAG = r"(?:\w{1,20}:)?(?:think|thinking|thoughts?|reasoning)>"
REASONING_BEGINS = re.compile(
    rf"<{_TAG}|\[THINK\]|\u25c1think\u25b7|<\|begin_of_thought\|>|<\|START_THINKING\|>|<\|channel\|>analysis", re.IGNORECASE
)
REASONING_ENDS = re.compile(
    rf"</{_TAG}|\[/THINK\]|\u25c1/think\u25b7|<\|end_of_thought\|>|<\|END_THINKING\|>"
    r"|<\|channel\|>(?:final|commentary)[^<]{0,80}(?:<\|constrain\|>\w{0,20})?<\|message\|>",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class BadRow:
    """A row of a sound answer that is none. place: in the answer; text: what stands there; words: what is wrong with it."""

    place: int
    text: str
    words: str


@dataclass(frozen=True)
class Parsed:
    """status: ok, refused, truncated or unparsable; reason: code of the refusals table where the status has more than one. Exactly one of ``rows`` and ``attributes`` is filled when ok.

    fields: of each of ``rows`` its parts by name, where rows have parts; bad: what stood among the rows and is no row."""

    status: str
    detail: str | None = None
    rows: tuple[str, ...] = ()
    attributes: tuple[tuple[str, str], ...] = ()
    fields: tuple[dict[str, str], ...] = ()
    bad: tuple[BadRow, ...] = ()
    reason: str | None = None

    @property
    def places(self) -> list[int]:
        """The place in the answer of each of ``rows``.

        >>> Parsed("ok", rows=("a", "b"), bad=(BadRow(1, "null", "null, not a text"),)).places
        [0, 2]
        """
        taken = {bad.place for bad in self.bad}
        return [place for place in range(len(self.rows) + len(self.bad)) if place not in taken]


def storable(text: str) -> str:
    """Text that UTF-8 can hold: lone surrogates, which JSON can carry, become question marks.

    >>> storable("warm \\ud83d")
    'warm ?'
    """
    return text.encode("utf-8", "replace").decode("utf-8")


def strict_json(answer: str | None) -> Any:
    """The JSON value that an answer is, its reasoning aside. JSON within a JSON text is what was meant. Raises ValueError where it is
    anything else."""
    try:
        data = json.loads(answer or "")
        return json.loads(data) if isinstance(data, str) and data.strip()[:1] in ("{", "[") else data
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
    data = load(answer, finish_reason, refusal)
    return not isinstance(data, Parsed) or data.status != "unparsable"


def load(answer: str | None, finish_reason: str | None, refusal: str | None) -> Any:
    """The decoded JSON value, or a Parsed that says why there is none."""
    reason = finish_reason.lower() if finish_reason else finish_reason
    if refusal:
        return Parsed("refused", refusal[:500])
    if reason in FILTERED:
        return filtered(finish_reason)
    if reason in CUT:
        return as_cut(finish_reason)
    if reason in FAILED:
        return failed(finish_reason)
    if not answer or not answer.strip():
        return Parsed("unparsable", "the answer is empty")
    try:
        data = strict_json(answer)
        return _declined(data) or data
    except ValueError as err:
        rest = _after_reasoning(answer)
        if rest is None:
            return Parsed("truncated", "the model's reasoning never ends")
        if fenced := _fenced(rest):
            return fenced
        if not any(bracket in rest for bracket in "{["):
            return _declined(rest) or Parsed("unparsable", "no JSON in the answer")
        if not _closes(rest):
            return Parsed("truncated", f"the answer never closes (finish_reason {finish_reason})")
        if reason not in COMPLETE:
            return Parsed("unparsable", f"not JSON, and not finished (finish_reason {finish_reason}): {err}")
    return _repair(rest)


def _declined(data: Any) -> Parsed | None:
    """The refusal that an answer is: a text where JSON was asked for, or the one text of an object, whatever its name, beside nothing or
    empty lists. It would be one again, were it asked for again.

    >>> _declined({"rows": [], "error": "I'm sorry, but I can't help with that."}).status
    'refused'
    """
    if isinstance(data, dict):
        texts = [value for value in data.values() if value not in ([], None)]
        data = texts[0] if len(texts) == 1 else None
    said = meta.declines(data) if isinstance(data, str) else None
    return Parsed("refused", said, reason=meta.GATE) if said else None


def filtered(finish_reason: str | None) -> Parsed:
    return Parsed("refused", f"the server filtered the answer (finish_reason {finish_reason})")


def failed(finish_reason: str | None) -> Parsed:
    return Parsed("unparsable", f"the server says that the answer failed (finish_reason {finish_reason})")


def as_cut(finish_reason: str | None) -> Parsed:
    why = "reached its token limit" if cut_off(finish_reason) else "is not said to be finished"
    return Parsed("truncated", f"the answer {why} (finish_reason {finish_reason})")


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
    outside = STRING.sub(lambda found: "" if found.group(1) else '"', answer)
    open_ = 0
    for char in outside:
        open_ = max(0, open_ + (char in "{[") - (char in "}]"))
    return open_ == 0 and '"' not in outside


def _fenced(answer: str) -> Any:
    """The JSON in the fences of an answer, whatever brackets and quotes stand round them; None where there is none that is sound.

    >>> _fenced('5" of text [as asked]:\\n```json\\n{"rows": ["a"]}\\n```')
    {'rows': ['a']}
    """
    sound = []
    for block in FENCE.findall(answer) if answer.count("```") % 2 == 0 else ():
        with contextlib.suppress(ValueError, RecursionError):
            if isinstance(value := json.loads(block), dict | list):
                sound.append((block, value))
    return sound[0][1] if len(sound) == 1 else _values("\n".join(block for block, _ in sound))


def _values(answer: str) -> Any:
    """JSON objects one after another (JSON lines) as one value, None where an answer is anything else: objects of one row each are a list
    of rows; of answers with several rows the last counts, for those before it were drafts.

    >>> _values('{"text": "a"}\\n{"text": "b"}'), _values('{"rows": ["a"]} {"rows": ["b"]}'), _values('{"rows": ["a", "b"]} {"rows": ["c"]}')
    ([{'text': 'a'}, {'text': 'b'}], {'rows': ['a', 'b']}, {'rows': ['c']})
    """
    decoder, values, rest = json.JSONDecoder(), [], answer.strip()
    try:
        while rest:
            value, end = decoder.raw_decode(rest)
            values.append(value)
            rest = rest[end:].lstrip(" \t\r\n,")
    except (ValueError, RecursionError):
        return None
    if len(values) < 2 or not all(isinstance(value, dict) for value in values):
        return None
    several = [value["rows"] for value in values if isinstance(value.get("rows"), list)]
    if not several:
        return values
    return {"rows": [row for rows in several for row in rows]} if all(len(rows) < 2 for rows in several) else {"rows": several[-1]}


def _repair(answer: str) -> Any:
    """The JSON value in an answer with a fence, a preface or a slip in it. Never called on a truncated answer."""
    if one_after_another := _values(answer):
        return one_after_another
    try:
        data = repair_json(answer, return_objects=True, skip_json_loads=True)
    except (ValueError, RecursionError, IndexError, TypeError) as err:
        return Parsed("unparsable", f"cannot be repaired: {err}")
    if isinstance(data, list) and data and all(isinstance(part, dict) for part in data) and any("rows" in part for part in data):
        data = next(part for part in data if "rows" in part)
    return data if data not in ("", None, [], {}) else Parsed("unparsable", "no JSON in the answer")
