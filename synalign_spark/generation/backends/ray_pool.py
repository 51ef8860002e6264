"""The actor pool as the engine sees it: requests in, answers out as they arrive, each stored before it is seen."""

import contextlib
import itertools
import logging
import os
import socket
import tempfile
import time
import uuid
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pyarrow import fs

from synalign_spark.config import GenerateConfig, LlmConfig
from synalign_spark.errors import DistributedError, EndpointError
from synalign_spark.generation import embedded, endpoint
from synalign_spark.generation.calls import Answer, Request
from synalign_spark.generation.client import Target
from synalign_spark.generation.ledger import LedgerWriter, read_ledger
from synalign_spark.generation.limits import Budget
from synalign_spark.generation.window import Pressure
from synalign_spark.storage.paths import filesystem

LOCAL_CPUS = 1
LOCAL_OBJECT_STORE_BYTES = 100 * 2**20
MAX_ACTOR_DEATHS = 3
LIMITER_CONCURRENCY = 10_000
POLL_S, LOOK_S = 0.5, 2.0
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


class Pool:
    """Caller actors around one limiter. Opened on the first call, so that a run whose answers are all stored starts nothing."""

    def __init__(self, cfg: GenerateConfig, ledger_dir: str, log_dir: str | None) -> None:
        """ledger_dir: folder of the ledger, any file system; log_dir: local folder for the embedded server's logs."""
        self._cfg, self._ledger_dir, self._log_dir = cfg, ledger_dir, log_dir
        self._stack = contextlib.ExitStack()
        self._callers: list[Any] = []
        self._names: dict[Any, str] = {}  # of the callers, as the limiter knows them
        self._limiter: Any = None
        self._target: Target | None = None
        self._writer: LedgerWriter | None = None
        self._deaths = 0
        self._looked = 0.0
        self._turn = itertools.count()
        self.stopped_by: str | None = None  # the budget's key, once it has stopped the sending
        self.pressure: Pressure | None = None  # what the endpoint bears, a moment ago

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.close()

    def run(self, requests: Sequence[Request], budget: Budget, tell: Callable[[], None]) -> Iterator[Answer]:
        """Answers in the order of arrival, at most ``llm.concurrency`` in flight. Stops sending at the first request
        that the budget does not admit: that one and those after it get no answer.

        tell: called when ``pressure`` was renewed. Raises EndpointError when the endpoint turns out to be unusable."""
        if not requests:
            return
        waiting = list(reversed(requests))
        flying: dict[Any, tuple[Request, Any]] = {}
        self.stopped_by = None
        while waiting or flying:
            while waiting and not self.stopped_by and len(flying) < self._cfg.llm.concurrency:
                broken = budget.admit(waiting[-1])
                if broken:
                    # Calls in flight may use less than they reserved, so this is final only when none is left.
                    self.stopped_by = None if flying else broken
                    break
                self._open(budget)
                self._send(waiting.pop(), flying)
            if not flying:
                break
            self._look(tell)
            for request, answer in self._arrived(flying):
                budget.spend(answer or Answer(request.request_id, "not_asked"))
                if answer is None:
                    waiting.append(request)
                elif answer.status == "not_asked":
                    self.stopped_by = answer.error
                else:
                    self._refuse_fatal(answer)
                    yield answer
        if self._target is not None:
            self.pressure = self._pressure()

    def _look(self, tell: Callable[[], None]) -> None:
        """Renews ``pressure`` now and then."""
        if time.monotonic() - self._looked >= LOOK_S:
            self._looked, self.pressure = time.monotonic(), self._pressure()
            tell()

    def _pressure(self) -> Pressure:
        import ray

        found: Pressure = ray.get(self._limiter.pressure.remote())
        return found

    def _send(self, request: Request, flying: dict[Any, tuple[Request, Any]]) -> None:
        busy = [caller for _, caller in flying.values()]
        caller = min(self._callers, key=busy.count)
        flying[caller.ask.remote(request)] = (request, caller)

    def _arrived(self, flying: dict[Any, tuple[Request, Any]]) -> Iterator[tuple[Request, Answer | None]]:
        """Calls that have ended; None for one whose actor died before its answer was stored."""
        import ray

        refs = list(flying)
        done, _ = ray.wait(refs, num_returns=1, timeout=POLL_S)
        if done:
            done, _ = ray.wait(refs, num_returns=len(refs), timeout=0)
        for ref in done:
            request, caller = flying.pop(ref)
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

    def _open(self, budget: Budget) -> None:
        """Starts the embedded model, checks the endpoint, starts the callers: once."""
        if self._target is not None:
            return
        llm = self._cfg.llm
        base_url = self._stack.enter_context(embedded.serve(llm.model, self._log_dir)) if llm.provider == "embedded" else None
        report = endpoint.check(llm, base_url, self._ledger_dir)
        # On a busy machine the embedded model is slow, and asking again would only make it slower.
        timeout = max(llm.timeout_s, embedded.CALL_TIMEOUT_S) if llm.provider == "embedded" else llm.timeout_s
        key = endpoint.api_key(llm)
        target = Target(report.base_url, llm.model, report.dialect, report.token_parameter, timeout, llm.max_attempts, key)
        self._target = target
        self._start(target, budget, report.probes)

    def _start(self, target: Target, budget: Budget, probes: int) -> None:
        """Ray, the limiter and the callers."""
        from synalign_spark.generation.backends.callers import Limiter

        self._stack.enter_context(ray_session(self._cfg.llm))
        self._limiter = self._actor(Limiter, LIMITER_CONCURRENCY).remote(
            self._cfg.limits, self._cfg.llm.concurrency, budget.requests_left, probes, budget.seconds_left
        )
        self._stack.callback(_kill, self._limiter)
        if not self._actors_store():
            self._writer = LedgerWriter(self._ledger_dir)
            self._stack.callback(self._writer.close)
        self._callers = [self._caller() for _ in range(min(self._cfg.llm.actors, self._cfg.llm.concurrency))]

    def _caller(self) -> Any:
        from synalign_spark.generation.backends.callers import Caller

        name = str(uuid.uuid4())
        stores = self._ledger_dir if self._actors_store() else None
        made = self._actor(Caller, max(2, self._cfg.llm.concurrency)).remote(self._target, self._limiter, stores, name)
        self._names[made] = name
        self._stack.callback(_kill, made)
        return made

    def _actor(self, kind: type, max_concurrency: int) -> Any:
        """The class as an async Ray actor. It waits for the network, so it claims no core, and Ray would not spread such actors,
        not even by a soft affinity: the nodes take turns. The embedded model listens on loopback, so its callers stay here."""
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy as OnNode

        nodes = sorted(node["NodeID"] for node in ray.nodes() if node["Alive"])  # type: ignore[no-untyped-call]
        if self._cfg.llm.provider == "embedded":
            nodes = [ray.get_runtime_context().get_node_id()]
        where = OnNode(nodes[next(self._turn) % len(nodes)], soft=False)
        remote: Any = ray.remote
        return remote(num_cpus=0, max_restarts=0, max_concurrency=max_concurrency, scheduling_strategy=where)(kind)

    def _actors_store(self) -> bool:
        """Whether actors reach the ledger themselves: answers then survive even the driver's death. On other
        machines they cannot write to this one's disk."""
        return self._cfg.llm.ray_address is None or not isinstance(filesystem(self._ledger_dir)[0], fs.LocalFileSystem)

    def _refuse_fatal(self, answer: Answer) -> None:
        if answer.status == "fatal":
            raise endpoint.unusable(self._cfg.llm, self._target.base_url if self._target else None, answer.error or "")


def _kill(actor: Any) -> None:
    import ray

    if ray.is_initialized():
        ray.kill(actor)
