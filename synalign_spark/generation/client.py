"""One call over the OpenAI protocol: asked for by the limiter's leave, retried where that helps, and returned as a value.

What retries there are stand here: a client's own would multiply with them and know nothing of the pool's limits.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from synalign_spark.generation.backends.limiter import Leave, Limiter
from synalign_spark.generation.backends.protocol import LostError, Senders
from synalign_spark.generation.backends.sender import Attempt, Outcome, failed, with_spent
from synalign_spark.generation.calls import Answer, Request, Spent
from synalign_spark.generation.faults import NEVER_RETRIED, Fault, backoff
from synalign_spark.generation.probes import word_request
from synalign_spark.generation.target import Target
from synalign_spark.generation.window import Refusal

WORD_TIMEOUT_S = 30.0
MOST_LOSSES = 3  # of senders with one request, which may be what kills them


async def ask(request: Request, targets: Sequence[Target], senders: Sequence[Senders], limiter: Limiter) -> Answer:
    """The answer to a request, after at most ``target.max_attempts`` HTTP requests. Never raises for a fault of the endpoint.

    targets, senders: of each endpoint, of which the limiter chooses one for each attempt. A sender that dies with an attempt is no fault of the endpoint: the attempt is made again, three times at most."""
    call = _Call(request, targets[0])
    reserved = [target.take(request.prompt_tokens, request.most_tokens) for target in targets]
    while call.goes_on:
        leave = await limiter.acquire(reserved)
        if isinstance(leave, Refusal):
            return call.refused(leave)
        target, sender = targets[leave.place], senders[leave.place]
        if leave.turn.probe:
            await _probe(call, target, sender, limiter, leave)
            continue
        try:
            outcome = await _attempt(call.attempt(target), target, sender, limiter, leave)
        except LostError as err:
            call.lost(err)
            continue
        if outcome.answer is not None:
            return outcome.answer
        call.failed(outcome, limiter.has_answered(leave.place))
        if call.goes_on:
            await limiter.rest(backoff(request.request_id, call.tries))
    return call.end()


async def _probe(call: "_Call", target: Target, sender: Senders, limiter: Limiter, leave: Leave) -> None:
    """Asks an endpoint that was down for a word. It counts as an HTTP request of the call that waits for it."""
    word = Attempt(word_request(call.request), target.terms, 1, (), min(target.timeout_s, WORD_TIMEOUT_S), named=False)
    try:
        outcome = await _attempt(word, target, sender, limiter, leave)
    except LostError as err:
        if err.sent:
            call.spend(target, word.request.prompt_tokens, word.request.most_tokens)
        return
    call.spend(target, *outcome.took)


async def _attempt(work: Attempt, target: Target, sender: Senders, limiter: Limiter, leave: Leave) -> Outcome:
    try:
        outcome = await sender.attempt(work)
    except BaseException as err:  # its sender has died, or it was cancelled
        limiter.lost(leave, sent=not isinstance(err, LostError) or err.sent)
        raise
    limiter.settle(leave, outcome, target.take(*outcome.took), outcome.latency_s / work.timeout_s)
    return outcome


@dataclass
class _Call:
    """The state of a call. target: of the last attempt; answers: whether that endpoint has answered others; tries: that failed by the endpoint; sent: HTTP requests, those that were lost and probes too; spent: what
    they may have cost, and where."""

    request: Request
    target: Target
    answers: bool = False
    tries: int = 0
    sent: int = 0
    losses: int = 0
    spent: tuple[Spent, ...] = ()
    latency_s: float = 0.0
    fault: Fault | None = None

    @property
    def goes_on(self) -> bool:
        """Whether there may be another attempt. An endpoint that has answered may be without its models or its keys for a moment: gateways
        that start anew say 404 or 401."""
        hopeless = self.fault is not None and self.fault.status in NEVER_RETRIED and not (self.fault.status == "fatal" and self.answers)
        return not hopeless and self.tries < self.target.max_attempts and self.losses <= MOST_LOSSES

    def attempt(self, target: Target) -> Attempt:
        self.target = target
        return Attempt(self.request, self.target.terms, self.sent + 1, self.spent, self.target.timeout_s)

    def failed(self, outcome: Outcome, answers: bool) -> None:
        self.fault, self.latency_s, self.tries, self.answers = outcome.fault, outcome.latency_s, self.tries + 1, answers
        self.spend(self.target, *outcome.took)

    def lost(self, err: LostError) -> None:
        self.losses += 1
        self.fault = Fault("server_error", f"{self.losses} senders died with this request")
        if err.sent:
            self.spend(self.target, self.request.prompt_tokens, self.request.most_tokens)

    def spend(self, target: Target, prompt: int, completion: int) -> None:
        """Counts an HTTP request, and the tokens that it may have cost."""
        self.sent += 1
        if prompt or completion:
            self.spent += (Spent(target.model, target.endpoint, prompt, completion),)

    def refused(self, refusal: Refusal) -> Answer:
        """No attempt goes any more: what the last one said, where a budget or a time ends the run."""
        if self.fault is None or refusal.status != "not_asked":
            self.fault = Fault(refusal.status, refusal.error)
        return self.end()

    def end(self) -> Answer:
        """The answer of a call that got none."""
        fault = self.fault or Fault("not_asked", "")
        return with_spent(failed(self.request, self.target, fault, self.sent, self.latency_s), self.spent)
