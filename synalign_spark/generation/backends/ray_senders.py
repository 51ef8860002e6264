"""Senders as Ray actors: on this machine, or spread over the nodes of a cluster.

Nothing is said to Ray once a call: attempts go to an actor in batches, and what has ended comes back in batches. An actor that dies is
replaced; of its attempts those that it had stored are answered from the ledger, the others are lost and sent again.
"""

import asyncio
import contextlib
import itertools
from typing import Any

from pyarrow import fs

from synalign_spark.config import LlmConfig
from synalign_spark.errors import EndpointError
from synalign_spark.generation.backends.protocol import LostError
from synalign_spark.generation.backends.ray_session import ray_session
from synalign_spark.generation.backends.sender import Attempt, Outcome, Sender
from synalign_spark.generation.calls import Answer
from synalign_spark.generation.ledger import LedgerWriter, read_ledger
from synalign_spark.generation.target import Target
from synalign_spark.storage.paths import filesystem

MOST_DEATHS = 3  # of actors, one after another without an answer between
GATHERED_S = 0.005  # that attempts, or their ends, wait for others to go with
POLL_S = 5.0  # without news an actor says so
ACTOR_CONCURRENCY = 1_000


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
    """What this process knows of an actor."""

    def __init__(self, handle: Any) -> None:
        self.handle = handle
        self.flying: dict[int, tuple[Attempt, asyncio.Future[Outcome]]] = {}
        self.outbox: list[tuple[int, Attempt]] = []
        self.tasks: list[asyncio.Task[None]] = []


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
        self._actors = [_Actor(self._make()) for _ in range(min(self._llm.actors, self._llm.concurrency))]
        try:
            ray.get([actor.handle.ready.remote() for actor in self._actors])
        except ray.exceptions.RayError as err:
            raise EndpointError(_of_ray(err)) from err

    async def attempt(self, work: Attempt) -> Outcome:
        actor = min(self._actors, key=lambda one: len(one.flying))
        number = next(self._numbers)
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        actor.flying[number] = (work, future)
        actor.outbox.append((number, work))
        if not actor.tasks:
            actor.tasks = [asyncio.create_task(self._collect(actor))]
        if len(actor.outbox) == 1:
            asyncio.get_running_loop().call_later(GATHERED_S, self._post, actor)
        try:
            return await future
        finally:
            actor.flying.pop(number, None)

    def _post(self, actor: _Actor) -> None:
        works, actor.outbox = actor.outbox, []
        if works:
            actor.handle.post.remote(works)

    async def _collect(self, actor: _Actor) -> None:
        """Takes what ends at an actor, until it dies."""
        import ray

        while True:
            try:
                ended = await actor.handle.collect.remote()
            except (ray.exceptions.RayActorError, ray.exceptions.ActorUnschedulableError) as err:
                await self._after_death(actor, err)
                return
            except ray.exceptions.RayError as err:
                self._fail(actor, EndpointError(_of_ray(err)))
                return
            for number, outcome in ended:
                await self._take(actor, number, outcome)

    async def _take(self, actor: _Actor, number: int, outcome: Outcome | Exception) -> None:
        _, future = actor.flying.get(number, (None, None))
        if isinstance(outcome, Outcome) and outcome.answer is not None:
            self._deaths = 0
            if self._writer is not None:
                await self._writer.append(outcome.answer)
        if future is None or future.done():
            return
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)

    async def _after_death(self, actor: _Actor, err: Exception) -> None:
        """Replaces a dead actor. Its last answers may have reached the ledger."""
        self._deaths += 1
        if self._deaths > MOST_DEATHS:
            self._fail(actor, EndpointError(f"{self._deaths} Ray actors died one after another ({_line(err)}); {ADVICE}"))
            return
        try:
            self._actors[self._actors.index(actor)] = _Actor(await asyncio.to_thread(self._make))
        except Exception as failed:  # Ray has a family of errors for each way to fail
            self._fail(actor, EndpointError(_of_ray(failed)))
            return
        stored = await asyncio.to_thread(read_ledger, self._ledger_dir)
        for work, future in list(actor.flying.values()):
            if not future.done():
                answer = stored.get(work.request.request_id) if work.named else None
                future.set_result(_from_ledger(answer)) if answer is not None else future.set_exception(LostError())

    def _fail(self, actor: _Actor, error: EndpointError) -> None:
        for _, future in list(actor.flying.values()):
            if not future.done():
                future.set_exception(error)

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
        kind = remote(num_cpus=0, max_restarts=0, max_concurrency=ACTOR_CONCURRENCY, scheduling_strategy=where)(RaySender)
        handle = kind.remote(self._target, self._ledger_dir if self._actors_store() else None)
        self._stack.callback(_kill, handle)
        return handle

    def _actors_store(self) -> bool:
        """Whether actors reach the ledger themselves: answers then survive even the driver's death. On other
        machines they cannot write to this one's disk."""
        return self._llm.ray_address is None or not isinstance(filesystem(self._ledger_dir)[0], fs.LocalFileSystem)

    async def close(self) -> None:
        for actor in self._actors:
            for task in actor.tasks:
                task.cancel()
            await asyncio.gather(*actor.tasks, return_exceptions=True)

    def stop(self) -> None:
        self._stack.close()


ADVICE = "see Ray's logs, then start the run again: stored answers are kept"


def _of_ray(err: Exception) -> str:
    return f"Ray failed ({_line(err)}); {ADVICE}"


def _line(err: Exception) -> str:
    """The first line of an error of Ray, which may have a page."""
    return f"{type(err).__name__}: {(str(err).strip().splitlines() or [''])[0][:300]}"


def _from_ledger(answer: Answer) -> Outcome:
    return Outcome(answer, None, (answer.prompt_tokens or 0, answer.completion_tokens or 0), None, answer.latency_s or 0.0)


def _kill(actor: Any) -> None:
    import ray

    if ray.is_initialized():
        ray.kill(actor)
