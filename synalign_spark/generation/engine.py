"""Generation in waves: plan calls, ask for the answers that are not stored, accept or refuse rows in the order of the plan.

A wave's plan follows from the results of the waves before it, never from the order in which answers
arrive; so a run that was killed and resumed from its ledger ends with the tables of an undisturbed one.
"""

import functools
import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from synalign_spark.config import GenerateConfig
from synalign_spark.core.sampling.quota import quotas
from synalign_spark.errors import EndpointError
from synalign_spark.generation.acceptance import Acceptor, Yields
from synalign_spark.generation.backends.pool import open_pool
from synalign_spark.generation.backends.protocol import Pool
from synalign_spark.generation.calls import TRANSIENT, Answer, Request
from synalign_spark.generation.gates.profile import RealProfile
from synalign_spark.generation.ledger import read_ledger
from synalign_spark.generation.limits import Budget
from synalign_spark.generation.parsing import parse_answer, parse_attributes
from synalign_spark.generation.plan import (
    ATTRIBUTES_ATTEMPTS,
    DemonstrationSet,
    Label,
    Planner,
    Slot,
    demonstration_sets_of,
    label_shares,
    make_attribute_set,
)
from synalign_spark.generation.reading import Parsed
from synalign_spark.generation.results import REFUSAL_REASONS, GenerateResult, Rows
from synalign_spark.progress import Progress, Task

MAX_WAVE_CALLS = 5_000
LEAST_YIELD = 0.2  # share of rows accepted that the next wave counts on, at least
HOPELESS_CALLS, HOPELESS_SHARE = 20, 0.9


def generate(
    demonstrations: pa.Table,
    label_counts: dict[Label, int],
    cfg: GenerateConfig,
    seed: int,
    ledger_dir: str,
    progress: Progress,
    log_dir: str | None = None,
    real: RealProfile | None = None,
) -> GenerateResult:
    """Writes ``cfg.target_rows`` accepted rows, or as many as candidates and budget give.

    demonstrations: rows of the DEMONSTRATIONS contract (may be empty for simprompt and attrprompt);
    label_counts: corpus rows by label; ledger_dir: folder of the stored answers, any file system; log_dir: local
    folder for the embedded model's logs; real: what the gates know of the real rows, None for the demonstrations alone. Raises EndpointError for an endpoint that cannot be used,
    ConfigError for label shares that do not fit. A failed call is a row, never an exception."""
    with progress.task("generate", total=cfg.target_rows, unit="rows") as task, open_pool(cfg, ledger_dir, log_dir) as pool:
        return _Run(demonstrations, label_counts, cfg, seed, ledger_dir, pool, task, real).finish()


@dataclass
class _Health:
    """Tells a hopeless endpoint from a bad patch. describe: what went wrong so far, in words."""

    limit: int
    describe: Callable[[], str]
    calls: int = 0
    failed: int = 0
    streak: int = 0

    def arrived(self, answer: Answer) -> None:
        """Counts faults in the order of arrival. Raises EndpointError when call after call fails for good."""
        self.streak = self.streak + 1 if answer.status in TRANSIENT else 0
        if self.streak >= self.limit:
            raise EndpointError(
                f"{self.streak} calls in a row failed, all retries included (last: {answer.status}: {answer.error}); {self.describe()} "
                "stored answers are kept, start the run again to go on"
            )

    def taken(self, usable: bool) -> None:
        """Counts answers without use in the order of the plan. Raises EndpointError when nearly every call gives one."""
        self.calls, self.failed = self.calls + 1, self.failed + (not usable)
        if self.calls >= HOPELESS_CALLS and self.failed > HOPELESS_SHARE * self.calls:
            raise EndpointError(
                f"{self.failed} of the first {self.calls} calls gave nothing usable; {self.describe()} see generate.llm and generate.task"
            )


class _Run:
    """One generation: its state between waves."""

    def __init__(
        self,
        demonstrations: pa.Table,
        label_counts: dict[Label, int],
        cfg: GenerateConfig,
        seed: int,
        ledger_dir: str,
        pool: Pool,
        task: Task,
        real: RealProfile | None,
    ) -> None:
        self.cfg, self.pool, self.task = cfg, pool, task
        self.started = time.monotonic()
        self.field_names = tuple(field.name for field in cfg.fields)
        sets = demonstration_sets_of(demonstrations)
        self.planner = Planner(cfg, seed, sets, label_counts)
        n_sets = {label: len(found) for label, found in sets.items()} if self.planner.shows else None
        self.quotas = quotas(label_shares(label_counts, cfg.label_shares, n_sets), cfg.target_rows)
        self.left_out = sorted(str(label) for label in label_counts if label not in self.quotas)
        shown = zip(demonstrations["text"].to_pylist(), demonstrations["label"].to_pylist(), strict=True)
        self.acceptor = Acceptor(cfg, sorted(self.quotas, key=str), real or RealProfile.of(shown))
        self.yields = Yields()
        self.rows = Rows(cfg)
        self.asked: Counter[Label] = Counter()  # candidate rows asked for
        self.answers = read_ledger(ledger_dir)
        self.reused = 0
        self.budget = Budget(cfg.limits, cfg.llm)
        for answer in self.answers.values():
            self.budget.spend(answer)
        self.health = _Health(max(HOPELESS_CALLS, 2 * cfg.llm.concurrency), self._describe_faults)
        self.errors: Counter[str] = Counter()

    def finish(self) -> GenerateResult:
        """Wave after wave until the target, the candidates or the budget end it."""
        stopped, waves = "", 0
        while not stopped and (wanted := self._wanted()):
            waves += 1
            stopped = self._wave(wanted)
        accepted = self.rows.accepted.total()
        if not stopped:
            dry = any(self.planner.exhausted(label) for label, quota in self.quotas.items() if self.rows.accepted[label] < quota)
            stopped = "target" if accepted >= self.cfg.target_rows else "no_attribute_sets" if dry else "max_candidates"
        if accepted == 0:
            raise EndpointError(
                f"generate: no row was accepted ({self._describe_faults()}); stopped by {stopped}. "
                "See generate.task, generate.llm and generate.limits"
            )
        self._report()
        return self.rows.result(self._summary(stopped, waves))

    def _wanted(self) -> dict[Label, int]:
        """Calls for rows per label in the next wave: what is missing over the share of rows accepted so far."""
        most = self.cfg.max_candidates or 5 * self.cfg.target_rows
        left = min(MAX_WAVE_CALLS, (most - self.asked.total()) // self.cfg.rows_per_request)
        wanted: dict[Label, int] = {}
        for label, quota in self.quotas.items():
            missing = quota - self.rows.accepted[label]
            if missing <= 0 or left <= 0 or self.planner.exhausted(label):
                continue
            rate = self.rows.accepted[label] / self.asked[label] if self.asked[label] else 1.0
            calls = math.ceil(missing / (self.cfg.rows_per_request * max(rate, LEAST_YIELD)))
            wanted[label] = min(calls, left)
            left -= wanted[label]
        return wanted

    def _wave(self, wanted: dict[Label, int]) -> str:
        """Attribute sets, then rows. Returns the limit that stopped it, or an empty string."""
        planned = [(label, shown) for label, n in wanted.items() for shown in self.planner.next_sets(label, n)]
        if self.cfg.strategy == "synalign":
            stopped = self._ask_attributes([shown for _, shown in planned if shown is not None])
            if stopped:
                return stopped
            planned = [(label, shown) for label, shown in planned if shown in self.planner.attribute_sets]
        slots = [self.planner.slot(label, shown) for label, shown in planned]
        for slot in slots:
            self.asked[slot.request.label] += self.cfg.rows_per_request
        by_id = {slot.request.request_id: slot for slot in slots}
        stopped = self._ask([slot.request for slot in slots], functools.partial(self._take_rows, by_id))
        self._recheck()
        return stopped

    def _ask_attributes(self, sets: Sequence[DemonstrationSet]) -> str:
        """Asks for the attribute sets that are missing, a second time where the first answer was of no use."""
        missing = list(dict.fromkeys(sets))
        for attempt in range(ATTRIBUTES_ATTEMPTS):
            missing = [shown for shown in missing if shown not in self.planner.attribute_sets]
            requests = [self.planner.attributes_request(shown, attempt) for shown in missing]
            by_id = {request.request_id: shown for request, shown in zip(requests, missing, strict=True)}
            stopped = self._ask(requests, functools.partial(self._take_attributes, by_id))
            if stopped:
                return stopped
        for shown in missing:
            if shown not in self.planner.attribute_sets:
                self.planner.give_up(shown)
        return ""

    def _ask(self, requests: Sequence[Request], take: Callable[[Request, Answer], None]) -> str:
        """Gets every answer and takes them in the order of ``requests``, as soon as those before have come.

        Returns the limit that stopped it, or an empty string."""
        stored = {r.request_id: self.answers[r.request_id] for r in requests if r.request_id in self.answers}
        self.reused += len(stored)
        arrived, next_ = dict(stored), 0
        for answer in self.pool.run([r for r in requests if r.request_id not in stored], self.budget, self._report):
            self.health.arrived(answer)
            arrived[answer.request_id] = answer
            while next_ < len(requests) and requests[next_].request_id in arrived:
                take(requests[next_], arrived[requests[next_].request_id])
                next_ += 1
            self._report()
        for request in requests[next_:]:
            if request.request_id in arrived:
                take(request, arrived[request.request_id])
        return "" if len(arrived) == len(requests) else self.pool.stopped_by or "limits"

    def _take_attributes(self, by_id: Mapping[str, DemonstrationSet], request: Request, answer: Answer) -> None:
        shown, names = by_id[request.request_id], tuple(self.cfg.attributes)
        parsed = parse_attributes(answer.answer, answer.finish_reason, names, answer.refusal) if answer.status == "answered" else None
        self._count(request, answer, parsed)
        if parsed and parsed.status == "ok":
            attribute_set = make_attribute_set(request.request_id, shown.label, shown, dict(parsed.attributes))
            self.planner.attribute_sets[shown] = attribute_set
            self.rows.add_attribute_set(attribute_set)

    def _take_rows(self, by_id: Mapping[str, Slot], request: Request, answer: Answer) -> None:
        slot, n_rows = by_id[request.request_id], self.cfg.rows_per_request
        parsed = (
            parse_answer(request.prompt, answer, n_rows, self.field_names, self.cfg.text_template) if answer.status == "answered" else None
        )
        self._count(request, answer, parsed)
        if parsed is None:
            return
        if parsed.status != "ok":
            self.rows.add_refusal(request, -1, answer.answer, REFUSAL_REASONS[parsed.status], parsed.detail)
            return
        if self.cfg.strategy != "synalign" and slot.attribute_set is not None:
            self.rows.add_attribute_set(slot.attribute_set)
        for index, raw in enumerate(parsed.rows):
            self._take_row(slot, index, raw, parsed.fields[index] if parsed.fields else None)

    def _take_row(self, slot: Slot, index: int, raw: str, fields: dict[str, str] | None) -> None:
        request = slot.request
        verdict = self.acceptor.check(raw, request.label)
        if verdict.reason is None and self.rows.accepted[request.label] >= self.quotas[request.label]:
            verdict = replace(verdict, reason="surplus", detail="the label had its rows already")
        self.yields.count(slot.demonstration_set, verdict.reason)
        if verdict.reason:
            self.rows.add_refusal(request, index, verdict.text, verdict.reason, verdict.detail)
        else:
            self.acceptor.accept(verdict, slot.demonstration_set)
            self.rows.add_accepted(slot, index, verdict, fields)

    def _recheck(self) -> None:
        """At the end of a wave: takes back rows that only a pass over the corpus shows to be copies."""
        for verdict, source in self.acceptor.recheck():
            self.rows.take_back(verdict)
            self.yields.take_back(source, str(verdict.reason))

    def _count(self, request: Request, answer: Answer, parsed: Parsed | None) -> None:
        self.rows.add_call(request, answer, parsed)
        usable = parsed is not None and parsed.status == "ok"
        if not usable:
            self.errors[f"{parsed.status if parsed else answer.status}: {answer.error or (parsed.detail if parsed else '')}"] += 1
        self.health.taken(usable)

    def _describe_faults(self) -> str:
        """The commonest error and the refused rows, in words."""
        common = self.errors.most_common(1)
        parts = [f"the commonest error: {common[0][0][:400]} ({common[0][1]} calls)"] if common else []
        refused = ", ".join(f"{reason} {n}" for reason, n in self.rows.refused.most_common())
        return "; ".join(parts + ([f"rows refused: {refused}"] if refused else [])) + ("." if parts or refused else "")

    def _report(self) -> None:
        """Renews the line of progress."""
        calls, refused = self.rows.statuses.total(), self.rows.refused.total()
        cost = f", {self.budget.cost_usd:.4f} usd" if self.cfg.llm.price_input_usd is not None else ""
        slowed = f", {self.pool.pressure}" if str(self.pool.pressure or "") else ""
        note = f"{calls} calls, {self.budget.tokens:,} tokens, {refused} rows refused{cost}{slowed}"
        self.task.update(self.rows.accepted.total(), note)

    def _summary(self, stopped: str, waves: int) -> dict[str, object]:
        calls, pressure = self.rows.calls, self.pool.pressure
        costs = [call["cost_usd"] for call in calls if call["cost_usd"] is not None]
        return {
            "strategy": self.cfg.strategy,
            "model": self.cfg.llm.model,
            "accepted": self.rows.accepted.total(),
            "target_rows": self.cfg.target_rows,
            "accepted_by_label": {str(label): self.rows.accepted[label] for label in self.quotas},
            "refused": dict(sorted(self.rows.refused.items())),
            "checks_off": dict(sorted(self.acceptor.switched_off.items())),
            "gate_notes": self.acceptor.notes,
            "calls": dict(sorted(self.rows.statuses.items())),
            "answers_reused": self.reused,
            "attribute_sets": len(self.rows.attributes),
            "prompt_tokens": sum(call["prompt_tokens"] or 0 for call in calls),
            "completion_tokens": sum(call["completion_tokens"] or 0 for call in calls),
            "cost_usd": round(sum(costs), 6) if costs else None,
            "requests_failed": dict(sorted(pressure.faults.items())) if pressure else {},
            "fewest_at_once": pressure.smallest if pressure else None,
            "outages": pressure.outages if pressure else 0,
            "renegotiations": self.pool.renegotiations,
            "waves": waves,
            "stopped_by": stopped,
            "labels_left_out": ", ".join(self.left_out),
            "generate_seconds": round(time.monotonic() - self.started, 1),
        }
