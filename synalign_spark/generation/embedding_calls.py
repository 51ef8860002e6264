"""Calls for vectors: what is sent, and the sender that reads the answers, stores them, and knows no retries of its own."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from synalign_spark.config import EmbedConfig
from synalign_spark.core.packed_vectors import pack
from synalign_spark.generation.backends.sender import Attempt, Sender
from synalign_spark.generation.calls import Answer, Request
from synalign_spark.generation.prompts import Prompt
from synalign_spark.generation.prompts.tokens import cautious_tokens
from synalign_spark.generation.replies import count
from synalign_spark.generation.target import Target
from synalign_spark.generation.vectors import vectors_of

PATH = "embeddings"  # below the address
NO_PROMPT = Prompt((), {}, "")
MOST_TOKENS = 100_000  # of the texts of a request, on the high side: OpenAI takes 300,000
TEXT_TOKENS = 2  # marks around a text
LONGEST_REPLY = 128 * 2**20  # bytes: 1,024 vectors of 4,096 numbers of 22 digits have 94 million
WORD = ("hello",)


@dataclass(frozen=True)
class TextsRequest(Request):
    """A call for the vectors of some texts, as they are sent. keys: what each is stored under."""

    texts: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()

    @cached_property
    def prompt_tokens(self) -> int:
        return sum(map(text_tokens, self.texts))

    @property
    def longest(self) -> int:
        """Characters of its longest text."""
        return max(map(len, self.texts))


def text_tokens(text: str) -> int:
    """Rough number of a text's tokens, on the high side."""
    return cautious_tokens(text) + TEXT_TOKENS


def texts_request(model: str, keys: list[str], texts: list[str]) -> TextsRequest:
    """A call whose id is that of its texts and what they are embedded by, which the keys say."""
    request_id = hashlib.sha256("\n".join(keys).encode()).hexdigest()
    return TextsRequest(request_id, "embed", None, NO_PROMPT, model, 0, {}, tuple(texts), tuple(keys))


def requests_of(texts: Iterator[tuple[str, str]], cfg: EmbedConfig) -> Iterator[TextsRequest]:
    """Calls of so many texts as ``cfg.endpoint`` says, fewer where they are long. texts: key and text. One call is held at a time."""
    endpoint, prompt = cfg.endpoint, cfg.prompt or ""
    most, cut = (endpoint.texts_per_request, endpoint.max_chars) if endpoint else (1, None)
    keys: list[str] = []
    said: list[str] = []
    tokens = 0
    for key, text in texts:
        sent = prompt + text[:cut]
        if said and (len(said) == most or tokens + text_tokens(sent) > MOST_TOKENS):
            yield texts_request(cfg.model, keys, said)
            keys, said, tokens = [], [], 0
        keys.append(key)
        said.append(sent)
        tokens += text_tokens(sent)
    if said:
        yield texts_request(cfg.model, keys, said)


class EmbeddingSender(Sender):
    """Sends attempts at ``TextsRequest``s; an answer's text is its keys and vectors. width: of the vectors, 0 until the first answer."""

    longest_reply = LONGEST_REPLY

    def __init__(self, target: Target, ledger_dir: str | None, dimensions: int | None, width: int) -> None:
        super().__init__(target, ledger_dir)
        self._dimensions, self.width = dimensions, width

    def _said(self, work: Attempt) -> tuple[str, dict[str, Any]]:
        body: dict[str, Any] = {"model": self._target.model, "input": list(_texts(work)), "encoding_format": "float"}
        return PATH, body | ({"dimensions": self._dimensions} if self._dimensions else {})

    def _answer(self, body: Any, work: Attempt, latency_s: float) -> Answer:
        request, texts = work.request, _texts(work)
        x = vectors_of(body, texts, self.width)
        self.width = x.shape[1]
        used = count(getattr(body, "usage", None), "prompt_tokens", least=1)
        return Answer(
            request.request_id,
            "answered",
            work.number,
            answer=pack(request.keys, x) if work.named and isinstance(request, TextsRequest) else None,
            prompt_tokens=sum(map(text_tokens, texts)) if used is None else used,
            completion_tokens=0,
            tokens_estimated=used is None,
            latency_s=round(latency_s, 4),
            finished_at=datetime.now(UTC).isoformat(),
            model=self._target.model,
            endpoint=self._target.endpoint,
        )


def _texts(work: Attempt) -> tuple[str, ...]:
    """A probe is for a word, whatever waits for it."""
    return work.request.texts if work.named and isinstance(work.request, TextsRequest) else WORD
