"""The pool's event loop, in a thread of this process: every call waits here for the limiter's leave and for its answer.

Who sends an attempt is another matter: connections of this process (``LocalSenders``), or Ray actors (``ray_senders``). Hundreds of calls
may wait at the same time; what is done to an answer takes microseconds.
"""

import asyncio
import concurrent.futures
import contextlib
import queue
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any, TypeVar

from synalign_spark.generation.backends.limiter import Limiter
from synalign_spark.generation.backends.protocol import Senders
from synalign_spark.generation.backends.sender import Attempt, Outcome, Sender
from synalign_spark.generation.calls import Answer, Request
from synalign_spark.generation.client import ask
from synalign_spark.generation.limits import Allowance
from synalign_spark.generation.target import Target
from synalign_spark.generation.window import Pressure, together

POLL_S = 0.5
DRAIN_S = 30.0  # for calls in flight to end: most do within seconds
CLOSE_S = 30.0  # for the last answers to reach the ledger
NAME = "synalign-calls"
T = TypeVar("T")


class LocalSenders:
    """One sender in this process: nothing to install or to start, and enough for one machine."""

    def __init__(self, ledger_dir: str) -> None:
        """ledger_dir: folder of the ledger, any file system."""
        self._ledger_dir = ledger_dir
        self._sender: Sender | None = None

    def start(self, target: Target) -> None:
        self._sender = Sender(target, self._ledger_dir)

    async def attempt(self, work: Attempt) -> Outcome:
        if self._sender is None:
            raise RuntimeError("start the senders before the first attempt")
        return await self._sender.attempt(work)

    async def close(self) -> None:
        if self._sender is not None:
            await self._sender.close()

    def stop(self) -> None:
        self._sender = None


class LoopCallers:
    """Calls on a loop of their own, so that a caller's own event loop (a notebook's) does not matter."""

    left_running = ""

    def __init__(self, senders: Sequence[Senders]) -> None:
        """senders: of each endpoint."""
        self._senders = list(senders)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._limiter: Limiter | None = None
        self._targets: list[Target] = []
        self._asking: set[asyncio.Task[Any] | None] = set()
        self._flying: dict[concurrent.futures.Future[Answer], Request] = {}
        self._ended: queue.SimpleQueue[concurrent.futures.Future[Answer]] = queue.SimpleQueue()

    @property
    def in_flight(self) -> int:
        return len(self._flying)

    def start(self, targets: Sequence[Target], allowance: Allowance) -> None:
        self._targets = list(targets)
        for senders, target in zip(self._senders, targets, strict=True):
            senders.start(target)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=NAME, daemon=True)
        self._thread.start()

        async def limiter() -> Limiter:
            return Limiter(allowance)

        self._limiter = self._submit(limiter()).result()

    def send(self, request: Request) -> None:
        future = self._submit(self._ask(request))
        self._flying[future] = request
        future.add_done_callback(self._ended.put)

    def retarget(self, place: int, target: Target) -> None:
        self._targets[place] = target

    def charge(self, place: int, answer: Answer) -> None:
        """Before the start there is nothing to charge: the allowance is what is left by then."""
        if self._loop is not None and self._limiter is not None:
            used = self._targets[place].take(answer.prompt_tokens or 0, answer.completion_tokens or 0)
            self._loop.call_soon_threadsafe(self._limiter.charge, used, answer.attempts)

    def leave(self, place: int, reason: str) -> None:
        if self._loop is not None and self._limiter is not None:
            self._loop.call_soon_threadsafe(self._limiter.leave, place, reason)

    @property
    def left(self) -> dict[int, str]:
        return {} if self._limiter is None else self._limiter.left

    def arrived(self) -> Iterator[tuple[Request, Answer]]:
        """Waits a moment for calls to end; those that end meanwhile are for the next time, for others may be sent before."""
        with contextlib.suppress(queue.Empty):
            ended = [self._ended.get(timeout=POLL_S)]
            ended += [self._ended.get_nowait() for _ in range(self._ended.qsize())]
            for future in ended:
                yield self._flying.pop(future), future.result()

    def pressure(self) -> Pressure:
        if self._limiter is None:
            raise RuntimeError("start the callers before they are asked for the pressure")
        names = [f"{target.model} at {target.endpoint}" for target in self._targets]
        return together(dict(zip(names, self._limiter.pressures(), strict=True)))

    def drain(self, say: Callable[[str], None]) -> None:
        """Lets no further request go and waits for those in flight, half a minute at most. say: takes a line."""
        if self._loop is not None and self._limiter is not None and self._flying:
            say(f"waiting for {self.in_flight:,} calls in flight, {DRAIN_S:.0f} s at most (interrupt again to leave them)")
            self._loop.call_soon_threadsafe(self._limiter.close, "interrupted")
            concurrent.futures.wait(list(self._flying), DRAIN_S)

    def close(self) -> None:
        """Cancels what is in flight (an answer on its way to the ledger still gets there) and ends thread and senders."""
        loop, thread = self._loop, self._thread
        try:
            if loop is not None:
                self._submit(self._cancel()).result(CLOSE_S)
        finally:
            self._loop = self._thread = self._limiter = None
            if loop is not None and thread is not None:
                loop.call_soon_threadsafe(loop.stop)
                thread.join(CLOSE_S)
            if loop is not None and not loop.is_running():
                loop.close()
            for senders in reversed(self._senders):  # the first has started what the others share
                senders.stop()
            self._flying.clear()
            self._ended = queue.SimpleQueue()

    async def _ask(self, request: Request) -> Answer:
        if self._limiter is None:
            raise RuntimeError("start the callers before the first request is sent")
        task = asyncio.current_task()
        self._asking.add(task)
        try:
            return await ask(request, tuple(self._targets), self._senders, self._limiter)
        finally:
            self._asking.discard(task)

    async def _cancel(self) -> None:
        asking = [task for task in self._asking if task is not None]
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        for senders in self._senders:
            await senders.close()

    def _submit(self, work: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        if self._loop is None:
            raise RuntimeError("the callers are closed")
        return asyncio.run_coroutine_threadsafe(work, self._loop)
