"""What is sent to the language model and what comes back: plain values that cross Ray and fill the ledger."""

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import Any

from synalign_spark.config import LlmConfig
from synalign_spark.generation.prompts import Prompt
from synalign_spark.generation.prompts.tokens import cautious_tokens

CHAT_OVERHEAD_TOKENS = 16  # marks of turns: ChatML has five tokens for each of two messages and three before the answer
PROBED = "probed"  # state of what the ledger says of a probe: only what it took
TRANSIENT = ("rate_limited", "overloaded", "server_error", "timeout")  # states of an answer that another attempt may mend


@dataclass(frozen=True)
class Request:
    """One call. ``sample`` tells apart calls with the same prompt; sampling: the parameters of the body that are neither prompt, form
    nor length, by name, the seed among them; max_output_tokens: of each answer."""

    request_id: str
    step: str  # 'attributes' or 'rows'
    label: str | None
    prompt: Prompt
    model: str
    max_output_tokens: int
    sampling: dict[str, Any]

    @property
    def most_tokens(self) -> int:
        """Completion tokens that all its answers may take."""
        return self.max_output_tokens * self.prompt.choices

    @cached_property
    def prompt_tokens(self) -> int:
        """Rough number of prompt tokens, on the high side; no tokenizer is fetched for it."""
        return cautious_tokens(self.prompt.said) + CHAT_OVERHEAD_TOKENS


def make_request(step: str, label: str | None, prompt: Prompt, llm: LlmConfig, sample: str) -> Request:
    """The call with its id: a hash of prompt, model, sampling parameters, schema and sample. A changed setting
    is a new call; an unchanged one finds its stored answer.

    The seed is in [0, 2^31) and follows from the id, so the same call samples the same. Parameters that are null are not sent."""
    given = {"temperature": llm.temperature, "top_p": llm.top_p}
    sampling: dict[str, Any] = {name: value for name, value in given.items() if value is not None} | llm.extra_body
    identity = {
        "messages": prompt.messages,
        "text": prompt.text,
        "stop": prompt.stop,
        "schema": prompt.schema,
        "model": llm.model,
        "provider": llm.provider,
        "sampling": sampling,
        "seeded": llm.send_seed,
        "max_output_tokens": llm.max_output_tokens,
        "sample": sample,
    }
    identity |= {"choices": prompt.choices} if prompt.choices > 1 else {}  # stored answers of earlier releases have none
    request_id = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    if llm.send_seed:
        sampling["seed"] = int(request_id[:8], 16) % 2**31
    return Request(request_id, step, label, prompt, llm.model, llm.max_output_tokens, sampling)


@dataclass(frozen=True)
class Spent:
    """Tokens that failed attempts at an endpoint may have cost. model, endpoint: as in ``Answer``."""

    model: str
    endpoint: str
    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True)
class Answer:
    """How a call ended. status: 'answered' (the only one that the ledger keeps), 'rate_limited', 'overloaded', 'server_error',
    'timeout', 'bad_request', 'bad_form' (the server refuses the dialect), 'prompt_too_long', 'forbidden' (an HTTP 403), 'fatal' (the endpoint
    cannot be used at all), 'not_asked' (a budget was spent: error is its key) or 'probed' (no call, but what a probe took; the ledger has it too).

    Tokens are those of all attempts; where a server reported none, they are estimates on the high side, and say so. elsewhere: those of them
    that attempts at other endpoints took, which have prices of their own."""

    request_id: str
    status: str
    attempts: int = 0
    answer: str | None = None
    finish_reason: str | None = None
    refusal: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    tokens_estimated: bool = False
    latency_s: float | None = None
    dialect: str = ""
    error: str | None = None
    finished_at: str | None = None  # ISO 8601, UTC
    batch_id: str | None = None  # of the batch that it came in
    model: str | None = None  # that was asked; None in ledgers of earlier releases, as below
    endpoint: str | None = None  # its address, without what may be a secret
    elsewhere: tuple[Spent, ...] = ()

    def to_json(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, line: str) -> "Answer":
        """Raises ValueError for anything but a line that ``to_json`` wrote; keys of later versions are left out."""
        data: Any = json.loads(line)
        if not isinstance(data, dict) or not isinstance(data.get("request_id"), str) or not isinstance(data.get("status"), str):
            raise ValueError("not a ledger line")
        known = {field.name for field in fields(cls)}
        elsewhere = tuple(Spent(**one) for one in data.get("elsewhere", ()))
        return cls(**{key: value for key, value in data.items() if key in known} | {"elsewhere": elsewhere})

    @property
    def tokens(self) -> int:
        return (self.prompt_tokens or 0) + (self.completion_tokens or 0)
