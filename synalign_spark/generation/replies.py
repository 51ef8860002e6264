"""From the body of a reply to a stored answer: its text wherever the server put it, and what it took.

The SDK does not check what it reads: a field may have any type. Only text enters an answer."""

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from synalign_spark.generation.calls import Answer, Request
from synalign_spark.generation.dialects import shown
from synalign_spark.generation.faults import NotACompletionError
from synalign_spark.generation.prompts.tokens import cautious_tokens
from synalign_spark.generation.reading import COMPLETE, cut_off
from synalign_spark.generation.target import Target

MOST_TOKENS = 10**9
TEXT_PARTS = ("text", "output_text")


def answer_of(reply: Any, request: Request, target: Target, attempts: int, latency: float) -> Answer:
    """The answer in a reply to the last of ``attempts`` HTTP requests. Raises NotACompletionError for a body that is none."""
    choices = _choices(reply)
    choice = choices[0] if request.prompt.choices == 1 else _as_list(choices, request.prompt.choices)
    message = None if request.prompt.text else getattr(choice, "message", None)
    text, note = _text(choice, message, target)
    text, thoughts = None if text is None else target.scrubbed(text), target.scrubbed(_thoughts(message) or "")
    usage = getattr(reply, "usage", None)
    prompt_tokens = count(usage, "prompt_tokens", least=1)
    # Some servers count the tokens of the first of several answers alone (llama.cpp), and no word has less than one.
    least = len((text or "").split()) if request.prompt.choices > 1 else int(bool(text or thoughts))
    completion_tokens = count(usage, "completion_tokens", least)
    return Answer(
        request.request_id,
        "answered",
        attempts,
        answer=text,
        finish_reason=_string(getattr(choice, "finish_reason", None)),
        refusal=None if (refusal := _string(getattr(message, "refusal", None))) is None else target.scrub(refusal),
        prompt_tokens=request.prompt_tokens if prompt_tokens is None else prompt_tokens,
        completion_tokens=cautious_tokens((text or "") + thoughts) if completion_tokens is None else completion_tokens,
        tokens_estimated=prompt_tokens is None or completion_tokens is None,
        latency_s=round(latency, 4),
        dialect=shown(target.terms.of(request.prompt)),
        error=note or getattr(choice, "note", None),
        finished_at=datetime.now(UTC).isoformat(),
        model=target.model,
        endpoint=target.endpoint,
    )


def refused(answer: Answer) -> Answer:
    """A prompt that was not taken, as an answer with a refusal."""
    now = datetime.now(UTC).isoformat()
    return replace(answer, status="answered", finish_reason="content_filter", refusal=answer.error or "refused", finished_at=now)


def _choices(reply: Any) -> list[Any]:
    choices = getattr(reply, "choices", None)
    if isinstance(choices, list) and choices:
        return choices
    raise not_an_answer(reply, "choices")


@dataclass(frozen=True)
class _List:
    """Answers of one line each as one that lists them. note: what is to be said of them."""

    text: str | None
    finish_reason: str | None
    note: str | None


def _as_list(choices: list[Any], wanted: int) -> _List:
    """Whole lines first, and at the end one that was cut off, as if the list ended there; others that are none are left out beside whole
    ones. wanted: how many were asked for."""
    said = [(_string(getattr(choice, "text", None)), _string(getattr(choice, "finish_reason", None))) for choice in choices[:wanted]]
    whole = [one for one in said if one[0] and (one[1] or "").lower() in COMPLETE]
    cut = [one for one in said if one[0] and cut_off(one[1])]
    listed = [*whole, *cut[:1]] or said[:1]
    note = f"{len(cut)} of {wanted} answers to the prompt were cut off" if whole and cut else None
    note = note if len(choices) >= wanted else f"{len(choices)} of {wanted} answers to the prompt came"
    return _List("\n- ".join((text or "").strip().split("\n")[0] for text, _ in listed), listed[-1][1], note)


def too_few(reply: Any, request: Request) -> bool:
    """Whether a server gave fewer answers to a prompt than it was asked for."""
    return len(_choices(reply)) < request.prompt.choices


def not_an_answer(reply: Any, wanted: str) -> NotACompletionError:
    """The error for a body with status 200 that lacks what was wanted of it."""
    if isinstance(reply, str) and reply.lstrip()[:1] == "<":
        return NotACompletionError(
            "the server answers with a web page (HTML) where an answer should be; "
            f"generate.llm.base_url is to be the API's address, mostly ending in /v1: {reply[:80]!r}"
        )
    if isinstance(reply, str) and reply.lstrip().startswith(("data:", "event:")):
        return NotACompletionError("the server answers with a stream of events, which was not asked for: let it answer in one piece")
    code = _field(_field(reply, "error"), "code")
    known = isinstance(code, int) and not isinstance(code, bool) and 400 <= code < 600
    return NotACompletionError(f"the server's answer has no {wanted}: {_shown(reply)[:200]}", code if known else 0)


def _shown(reply: Any) -> str:
    """A reply as JSON, whichever client has read it."""
    if hasattr(reply, "model_dump"):
        reply = reply.model_dump(exclude_unset=True, warnings=False)
    return reply if isinstance(reply, str) else json.dumps(reply, default=vars, ensure_ascii=False)


def _text(choice: Any, message: Any, target: Target) -> tuple[str | None, str | None]:
    """(the answer's text, why there is none)."""
    if message is None:
        text = _string(getattr(choice, "text", None))
        return text, None if text is not None else "the answer has no text"
    called = _arguments(message)
    if called is not None:
        return called, None
    content, thoughts = getattr(message, "content", None), _thoughts(message)
    text = _joined(content)
    if (text and text.strip()) or not thoughts:
        return text, None if text is not None or content is None else f"content is of type {type(content).__name__}, and holds no text"
    if target.terms.reasoning:
        return thoughts, None
    return None, (
        f"content is empty, and reasoning_content has {len(thoughts):,} characters: this endpoint's answers do not stand there; "
        "a larger generate.llm.max_output_tokens lets the model finish its reasoning"
    )


def _thoughts(message: Any) -> str | None:
    """What a server keeps apart as reasoning, under either name that is in use."""
    return _string(getattr(message, "reasoning_content", None)) or _string(getattr(message, "reasoning", None))


def _arguments(message: Any) -> str | None:
    """The arguments of the function calls of a message, which some servers give as an object instead of its text; None without a call."""
    calls = getattr(message, "tool_calls", None)
    called = [_field(call, "function") for call in calls] if isinstance(calls, list) else []
    given = [_field(one, "arguments") for one in called or [getattr(message, "function_call", None)]]  # the form before tools
    found = [_shown(one) for one in given if one is not None]
    return None if not found else found[0] if len(found) == 1 else _in_one(found)


def _in_one(arguments: list[str]) -> str:
    """Arguments of calls at once as those of one: models that may call in parallel make a call a row, or one for each attribute. What is no
    object leaves the first.

    >>> _in_one(['{"rows": ["a", "b"]}', '{"rows": ["c"]}']), _in_one(['{"text": "a"}', '{"text": "b"}']), _in_one(['{"x": 1', '{"x": 2}'])
    ('{"rows": ["a", "b", "c"]}', '{"text": ["a", "b"]}', '{"x": 1')
    >>> _in_one(['{"subject": "war"}', '{"voice": "dry"}'])
    '{"subject": "war", "voice": "dry"}'
    """
    try:
        objects = [json.loads(one) for one in arguments]
    except ValueError:
        return arguments[0]
    if not all(isinstance(one, dict) for one in objects):
        return arguments[0]
    merged: dict[str, Any] = {}
    for name, value in (item for one in objects for item in one.items()):
        merged[name] = _listed(merged[name]) + _listed(value) if name in merged else value
    return json.dumps(merged, ensure_ascii=False)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _joined(content: Any) -> str | None:
    """Content as text: a string, or the text parts of a list, joined; parts of other types are left out."""
    if not isinstance(content, list):
        return _string(content)
    texts = [_string(_field(part, "text")) for part in content if _field(part, "type") in TEXT_PARTS]
    found = [text for text in texts if text is not None]
    return "".join(found) if found else None


def _field(part: Any, name: str) -> Any:
    return part.get(name) if isinstance(part, dict) else getattr(part, name, None)


def _string(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def count(usage: Any, name: str, least: int) -> int | None:
    """A number of tokens that a server reports; None where it reports none that can be one: no prompt has 0, and none a billion."""
    value = _field(usage, name)
    return value if isinstance(value, int) and not isinstance(value, bool) and least <= value <= MOST_TOKENS else None
