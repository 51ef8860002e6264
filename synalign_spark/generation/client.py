"""One call over the OpenAI protocol: asked for by the limiter's leave, retried where that helps, and returned as a value.

What retries there are stand here: a client's own would multiply with them and know nothing of the pool's limits.
"""

import asyncio
from collections.abc import Awaitable, Callable

from synalign_spark.generation.backends.limiter import Leave, Limiter
from synalign_spark.generation.backends.protocol import Senders
from synalign_spark.generation.backends.sender import Attempt, Outcome, with_spent
from synalign_spark.generation.calls import Answer, Request
from synalign_spark.generation.dialects import shown
from synalign_spark.generation.faults import NEVER_RETRIED, Fault, backoff
from synalign_spark.generation.probes import word_request
from synalign_spark.generation.target import Target
from synalign_spark.generation.window import Refusal

WORD_TIMEOUT_S = 30.0
Sleep = Callable[[float], Awaitable[None]]


async def ask(request: Request, target: Target, senders: Senders, limiter: Limiter, sleep: Sleep = asyncio.sleep) -> Answer:
    """The answer to a request, after at most ``target.max_attempts`` HTTP requests. Never raises for a fault of the endpoint.

    Raises LostError where a sender died with the request."""
    fault, attempts, latency, spent = Fault("not_asked", ""), 0, 0.0, (0, 0)
    reserved = target.take(request.prompt_tokens, request.max_output_tokens)
    while attempts < target.max_attempts:
        leave = await limiter.acquire(reserved)
        if isinstance(leave, Refusal):
            fault = fault if attempts and leave.status == "not_asked" else Fault(leave.status, leave.error)
            break
        if leave.turn.probe:
            word = Attempt(word_request(request), target.terms, 1, (0, 0), min(target.timeout_s, WORD_TIMEOUT_S), named=False)
            await _attempt(word, target, senders, limiter, leave)
            continue
        attempts += 1
        outcome = await _attempt(Attempt(request, target.terms, attempts, spent, target.timeout_s), target, senders, limiter, leave)
        if outcome.answer is not None:
            return outcome.answer
        fault, latency, spent = outcome.fault or fault, outcome.latency_s, (spent[0] + outcome.took[0], spent[1] + outcome.took[1])
        if fault.status in NEVER_RETRIED or attempts == target.max_attempts:
            break
        await sleep(backoff(request.request_id, attempts))
    return with_spent(_failed(request, target, fault, attempts, latency), spent)


async def _attempt(work: Attempt, target: Target, senders: Senders, limiter: Limiter, leave: Leave) -> Outcome:
    try:
        outcome = await senders.attempt(work)
    except BaseException:  # its sender has died, or it was cancelled
        limiter.lost(leave)
        raise
    limiter.settle(leave, outcome, target.take(*outcome.took) if work.named else target.take(0, 0), outcome.latency_s / work.timeout_s)
    return outcome


def _failed(request: Request, target: Target, fault: Fault, attempts: int, latency: float) -> Answer:
    """The answer of a call that got none."""
    dialect = shown(target.terms.of(request.prompt))
    return Answer(
        request.request_id, fault.status, attempts, dialect=dialect, latency_s=round(latency, 4), error=target.scrub(fault.message)
    )
