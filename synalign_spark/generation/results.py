"""The rows that generation leaves: in the order of the plan, as Arrow tables that follow the contracts."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pyarrow as pa

from synalign_spark.config import GenerateConfig
from synalign_spark.generation.acceptance import Verdict
from synalign_spark.generation.calls import Answer, Request
from synalign_spark.generation.parsing import Parsed
from synalign_spark.generation.plan import AttributeSet, Slot
from synalign_spark.storage import tables

REFUSAL_REASONS = {"refused": "content_filter", "truncated": "truncated", "unparsable": "unparsable"}


@dataclass(frozen=True)
class GenerateResult:
    """What the generate stage writes, and what it tells about itself (plain JSON values)."""

    attributes: pa.Table
    synthetic: pa.Table
    refusals: pa.Table
    calls: pa.Table
    summary: dict[str, Any]


@dataclass
class Rows:
    """Collects the rows of the four tables."""

    cfg: GenerateConfig
    attributes: list[dict[str, Any]] = field(default_factory=list)
    synthetic: list[dict[str, Any]] = field(default_factory=list)
    refusals: list[dict[str, Any]] = field(default_factory=list)
    calls: list[dict[str, Any]] = field(default_factory=list)
    accepted: Counter[str | None] = field(default_factory=Counter)  # rows by label
    refused: Counter[str] = field(default_factory=Counter)  # rows by reason
    statuses: Counter[str] = field(default_factory=Counter)  # calls by status
    _refused_of: Counter[tuple[str | None, str]] = field(default_factory=Counter)  # rows by label and reason

    def refused_of(self, label: str | None) -> Counter[str]:
        """Refused rows of a label by reason."""
        return Counter({reason: n for (of, reason), n in self._refused_of.items() if of == label})

    def add_call(self, request: Request, answer: Answer, parsed: Parsed | None, reask_of: str | None = None) -> None:
        """parsed: None for a call without an answer; reask_of: id of the call whose answer was of no use."""
        status = parsed.status if parsed else answer.status
        self.statuses[status] += 1
        row = {
            "request_id": request.request_id,
            "step": request.step,
            "reask_of": reask_of,
            "label": request.label,
            "prompt_hash": request.prompt.digest,
            "model": request.model,
            "dialect": answer.dialect,
            "status": status,
            "attempts": answer.attempts,
            "prompt_tokens": answer.prompt_tokens,
            "completion_tokens": answer.completion_tokens,
            "cost_usd": answer.cost_usd(self.cfg.llm),
            "latency_s": answer.latency_s,
            "finish_reason": answer.finish_reason,
            "answer": storable(answer.answer),
            "error": storable(answer.error or (parsed.detail if parsed else None)),
            "finished_at": datetime.fromisoformat(answer.finished_at) if answer.finished_at else None,
        }
        self.calls.append(row)

    def add_attribute_set(self, attribute_set: AttributeSet) -> None:
        demonstration_set = attribute_set.demonstration_set
        row = {
            "attribute_set_id": attribute_set.attribute_set_id,
            "request_id": attribute_set.request_id,
            "label": attribute_set.label,
            "round": demonstration_set.round if demonstration_set else 0,
            "set_rank": demonstration_set.set_rank if demonstration_set else -1,
            "cluster_id": demonstration_set.cluster_id if demonstration_set else -1,
            "demo_ids": list(demonstration_set.demo_ids) if demonstration_set else [],
            "attributes": sorted(attribute_set.attributes.items()),
        }
        self.attributes.append(row)

    def add_accepted(self, slot: Slot, index: int, verdict: Verdict) -> None:
        self.accepted[slot.request.label] += 1
        row = {
            "doc_id": verdict.doc_id,
            "text": verdict.text,
            "label": slot.request.label,
            "strategy": self.cfg.strategy,
            "model": slot.request.model,
            "request_id": slot.request.request_id,
            "row_index": index,
            "attribute_set_id": slot.attribute_set.attribute_set_id if slot.attribute_set else None,
            "set_rank": slot.demonstration_set.set_rank if slot.demonstration_set else None,
            "cluster_id": slot.demonstration_set.cluster_id if slot.demonstration_set else None,
            "prior_weight": None,
        }
        self.synthetic.append(row)

    def add_refusal(self, request: Request, index: int, text: str | None, reason: str, detail: str | None) -> None:
        """index: place of the row in its answer; -1 for a whole answer."""
        self.refused[reason] += 1
        self._refused_of[request.label, reason] += 1
        row = {
            "request_id": request.request_id,
            "row_index": index,
            "label": request.label,
            "text": text,
            "reason": reason,
            "detail": detail,
        }
        self.refusals.append(row | {"text": storable(text), "detail": storable(detail)})

    def result(self, summary: dict[str, Any]) -> GenerateResult:
        def table(contract: tables.Table, rows: list[dict[str, Any]]) -> pa.Table:
            return pa.Table.from_pylist(rows, schema=contract.arrow)

        return GenerateResult(
            table(tables.ATTRIBUTES, self.attributes),
            table(tables.SYNTHETIC, self.synthetic),
            table(tables.REFUSALS, self.refusals),
            table(tables.CALLS, self.calls),
            summary,
        )


def storable(text: str | None) -> str | None:
    """Text that UTF-8 can hold: lone surrogates, which JSON can carry, become question marks."""
    return None if text is None else text.encode("utf-8", "replace").decode("utf-8")
