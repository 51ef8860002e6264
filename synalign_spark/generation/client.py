"""One call over the OpenAI protocol: sent, waited for, retried where that helps, and returned as a value.

The SDK's own retries are off: they would multiply with ours and know nothing of the pool's limits.
Which fault is retried is said in one place, ``classify``. Servers differ in how they are asked for JSON (a schema, a
schema without limits, just JSON, or nothing): in their dialect.
"""

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Protocol

import openai

from synalign_spark.generation.calls import Answer, Request
from synalign_spark.generation.prompts import Prompt, rows_schema
from synalign_spark.generation.window import Refusal, Turn

REQUEST_ID_HEADER = "X-Request-Id"
FIRST_BACKOFF_S, LONGEST_BACKOFF_S, LONGEST_PAUSE_S = 0.5, 30.0, 300.0
PROBE_TOKENS, PROBE_TIMEOUT_S = 64, 30.0
PROBE = Prompt(
    ({"role": "user", "content": 'Write one text: the word hello. JSON: {"rows": [1 string]}'},),
    rows_schema(1, 1, 40),
    "rows",
)
NEVER_RETRIED = "fatal", "bad_request"
HIDDEN = "[hidden]"
# In the order in which they are tried. The part before the slash is what the calls table shows.
DIALECTS = ("json_schema", "json_schema/plain", "json_object/schema", "json_object", "text")
LIMIT_KEYS = frozenset({"minLength", "maxLength", "minItems", "maxItems"})


@dataclass(frozen=True)
class Target:
    """Where and how to ask. The key stays in memory: it is left out of ``repr``."""

    base_url: str | None
    model: str
    dialect: str
    token_parameter: str  # 'max_tokens', or 'max_completion_tokens' for newer OpenAI models
    timeout_s: float
    max_attempts: int
    api_key: str = field(repr=False)

    def scrub(self, text: str) -> str:
        """The text without the key, at most 1,000 characters of it."""
        return (text.replace(self.api_key, HIDDEN) if len(self.api_key) > 4 else text)[:1000]


class Gate(Protocol):
    """The pool's limiter, as a call sees it."""

    async def acquire(self, tokens: int) -> Turn | Refusal:
        """Waits for a turn."""
        ...

    async def settle(self, turn: Turn, status: str, reserved: int, used: int) -> None:
        """Ends a turn. status: as in Answer."""
        ...

    async def pause(self, seconds: float) -> None: ...


@dataclass(frozen=True)
class Fault:
    """status: as in Answer. retry_after: seconds that the server asked to wait, or None."""

    status: str
    message: str
    retry_after: float | None = None


def classify(err: Exception) -> Fault:
    """What an exception of the SDK means. Unknown kinds count as the server's fault and are retried."""
    message = " ".join(str(err).split())
    if isinstance(err, openai.APITimeoutError | TimeoutError):
        return Fault("timeout", message or "no answer in time")
    if isinstance(err, openai.APIConnectionError):
        cause = err.__cause__ or err
        return Fault("server_error", f"no connection: {cause or type(cause).__name__}")
    if isinstance(err, openai.APIStatusError):
        code, wait = err.status_code, retry_after(err.response.headers)
        if code == 429:
            spent = "insufficient_quota" in message
            return Fault("fatal" if spent else "rate_limited", message, wait)
        if code in (401, 402, 403, 404):
            return Fault("fatal", message)
        if code in (408, 409, 425) or code >= 500:
            return Fault("timeout" if code in (408, 504) else "server_error", message, wait)
        return Fault("bad_request", message)
    return Fault("server_error", f"{type(err).__name__}: {message}")


def retry_after(headers: Any) -> float | None:
    """Seconds in a Retry-After (or retry-after-ms) header; None where there is none that can be read.

    >>> retry_after({"retry-after": "7"}), retry_after({"retry-after-ms": "250"}), retry_after({})
    (7.0, 0.25, None)
    """
    try:
        if "retry-after-ms" in headers:
            return max(0.0, float(headers["retry-after-ms"]) / 1000)
        value = headers.get("retry-after")
        if value is None:
            return None
        try:
            seconds = float(value)
        except ValueError:
            seconds = (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
        return max(0.0, seconds)
    except (ValueError, TypeError):
        return None


def backoff(request_id: str, attempt: int) -> float:
    """Seconds before the next attempt: doubles each time, with a jitter that follows from the request.

    >>> [0.25 <= backoff("id", 1) <= 0.75, 2.0 <= backoff("id", 4) <= 6.0]
    [True, True]
    """
    draw = hashlib.sha256(f"{request_id}:{attempt}".encode()).digest()
    jitter = 0.5 + int.from_bytes(draw[:4], "big") / 2**32
    return min(LONGEST_BACKOFF_S, FIRST_BACKOFF_S * 2.0 ** (attempt - 1)) * jitter


def candidates(structured_output: str) -> tuple[str, ...]:
    """The dialects to try for the configured value; 'auto' tries all.

    >>> candidates("json_schema")
    ('json_schema', 'json_schema/plain')
    """
    return DIALECTS if structured_output == "auto" else tuple(d for d in DIALECTS if shown(d) == structured_output)


def shown(dialect: str) -> str:
    """The name of a dialect in the calls table."""
    return dialect.partition("/")[0]


def response_format(dialect: str, prompt: Prompt) -> dict[str, Any] | None:
    """The ``response_format`` parameter of a call; None for plain text."""
    if dialect == "text":
        return None
    if dialect == "json_object":
        return {"type": "json_object"}
    if dialect == "json_object/schema":
        return {"type": "json_object", "schema": prompt.schema}
    schema = without_limits(prompt.schema) if dialect == "json_schema/plain" else prompt.schema
    return {"type": "json_schema", "json_schema": {"name": prompt.schema_name, "schema": schema, "strict": True}}


def without_limits(schema: Any) -> Any:
    """The schema without lengths and counts, which some servers refuse. Property names are left alone.

    >>> without_limits({"type": "array", "items": {"type": "string", "maxLength": 9}, "minItems": 2})
    {'type': 'array', 'items': {'type': 'string'}}
    """
    if isinstance(schema, list):
        return [without_limits(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {}
    for key, value in schema.items():
        if key == "properties":
            kept[key] = {name: without_limits(part) for name, part in value.items()}
        elif key not in LIMIT_KEYS:
            kept[key] = without_limits(value)
    return kept


def parameters(request: Request, target: Target) -> dict[str, Any]:
    """The body of a call and its id as a header."""
    body: dict[str, Any] = {
        "model": target.model,
        "messages": list(request.prompt.messages),
        "temperature": request.temperature,
        "top_p": request.top_p,
        "seed": request.seed,
        target.token_parameter: request.max_output_tokens,
        "extra_headers": {REQUEST_ID_HEADER: request.request_id},
    }
    wanted = response_format(target.dialect, request.prompt)
    return body if wanted is None else body | {"response_format": wanted}


async def ask(
    client: openai.AsyncOpenAI, request: Request, target: Target, gate: Gate, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
) -> Answer:
    """The answer to a request, after at most ``target.max_attempts`` HTTP requests. Never raises for a fault of the endpoint."""
    fault, attempt, latency = Fault("not_asked", ""), 0, 0.0
    while attempt < target.max_attempts:
        reserved = request.reserved_tokens
        turn = await gate.acquire(reserved)
        if isinstance(turn, Refusal):
            fault = fault if attempt and turn.status == "not_asked" else Fault(turn.status, turn.error)
            break
        if turn.probe:
            await gate.settle(turn, await _probe(client, target, gate), reserved, 0)
            continue
        attempt += 1
        started = time.monotonic()
        try:
            reply = await asyncio.wait_for(client.chat.completions.create(**parameters(request, target)), target.timeout_s)
            answer = _answered(reply, request, target, attempt, time.monotonic() - started)
        except Exception as err:  # every fault of a call becomes a row; classify says which
            fault = classify(err)
        else:
            await gate.settle(turn, answer.status, reserved, answer.tokens or reserved)
            return answer
        latency = time.monotonic() - started
        await gate.settle(turn, fault.status, reserved, 0)
        if fault.status in NEVER_RETRIED or attempt == target.max_attempts:
            break
        await sleep(backoff(request.request_id, attempt) + await _asked_to_wait(fault, gate))
    error = target.scrub(fault.message)
    return Answer(request.request_id, fault.status, attempt, dialect=shown(target.dialect), latency_s=round(latency, 4), error=error)


async def _asked_to_wait(fault: Fault, gate: Gate) -> float:
    """Seconds that the server asked for, which hold for the whole pool."""
    if fault.retry_after is None:
        return 0.0
    wait = min(fault.retry_after, LONGEST_PAUSE_S)
    await gate.pause(wait)
    return wait


async def _probe(client: openai.AsyncOpenAI, target: Target, gate: Gate) -> str:
    """Asks an endpoint that was down for a word. Returns the status: a call of the run itself might be what it cannot bear."""
    body: dict[str, Any] = {
        "model": target.model,
        "messages": list(PROBE.messages),
        target.token_parameter: PROBE_TOKENS,
    }
    try:
        await asyncio.wait_for(client.chat.completions.create(**body), min(target.timeout_s, PROBE_TIMEOUT_S))
    except Exception as err:
        fault = classify(err)
        await _asked_to_wait(fault, gate)
        return fault.status
    return "answered"


def _answered(reply: Any, request: Request, target: Target, attempts: int, latency: float) -> Answer:
    """The stored form of a reply. Raises ValueError for a body that is no chat completion (some proxies answer errors with 200)."""
    choices = getattr(reply, "choices", None)
    if not choices:
        raise ValueError(f"the server's answer has no choices: {str(reply)[:200]}")
    message, usage = choices[0].message, getattr(reply, "usage", None)
    return Answer(
        request.request_id,
        "answered",
        attempts,
        answer=message.content,
        finish_reason=choices[0].finish_reason,
        refusal=getattr(message, "refusal", None),
        prompt_tokens=getattr(usage, "prompt_tokens", None),
        completion_tokens=getattr(usage, "completion_tokens", None),
        latency_s=round(latency, 4),
        dialect=shown(target.dialect),
        finished_at=datetime.now(UTC).isoformat(),
    )
