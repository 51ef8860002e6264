"""The pool of calls: admits requests by the budget, keeps so many in flight, and opens endpoint and backend when the first one goes.

What sends them is a backend's business: see ``loop`` and ``ray_senders``.
"""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator

from synalign_spark.config import GenerateConfig
from synalign_spark.errors import EndpointError
from synalign_spark.generation import embedded, endpoint
from synalign_spark.generation.backends.batch_callers import BatchCallers
from synalign_spark.generation.backends.loop import LocalSenders, LoopCallers
from synalign_spark.generation.backends.protocol import Callers, Pool, Senders
from synalign_spark.generation.batches.notes import Note, Notes
from synalign_spark.generation.calls import Answer, Request
from synalign_spark.generation.dialects import Terms
from synalign_spark.generation.history import History
from synalign_spark.generation.ledger import LedgerWriter, holds_answers
from synalign_spark.generation.limits import Allowance, Budget
from synalign_spark.generation.target import Target, target_of, unusable
from synalign_spark.generation.waiting import Waiting
from synalign_spark.generation.window import Pressure

LOOK_S = 2.0  # between two looks at the pressure


def open_pool(cfg: GenerateConfig, ledger_dir: str, log_dir: str | None = None) -> Pool:
    """The pool with the backend that ``cfg.llm.backend`` names, or for batches; nothing is started before the first call.

    ledger_dir: folder of the ledger, any file system; log_dir: local folder for the embedded server's logs."""
    if cfg.llm.mode == "batch":
        return CallPool(cfg, BatchCallers(cfg.llm, ledger_dir), ledger_dir, log_dir)
    senders: Senders
    if cfg.llm.backend == "ray":
        from synalign_spark.generation.backends.ray_senders import RaySenders

        senders = RaySenders(cfg.llm, ledger_dir)
    else:
        senders = LocalSenders(ledger_dir)
    return CallPool(cfg, LoopCallers(senders), ledger_dir, log_dir)


class CallPool:
    """A ``Pool`` over the callers of any backend. A run whose answers are all stored starts nothing."""

    def __init__(self, cfg: GenerateConfig, callers: Callers, ledger_dir: str, log_dir: str | None) -> None:
        self._cfg, self._callers, self._ledger_dir, self._log_dir = cfg, callers, ledger_dir, log_dir
        self._stack = contextlib.ExitStack()
        self._target: Target | None = None
        self._looked = 0.0
        self._history = History(cfg.llm.continues)
        self._sent: dict[str, tuple[Terms, int]] = {}  # of the calls in flight, with their number
        self._n_sent = 0
        self._ledger: LedgerWriter | None = None
        self._noted: dict[str, Note] = {}  # batches of earlier starts that were not read, by the ids of their calls
        self.stopped_by: str | None = None
        self.pressure: Pressure | None = None

    @property
    def left_running(self) -> str:
        return self._callers.left_running

    @property
    def renegotiations(self) -> int:
        return self._history.renegotiations

    def __enter__(self) -> "CallPool":
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def run(self, waiting: Waiting, budget: Budget, notify: Callable[[], None]) -> Iterator[Answer]:
        """Answers in the order of arrival, at most ``llm.most_in_flight`` requests in flight: see ``Pool.run``."""
        self.stopped_by = None
        while waiting or self._callers.in_flight:
            self._send(waiting, budget)
            if not self._callers.in_flight:
                break
            self._look(notify)
            for request, answer in self._callers.arrived():
                budget.spend(answer)
                yield from self._taken(request, answer, waiting)
            yield from self._decided(not self._callers.in_flight and not waiting)
        yield from self._decided(True)  # of a run that a budget has stopped
        if self._target is not None:
            self.pressure = self._callers.pressure()

    def _taken(self, request: Request, answer: Answer, waiting: Waiting) -> Iterator[Answer]:
        """What of an ended call goes to the engine; a call that is to be sent again goes to ``waiting``."""
        sent_under, number = self._sent.pop(request.request_id)
        now = self._target.terms if self._target else sent_under
        if answer.status == "not_asked":
            self.stopped_by = answer.error
        elif answer.status == "fatal":
            raise self._unusable(answer.error or "")
        elif self._terms_failed(request, answer, sent_under, now) and self._renegotiate(sent_under) and answer.status != "answered":
            waiting.put_back(request)
        else:
            yield from self._judged(dataclasses.replace(answer, status="bad_request") if answer.status == "bad_form" else answer, number)

    def _terms_failed(self, request: Request, answer: Answer, sent_under: Terms, now: Terms) -> bool:
        return self._history.dialect_failed(request, answer, sent_under, now) or self._history.parameters_failed(request, answer)

    def _judged(self, answer: Answer, number: int) -> Iterator[Answer]:
        """What may be handed on now: this answer to the number-th call, those that wait for it too, or none yet."""
        if answer.status == "forbidden":
            self._history.hold(answer, self._n_sent)
            return
        if answer.status == "answered":
            yield from self._stored(self._history.answers(number))
        yield answer

    def _decided(self, all_back: bool) -> Iterator[Answer]:
        """Forbidden calls after which none was answered: refusals of their prompts where the endpoint is known to answer, and still does.

        A start that finds all other answers stored asks for nothing but prompts that were refused before. Raises EndpointError where
        the key may be at fault. A budget that is spent allows no look: then they are handed on and not stored, so the next start asks."""
        message = self._history.undecided(all_back)
        if message is None or self._target is None:
            return
        if not self._history.answered and not holds_answers(self._ledger_dir):
            raise self._unusable(message)
        if self.stopped_by is not None:
            yield from self._history.release()
        elif endpoint.takes(self._cfg.llm, self._target):
            yield from self._stored(self._history.release())
        else:
            raise self._unusable(message)

    def _stored(self, refusals: list[Answer]) -> list[Answer]:
        """The same, once the ledger holds them: senders store what is an answer when it comes, and these were none."""
        if refusals:
            if self._ledger is None:
                self._ledger = LedgerWriter(self._ledger_dir)
                self._stack.callback(self._ledger.close)
            self._ledger.commit(refusals)
        return refusals

    def _renegotiate(self, sent_under: Terms) -> bool:
        """Whether calls go under other terms from now on than those that failed."""
        if self._target is None or sent_under != self._target.terms:
            return True
        if not self._history.may_renegotiate or (not self._history.formless and self._still_taken(self._target)):
            return False
        terms = endpoint.renegotiate(self._cfg.llm, self._target, self._ledger_dir, self._history.formless)
        self._history.tried(terms is not None)
        if terms is None:
            return False
        self._target = dataclasses.replace(self._target, terms=terms)
        self._callers.retarget(self._target)
        return True

    def _still_taken(self, target: Target) -> bool:
        """Whether the endpoint takes the dialect: a refusal that names a schema may speak of the prompt's. Looks once. An endpoint that
        takes nothing at all says nothing of a dialect."""
        if not self._history.dialect_taken:
            try:
                self._history.dialect_taken = endpoint.takes(self._cfg.llm, target)
            except EndpointError:
                return True
        return self._history.dialect_taken

    def drain(self, say: Callable[[str], None]) -> None:
        """After an interruption: sends nothing more, and waits a while for the calls in flight, which are stored. say: takes a line."""
        self._callers.drain(say)

    def takes_calls(self) -> bool:
        """Whether the endpoint takes a tiny call, now."""
        with contextlib.suppress(EndpointError):
            return self._target is not None and endpoint.takes(self._cfg.llm, self._target)
        return False

    def _unusable(self, message: str) -> EndpointError:
        return unusable(self._cfg.llm, self._target.base_url if self._target else None, message)

    def _send(self, waiting: Waiting, budget: Budget) -> None:
        """Sends the first of ``waiting``, and on, as far as concurrency and budget go."""
        while waiting and not self.stopped_by and self._callers.in_flight < self._cfg.llm.most_in_flight:
            broken = budget.admit(waiting.first())
            if broken:
                # Calls in flight may use less than they reserved, so this is final only when none is left.
                self.stopped_by = None if self._callers.in_flight else broken
                return
            target = self._open(budget)
            request = waiting.take()
            self._not_in_a_batch(request)
            self._sent[request.request_id] = (target.terms, self._n_sent)
            self._n_sent += 1
            self._callers.send(request)

    def _not_in_a_batch(self, request: Request) -> None:
        """Raises EndpointError where an earlier start has left a batch that answers the request: it would be paid twice."""
        note = self._noted.get(request.request_id)
        if note is not None:
            raise EndpointError(
                f"generate.llm.mode is 'calls', and {note.batch_id or 'a batch'} of an earlier start answers {len(note.request_ids):,} of the "
                "calls, so that they would be paid twice; set generate.llm.mode to 'batch' to have its answers, or remove "
                f"{note.name} in {self._ledger_dir} to do without"
            )

    def _look(self, notify: Callable[[], None]) -> None:
        """Renews ``pressure`` now and then."""
        if time.monotonic() - self._looked >= LOOK_S:
            self._looked, self.pressure = time.monotonic(), self._callers.pressure()
            notify()

    def _open(self, budget: Budget) -> Target:
        """Starts the embedded model, checks the endpoint, starts the callers: once."""
        if self._target is not None:
            return self._target
        llm = self._cfg.llm
        base_url = self._stack.enter_context(embedded.serve(llm.model, self._log_dir)) if llm.provider == "embedded" else None
        report = endpoint.check(llm, base_url, self._ledger_dir)
        # On a busy machine the embedded model is slow, and asking again would only make it slower.
        timeout = max(llm.timeout_s, embedded.CALL_TIMEOUT_S) if llm.provider == "embedded" else llm.timeout_s
        self._target = target_of(llm, report.base_url, report.terms, timeout)
        self._stack.callback(self._callers.close)
        left = (budget.seconds_left, budget.tokens_left, budget.usd_left)
        allowance = Allowance(self._cfg.limits, llm.concurrency, budget.requests_left, report.probes, *left)
        self._callers.start(self._target, allowance)
        if llm.mode == "calls":
            self._noted = {request_id: note for note in Notes(self._ledger_dir).read() for request_id in note.request_ids}
        return self._target
