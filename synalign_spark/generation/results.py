"""The rows that generation leaves: in the order of the plan, as Arrow tables that follow the contracts."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pyarrow as pa

from synalign_spark.config import GenerateConfig
from synalign_spark.generation.acceptance import Verdict
from synalign_spark.generation.calls import Answer, Request
from synalign_spark.generation.plan import AttributeSet, Slot
from synalign_spark.generation.reading import Parsed, storable
from synalign_spark.storage import tables

# What helps where less than the target came, by what stopped it.
REMEDIES = {
    "max_candidates": "raise generate.max_candidates, or see in the refusals table why so many rows were refused",
    "demonstration_sets": "the demonstration sets are used up: give more (select.demonstration_sets), or let each bring more rows "
    "(generate.max_rows_per_set)",
    "labels_given_up": "see generate.task and generate.llm",
    "labels_failing": "start it again to ask for these labels once more",
}
REFUSAL_REASONS = {"refused": "content_filter", "truncated": "truncated", "unparsable": "unparsable"}


@dataclass(frozen=True)
class GenerateResult:
    """What the generate stage writes, and what it tells about itself (plain JSON values)."""

    attributes: pa.Table
    synthetic: pa.Table
    refusals: pa.Table
    calls: pa.Table
    prompts: pa.Table
    summary: dict[str, Any]


@dataclass
class Rows:
    """Collects the rows of the five tables."""

    cfg: GenerateConfig
    attributes: list[dict[str, Any]] = field(default_factory=list)
    synthetic: list[dict[str, Any]] = field(default_factory=list)
    refusals: list[dict[str, Any]] = field(default_factory=list)
    calls: list[dict[str, Any]] = field(default_factory=list)
    prompts: dict[str, dict[str, Any]] = field(default_factory=dict)  # by their hash
    accepted: Counter[str | None] = field(default_factory=Counter)  # rows by label
    refused: Counter[str] = field(default_factory=Counter)  # rows by reason
    statuses: Counter[str] = field(default_factory=Counter)  # calls by status
    _refused_of: Counter[tuple[str | None, str]] = field(default_factory=Counter)  # rows by label and reason

    def refused_of(self, label: str | None) -> Counter[str]:
        """Refused rows of a label by reason."""
        return Counter({reason: n for (of, reason), n in self._refused_of.items() if of == label})

    def figures(self) -> dict[str, Any]:
        """What a summary says of calls and refused rows."""
        first = [call["prompt_hash"] for call in self.calls if call["step"] == "rows" and call["reask_of"] is None]
        again = [call for call in self.calls if call["reask_of"] is not None]
        costs = [call["cost_usd"] for call in self.calls if call["cost_usd"] is not None]
        return {
            "refused": dict(sorted(self.refused.items())),
            "calls": dict(sorted(self.statuses.items())),
            "reasks": len(again),
            "reasks_usable": sum(call["status"] == "ok" for call in again),
            "row_prompts": len(first),
            "prompts_distinct": len(set(first)),
            "attribute_sets": len(self.attributes),
            "prompt_tokens": sum(call["prompt_tokens"] or 0 for call in self.calls),
            "completion_tokens": sum(call["completion_tokens"] or 0 for call in self.calls),
            "cost_usd": round(sum(costs), 6) if costs else None,
        }

    def add_call(self, request: Request, answer: Answer, parsed: Parsed | None, reask_of: str | None = None) -> None:
        """parsed: None for a call without an answer; reask_of: id of the call whose answer was of no use."""
        status = parsed.status if parsed else answer.status
        self.statuses[status] += 1
        digest = self._keep_prompt(request)
        row = {
            "request_id": request.request_id,
            "step": request.step,
            "reask_of": reask_of,
            "label": request.label,
            "prompt_hash": digest,
            "model": request.model,
            "dialect": answer.dialect,
            "status": status,
            "attempts": answer.attempts,
            "prompt_tokens": answer.prompt_tokens,
            "completion_tokens": answer.completion_tokens,
            "tokens_estimated": answer.tokens_estimated,
            "cost_usd": answer.cost_usd(self.cfg.llm),
            "latency_s": answer.latency_s,
            "finish_reason": _storable(answer.finish_reason),
            "answer": _storable(answer.answer),
            "error": _storable(answer.error or (parsed.detail if parsed else None)),
            "finished_at": datetime.fromisoformat(answer.finished_at) if answer.finished_at else None,
        }
        self.calls.append(row)

    def _keep_prompt(self, request: Request) -> str:
        """Remembers the words of a call, once however often they are sent; returns their hash."""
        prompt = request.prompt
        row = {
            "prompt_hash": prompt.digest,
            "step": request.step,
            "messages": [[(name, storable(said)) for name, said in sorted(message.items())] for message in prompt.messages],
            "text": storable(prompt.text) or None,
            "stop": [storable(mark) for mark in prompt.stop],
            "schema": storable(json.dumps(prompt.schema, ensure_ascii=False)),
        }
        self.prompts.setdefault(prompt.digest, row)
        return prompt.digest

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
            "attributes": [(name, storable(value)) for name, value in sorted(attribute_set.attributes.items())],
        }
        self.attributes.append(row)

    def add_accepted(self, slot: Slot, index: int, verdict: Verdict, fields: dict[str, str] | None = None) -> None:
        """fields: the parts of the row by name, where it has parts."""
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
            "round": slot.demonstration_set.round if slot.demonstration_set else None,
            "set_rank": slot.demonstration_set.set_rank if slot.demonstration_set else None,
            "cluster_id": slot.demonstration_set.cluster_id if slot.demonstration_set else None,
            "prior_weight": None,
            "fields": None if fields is None else [(name, storable(value)) for name, value in fields.items()],
        }
        self.synthetic.append(row)

    def add_refusal(self, request: Request, index: int, text: str | None, reason: str, detail: str | None) -> None:
        """index: place of the row in its answer; -1 for a whole answer."""
        self._refused(request.label, reason)
        row = {
            "request_id": request.request_id,
            "row_index": index,
            "label": request.label,
            "text": text,
            "reason": reason,
            "detail": detail,
        }
        self.refusals.append(row | {"text": _storable(text), "detail": _storable(detail)})

    def take_back(self, verdicts: Iterable[Verdict]) -> None:
        """Refuses accepted rows after all, each for the reason of the verdict on it."""
        by_id = {verdict.doc_id: verdict for verdict in verdicts}
        taken = [row for row in self.synthetic if row["doc_id"] in by_id]
        self.synthetic = [row for row in self.synthetic if row["doc_id"] not in by_id]
        for row in taken:
            verdict, kept = by_id[row["doc_id"]], {key: row[key] for key in ("request_id", "row_index", "label")}
            self.accepted[row["label"]] -= 1
            self._refused(row["label"], str(verdict.reason))
            self.refusals.append(kept | {"text": _storable(verdict.text), "reason": verdict.reason, "detail": _storable(verdict.detail)})

    def _refused(self, label: str | None, reason: str) -> None:
        self.refused[reason] += 1
        self._refused_of[label, reason] += 1

    def result(self, summary: dict[str, Any]) -> GenerateResult:
        def table(contract: tables.Table, rows: list[dict[str, Any]]) -> pa.Table:
            return pa.Table.from_pylist(rows, schema=contract.arrow)

        return GenerateResult(
            table(tables.ATTRIBUTES, self.attributes),
            table(tables.SYNTHETIC, self.synthetic),
            table(tables.REFUSALS, self.refusals),
            table(tables.CALLS, self.calls),
            table(tables.PROMPTS, list(self.prompts.values())),
            summary,
        )


def _storable(text: str | None) -> str | None:
    return None if text is None else storable(text)
