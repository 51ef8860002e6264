"""One call over the OpenAI protocol: sent, waited for, retried where that helps, and returned as a value.

The SDK's own retries are off: they would multiply with ours and know nothing of the pool's limits.
"""

import asyncio
import dataclasses
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Protocol

import openai

from synalign_spark.generation.calls import Answer, Request
from synalign_spark.generation.dialects import form, shown
from synalign_spark.generation.faults import NEVER_RETRIED, Fault, backoff, classify
from synalign_spark.generation.limits import Take
from synalign_spark.generation.probes import word_request
from synalign_spark.generation.replies import answer_of
from synalign_spark.generation.target import Target
from synalign_spark.generation.window import Refusal, Turn

REQUEST_ID_HEADER = "X-Request-Id"
LONGEST_PAUSE_S = 300.0
WORD_TIMEOUT_S = 30.0


class Gate(Protocol):
    """The pool's limiter, as a call sees it."""

    async def acquire(self, reserved: Take) -> Turn | Refusal:
        """Waits for a turn of a request that may take ``reserved``."""
        ...

    async def settle(self, turn: Turn, status: str, reserved: Take, used: Take) -> None:
        """Ends a turn. status: as in Answer."""
        ...

    async def pause(self, seconds: float) -> None: ...


def parameters(request: Request, target: Target) -> dict[str, Any]:
    """The body of a call."""
    prompt, terms = request.prompt, target.terms
    said: dict[str, Any] = {"prompt": prompt.text} if prompt.text else {"messages": list(prompt.messages)}
    formed = form(terms.of(prompt), prompt)
    # A form ends by itself, and a stop mark may stand within it: blank lines before the last brace are JSON too.
    stop = {"stop": list(prompt.stop)} if prompt.text and prompt.stop and not formed else {}
    length = {"max_tokens" if prompt.text else terms.token_parameter: request.max_output_tokens}
    sampling = {name: value for name, value in request.sampling.items() if name not in terms.dropped}
    return {"model": target.model} | said | length | stop | sampling | formed


def send(client: Any, request: Request, target: Target, headers: dict[str, str] | None = None) -> Any:
    """Sends a call by either client of the SDK: its reply, or an awaitable of it."""
    body = parameters(request, target)
    said = "prompt" if request.prompt.text else "messages"
    of_sdk = {name: body.pop(name) for name in ("model", said)}
    resource = client.completions if request.prompt.text else client.chat.completions
    # What the SDK has no name for, and what it has, goes the same way.
    return resource.create(**of_sdk, extra_body=body, extra_headers=target.request_headers | (headers or {}))


@dataclasses.dataclass
class _Spent:
    """Tokens of attempts that failed, on the high side: what they may have cost."""

    prompt: int = 0
    completion: int = 0

    def add(self, request: Request, fault: Fault, reserved: Take) -> Take:
        """Counts an attempt. Returns what it may have taken."""
        if not fault.ran:
            return Take()
        self.prompt, self.completion = self.prompt + request.prompt_tokens, self.completion + request.max_output_tokens
        return reserved

    def onto(self, answer: Answer) -> Answer:
        """The answer with the tokens of the attempts before it."""
        if not self.prompt:
            return answer
        prompt, completion = (answer.prompt_tokens or 0) + self.prompt, (answer.completion_tokens or 0) + self.completion
        return dataclasses.replace(answer, prompt_tokens=prompt, completion_tokens=completion, tokens_estimated=True)


async def ask(
    client: openai.AsyncOpenAI, request: Request, target: Target, gate: Gate, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
) -> Answer:
    """The answer to a request, after at most ``target.max_attempts`` HTTP requests. Never raises for a fault of the endpoint."""
    fault, attempt, latency, spent = Fault("not_asked", ""), 0, 0.0, _Spent()
    reserved = target.take(request.prompt_tokens, request.max_output_tokens)
    headers = {REQUEST_ID_HEADER: request.request_id}
    while attempt < target.max_attempts:
        turn = await gate.acquire(reserved)
        if isinstance(turn, Refusal):
            fault = fault if attempt and turn.status == "not_asked" else Fault(turn.status, turn.error)
            break
        if turn.probe:
            await gate.settle(turn, await _ask_for_a_word(client, request, target, gate), reserved, Take())
            continue
        attempt += 1
        started = time.monotonic()
        try:
            reply = await asyncio.wait_for(send(client, request, target, headers), target.timeout_s)
            answer = answer_of(reply, request, target, attempt, time.monotonic() - started)
        except Exception as err:  # every fault of a call becomes a row; classify says which
            fault = classify(err)
        else:
            await gate.settle(turn, answer.status, reserved, target.take(answer.prompt_tokens or 0, answer.completion_tokens or 0))
            return spent.onto(answer)
        latency = time.monotonic() - started
        await gate.settle(turn, fault.status, reserved, spent.add(request, fault, reserved))
        if fault.status in NEVER_RETRIED or attempt == target.max_attempts:
            break
        await sleep(backoff(request.request_id, attempt) + await _asked_to_wait(fault, gate))
    return spent.onto(_failed(request, target, fault, attempt, latency))


def _failed(request: Request, target: Target, fault: Fault, attempts: int, latency: float) -> Answer:
    """The answer of a call that got none. A prompt that the server's moderation refuses was answered: by a refusal."""
    error, dialect = target.scrub(fault.message), shown(target.terms.of(request.prompt))
    if fault.status == "moderated":
        return refused(Answer(request.request_id, "forbidden", attempts, dialect=dialect, latency_s=round(latency, 4), error=error))
    return Answer(request.request_id, fault.status, attempts, dialect=dialect, latency_s=round(latency, 4), error=error)


def refused(answer: Answer) -> Answer:
    """A prompt that was not taken, as an answer with a refusal."""
    now = datetime.now(UTC).isoformat()
    return dataclasses.replace(
        answer, status="answered", finish_reason="content_filter", refusal=answer.error or "refused", finished_at=now
    )


async def _asked_to_wait(fault: Fault, gate: Gate) -> float:
    """Seconds that the server asked for, which hold for the whole pool."""
    if fault.retry_after is None:
        return 0.0
    wait = min(fault.retry_after, LONGEST_PAUSE_S)
    await gate.pause(wait)
    return wait


async def _ask_for_a_word(client: openai.AsyncOpenAI, request: Request, target: Target, gate: Gate) -> str:
    """Asks an endpoint that was down for a word. Returns the status: a call of the run itself might be what it cannot bear."""
    try:
        await asyncio.wait_for(send(client, word_request(request), target), min(target.timeout_s, WORD_TIMEOUT_S))
    except Exception as err:
        fault = classify(err)
        await _asked_to_wait(fault, gate)
        return fault.status
    return "answered"
