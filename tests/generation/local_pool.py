"""The pool with its callers in a thread of this process instead of Ray actors: the same code, seconds faster to start."""

import asyncio
import concurrent.futures
import threading

from synalign_spark.generation.backends.callers import Caller, Limiter
from synalign_spark.generation.backends.ray_pool import POLL_S, Pool


class _Bound:
    """``actor.method.remote(...)`` for an object on the same event loop."""

    def __init__(self, method):
        self._method = method

    def remote(self, *args):
        return asyncio.ensure_future(self._method(*args))


class _Handle:
    def __init__(self, actor):
        self._actor = actor

    def __getattr__(self, name):
        return _Bound(getattr(self._actor, name))


class LocalPool(Pool):
    def _start(self, target, budget, probes):
        self._loop = asyncio.new_event_loop()
        thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        thread.start()

        async def make():
            self._limits = Limiter(self._cfg.limits, self._cfg.llm.concurrency, budget.requests_left, probes, budget.seconds_left)
            return [Caller(target, _Handle(self._limits), self._ledger_dir, str(i)) for i in range(self._cfg.llm.actors)]

        self._callers = asyncio.run_coroutine_threadsafe(make(), self._loop).result()
        self._stack.callback(thread.join)
        self._stack.callback(self._loop.call_soon_threadsafe, self._loop.stop)
        for caller in self._callers:
            self._stack.callback(lambda caller=caller: asyncio.run_coroutine_threadsafe(caller.close(), self._loop).result())

    def _pressure(self):
        return asyncio.run_coroutine_threadsafe(self._limits.pressure(), self._loop).result()

    def _send(self, request, flying):
        caller = self._callers[len(flying) % len(self._callers)]
        flying[asyncio.run_coroutine_threadsafe(caller.ask(request), self._loop)] = (request, 0)

    def _arrived(self, flying):
        done, _ = concurrent.futures.wait(list(flying), POLL_S, concurrent.futures.FIRST_COMPLETED)
        for future in done:
            request, _ = flying.pop(future)
            yield request, future.result()
