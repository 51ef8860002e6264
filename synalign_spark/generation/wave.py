"""One wave of calls: what it asks for follows from the plan alone, when it asks from what has arrived.

A call for attributes goes just ahead of the first call for rows that needs them, and an answer of no use is asked for
again at the place of the call that it answers. Results are handed on in the order of the plan.
"""

from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from synalign_spark.config import GenerateConfig
from synalign_spark.generation.calls import Answer, Request
from synalign_spark.generation.parsing import parse_answer, parse_attributes
from synalign_spark.generation.plan import AttributeSet, DemonstrationSet, Label, Planned, Planner, Slot, make_attribute_set
from synalign_spark.generation.reading import Parsed, cut_off
from synalign_spark.generation.reask import MENDABLE
from synalign_spark.generation.waiting import Waiting


@dataclass
class Asked:
    """One call. purpose: what its rows are written from, or the demonstration set whose attributes it asks for;
    reask_of: id of the call that it repeats; parsed: None for a call without an answer; attribute_set: what it gave."""

    request: Request
    purpose: Slot | DemonstrationSet
    reask_of: str | None = None
    answer: Answer | None = None
    parsed: Parsed | None = None
    attribute_set: AttributeSet | None = None


@dataclass
class Job:
    """One place of the plan, with its calls so far: the first one and those that ask again. n_rows: rows that it is to bring, 0 where
    it asks for attributes; done: no further call will come."""

    place: int
    label: Label
    n_rows: int = 0
    asked: list[Asked] = field(default_factory=list)
    done: bool = False

    @property
    def source(self) -> DemonstrationSet | None:
        """What its rows are written from; None where nothing is shown, and before it was asked."""
        return next((asked.purpose.demonstration_set for asked in self.asked if isinstance(asked.purpose, Slot)), None)

    @property
    def cut(self) -> int:
        """How many of its rows could not come because answers were cut off."""
        slots = [asked.purpose for asked in self.asked if isinstance(asked.purpose, Slot)]
        statuses = [asked.parsed.status for asked in self.asked if asked.parsed is not None]
        if not slots or "truncated" not in statuses:
            return 0
        return self.n_rows - (0 if statuses[-1] == "truncated" else slots[-1].n_rows)

    @property
    def unanswered(self) -> int:
        """How many of its rows, beside those that were cut, did not come because the last answer was of no use or did not come."""
        last = self.asked[-1].parsed if self.asked else None
        return self.n_rows - self.cut if last is None or last.status not in ("ok", "truncated") else 0


class Wave:
    """The calls of a wave: ``waiting`` holds what can be sent, ``arrived`` takes the answers, ``ready`` hands finished jobs on."""

    def __init__(self, planned: Sequence[Planned], planner: Planner, cfg: GenerateConfig, stored: Mapping[str, Answer]) -> None:
        """stored: answers of earlier processes; they count as arrived."""
        self._planner, self._cfg, self._stored = planner, cfg, stored
        self._fields = tuple(field.name for field in cfg.fields)
        self._jobs = deque[Job]()  # that were not handed on
        self._open: dict[str, tuple[Job, Asked]] = {}
        self._writers: dict[DemonstrationSet, list[tuple[Job, Planned]]] = {}  # what waits for the attributes of a set
        self._abandoned: set[Label] = set()
        self.reused = 0
        self.ahead = 0  # answers that have arrived and wait for those before them in the plan
        starts, places = self._schedule(planned)
        self.waiting = Waiting(places=places)
        for job, purpose in starts:
            self._start(job, purpose)

    @property
    def done(self) -> bool:
        """Whether every job is."""
        return all(job.done for job in self._jobs)

    def label_of(self, answer: Answer) -> Label:
        """The label of a call that has not arrived yet."""
        return self._open[answer.request_id][0].label

    def abandon(self, labels: Collection[Label]) -> None:
        """No further call of these labels is sent; those in flight still arrive."""
        self._abandoned |= set(labels)
        dropped = self.waiting.drop(labels)
        self._writers = {source: jobs for source, jobs in self._writers.items() if source.label not in labels}
        for job in self._jobs:
            flying = [asked for asked in job.asked if asked.answer is None and asked.request.request_id not in dropped]
            job.done = job.done or (job.label in labels and not flying)

    def arrived(self, answer: Answer) -> None:
        """Takes an answer, from which further calls may follow."""
        job, asked = self._open.pop(answer.request_id)
        self.ahead += 1
        self.waiting.ended(answer.request_id)
        parsed = self._parse(asked, answer)
        asked.answer, asked.parsed = answer, parsed
        mendable = parsed is not None and parsed.status in MENDABLE and job.label not in self._abandoned
        if parsed is not None and mendable and len(job.asked) <= self._cfg.max_reasks:
            self._ask(job, self._again(asked, parsed))
            return
        job.done = True
        if isinstance(asked.purpose, DemonstrationSet):
            self._attributes_known(asked, asked.purpose, parsed)
        else:
            brought = len(parsed.rows) if parsed is not None and parsed.status == "ok" else 0
            self.waiting.lost(job.label, 1 - min(1.0, brought / job.n_rows))

    def ready(self) -> Iterator[Job]:
        """The finished jobs whose predecessors in the plan are finished too, each once."""
        while self._jobs and self._jobs[0].done:
            yield self._next()

    def rest(self) -> Iterator[Job]:
        """After a stop: the jobs that ``ready`` did not hand on, with what has arrived of them."""
        while self._jobs:
            yield self._next()

    def _next(self) -> Job:
        job = self._jobs.popleft()
        self.ahead -= sum(asked.answer is not None for asked in job.asked)
        return job

    def _schedule(self, planned: Sequence[Planned]) -> tuple[list[tuple[Job, DemonstrationSet | Planned]], dict[Label, list[int]]]:
        """A job for each call and for the attributes that it needs; returns those that can start, and the places of each label's calls
        for rows."""
        starts: list[tuple[Job, DemonstrationSet | Planned]] = []
        places: dict[Label, list[int]] = {}
        for call in planned:
            label, source = call.label, call.source
            if source is None or not self._planner.states_attributes or source in self._planner.attribute_sets:
                job = self._add(label, call.n_rows)
                starts.append((job, call))
            else:
                if source not in self._writers:
                    starts.append((self._add(label), source))
                job = self._add(label, call.n_rows)
                self._writers.setdefault(source, []).append((job, call))
            places.setdefault(label, []).append(job.place)
        return starts, places

    def _add(self, label: Label, n_rows: int = 0) -> Job:
        self._jobs.append(Job(len(self._jobs), label, n_rows))
        return self._jobs[-1]

    def _start(self, job: Job, purpose: DemonstrationSet | Planned) -> None:
        if isinstance(purpose, DemonstrationSet):
            self._ask(job, Asked(self._planner.attributes_request(purpose), purpose))
        else:
            slot = self._planner.slot(purpose)
            self._ask(job, Asked(slot.request, slot))

    def _ask(self, job: Job, asked: Asked) -> None:
        request_id = asked.request.request_id
        job.asked.append(asked)
        self._open[request_id] = (job, asked)
        stored = self._stored.get(request_id)
        if stored is not None:
            self.reused += 1
            self.arrived(stored)
        else:
            self.waiting.add(job.place, asked.request)

    def _again(self, before: Asked, parsed: Parsed) -> Asked:
        reask_of = before.request.request_id
        if isinstance(before.purpose, DemonstrationSet):
            request = self._planner.attributes_request_again(before.purpose, before.request, parsed)
            return Asked(request, before.purpose, reask_of)
        slot = self._planner.slot_again(before.purpose, parsed)
        return Asked(slot.request, slot, reask_of)

    def _parse(self, asked: Asked, answer: Answer) -> Parsed | None:
        if answer.status != "answered":
            return None
        purpose = asked.purpose
        if isinstance(purpose, DemonstrationSet):
            parsed = parse_attributes(answer.answer, answer.finish_reason, tuple(self._cfg.attributes), answer.refusal)
        else:
            parsed = parse_answer(asked.request.prompt, answer, purpose.n_rows, self._fields, self._cfg.text_template)
        if parsed.status == "truncated" and cut_off(answer.finish_reason):
            return replace(parsed, detail=f"{parsed.detail}; {self._advice(asked)}")
        return parsed

    def _advice(self, asked: Asked) -> str:
        """What helps against answers that are cut off at the limit."""
        fewer = f", or lower generate.rows_per_request ({self._cfg.rows_per_request})" if isinstance(asked.purpose, Slot) else ""
        limit = f"raise generate.llm.max_output_tokens ({self._cfg.llm.max_output_tokens:,}){fewer}"
        return f"it had {asked.request.max_output_tokens:,} tokens: {limit}"

    def _attributes_known(self, asked: Asked, source: DemonstrationSet, parsed: Parsed | None) -> None:
        """Starts the calls for rows that have waited, or ends them where the model stated no attributes, or so few that the calls would
        repeat each other."""
        writers = self._writers.pop(source, [])  # none where the label was abandoned
        if parsed is None or parsed.status != "ok":
            self._planner.give_up(source)
            self.waiting.lost(source.label, len(writers))
            for job, _ in writers:
                job.done = True
            return
        asked.attribute_set = make_attribute_set(asked.request.request_id, source.label, source, dict(parsed.attributes))
        self._planner.stated(source, asked.attribute_set)
        for job, call in writers:
            if self._planner.allows(source, call.number):
                self._start(job, call)
            else:
                job.done = True
