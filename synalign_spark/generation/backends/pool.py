"""The pool of calls: admits requests by the budget, keeps so many in flight, and opens endpoints and backend when the first one goes.

What sends them is a backend's business: see ``loop`` and ``ray_senders``; what is known of an endpoint, see ``place``.
"""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator
from functools import partial

from synalign_spark.config import GenerateConfig
from synalign_spark.config.endpoints import Endpoint
from synalign_spark.errors import EndpointError
from synalign_spark.generation import embedded, endpoint
from synalign_spark.generation.backends.batch_callers import BatchCallers
from synalign_spark.generation.backends.loop import LocalSenders, LoopCallers
from synalign_spark.generation.backends.place import Place
from synalign_spark.generation.backends.protocol import Callers, Pool, Senders
from synalign_spark.generation.batches.notes import Note, Notes
from synalign_spark.generation.calls import Answer, Request
from synalign_spark.generation.dialects import Terms
from synalign_spark.generation.ledger import LedgerWriter, holds_answers
from synalign_spark.generation.limits import Allowance, Budget, Share
from synalign_spark.generation.probing import BudgetSpentError, PaidProbing
from synalign_spark.generation.target import target_of
from synalign_spark.generation.transport import make_room
from synalign_spark.generation.waiting import Waiting
from synalign_spark.generation.window import Pressure

LOOK_S = 2.0  # between two looks at the pressure


def open_pool(cfg: GenerateConfig, ledger_dir: str, log_dir: str | None = None, say: Callable[[str], None] = lambda said: None) -> Pool:
    """The pool with the backend that ``cfg.llm.backend`` names, or for batches; nothing is started before the first call.

    ledger_dir: folder of the ledger, any file system; log_dir: local folder for the embedded server's logs; say: takes a line for people.
    Raises ConfigError for more connections than this process may have."""
    if cfg.llm.mode == "batch":
        return CallPool(cfg, BatchCallers(cfg.llm, ledger_dir), ledger_dir, log_dir, say)
    senders: list[Senders]
    if cfg.llm.backend == "ray":
        from synalign_spark.generation.backends.ray_senders import RaySenders

        senders = [RaySenders(one.llm, ledger_dir) for one in cfg.endpoints]
    else:
        make_room(cfg.most_in_flight)
        senders = [LocalSenders(ledger_dir) for _ in cfg.endpoints]
    return CallPool(cfg, LoopCallers(senders), ledger_dir, log_dir, say)


class CallPool:
    """A ``Pool`` over the callers of any backend. A run whose answers are all stored starts nothing."""

    def __init__(self, cfg: GenerateConfig, callers: Callers, ledger_dir: str, log_dir: str | None, say: Callable[[str], None]) -> None:
        self._cfg, self._callers, self._ledger_dir, self._log_dir, self._say = cfg, callers, ledger_dir, log_dir, say
        self._stack = contextlib.ExitStack()
        self._places: list[Place] = []  # none before the first call
        self._looked = 0.0
        self._sent: dict[str, tuple[list[Terms], int]] = {}  # of the calls in flight: terms of each endpoint, and their number
        self._n_sent = 0
        self._ledger: LedgerWriter | None = None
        self._noted: dict[str, Note] = {}  # batches of earlier starts that were not read, by the ids of their calls
        self.stopped_by: str | None = None
        self.pressure: Pressure | None = None

    @property
    def left_running(self) -> str:
        return self._callers.left_running

    @property
    def left(self) -> dict[str, str]:
        return {place.llm.name: place.left for place in self._places if place.left}

    @property
    def renegotiations(self) -> int:
        return sum(place.history.renegotiations for place in self._places)

    def __enter__(self) -> "CallPool":
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def run(self, waiting: Waiting, budget: Budget, notify: Callable[[], None]) -> Iterator[Answer]:
        """Answers in the order of arrival, at most ``cfg.most_in_flight`` requests in flight: see ``Pool.run``."""
        self.stopped_by = None
        while waiting or self._callers.in_flight:
            self._send(waiting, budget)
            if not self._callers.in_flight:
                break
            self._look(notify)
            for request, answer in self._callers.arrived():
                budget.spend(answer)
                yield from self._taken(request, answer, waiting)
            yield from self._decided(not self._callers.in_flight and not waiting, waiting)
        yield from self._decided(True, waiting)  # of a run that a budget has stopped
        for number, reason in self._callers.left.items():  # those that were down for too long
            self._places[number].left = self._places[number].left or reason
        if self._places:
            self.pressure = self._callers.pressure()

    def _taken(self, request: Request, answer: Answer, waiting: Waiting) -> Iterator[Answer]:
        """What of an ended call goes to the engine; a call that is to be sent again goes to ``waiting``."""
        terms, number = self._sent.pop(request.request_id)
        place = self._place_of(answer)
        sent_under = terms[place.number]
        if answer.status == "not_asked":
            self.stopped_by = answer.error
        elif answer.status == "fatal":
            self._leave(place, answer.error or "")
            waiting.put_back(request)
        elif place.terms_failed(request, answer, sent_under) and self._renegotiate(place, sent_under) and answer.status != "answered":
            waiting.put_back(request)
        else:
            judged = dataclasses.replace(answer, status="bad_request") if answer.status == "bad_form" else answer
            yield from self._judged(place, request, judged, number)

    def _place_of(self, answer: Answer) -> Place:
        """The endpoint that gave it: of an answer that names none it does not matter."""
        named = (answer.model, answer.endpoint)
        return next((place for place in self._places if (place.target.model, place.target.endpoint) == named), self._places[0])

    def _leave(self, place: Place, message: str) -> None:
        """Goes on without an endpoint. Raises EndpointError where it is the last one."""
        for number, reason in self._callers.left.items():
            self._places[number].left = self._places[number].left or reason
        place.left = place.left or message
        if all(one.left for one in self._places):
            raise place.unusable(message)
        self._callers.leave(place.number, place.left)

    def _judged(self, place: Place, request: Request, answer: Answer, number: int) -> Iterator[Answer]:
        """What may be handed on now: this answer to the number-th call, those that wait for it too, or none yet."""
        if answer.status == "forbidden":
            place.history.hold(answer, self._n_sent)
            place.held[request.request_id] = request
            return
        if answer.status == "answered":
            yield from self._stored(place, place.history.answers(number))
        reason = place.failing(answer)
        if reason and not place.left and any(one.works for one in self._places):
            self._leave(place, reason)
        yield answer

    def _decided(self, all_back: bool, waiting: Waiting) -> Iterator[Answer]:
        """Forbidden calls after which none was answered: refusals of their prompts where the endpoint is known to answer, and still does.

        A start that finds all other answers stored asks for nothing but prompts that were refused before. Where the key may be at fault
        the endpoint is left. A budget that is spent allows no look: then they are handed on and not stored, so the next start asks."""
        for place in self._places:
            message = place.history.undecided(all_back)
            if message is None:
                continue
            known = place.history.answered or holds_answers(self._ledger_dir)
            takes = known and self.stopped_by is None and place.takes_calls()
            if known and (self.stopped_by is not None or place.unasked):
                yield from place.history.release()
            elif takes:
                yield from self._stored(place, place.history.release())
            else:
                self._leave(place, message)
                for refusal in place.history.release():
                    waiting.put_back(place.held.pop(refusal.request_id))

    def _stored(self, place: Place, refusals: list[Answer]) -> list[Answer]:
        """The same, once the ledger holds them: senders store what is an answer when it comes, and these were none."""
        if refusals:
            self._store(*refusals)
        for refusal in refusals:
            place.held.pop(refusal.request_id, None)
        return refusals

    def _store(self, *answers: Answer) -> None:
        if self._ledger is None:
            self._ledger = LedgerWriter(self._ledger_dir)
            self._stack.callback(self._ledger.close)
        self._ledger.commit(answers)

    def _renegotiate(self, place: Place, sent_under: Terms) -> bool:
        before = place.target
        found = place.renegotiate(sent_under)
        if place.target is not before:
            self._callers.retarget(place.number, place.target)
        return found

    def drain(self, say: Callable[[str], None]) -> None:
        """See ``Pool.drain``."""
        self._callers.drain(say)

    def takes_calls(self) -> bool:
        """Whether an endpoint takes a tiny call, now."""
        return any(place.takes_calls() for place in self._places)

    def _send(self, waiting: Waiting, budget: Budget) -> None:
        """Sends the first of ``waiting``, and on, as far as concurrency and budget go."""
        while waiting and not self.stopped_by and self._callers.in_flight < self._cfg.most_in_flight:
            broken = budget.admit(waiting.first())
            if broken:
                # Calls in flight may use less than they reserved, so this is final only when none is left.
                self.stopped_by = None if self._callers.in_flight else broken
                return
            self.stopped_by = self._open(budget)
            if self.stopped_by:
                return
            request = waiting.take()
            self._not_in_a_batch(request)
            self._sent[request.request_id] = ([place.target.terms for place in self._places], self._n_sent)
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

    def _open(self, budget: Budget) -> str | None:
        """Starts the embedded model, checks the endpoints, starts the callers: once. Of several endpoints those that cannot be used, or for whose
        check a budget has no room, are left. The key of the limit where it has room for none."""
        if self._places:
            return None
        llm, shares = self._cfg.llm, []
        base_url = self._stack.enter_context(embedded.serve(llm.model, self._log_dir)) if llm.provider == "embedded" else None
        places = [self._place(number, one, base_url, budget) for number, one in enumerate(self._cfg.endpoints)]
        broken: str | None = None
        for place in places:
            probes = 0
            try:
                report = endpoint.check(place.llm, base_url, self._ledger_dir, place.probing)
                place.target, probes = dataclasses.replace(place.target, base_url=report.base_url, terms=report.terms), report.probes
            except EndpointError as err:
                place.left, broken = str(err), err.key if isinstance(err, BudgetSpentError) else broken
                if all(other.left for other in places):
                    if broken is None:
                        raise
                    return broken
            shares.append(Share(place.configured.limits, place.llm.concurrency, probes, place.configured.weight))
        self._places = places
        self._stack.callback(self._callers.close)
        allowance = Allowance(tuple(shares), budget.requests_left, budget.seconds_left, budget.tokens_left, budget.usd_left)
        self._callers.start([place.target for place in places], allowance)
        for place in places:
            if place.left:
                self._callers.leave(place.number, place.left)
        if llm.mode == "calls":
            self._noted = {request_id: note for note in Notes(self._ledger_dir).read() for request_id in note.request_ids}
        return None

    def _place(self, number: int, one: Endpoint, base_url: str | None, budget: Budget) -> Place:
        # On a busy machine the embedded model is slow, and asking again would only make it slower.
        timeout = max(one.llm.timeout_s, embedded.CALL_TIMEOUT_S) if one.llm.provider == "embedded" else one.llm.timeout_s
        probing = PaidProbing(
            budget, one.llm.prices_usd(by_batch=False), self._store, partial(self._callers.charge, number), partial(self._say_of, one)
        )
        return Place(number, one, target_of(one.llm, base_url, endpoint.initial_terms(one.llm), timeout), self._ledger_dir, probing)

    def _say_of(self, one: Endpoint, words: str) -> None:
        self._say(f"{one.llm.name}: {words}")
