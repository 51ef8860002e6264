"""Callers on an event loop in a thread of this process: nothing to install or to start, and enough for one machine.

Hundreds of requests may wait for the network at the same time; what is done to an answer takes microseconds.
"""

import asyncio
import concurrent.futures
import threading
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

from synalign_spark.config import LlmConfig
from synalign_spark.generation.backends.callers import Caller, Limiter, LocalGate
from synalign_spark.generation.calls import Answer, Request
from synalign_spark.generation.limits import Allowance
from synalign_spark.generation.target import Target
from synalign_spark.generation.window import Pressure

POLL_S = 0.5
NAME = "synalign-calls"
T = TypeVar("T")


class InProcessCallers:
    """One caller and its limiter on a loop of their own, so that a caller's own event loop (a notebook's) does not matter."""

    def __init__(self, llm: LlmConfig, ledger_dir: str) -> None:
        """ledger_dir: folder of the ledger, any file system."""
        self._llm, self._ledger_dir = llm, ledger_dir
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._limiter: Limiter | None = None
        self._caller: Caller | None = None
        self._asking: set[asyncio.Task[Any] | None] = set()
        self._flying: dict[concurrent.futures.Future[Answer], Request] = {}

    @property
    def in_flight(self) -> int:
        return len(self._flying)

    def start(self, target: Target, allowance: Allowance) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=NAME, daemon=True)
        self._thread.start()

        async def make() -> tuple[Limiter, Caller]:
            limiter = Limiter(allowance)
            return limiter, Caller(target, LocalGate(limiter, NAME), self._ledger_dir)

        self._limiter, self._caller = self._submit(make()).result()

    def send(self, request: Request) -> None:
        self._flying[self._submit(self._ask(request))] = request

    def retarget(self, target: Target) -> None:
        if self._caller is None:
            raise RuntimeError("start the callers before their target changes")
        self._submit(self._caller.retarget(target)).result()

    def arrived(self) -> Iterator[tuple[Request, Answer | None]]:
        done, _ = concurrent.futures.wait(list(self._flying), POLL_S, concurrent.futures.FIRST_COMPLETED)
        for future in done:
            request = self._flying.pop(future)
            yield request, future.result()

    def pressure(self) -> Pressure:
        if self._limiter is None:
            raise RuntimeError("start the callers before they are asked for the pressure")
        return self._submit(self._limiter.pressure()).result()

    def close(self) -> None:
        """Cancels what is in flight (an answer on its way to the ledger still gets there) and ends the thread."""
        if self._loop is None or self._thread is None:
            return
        self._submit(self._end()).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._loop = self._thread = self._caller = self._limiter = None
        self._flying.clear()

    async def _ask(self, request: Request) -> Answer:
        if self._caller is None:
            raise RuntimeError("start the callers before the first request is sent")
        task = asyncio.current_task()
        self._asking.add(task)
        try:
            return await self._caller.ask(request)
        finally:
            self._asking.discard(task)

    async def _end(self) -> None:
        asking = [task for task in self._asking if task is not None]
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        if self._caller is not None:
            await self._caller.close()

    def _submit(self, work: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        if self._loop is None:
            raise RuntimeError("the callers are closed")
        return asyncio.run_coroutine_threadsafe(work, self._loop)
