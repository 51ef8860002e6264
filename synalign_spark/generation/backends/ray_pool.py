"""Callers as Ray actors: on this machine, or spread over the nodes of a cluster."""

import contextlib
import itertools
import logging
import os
import socket
import tempfile
import uuid
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pyarrow import fs

from synalign_spark.config import LlmConfig
from synalign_spark.errors import DistributedError, EndpointError
from synalign_spark.generation.calls import Answer, Request
from synalign_spark.generation.ledger import LedgerWriter, read_ledger
from synalign_spark.generation.limits import Allowance
from synalign_spark.generation.target import Target
from synalign_spark.generation.window import Pressure
from synalign_spark.storage.paths import filesystem

LOCAL_CPUS = 1
LOCAL_OBJECT_STORE_BYTES = 100 * 2**20
MAX_ACTOR_DEATHS = 3
LIMITER_CONCURRENCY = 10_000
POLL_S = 0.5
CONNECT_TIMEOUT_S = 10.0


@contextlib.contextmanager
def ray_session(llm: LlmConfig) -> Iterator[None]:
    """Ray for the length of the block: a small one on this machine, or the cluster at ``llm.ray_address``.

    A Ray that runs already in this process is used and left running. Raises DistributedError for a cluster that cannot be reached."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray

    if ray.is_initialized():
        yield
        return
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR, "ignore_reinit_error": True}
    if llm.ray_address:
        _join(llm.ray_address, quiet)
    else:
        local: dict[str, Any] = {"num_cpus": LOCAL_CPUS, "object_store_memory": LOCAL_OBJECT_STORE_BYTES, "include_dashboard": False}
        ray.init(address="local", _node_ip_address="127.0.0.1", **local, **quiet)
    try:
        yield
    finally:
        ray.shutdown()


def _join(address: str, quiet: dict[str, Any]) -> None:
    """Connects to a running cluster; our code goes along, since its workers need not have it."""
    import ray

    host, _, port = address.rpartition("://")[2].rpartition(":")
    try:
        if host and port.isdecimal():  # Ray itself would ask an address where nobody is for minutes
            socket.create_connection((host.strip("[]"), int(port)), CONNECT_TIMEOUT_S).close()
        with _package() as package:
            ray.init(address=address, runtime_env={"py_modules": [package]}, **quiet)
    except Exception as err:  # Ray has a family of errors for each way to fail
        raise DistributedError(
            f"generate.llm.ray_address: the Ray cluster at {address!r} cannot be used ({type(err).__name__}: {err}); check the address, that Python "
            "and Ray have the versions of here, and, where the cluster asks for a token, RAY_AUTH_MODE=token and RAY_AUTH_TOKEN in the "
            "environment; or remove it for a Ray on this machine"
        ) from err


@contextlib.contextmanager
def _package() -> Iterator[str]:
    """Folder of our code; unpacked for the length of the block where spark-submit brought it as an archive."""
    folder = Path(__file__).resolve().parents[2]
    if folder.is_dir():
        yield str(folder)
        return
    with tempfile.TemporaryDirectory() as work, zipfile.ZipFile(folder.parent) as archive:
        archive.extractall(work, [name for name in archive.namelist() if name.startswith(f"{folder.name}/")])
        yield str(Path(work) / folder.name)


class RayCallers:
    """Caller actors around one limiter actor. A caller that dies is replaced, and what it was asking is asked again."""

    def __init__(self, llm: LlmConfig, ledger_dir: str) -> None:
        """ledger_dir: folder of the ledger, any file system."""
        self._llm, self._ledger_dir = llm, ledger_dir
        self._stack = contextlib.ExitStack()
        self._callers: list[Any] = []
        self._names: dict[Any, str] = {}  # of the callers, as the limiter knows them
        self._limiter: Any = None
        self._target: Target | None = None
        self._writer: LedgerWriter | None = None
        self._flying: dict[Any, tuple[Request, Any]] = {}  # request and caller
        self._deaths = 0
        self._node_turn = itertools.count()

    @property
    def in_flight(self) -> int:
        return len(self._flying)

    def start(self, target: Target, allowance: Allowance) -> None:
        """Ray, the limiter and the callers."""
        from synalign_spark.generation.backends.callers import Limiter

        self._target = target
        self._stack.enter_context(ray_session(self._llm))
        self._limiter = self._actor(Limiter, LIMITER_CONCURRENCY).remote(allowance)
        self._stack.callback(_kill, self._limiter)
        if not self._actors_store():
            self._writer = LedgerWriter(self._ledger_dir)
            self._stack.callback(self._writer.close)
        self._callers = [self._caller() for _ in range(min(self._llm.actors, self._llm.concurrency))]

    def send(self, request: Request) -> None:
        busy = [caller for _, caller in self._flying.values()]
        caller = min(self._callers, key=busy.count)
        self._flying[caller.ask.remote(request)] = (request, caller)

    def retarget(self, target: Target) -> None:
        self._target = target
        for caller in self._callers:
            caller.retarget.remote(target)

    def arrived(self) -> Iterator[tuple[Request, Answer | None]]:
        """Calls that have ended; None for one whose actor died before its answer was stored."""
        import ray

        refs = list(self._flying)
        done, _ = ray.wait(refs, num_returns=1, timeout=POLL_S)
        if done:
            done, _ = ray.wait(refs, num_returns=len(refs), timeout=0)
        for ref in done:
            request, caller = self._flying.pop(ref)
            try:
                answer = ray.get(ref)
            except (ray.exceptions.RayActorError, ray.exceptions.ActorUnschedulableError) as err:
                yield request, self._after_death(caller, request, err)
                continue
            except ray.exceptions.RayTaskError as err:
                raise err.as_instanceof_cause() from None  # type: ignore[no-untyped-call]
            if self._writer is not None and answer.status == "answered":
                self._writer.commit([answer])
            yield request, answer

    def pressure(self) -> Pressure:
        import ray

        found: Pressure = ray.get(self._limiter.pressure.remote())
        return found

    def close(self) -> None:
        self._stack.close()

    def _after_death(self, caller: Any, request: Request, err: Exception) -> Answer | None:
        """Replaces a dead actor, at the first of its calls that fails; its last answers may have reached the ledger."""
        import ray

        if caller in self._callers:
            try:
                ray.get(caller.ready.remote(), timeout=5)
            except ray.exceptions.RayError:  # dead, without a node, or not answering
                self._deaths += 1
                if self._deaths > MAX_ACTOR_DEATHS:
                    raise EndpointError(
                        f"{self._deaths} Ray actors died ({err}); see Ray's logs, then start the run again: stored answers are kept"
                    ) from err
                self._limiter.lost.remote(self._names.pop(caller))
                self._callers[self._callers.index(caller)] = self._caller()
        return read_ledger(self._ledger_dir).get(request.request_id)

    def _caller(self) -> Any:
        from synalign_spark.generation.backends.callers import Caller, RemoteGate

        name = str(uuid.uuid4())
        ledger_dir = self._ledger_dir if self._actors_store() else None
        gate = RemoteGate(self._limiter, name)
        caller = self._actor(Caller, max(2, self._llm.concurrency)).remote(self._target, gate, ledger_dir)
        self._names[caller] = name
        self._stack.callback(_kill, caller)
        return caller

    def _actor(self, kind: type, max_concurrency: int) -> Any:
        """The class as an async Ray actor. It waits for the network, so it claims no core, and Ray would not spread such actors,
        not even by a soft affinity: the nodes take turns. The embedded model listens on loopback, so its callers stay here."""
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy as OnNode

        nodes = sorted(node["NodeID"] for node in ray.nodes() if node["Alive"])  # type: ignore[no-untyped-call]
        if self._llm.provider == "embedded":
            nodes = [ray.get_runtime_context().get_node_id()]
        where = OnNode(nodes[next(self._node_turn) % len(nodes)], soft=False)
        remote: Any = ray.remote
        return remote(num_cpus=0, max_restarts=0, max_concurrency=max_concurrency, scheduling_strategy=where)(kind)

    def _actors_store(self) -> bool:
        """Whether actors reach the ledger themselves: answers then survive even the driver's death. On other
        machines they cannot write to this one's disk."""
        return self._llm.ray_address is None or not isinstance(filesystem(self._ledger_dir)[0], fs.LocalFileSystem)


def _kill(actor: Any) -> None:
    import ray

    if ray.is_initialized():
        ray.kill(actor)
