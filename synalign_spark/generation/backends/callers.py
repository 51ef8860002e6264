"""Callers that send requests, and the one limiter that all of them ask first.

Plain classes: the Ray backend makes actors of them, the backend in process runs them on its event loop.
"""

import asyncio
import math
import time
from typing import Any

import openai

from synalign_spark.generation.calls import TRANSIENT, Answer, Request
from synalign_spark.generation.client import Gate, ask
from synalign_spark.generation.ledger import LedgerWriter
from synalign_spark.generation.limits import MINUTE_S, Allowance, Purse, RateLimiter, Take
from synalign_spark.generation.target import Target, async_client
from synalign_spark.generation.window import Pressure, Refusal, Turn, Window


class Limiter:
    """The pool's only clock and count: one process, whatever the number of callers. First come, first served."""

    def __init__(self, allowance: Allowance) -> None:
        self._closes = time.monotonic() + allowance.seconds_left
        self._rates = RateLimiter(allowance.limits, allowance.requests_left, allowance.spent, self._closes)
        self._purse = Purse(allowance.tokens_left, allowance.usd_left)
        self._outage_minutes = allowance.limits.max_outage_minutes
        self._dead: set[str] = set()
        self._window = Window(allowance.concurrency, self._outage_minutes * MINUTE_S)
        self._turn = asyncio.Lock()
        self._changed = asyncio.Event()

    async def acquire(self, caller: str, reserved: Take) -> Turn | Refusal:
        """Waits for the turn of a request that may take ``reserved``; refuses at once where nobody will get one any more."""
        async with self._turn:
            while not isinstance(wait := self._reserve(caller, reserved, time.monotonic()), Refusal):
                if wait == 0.0:
                    return self._window.enter(caller)
                # Requests that end, and tokens that come back, may shorten the wait.
                self._changed.clear()
                try:
                    await asyncio.wait_for(self._changed.wait(), self._at_most(wait))
                except TimeoutError:
                    continue
            return wait

    def _reserve(self, caller: str, reserved: Take, now: float) -> float | Refusal:
        """0 when the request may go now and is counted, else the seconds to wait."""
        if caller in self._dead:  # it asked before it died: its turn would never come back
            return Refusal("not_asked", "the caller has died")
        if self._window.given_up(now):
            pressure = self._window.pressure(now)
            faults = ", ".join(f"{status} {count}" for status, count in sorted(pressure.faults.items()))
            return Refusal("fatal", f"it has been down for {pressure.down_s or 0.0:.0f} s, and generate.limits.max_outage_minutes is "
                           f"{self._outage_minutes:g} (a minute before the first answer); requests that failed: {faults}")  # fmt: skip
        wait = self._window.wait(now)
        if wait == 0.0:
            return self._pay(reserved, now)
        return wait if now < self._closes else Refusal("not_asked", "limits.max_minutes")

    def _pay(self, reserved: Take, now: float) -> float | Refusal:
        """The same by rates and budgets. Requests in flight may give back what a budget lacks, so that is waited for."""
        broken = self._purse.take(reserved)
        if broken is not None:
            return math.inf if self._window.flying and now < self._closes else Refusal("not_asked", broken)
        wait = self._rates.reserve(reserved.tokens, now)
        if wait != 0.0:
            self._purse.give_back(reserved, Take())
        return Refusal("not_asked", wait) if isinstance(wait, str) else wait

    def _at_most(self, wait: float) -> float | None:
        """The seconds to wait, none beyond the last moment; None for no end."""
        wait = min(wait, max(0.0, self._closes - time.monotonic()))
        return None if math.isinf(wait) else wait

    async def settle(self, caller: str, turn: Turn, status: str, reserved: Take, used: Take) -> None:
        """Takes a request back that has ended. status: as in Answer."""
        self._rates.settle(reserved.tokens, used.tokens)
        self._purse.give_back(reserved, used)
        if status in TRANSIENT:
            self._window.pressed(caller, turn, status, time.monotonic())
        else:
            self._window.succeeded(caller, turn)
        self._changed.set()

    async def lost(self, caller: str) -> None:
        """Takes back the requests of a caller that has died, and its places in the queue."""
        self._dead.add(caller)
        self._window.lost(caller)
        self._changed.set()

    async def pause(self, seconds: float) -> None:
        self._rates.pause(time.monotonic() + seconds)

    async def pressure(self) -> Pressure:
        return self._window.pressure(time.monotonic())


class LocalGate(Gate):
    """The limiter as a caller on the same event loop sees it."""

    def __init__(self, limiter: Limiter, name: str) -> None:
        """name: of the caller; no other one has it."""
        self._limiter, self._name = limiter, name

    async def acquire(self, reserved: Take) -> Turn | Refusal:
        return await self._limiter.acquire(self._name, reserved)

    async def settle(self, turn: Turn, status: str, reserved: Take, used: Take) -> None:
        await self._limiter.settle(self._name, turn, status, reserved, used)

    async def pause(self, seconds: float) -> None:
        await self._limiter.pause(seconds)


class RemoteGate(Gate):
    """The limiter as a caller in another process sees it, by Ray. Settling does not wait for the limiter."""

    def __init__(self, limiter: Any, name: str) -> None:
        """limiter: handle of the actor; name: of the caller; no other one has it."""
        self._limiter, self._name = limiter, name

    async def acquire(self, reserved: Take) -> Turn | Refusal:
        turn: Turn | Refusal = await self._limiter.acquire.remote(self._name, reserved)
        return turn

    async def settle(self, turn: Turn, status: str, reserved: Take, used: Take) -> None:
        self._limiter.settle.remote(self._name, turn, status, reserved, used)

    async def pause(self, seconds: float) -> None:
        await self._limiter.pause.remote(seconds)


class Caller:
    """Sends requests and, where it can reach the ledger, stores each answer before handing it on."""

    def __init__(self, target: Target, gate: Gate, ledger_dir: str | None) -> None:
        """ledger_dir: folder to store answers in; None leaves that to the driver."""
        self._target, self._gate = target, gate
        self._ledger = LedgerWriter(ledger_dir) if ledger_dir else None
        self._client: openai.AsyncOpenAI | None = None

    async def ask(self, request: Request) -> Answer:
        if self._client is None:
            self._client = async_client(self._target)
        answer = await ask(self._client, request, self._target, self._gate)
        if self._ledger is not None and answer.status == "answered":
            await self._ledger.append(answer)
        return answer

    async def retarget(self, target: Target) -> None:
        """Sends what comes after on other terms."""
        self._target = target

    async def ready(self) -> bool:
        """Answers where the caller is alive."""
        return True

    async def close(self) -> None:
        """Closes the connections, and the ledger once it holds what was given to it."""
        if self._client is not None:
            await self._client.close()
        if self._ledger is not None:
            await self._ledger.drain()
            self._ledger.close()
