"""Calls handed over in files to the endpoint's Batch API: one batch at a time, with all that may be asked at the moment."""

import contextlib
import dataclasses
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from synalign_spark.config import LlmConfig
from synalign_spark.errors import EndpointError
from synalign_spark.generation.backends.sender import failed
from synalign_spark.generation.batches.api import BatchApi, BatchState
from synalign_spark.generation.batches.lines import by_request, line_of, read_line
from synalign_spark.generation.batches.notes import Note, Notes
from synalign_spark.generation.calls import TRANSIENT, Answer, Request
from synalign_spark.generation.faults import Fault
from synalign_spark.generation.learnt_rate import MINUTE_S
from synalign_spark.generation.ledger import LedgerWriter
from synalign_spark.generation.limits import Allowance
from synalign_spark.generation.target import Target, sync_client
from synalign_spark.generation.window import SaidPressure

MOST_BYTES = 200_000_000  # of a file of calls; the API's limit
FIRST_LOOK_S, LOOK_GROWTH, LONGEST_LOOK_S = 5.0, 1.5, 60.0


@dataclasses.dataclass
class Running:
    """A batch that is not read yet. requests: its calls that this run waits for, by id; pause_s: until the next look."""

    note: Note
    requests: dict[str, Request]
    state: BatchState
    pause_s: float

    def __str__(self) -> str:
        """For people: 'batch batch_1: 120 of 500 calls done (in_progress)'."""
        state = self.state
        return f"batch {state.batch_id}: {state.done + state.failed:,} of {len(self.note.request_ids):,} calls done ({state.status})"


class BatchCallers:
    """``Callers`` without connections of their own: what was sent since the last batch makes the next one."""

    def __init__(self, llm: LlmConfig, ledger_dir: str) -> None:
        """ledger_dir: folder of the ledger, any file system; notes of the batches lie there too."""
        self._llm, self._ledger_dir, self._notes = llm, ledger_dir, Notes(ledger_dir)
        self._stack = contextlib.ExitStack()
        self._collected: dict[str, Request] = {}  # in no batch yet
        self._running: Running | None = None
        self._tries: Counter[str] = Counter()  # batches that a call was in, by its id
        self._faults: Counter[str] = Counter()
        self._smallest = llm.batch_requests
        self._requests_left: int | None = None
        self.left_running = ""
        self.left: dict[int, str] = {}

    @property
    def in_flight(self) -> int:
        return len(self._collected) + (len(self._running.requests) if self._running else 0)

    def start(self, targets: Sequence[Target], allowance: Allowance) -> None:
        (target,) = targets
        client = self._stack.enter_context(sync_client(target))
        self._api = BatchApi(client, target, self._llm, allowance.shares[0].limits.max_outage_minutes * MINUTE_S)
        self._ledger = LedgerWriter(self._ledger_dir)
        self._stack.callback(self._ledger.close)
        self._target, self._requests_left = target, allowance.requests_left
        self._closes = time.monotonic() + allowance.seconds_left

    def send(self, request: Request) -> None:
        self._collected[request.request_id] = request

    def retarget(self, place: int, target: Target) -> None:
        self._target = target

    def charge(self, place: int, answer: Answer) -> None:
        if self._requests_left is not None:
            self._requests_left -= answer.attempts

    def arrived(self) -> Iterator[tuple[Request, Answer]]:
        """Makes the batch where none is running, and waits a moment for it."""
        if self._running is None:
            yield from self._refused()
            if not self._collected:
                return
            self._running = self._begun()
            self._smallest = min(self._smallest, len(self._running.requests))
        running, left = self._running, self._closes - time.monotonic()
        self.left_running = f"; {running}, and goes on: the next start takes it up"
        if running.state.ended:
            yield from self._read(running)
        elif left <= 0:
            yield from self._left(running)
        else:
            time.sleep(min(running.pause_s, left))
            running.pause_s = min(LONGEST_LOOK_S, LOOK_GROWTH * running.pause_s)
            running.state = self._api.look(running.state.batch_id, self._place(running.note))

    def pressure(self) -> SaidPressure:
        most = self._llm.batch_requests
        return SaidPressure(most, most, self._smallest, dict(self._faults), said=str(self._running or ""))

    def leave(self, place: int, reason: str) -> None:
        """There is no other one to go on with: see ``config.endpoints.check_several``."""

    def drain(self, say: Callable[[str], None]) -> None:
        """Nothing is waited for: ``left_running`` says what goes on."""

    def close(self) -> None:
        """A batch goes on without us."""
        self._stack.close()
        self._collected, self._running = {}, None

    def _refused(self) -> Iterator[tuple[Request, Answer]]:
        """Calls for which no batch is to be made any more: after the last moment all of them, and those beyond the budget of requests, which
        counts those that failed, too."""
        late = time.monotonic() >= self._closes
        room = 0 if late else None if self._requests_left is None else max(0, self._requests_left - self._tries.total())
        for request in [] if room is None else list(self._collected.values())[room:]:
            del self._collected[request.request_id]
            yield request, Answer(request.request_id, "not_asked", error="limits.max_minutes" if late else "limits.max_requests")

    def _begun(self) -> Running:
        """The batch of an earlier start that has calls of this one, else a new one."""
        for note in self._notes.read():
            asked = [request_id for request_id in note.request_ids if request_id in self._collected]
            found = self._found(note) if asked else None
            if found is not None:
                return self._with(*found, asked)
        lines: dict[str, bytes] = {}
        n_bytes = 0
        for request_id, request in self._collected.items():
            line = line_of(request, self._target)
            n_bytes += len(line)
            if lines and (n_bytes > MOST_BYTES or len(lines) == self._llm.batch_requests):
                break
            lines[request_id] = line
        note = self._notes.add(self._api.upload(lines.values()), self._target.terms, tuple(lines))
        state = self._api.create(note.file_id, self._llm.continues)
        return self._with(self._notes.made(note, state.batch_id), state, list(lines))

    def _with(self, note: Note, state: BatchState, asked: list[str]) -> Running:
        self._tries.update(asked)
        return Running(note, {request_id: self._collected.pop(request_id) for request_id in asked}, state, FIRST_LOOK_S)

    def _found(self, note: Note) -> tuple[Note, BatchState] | None:
        """The batch of a note; None where it was never made: then the note is removed."""
        if note.batch_id is not None:
            return note, self._api.look(note.batch_id, self._place(note))
        state = self._api.find(note.file_id)
        if state is None:
            self._notes.remove(note)
            return None
        return self._notes.made(note, state.batch_id), state

    def _read(self, running: Running) -> Iterator[tuple[Request, Answer]]:
        """What became of the calls of a batch that has ended, once the answers are stored; those that another batch may mend go there.
        Raises EndpointError where somebody has cancelled it, or the endpoint did not take it, or does not give what it says it has."""
        state, target = running.state, dataclasses.replace(self._target, terms=running.note.terms)
        lines = by_request(self._api.lines(state))
        if len(lines) < state.done:  # paid for
            raise EndpointError(
                f"{running}, and {len(lines):,} can be read from its files ({', '.join(state.files) or 'it names none'}); start it again to read them "
                f"once more, or remove {self._place(running.note)} to have its calls sent, and paid for, again"
            )
        ended, again = [], {}
        for request_id, request in running.requests.items():
            found = read_line(lines.get(request_id), request, target, self._tries[request_id], state.status)
            answer = self._settled(found, request, target, state)
            if answer is None:
                again[request_id] = request
            else:
                ended.append((request, answer))
        self._ledger.commit([answer for _, answer in ended if answer.status == "answered"])
        self._notes.remove(running.note)
        self._running, self._collected, self.left_running = None, again | self._collected, ""
        if state.status in ("failed", "cancelled"):
            raise EndpointError(self._ended_early(running))
        yield from ended

    def _settled(self, found: Answer | Fault, request: Request, target: Target, state: BatchState) -> Answer | None:
        """The answer of a call; None where another batch may mend it."""
        if isinstance(found, Answer):
            return dataclasses.replace(found, batch_id=state.batch_id)
        tries = self._tries[request.request_id]
        self._faults[found.status] += 1
        if found.status in TRANSIENT and tries < self._llm.max_attempts:
            return None
        return dataclasses.replace(failed(request, target, found, tries, 0.0), latency_s=None)

    def _left(self, running: Running) -> Iterator[tuple[Request, Answer]]:
        """When the time is over: a batch goes on, and its note stays."""
        requests = [*running.requests.values(), *self._collected.values()]
        self._collected, self._running = {}, None
        for request in requests:
            yield request, Answer(request.request_id, "not_asked", error="limits.max_minutes")

    def _ended_early(self, running: Running) -> str:
        state = running.state
        if state.status == "cancelled":
            return f"{running}: somebody has cancelled it; the answers that it had are stored, and the next start sends the other calls in a new batch"
        advice = (
            f"lower generate.llm.batch_requests (now {self._llm.batch_requests:,}; the batch had {len(running.note.request_ids):,} calls)"
            if "token_limit" in state.error
            else "see generate.llm, or set generate.llm.mode to 'calls'"
        )
        return f"the endpoint did not take batch {state.batch_id}: {self._target.scrub(state.error) or 'it does not say why'}; {advice}"

    def _place(self, note: Note) -> str:
        return f"{self._ledger_dir.rstrip('/')}/{note.name}"
