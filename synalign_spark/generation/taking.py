"""What finished calls bring: their rows are accepted or refused, one after another in the order of the plan."""

from collections.abc import Mapping
from dataclasses import replace

from synalign_spark.config import GenerateConfig
from synalign_spark.generation.acceptance import Acceptor
from synalign_spark.generation.calls import Answer
from synalign_spark.generation.candidates import Candidate, candidates
from synalign_spark.generation.plan import Label, Planner, Slot
from synalign_spark.generation.reading import Parsed
from synalign_spark.generation.results import REFUSAL_REASONS, Rows
from synalign_spark.generation.wave import Asked


class Taking:
    """Takes calls of one generation into its rows, and tells the planner what the demonstration sets have brought."""

    def __init__(self, cfg: GenerateConfig, quotas: Mapping[Label, int], planner: Planner, acceptor: Acceptor, rows: Rows) -> None:
        """quotas: rows that each label is to have."""
        self._cfg, self._quotas, self._planner, self._acceptor, self._rows = cfg, quotas, planner, acceptor, rows

    def take(self, asked: Asked, answer: Answer) -> int:
        """Takes a call with what it gave. Returns how many of its rows were accepted, those included that were only too many."""
        request, parsed = asked.request, asked.parsed
        self._rows.add_call(request, answer, parsed, asked.reask_of)
        if asked.attribute_set is not None:
            self._rows.add_attribute_set(asked.attribute_set)
        if not isinstance(asked.purpose, Slot) or parsed is None:
            return 0
        before = self._good(request.label)
        self._take_rows(asked.purpose, answer, parsed)
        return self._good(request.label) - before

    def recheck(self) -> None:
        """At the end of a wave: takes back rows that only a pass over the corpus shows to be copies."""
        found = self._acceptor.recheck()
        self._rows.take_back(verdict for verdict, _ in found)
        for _, source in found:
            self._planner.taken(source, -1)

    def _good(self, label: Label) -> int:
        """Rows of a label that were accepted, and those of any that would have been, had they not been too many."""
        return self._rows.accepted[label] + self._rows.refused["surplus"]

    def _take_rows(self, slot: Slot, answer: Answer, parsed: Parsed) -> None:
        request = slot.request
        if parsed.status != "ok":
            self._rows.add_refusal(request, -1, answer.answer, parsed.reason or REFUSAL_REASONS[parsed.status], parsed.detail)
            return
        if self._cfg.strategy != "synalign" and slot.attribute_set is not None:
            self._rows.add_attribute_set(slot.attribute_set)
        before = self._good(request.label)
        for bad in parsed.bad:
            self._rows.add_refusal(request, bad.place, bad.text, REFUSAL_REASONS["unparsable"], bad.words)
        for candidate in candidates(parsed, self._acceptor, request.label, self._cfg.text_template):
            self._take_row(slot, candidate, answer.model or request.model)
        self._planner.taken(slot.demonstration_set, self._good(request.label) - before)

    def _take_row(self, slot: Slot, found: Candidate, model: str) -> None:
        """model: that wrote it."""
        request, fields = slot.request, found.fields
        verdict = self._acceptor.check(found.text, request.label, fields)
        if verdict.reason is None and self._rows.accepted[request.label] >= self._quotas[request.label]:
            verdict = replace(verdict, reason="surplus", detail="the label had its rows already")
        if verdict.reason:
            self._rows.add_refusal(request, found.place, verdict.text, verdict.reason, verdict.detail)
        else:
            self._acceptor.accept(verdict, slot.demonstration_set)
            self._rows.add_accepted(slot, found.place, verdict, model, None if fields is None else self._acceptor.parts(fields))
