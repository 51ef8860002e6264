"""Texts to vectors by an endpoint, through the limiter and the ledger of generation.

One event loop in the driver's process sends what its limiter lets go: an answer costs it some milliseconds, and hosted models are slower.
"""

import asyncio
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from synalign_spark.config import EmbedConfig, EmbeddingEndpointConfig
from synalign_spark.config.language_model import OPENAI_URL
from synalign_spark.errors import EndpointError
from synalign_spark.generation.backends.loop import LocalSenders, LoopCallers
from synalign_spark.generation.backends.sender import Attempt
from synalign_spark.generation.calls import Answer
from synalign_spark.generation.dialects import Terms
from synalign_spark.generation.embedding_calls import WORD, EmbeddingSender, TextsRequest, requests_of, texts_request
from synalign_spark.generation.estimate import CALL_S, RowSize
from synalign_spark.generation.ledger import read_lines
from synalign_spark.generation.limits import Allowance, Budget, Share
from synalign_spark.generation.prices import Prices
from synalign_spark.generation.probing import BudgetSpentError
from synalign_spark.generation.prompts.tokens import typical_tokens
from synalign_spark.generation.target import Target, by_proxy, target_of
from synalign_spark.progress import Progress

KEPT = "vectors that came are stored, start the run again to go on"


def require_usable(cfg: EmbedConfig) -> None:
    """Raises EndpointError where key or headers are not set; nothing is sent."""
    _target(cfg)


def describe(cfg: EmbedConfig) -> str:
    """What the endpoint answers to a word, in a line. Raises EndpointError."""
    endpoint, target = _endpoint(cfg), _target(cfg)
    sender = EmbeddingSender(target, None, endpoint.dimensions, endpoint.dimensions or 0)

    async def ask() -> Any:
        try:
            return await sender.attempt(
                Attempt(texts_request(cfg.model, [""], list(WORD)), target.terms, 1, (), endpoint.timeout_s, named=False)
            )
        finally:
            await sender.close()

    outcome = asyncio.run(ask())
    if outcome.answer is None:
        raise _unusable(cfg, target.scrub(outcome.fault.message))
    return f"{endpoint.llm(cfg.model).name} answers in {outcome.latency_s:.2f} s: {sender.width} dimensions"


def embed_texts(
    texts: Iterator[tuple[str, str]], n_texts: int, cfg: EmbedConfig, ledger_dir: str, width: int, progress: Progress
) -> dict[str, Any]:
    """Stores the vector of each text in the ledger. Returns what that took in this run, earlier starts included, and the vectors' width.

    texts: key and text, of which a few requests are held at a time; n_texts: how many, for the progress; ledger_dir: folder, any file
    system; width: of the vectors that are there already, 0 for none. Raises EndpointError where a call fails for good, and the BudgetSpentError
    among them where a budget ends."""
    target, llm, limits = _target(cfg), _endpoint(cfg).llm(cfg.model), _endpoint(cfg).limits
    budget = Budget(limits, Prices([llm]))
    for line in read_lines(ledger_dir):
        if (stored := line.answer()) is not None:
            budget.spend(replace(stored, answer=None))
    senders = _Senders(ledger_dir, _endpoint(cfg).dimensions, width)
    callers = LoopCallers([senders])
    shares = (Share(limits, llm.concurrency),)
    callers.start([target], Allowance(shares, budget.requests_left, budget.seconds_left, budget.tokens_left, budget.usd_left))

    def say(words: str) -> None:
        progress.console.print(f"  embed: {words}", style="yellow", markup=False, soft_wrap=True)

    try:
        with progress.task("embed by endpoint", total=n_texts, unit="texts") as task:
            done = 0
            for request, answer in _answers(requests_of(texts, cfg), callers, budget, llm.concurrency):
                _require(cfg, request, answer)
                done += len(request.texts)
                task.update(done, f"{budget.tokens:,} tokens{f', {budget.cost_usd:.2f} usd' if budget.priced else ''}")
    except BaseException:  # what is in flight is paid
        callers.drain(say)
        raise
    finally:
        callers.close()
    cost = round(budget.cost_usd, 6) if budget.priced else None
    return {"requests": budget.requests, "tokens": budget.tokens, "cost_usd": cost, "width": senders.width}


def _answers(requests: Iterator[TextsRequest], callers: LoopCallers, budget: Budget, most: int) -> Iterator[tuple[TextsRequest, Answer]]:
    """The answers in the order of arrival. Raises BudgetSpentError where the budget has no room for the next request."""
    flying: dict[str, TextsRequest] = {}
    request = next(requests, None)
    while request is not None or flying:
        while request is not None and len(flying) < most:
            if broken := budget.admit(request):
                if not flying:  # calls in flight may use less than they reserved
                    raise _ended(broken)
                break
            callers.send(request)
            flying[request.request_id] = request
            request = next(requests, None)
        for asked, answer in callers.arrived():
            budget.spend(answer)
            yield flying.pop(asked.request_id), answer


def _require(cfg: EmbedConfig, request: TextsRequest, answer: Answer) -> None:
    """Raises EndpointError for a call without vectors: no later stage can do without one."""
    if answer.status == "answered" and answer.answer is not None:
        return
    said = answer.error or answer.refusal or answer.status
    if answer.status == "not_asked":
        raise _ended(said)
    if answer.status == "prompt_too_long":
        cut = _endpoint(cfg).max_chars
        said += (
            f"; the longest of its {len(request.texts)} texts has {request.longest:,} characters: set embed.endpoint.max_chars "
            f"(now {cut or 'null'}) to cut texts, some 3 for each token that the model reads (embed.max_tokens and embed.long_texts are for models "
            "of this machine), or lower embed.endpoint.texts_per_request"
        )
    raise _unusable(cfg, f"{answer.status} after {answer.attempts} requests: {said}")


def _ended(limit: str) -> BudgetSpentError:
    return BudgetSpentError(limit, f"embed.endpoint.{limit} ended the embedding before all texts had a vector; raise it: {KEPT}")


def estimate(cfg: EmbedConfig, n_texts: int, row: RowSize) -> dict[str, Any]:
    """Calls, tokens, cost and minutes of so many texts like ``row``, for ``synalign plan``. No call is made.

    >>> endpoint = EmbeddingEndpointConfig(texts_per_request=100, price_input_usd=0.02)
    >>> estimate(EmbedConfig(model="m", endpoint=endpoint), 1_050, RowSize(400))
    {'texts': 1050, 'calls': 11, 'tokens': 105000, 'cost_usd': 0.0021, 'minutes': 0.1}
    """
    endpoint = _endpoint(cfg)
    limits, price = endpoint.limits, endpoint.price_input_usd
    calls = math.ceil(n_texts / endpoint.texts_per_request)
    tokens = int(n_texts * typical_tokens((cfg.prompt or "") + row.text[: endpoint.max_chars]))
    seconds = [calls * CALL_S / endpoint.concurrency]
    seconds += [60 * calls / limits.requests_per_minute] if limits.requests_per_minute else []
    seconds += [60 * tokens / limits.tokens_per_minute] if limits.tokens_per_minute else []
    cost = None if price is None else round(tokens * price / 1e6, 4)
    return {"texts": n_texts, "calls": calls, "tokens": tokens, "cost_usd": cost, "minutes": round(max(seconds) / 60, 1)}


class _Senders(LocalSenders):
    """One sender in this process."""

    def __init__(self, ledger_dir: str, dimensions: int | None, width: int) -> None:
        super().__init__(ledger_dir)
        self._dimensions, self.width = dimensions, width

    def start(self, target: Target) -> None:
        self._sender = EmbeddingSender(target, self._ledger_dir, self._dimensions, self._dimensions or self.width)

    async def attempt(self, work: Attempt) -> Any:
        outcome = await super().attempt(work)
        self.width = self._sender.width if isinstance(self._sender, EmbeddingSender) else self.width
        return outcome


def _endpoint(cfg: EmbedConfig) -> EmbeddingEndpointConfig:
    if cfg.endpoint is None:
        raise ValueError("there is no embed.endpoint to ask")
    return cfg.endpoint


def _target(cfg: EmbedConfig) -> Target:
    try:
        return target_of(_endpoint(cfg).llm(cfg.model), None, Terms())
    except EndpointError as err:
        raise EndpointError(_ours(str(err))) from None


def _unusable(cfg: EmbedConfig, message: str) -> EndpointError:
    llm = _endpoint(cfg).llm(cfg.model)
    return EndpointError(
        f"the embedding endpoint cannot be used: {_ours(message)}{by_proxy(llm.base_url or OPENAI_URL)}; embed.endpoint.base_url={llm.public_url!r}, embed.model={llm.model!r}, key "
        f"from ${llm.api_key_env}: check the address, the model's name and the key; {KEPT}"
    )


def _ours(message: str) -> str:
    """A message of what is shared with generation, with the keys of this endpoint."""
    return message.replace("generate.llm.", "embed.endpoint.").replace("generate.limits.", "embed.endpoint.limits.")
