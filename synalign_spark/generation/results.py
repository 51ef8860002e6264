"""The rows that generation leaves: in the order of the plan, as Arrow tables that follow the contracts."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from synalign_spark.config import GenerateConfig
from synalign_spark.generation.acceptance import Verdict
from synalign_spark.generation.calls import Answer, Request
from synalign_spark.generation.plan import AttributeSet, Slot
from synalign_spark.generation.prices import Prices
from synalign_spark.generation.reading import Parsed, storable
from synalign_spark.generation.row_store import RowStore
from synalign_spark.generation.seen import KeySet
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

    def stop(self, state: str) -> list[str]:
        """Why it ended before the target, with the fix; nothing where it did not. state: how far it is, in words."""
        if not self.summary["missing_by_label"]:
            return []
        stopped, usd = self.summary["stopped_by"], self.summary["missing_usd"]
        more = f" (about {usd:.2f} usd more)" if usd else ""
        remedy = REMEDIES.get(stopped, f"raise generate.{stopped} and start it again: it goes on where it was{more}")
        return [f"stopped by {stopped}, {state}; {remedy}"]


class Rows:
    """Collects the rows of the five tables, and counts what a summary says of them: memory does not grow with the rows."""

    def __init__(self, cfg: GenerateConfig) -> None:
        self._cfg, self._prices = cfg, Prices([one.llm for one in cfg.endpoints])
        self._stores = {
            table: RowStore(table) for table in (tables.ATTRIBUTES, tables.SYNTHETIC, tables.REFUSALS, tables.CALLS, tables.PROMPTS)
        }
        self.accepted = Counter[str | None]()  # rows by label
        self.refused = Counter[str]()  # rows by reason
        self.statuses = Counter[str]()  # calls by status
        self.answered_by = Counter[str]()  # calls by model and address
        self._refused_of = Counter[tuple[str | None, str]]()  # rows by label and reason
        self._prompts, self._row_prompts = KeySet(), KeySet()  # digests of all, and of those with which a call for rows began
        self._recent: dict[str, dict[str, Any]] = {}  # accepted rows that may be taken back, by doc_id
        self._taken_back: set[str] = set()
        self._first = self._again = self._again_usable = self._prompt_tokens = self._completion_tokens = 0
        self._cost_usd: float | None = None

    def refused_of(self, label: str | None) -> Counter[str]:
        """Refused rows of a label by reason."""
        return Counter({reason: n for (of, reason), n in self._refused_of.items() if of == label})

    def figures(self) -> dict[str, Any]:
        """What a summary says of calls and refused rows."""
        return {
            "refused": dict(sorted(self.refused.items())),
            "calls": dict(sorted(self.statuses.items())),
            "answered_by": dict(sorted(self.answered_by.items())),
            "reasks": self._again,
            "reasks_usable": self._again_usable,
            "row_prompts": self._first,
            "prompts_distinct": len(self._row_prompts),
            "attribute_sets": len(self._stores[tables.ATTRIBUTES]),
            "prompt_tokens": self._prompt_tokens,
            "completion_tokens": self._completion_tokens,
            "cost_usd": None if self._cost_usd is None else round(self._cost_usd, 6),
        }

    def add_call(self, request: Request, answer: Answer, parsed: Parsed | None, reask_of: str | None = None) -> None:
        """parsed: None for a call without an answer; reask_of: id of the call whose answer was of no use."""
        status = parsed.status if parsed else answer.status
        self.statuses[status] += 1
        cost_usd = self._prices.usd(answer)
        if answer.status == "answered":
            self.answered_by[f"{answer.model or request.model}{f' at {answer.endpoint}' if answer.endpoint else ''}"] += 1
        self._count(request, answer, status, reask_of, cost_usd)
        row = {
            "request_id": request.request_id,
            "step": request.step,
            "reask_of": reask_of,
            "label": request.label,
            "prompt_hash": request.prompt.digest,
            "model": answer.model or request.model,
            "endpoint": answer.endpoint,
            "dialect": answer.dialect,
            "status": status,
            "attempts": answer.attempts,
            "prompt_tokens": answer.prompt_tokens,
            "completion_tokens": answer.completion_tokens,
            "tokens_estimated": answer.tokens_estimated,
            "cost_usd": cost_usd,
            "latency_s": answer.latency_s,
            "finish_reason": _storable(answer.finish_reason),
            "answer": _storable(answer.answer),
            "error": _storable(answer.error or (parsed.detail if parsed else None)),
            "finished_at": datetime.fromisoformat(answer.finished_at) if answer.finished_at else None,
        }
        self._stores[tables.CALLS].add(row)

    def _count(self, request: Request, answer: Answer, status: str, reask_of: str | None, cost_usd: float | None) -> None:
        """For the summary; and keeps the words of the call, once however often they are sent."""
        first, digest = request.step == "rows" and reask_of is None, bytes.fromhex(request.prompt.digest)
        if self._prompts.add(digest):
            self._keep_prompt(request)
        if first:
            self._row_prompts.add(digest)
        self._first += first
        self._again += reask_of is not None
        self._again_usable += reask_of is not None and status == "ok"
        self._prompt_tokens += answer.prompt_tokens or 0
        self._completion_tokens += answer.completion_tokens or 0
        if cost_usd is not None:
            self._cost_usd = (self._cost_usd or 0.0) + cost_usd

    def _keep_prompt(self, request: Request) -> None:
        prompt = request.prompt
        row = {
            "prompt_hash": prompt.digest,
            "step": request.step,
            "messages": [[(name, storable(said)) for name, said in sorted(message.items())] for message in prompt.messages],
            "text": storable(prompt.text) or None,
            "stop": [storable(mark) for mark in prompt.stop],
            "schema": storable(json.dumps(prompt.schema, ensure_ascii=False)),
        }
        self._stores[tables.PROMPTS].add(row)

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
        self._stores[tables.ATTRIBUTES].add(row)

    def add_accepted(self, slot: Slot, index: int, verdict: Verdict, model: str, fields: dict[str, str] | None = None) -> None:
        """model: that wrote it; fields: the parts of the row by name, where it has parts."""
        self.accepted[slot.request.label] += 1
        row = {
            "doc_id": verdict.doc_id,
            "text": verdict.text,
            "label": slot.request.label,
            "strategy": self._cfg.strategy,
            "model": model,
            "request_id": slot.request.request_id,
            "row_index": index,
            "attribute_set_id": slot.attribute_set.attribute_set_id if slot.attribute_set else None,
            "round": slot.demonstration_set.round if slot.demonstration_set else None,
            "set_rank": slot.demonstration_set.set_rank if slot.demonstration_set else None,
            "cluster_id": slot.demonstration_set.cluster_id if slot.demonstration_set else None,
            "prior_weight": None,
            "fields": None if fields is None else [(name, storable(value)) for name, value in fields.items()],
        }
        self._stores[tables.SYNTHETIC].add(row)
        self._recent[verdict.doc_id] = row

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
        self._stores[tables.REFUSALS].add(row | {"text": _storable(text), "detail": _storable(detail)})

    def take_back(self, verdicts: Iterable[Verdict]) -> None:
        """Refuses rows after all that were accepted since the last time, each for the reason of the verdict on it; the others stay."""
        for verdict in verdicts:
            row = self._recent[verdict.doc_id]
            kept = {key: row[key] for key in ("request_id", "row_index", "label")}
            self._taken_back.add(verdict.doc_id)
            self.accepted[row["label"]] -= 1
            self._refused(row["label"], str(verdict.reason))
            said = {"text": _storable(verdict.text), "reason": verdict.reason, "detail": _storable(verdict.detail)}
            self._stores[tables.REFUSALS].add(kept | said)
        self._recent = {}

    def _refused(self, label: str | None, reason: str) -> None:
        self.refused[reason] += 1
        self._refused_of[label, reason] += 1

    def result(self, summary: dict[str, Any]) -> GenerateResult:
        """The tables, which this object then forgets."""
        found = {table: store.table() for table, store in self._stores.items()}
        synthetic = found[tables.SYNTHETIC]
        if self._taken_back:
            gone = pc.is_in(synthetic["doc_id"], pa.array(sorted(self._taken_back), pa.string()))
            synthetic = synthetic.filter(pc.invert(gone))
        return GenerateResult(
            found[tables.ATTRIBUTES], synthetic, found[tables.REFUSALS], found[tables.CALLS], found[tables.PROMPTS], summary
        )


def _storable(text: str | None) -> str | None:
    return None if text is None else storable(text)
