"""Senders as Ray actors: on this machine, or spread over the nodes of a cluster.

Nothing is said to Ray once a call: attempts go to an actor in batches, and what has ended comes back in batches. An actor that dies is
replaced; of its attempts those that it had stored are answered from the ledger, the others are made again.
"""

import asyncio
import contextlib
import itertools
import re
from collections.abc import Coroutine
from typing import Any

from pyarrow import fs

from synalign_spark.config import LlmConfig
from synalign_spark.errors import EndpointDownError, EndpointError, SynalignError
from synalign_spark.generation.backends.protocol import LostError
from synalign_spark.generation.backends.ray_session import ray_session
from synalign_spark.generation.backends.sender import Attempt, Outcome, Sender, tokens_of
from synalign_spark.generation.calls import Answer
from synalign_spark.generation.ledger import LedgerWriter, find_answers
from synalign_spark.generation.target import Target
from synalign_spark.storage.paths import filesystem

MOST_DEATHS = 3  # of actors, one after another without an answer between
GATHERED_S = 0.005  # that attempts, or their ends, wait for others to go with
POLL_S = 5.0  # without news an actor says so
COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class RaySender:
    """The actor: many attempts at a time, on its own event loop."""

    def __init__(self, target: Target, ledger_dir: str | None) -> None:
        self._sender = Sender(target, ledger_dir)
        self._tasks: set[asyncio.Task[None]] = set()
        self._ended: list[tuple[int, Outcome | Exception]] = []
        self._news = asyncio.Event()

    async def ready(self) -> None:
        """Answers once the actor runs: leave that the limiter gives before would be used all at once."""

    async def post(self, works: list[tuple[int, Attempt]]) -> None:
        """Begins attempts, each with its number."""
        for number, work in works:
            task = asyncio.create_task(self._attempt(number, work))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _attempt(self, number: int, work: Attempt) -> None:
        try:
            ended: Outcome | Exception = await self._sender.attempt(work)
        except Exception as err:  # a ledger that cannot be written, or a fault of ours: raised where it was asked
            ended = err
        self._ended.append((number, ended))
        self._news.set()

    async def collect(self) -> list[tuple[int, Outcome | Exception]]:
        """Attempts that have ended since the last time; waits for the first, a while."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._news.wait(), POLL_S)
            await asyncio.sleep(GATHERED_S)
        self._news.clear()
        ended, self._ended = self._ended, []
        return ended


class _Actor:
    """What this process knows of an actor. error: why it takes nothing any more."""

    def __init__(self, handle: Any) -> None:
        self.handle = handle
        self.flying: dict[int, tuple[Attempt, asyncio.Future[Outcome]]] = {}
        self.outbox: list[tuple[int, Attempt]] = []
        self.tasks: set[asyncio.Task[None]] = set()
        self.error: Exception | None = None

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def fail(self, error: Exception) -> None:
        """Nothing comes of it any more: whoever waits gets the error, and whoever asks later."""
        self.error = error
        for _, future in list(self.flying.values()):
            if not future.done():
                future.set_exception(error)


class RaySenders:
    """See ``protocol.Senders``."""

    def __init__(self, llm: LlmConfig, ledger_dir: str) -> None:
        """ledger_dir: folder of the ledger, any file system."""
        self._llm, self._ledger_dir = llm, ledger_dir
        self._stack = contextlib.ExitStack()
        self._target: Target | None = None
        self._writer: LedgerWriter | None = None
        self._actors: list[_Actor] = []
        self._numbers, self._node_turn = itertools.count(), itertools.count()
        self._deaths = 0

    def start(self, target: Target) -> None:
        import ray

        self._target = target
        self._stack.enter_context(ray_session(self._llm))
        if not self._actors_store():
            self._writer = LedgerWriter(self._ledger_dir)
            self._stack.callback(self._writer.close)
        try:
            handles = [self._make() for _ in range(min(self._llm.actors, self._llm.concurrency))]
            ray.get([handle.ready.remote() for handle in handles])
        except ray.exceptions.RayError as err:
            raise EndpointError(_of_ray(err)) from err
        self._actors = [_Actor(handle) for handle in handles]

    async def attempt(self, work: Attempt) -> Outcome:
        actor = min(self._actors, key=lambda one: len(one.flying))
        if actor.error is not None:
            raise actor.error
        number = next(self._numbers)
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        actor.flying[number] = (work, future)
        actor.outbox.append((number, work))
        if not actor.tasks:
            actor.begin(self._collect(actor))
        if len(actor.outbox) == 1:
            actor.begin(self._post(actor))
        try:
            return await future
        finally:
            actor.flying.pop(number, None)

    async def _post(self, actor: _Actor) -> None:
        """Sends what has gathered."""
        import ray

        await asyncio.sleep(GATHERED_S)
        works, actor.outbox = actor.outbox, []
        try:
            await actor.handle.post.remote(works)
        except (ray.exceptions.RayActorError, ray.exceptions.ActorUnschedulableError):
            return  # whoever collects finds it dead
        except Exception as err:  # what cannot be sent, or Ray itself
            actor.fail(EndpointError(_of_ray(err)))

    async def _collect(self, actor: _Actor) -> None:
        """Takes what ends at an actor, until it dies."""
        import ray

        try:
            while True:
                ended = await actor.handle.collect.remote()
                await asyncio.gather(*(self._take(actor, number, outcome) for number, outcome in ended))
        except (ray.exceptions.RayActorError, ray.exceptions.ActorUnschedulableError) as err:
            try:
                await self._after_death(actor, err)
            except Exception as failed:  # the ledger, or Ray, which has a family of errors for each way to fail
                actor.fail(failed if isinstance(failed, SynalignError) else EndpointError(_of_ray(failed)))
        except Exception as err:  # the same
            actor.fail(err if isinstance(err, SynalignError) else EndpointError(_of_ray(err)))

    async def _take(self, actor: _Actor, number: int, outcome: Outcome | Exception) -> None:
        """Hands an end on, once it is stored."""
        work, future = actor.flying.get(number, (None, None))
        if isinstance(outcome, Outcome) and outcome.answer is not None:
            self._deaths = 0
            if self._writer is not None and (work is None or work.named):
                await self._writer.append(outcome.answer)
        if future is None or future.done():
            return
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)

    async def _after_death(self, actor: _Actor, err: Exception) -> None:
        """Replaces a dead actor. Its last answers may have reached the ledger; what it had not been given was not sent."""
        self._deaths += 1
        if self._deaths > MOST_DEATHS:
            raise EndpointDownError(f"{self._deaths} Ray actors died one after another ({_line(err)}); {ADVICE}")
        _kill(actor.handle)  # one that only cannot be reached may live, and would send what is sent again
        self._actors[self._actors.index(actor)] = _Actor(await asyncio.to_thread(self._make))
        named = {work.request.request_id for work, _ in actor.flying.values() if work.named}
        stored = await asyncio.to_thread(find_answers, self._ledger_dir, named)
        unsent = {number for number, _ in actor.outbox}
        for number, (work, future) in list(actor.flying.items()):
            if not future.done():
                answer = stored.get(work.request.request_id) if work.named else None
                future.set_result(_from_ledger(answer, work)) if answer else future.set_exception(LostError(sent=number not in unsent))

    def _make(self) -> Any:
        """An async Ray actor. It waits for the network, so it claims no core, and Ray would not spread such actors, not even by a soft
        affinity: the nodes take turns. The embedded model listens on loopback, so its senders stay here."""
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy as OnNode

        nodes = sorted(node["NodeID"] for node in ray.nodes() if node["Alive"])  # type: ignore[no-untyped-call]
        if self._llm.provider == "embedded":
            nodes = [ray.get_runtime_context().get_node_id()]
        where = OnNode(nodes[next(self._node_turn) % len(nodes)], soft=False)
        remote: Any = ray.remote
        kind = remote(num_cpus=0, max_restarts=0, scheduling_strategy=where)(RaySender)
        handle = kind.remote(self._target, self._ledger_dir if self._actors_store() else None)
        self._stack.callback(_kill, handle)
        return handle

    def _actors_store(self) -> bool:
        """Whether actors reach the ledger themselves: answers then survive even the driver's death. On other
        machines they cannot write to this one's disk."""
        return self._llm.ray_address is None or not isinstance(filesystem(self._ledger_dir)[0], fs.LocalFileSystem)

    async def close(self) -> None:
        tasks = [task for actor in self._actors for task in actor.tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._writer is not None:
            await self._writer.drain()

    def stop(self) -> None:
        self._stack.close()


ADVICE = "see Ray's logs, then start the run again: stored answers are kept"


def _of_ray(err: Exception) -> str:
    return f"Ray failed ({_line(err)}); {ADVICE}"


def _line(err: Exception) -> str:
    """An error of Ray in a line: its cause, where it wraps one, without colours; it may have a page."""
    cause = getattr(err, "cause", None)
    named = cause if isinstance(cause, Exception) else err
    words = COLOURS.sub("", str(named)).strip().splitlines() or [""]
    return f"{type(named).__name__}: {words[0][:300]}"


def _from_ledger(answer: Answer, work: Attempt) -> Outcome:
    prompt, completion = tokens_of(work.spent)
    took = (answer.prompt_tokens or 0) - prompt, (answer.completion_tokens or 0) - completion
    return Outcome(answer, None, took, None, answer.latency_s or 0.0)


def _kill(actor: Any) -> None:
    import ray

    if ray.is_initialized():
        ray.kill(actor)
