"""One attempt at a call: sent, waited for, and stored where it was answered. Where it runs is the backend's business."""

import asyncio
import dataclasses
import time
from collections.abc import Sequence
from typing import Any

import openai

from synalign_spark.generation.bodies import path_and_body
from synalign_spark.generation.calls import Answer, Request, Spent
from synalign_spark.generation.dialects import Terms, shown
from synalign_spark.generation.faults import Fault, classify
from synalign_spark.generation.ledger import LedgerWriter
from synalign_spark.generation.rates import Rates, told_rates
from synalign_spark.generation.replies import answer_of, refused
from synalign_spark.generation.target import Target
from synalign_spark.generation.transport import Transport

REQUEST_ID_HEADER = "X-Request-Id"


@dataclasses.dataclass(frozen=True)
class Attempt:
    """terms: to ask under; number: of the attempt, 1 for the first; spent: what those before it may have cost, and where;
    timeout_s: to wait for the reply; named: whether the request's id is sent, and the answer stored: not so for a probe."""

    request: Request
    terms: Terms
    number: int
    spent: tuple[Spent, ...]
    timeout_s: float
    named: bool = True


@dataclasses.dataclass(frozen=True)
class Outcome:
    """answer: with the tokens of the attempts before; None where there is a fault. took: (prompt, completion) tokens of this attempt; rates:
    what the reply's headers tell of limits; latency_s: seconds until the reply."""

    answer: Answer | None
    fault: Fault | None
    took: tuple[int, int]
    rates: Rates | None
    latency_s: float


class Sender:
    """Sends attempts over connections of its own and stores answers, before anybody sees them, in a ledger file of its own."""

    longest_reply: int | None = None  # bytes; None for that of an answer in words

    def __init__(self, target: Target, ledger_dir: str | None) -> None:
        """ledger_dir: folder to store answers in; None leaves that to whoever asks."""
        self._target = target
        self._ledger = LedgerWriter(ledger_dir) if ledger_dir else None
        self._transport: Transport | None = None

    async def attempt(self, work: Attempt) -> Outcome:
        """What came of it. Never raises for a fault of the endpoint; LakeError where the answer could not be stored."""
        if work.terms != self._target.terms:
            self._target = dataclasses.replace(self._target, terms=work.terms)
        request, target = work.request, self._target
        path, body = self._said(work)
        headers = {REQUEST_ID_HEADER: request.request_id} if work.named else {}
        if self._transport is None:
            self._transport = Transport(self._target, self.longest_reply)  # on the loop that uses it
        started = time.monotonic()
        try:
            reply = await asyncio.wait_for(self._transport.post(path, body, headers), work.timeout_s)
            answer, rates = self._answer(reply.body, work, time.monotonic() - started), told_rates(reply.headers)
        except Exception as err:  # every fault of a call becomes a value; classify says which
            fault, latency = classify(err), time.monotonic() - started
            fault = dataclasses.replace(fault, message=target.scrub(fault.message))
            rates = told_rates(err.response.headers) if isinstance(err, openai.APIStatusError) else None
            if fault.status != "moderated":
                return Outcome(None, fault, (request.prompt_tokens, request.most_tokens) if fault.ran else (0, 0), rates, latency)
            answer = moderated(request, target, fault, work.number, latency)
        took = (answer.prompt_tokens or 0, answer.completion_tokens or 0)
        answer = with_spent(answer, work.spent)
        if self._ledger is not None and work.named:
            await self._ledger.append(answer)
        return Outcome(answer, None, took, rates, answer.latency_s or 0.0)

    def _said(self, work: Attempt) -> tuple[str, dict[str, Any]]:
        """Path and body of an attempt."""
        return path_and_body(work.request, self._target)

    def _answer(self, body: Any, work: Attempt, latency_s: float) -> Answer:
        """The answer in a reply. Raises NotACompletionError for a body that is none."""
        return answer_of(body, work.request, self._target, work.number, latency_s)

    async def close(self) -> None:
        """Closes the connections, and the ledger once it holds what was given to it."""
        if self._transport is not None:
            await self._transport.close()
        if self._ledger is not None:
            await self._ledger.drain()
            self._ledger.close()


def moderated(request: Request, target: Target, fault: Fault, attempts: int, latency: float) -> Answer:
    """A prompt that the server's moderation refuses was answered: by a refusal."""
    return refused(failed(request, target, dataclasses.replace(fault, status="forbidden"), attempts, latency))


def failed(request: Request, target: Target, fault: Fault, attempts: int, latency: float) -> Answer:
    """The answer of a call that got none."""
    dialect, error = shown(target.terms.of(request.prompt)), target.scrub(fault.message)
    answer = Answer(request.request_id, fault.status, attempts, dialect=dialect, latency_s=round(latency, 4), error=error)
    return dataclasses.replace(answer, model=target.model, endpoint=target.endpoint)


def with_spent(answer: Answer, spent: Sequence[Spent]) -> Answer:
    """The answer with the tokens of failed attempts before it, on the high side: what they may have cost, wherever they went."""
    if not spent:
        return answer
    elsewhere = tuple(one for one in spent if (one.model, one.endpoint) != (answer.model, answer.endpoint))
    prompt, completion = tokens_of(spent)
    prompt, completion = prompt + (answer.prompt_tokens or 0), completion + (answer.completion_tokens or 0)
    return dataclasses.replace(answer, prompt_tokens=prompt, completion_tokens=completion, tokens_estimated=True, elsewhere=elsewhere)


def tokens_of(spent: Sequence[Spent]) -> tuple[int, int]:
    """Prompt and completion tokens together."""
    return sum(one.prompt_tokens for one in spent), sum(one.completion_tokens for one in spent)
