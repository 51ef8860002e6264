"""The Ray actors: callers that send requests, and the one limiter that all of them ask first.

Plain classes here; the pool makes actors of them, and tests use them without Ray."""

import asyncio
import math
import time
from typing import Any

import openai

from synalign_spark.config import LimitsConfig
from synalign_spark.llm.calls import Answer, Request
from synalign_spark.llm.client import Gate, Target, ask
from synalign_spark.llm.ledger import LedgerWriter
from synalign_spark.llm.limits import RateLimiter

CONNECT_TIMEOUT_S = 15.0


class Limiter:
    """The pool's only clock and count: one process, whatever the number of callers. First come, first served."""

    def __init__(self, limits: LimitsConfig, requests_left: int | None, spent: int, seconds_left: float = math.inf) -> None:
        self._rates = RateLimiter(limits, requests_left, spent, time.monotonic() + seconds_left)
        self._turn = asyncio.Lock()
        self._changed = asyncio.Event()

    async def acquire(self, tokens: int) -> str | None:
        """Returns None when a request with ``tokens`` reserved may go, or at once the key of the limit that ends them all."""
        async with self._turn:
            while (wait := self._rates.reserve(tokens, time.monotonic())) != 0:
                if isinstance(wait, str):
                    return wait
                # Tokens that come back may shorten the wait.
                self._changed.clear()
                try:
                    await asyncio.wait_for(self._changed.wait(), wait)
                except TimeoutError:
                    continue
            return None

    async def settle(self, reserved: int, used: int) -> None:
        self._rates.settle(reserved, used)
        self._changed.set()

    async def pause(self, seconds: float) -> None:
        self._rates.pause(time.monotonic() + seconds)


class RemoteGate(Gate):
    """The limiter as callers see it. Settling does not wait for the limiter."""

    def __init__(self, limiter: Any) -> None:
        self._limiter = limiter

    async def acquire(self, tokens: int) -> str | None:
        broken: str | None = await self._limiter.acquire.remote(tokens)
        return broken

    async def settle(self, reserved: int, used: int) -> None:
        self._limiter.settle.remote(reserved, used)

    async def pause(self, seconds: float) -> None:
        await self._limiter.pause.remote(seconds)


class Caller:
    """Sends requests and, where it can reach the ledger, stores each answer before handing it on."""

    def __init__(self, target: Target, limiter: Any, ledger: str | None) -> None:
        """ledger: folder to store answers in; None leaves that to the driver."""
        self._target = target
        self._gate = RemoteGate(limiter)
        self._ledger = LedgerWriter(ledger) if ledger else None
        self._client: openai.AsyncOpenAI | None = None

    async def ask(self, request: Request) -> Answer:
        if self._client is None:
            self._client = make_client(self._target)
        answer = await ask(self._client, request, self._target, self._gate)
        if self._ledger is not None and answer.status == "answered":
            await self._ledger.append(answer)
        return answer

    async def ready(self) -> bool:
        return True

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()
        if self._ledger is not None:
            self._ledger.close()


def make_client(target: Target) -> openai.AsyncOpenAI:
    """The SDK's client on the aiohttp transport (twice the calls a second of the default one), where that is installed."""
    timeout = openai.Timeout(target.timeout_s + 5, connect=min(target.timeout_s, CONNECT_TIMEOUT_S))
    try:
        transport = openai.DefaultAioHttpClient(timeout=timeout)
    except RuntimeError:
        return openai.AsyncOpenAI(base_url=target.base_url, api_key=target.api_key, max_retries=0, timeout=timeout)
    return openai.AsyncOpenAI(base_url=target.base_url, api_key=target.api_key, max_retries=0, timeout=timeout, http_client=transport)
