"""The pool of calls: admits requests by the budget, keeps so many in flight, and opens endpoint and backend when the first one goes.

What sends them is a backend's business: see ``ray_pool`` and ``in_process``.
"""

import contextlib
import time
from collections.abc import Callable, Iterator

from synalign_spark.config import GenerateConfig
from synalign_spark.generation import embedded, endpoint
from synalign_spark.generation.backends.protocol import Callers, Pool
from synalign_spark.generation.calls import Answer
from synalign_spark.generation.client import Target
from synalign_spark.generation.limits import Allowance, Budget
from synalign_spark.generation.waiting import Waiting
from synalign_spark.generation.window import Pressure

LOOK_S = 2.0  # between two looks at the pressure


def open_pool(cfg: GenerateConfig, ledger_dir: str, log_dir: str | None = None) -> Pool:
    """The pool with the backend that ``cfg.llm.backend`` names; nothing is started before the first call.

    ledger_dir: folder of the ledger, any file system; log_dir: local folder for the embedded server's logs."""
    callers: Callers
    if cfg.llm.backend == "ray":
        from synalign_spark.generation.backends.ray_pool import RayCallers

        callers = RayCallers(cfg.llm, ledger_dir)
    else:
        from synalign_spark.generation.backends.in_process import InProcessCallers

        callers = InProcessCallers(cfg.llm, ledger_dir)
    return CallPool(cfg, callers, ledger_dir, log_dir)


class CallPool:
    """A ``Pool`` over the callers of any backend. A run whose answers are all stored starts nothing."""

    def __init__(self, cfg: GenerateConfig, callers: Callers, ledger_dir: str, log_dir: str | None) -> None:
        self._cfg, self._callers, self._ledger_dir, self._log_dir = cfg, callers, ledger_dir, log_dir
        self._stack = contextlib.ExitStack()
        self._target: Target | None = None
        self._looked = 0.0
        self.stopped_by: str | None = None
        self.pressure: Pressure | None = None

    def __enter__(self) -> "CallPool":
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def run(self, waiting: Waiting, budget: Budget, notify: Callable[[], None]) -> Iterator[Answer]:
        """Answers in the order of arrival, at most ``llm.concurrency`` requests in flight: see ``Pool.run``."""
        self.stopped_by = None
        while waiting or self._callers.in_flight:
            self._send(waiting, budget)
            if not self._callers.in_flight:
                break
            self._look(notify)
            for request, answer in self._callers.arrived():
                budget.spend(answer or Answer(request.request_id, "not_asked"))
                if answer is None:
                    waiting.put_back(request)
                elif answer.status == "not_asked":
                    self.stopped_by = answer.error
                elif answer.status == "fatal":
                    raise endpoint.unusable(self._cfg.llm, self._target.base_url if self._target else None, answer.error or "")
                else:
                    yield answer
        if self._target is not None:
            self.pressure = self._callers.pressure()

    def _send(self, waiting: Waiting, budget: Budget) -> None:
        """Sends the first of ``waiting``, and on, as far as concurrency and budget go."""
        while waiting and not self.stopped_by and self._callers.in_flight < self._cfg.llm.concurrency:
            broken = budget.admit(waiting.first())
            if broken:
                # Calls in flight may use less than they reserved, so this is final only when none is left.
                self.stopped_by = None if self._callers.in_flight else broken
                return
            self._open(budget)
            self._callers.send(waiting.take())

    def _look(self, notify: Callable[[], None]) -> None:
        """Renews ``pressure`` now and then."""
        if time.monotonic() - self._looked >= LOOK_S:
            self._looked, self.pressure = time.monotonic(), self._callers.pressure()
            notify()

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
        self._target = Target(report.base_url, llm.model, report.dialect, report.token_parameter, timeout, llm.max_attempts, key)
        self._stack.callback(self._callers.close)
        allowance = Allowance(self._cfg.limits, llm.concurrency, budget.requests_left, report.probes, budget.seconds_left)
        self._callers.start(self._target, allowance)
