"""Generation in waves: plan calls, ask for the answers that are not stored, accept or refuse rows in the order of the plan.

A wave's plan follows from the results of the waves before it, never from the order in which answers
arrive; so a run that was killed and resumed from its ledger ends with the tables of an undisturbed one. The exception are labels
that are given up in the middle of a wave: what was in flight for them then is taken, and how much that is, time decides.
"""

import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import pyarrow as pa

from synalign_spark.config import GenerateConfig
from synalign_spark.errors import BudgetError, EndpointError
from synalign_spark.generation.acceptance import Acceptor
from synalign_spark.generation.backends.pool import open_pool
from synalign_spark.generation.backends.protocol import Pool
from synalign_spark.generation.call_size import CallSize, fewer_rows
from synalign_spark.generation.calls import Answer
from synalign_spark.generation.demand import Demand, next_calls, wave_room
from synalign_spark.generation.gates.profile import RealProfile
from synalign_spark.generation.health import HOPELESS_CALLS, LabelHealth, PoolHealth, describe
from synalign_spark.generation.limits import Budget
from synalign_spark.generation.plan import Label, Planned, Planner, Slot, demonstration_sets_of
from synalign_spark.generation.prices import Prices
from synalign_spark.generation.probing import BudgetSpentError
from synalign_spark.generation.reading import Parsed
from synalign_spark.generation.results import REFUSAL_REASONS, GenerateResult, Rows
from synalign_spark.generation.rounds import RoundEnd, not_shown, rounds_of
from synalign_spark.generation.status import Status
from synalign_spark.generation.stored import StoredAnswers
from synalign_spark.generation.taking import Taking
from synalign_spark.generation.wave import Asked, Job, Wave
from synalign_spark.progress import Progress, Task


def generate(
    demonstrations: pa.Table,
    label_counts: dict[Label, int],
    cfg: GenerateConfig,
    seed: int,
    ledger_dir: str,
    progress: Progress,
    log_dir: str | None = None,
    real: RealProfile | None = None,
    require_time: Callable[[], None] = lambda: None,
    ends: Sequence[RoundEnd] = (),
) -> GenerateResult:
    """Writes ``cfg.target_rows`` accepted rows, or as many as candidates and budget give.

    demonstrations: rows of the DEMONSTRATIONS contract (may be empty for simprompt and attrprompt); label_counts: corpus rows by label;
    ledger_dir: folder of the stored answers, any file system; log_dir: local folder for the embedded model's logs; real: what the gates know
    of the real rows, None for the demonstrations alone; require_time: raises BudgetError once there is no more time, which ends it as an
    interruption does; ends: of the rounds of a loop up to the present one, in order: those that are past take their answers from the ledger, so
    that their rows are the same as they were; () for the one that there is. Raises EndpointError for an endpoint that cannot be used, ConfigError for label
    shares that do not fit. A failed call is a row, never an exception."""

    def say(words: str) -> None:
        progress.console.print(f"  generate: {words}", style="yellow", markup=False, soft_wrap=True)

    with (
        progress.task("generate", total=(ends or (RoundEnd(cfg.target_rows),))[-1].target_rows, unit="rows") as task,
        StoredAnswers(ledger_dir) as answers,
        open_pool(cfg, ledger_dir, log_dir, say) as pool,
    ):
        run = _Run(demonstrations, label_counts, cfg, seed, answers, pool, task, real, require_time, ends or (RoundEnd(cfg.target_rows),))
        try:
            with run.status.served(), progress.measured("generate", run.status.collect):
                result = run.finish()
        except BaseException as err:
            pool.drain(say)  # after an error too: what is in flight is paid for
            if isinstance(err, KeyboardInterrupt | BudgetError) and not isinstance(err, EndpointError):
                err.add_note(f"generate: {run.state()}; the answers so far are stored, start it again and they are used")
            raise
    for words in [
        *(f"{name} was left: {reason}" for name, reason in pool.left.items()),
        *fewer_rows(run.sizes, cfg),
        *result.stop(run.state()),
    ]:
        say(words)
    return result


class _Run:
    """One generation: its state between waves."""

    def __init__(
        self,
        demonstrations: pa.Table,
        label_counts: dict[Label, int],
        cfg: GenerateConfig,
        seed: int,
        answers: StoredAnswers,
        pool: Pool,
        task: Task,
        real: RealProfile | None,
        require_time: Callable[[], None],
        ends: Sequence[RoundEnd],
    ) -> None:
        self.cfg, self.pool, self.task, self.require_time = cfg, pool, task, require_time
        self.started = time.monotonic()
        sets = demonstration_sets_of(demonstrations)
        self.planner = Planner(cfg, seed, sets, label_counts)
        shown = zip(demonstrations["text"].to_pylist(), demonstrations["label"].to_pylist(), strict=True)
        self.acceptor = Acceptor(cfg, sorted(label_counts, key=str), real or RealProfile.of(shown))
        self.rounds = rounds_of(sets, label_counts, cfg, ends, self.planner.shows, self.acceptor.fault)
        self.acceptor.notes += [*not_shown(self.rounds), *self.planner.notes]
        self.quotas = dict(self.rounds[0].quotas)  # of the present round
        self.target_rows = ends[-1].target_rows
        self.left_out = sorted(str(label) for label in label_counts if label not in self.quotas)
        self.rows = Rows(cfg)
        self.taking = Taking(cfg, self.quotas, self.planner, self.acceptor, self.rows)
        self.answers = answers
        self.reused = self.ahead = 0
        self.budget = Budget(cfg.limits, Prices([one.llm for one in cfg.endpoints]))
        for spent in answers.spent():
            self.budget.spend(spent)
        self.status = Status(cfg, self.rows, self.budget)
        self.health = PoolHealth(max(HOPELESS_CALLS, 2 * sum(one.llm.concurrency for one in cfg.endpoints)), self._describe_faults)
        self.labels = {label: LabelHealth() for label in self.quotas}
        self.sizes = {label: CallSize(cfg.rows_per_request) for label in self.quotas}
        self.given_up: dict[Label, str] = {}
        self.failing: set[Label] = set()  # of them, those that may be asked again another time

    def finish(self) -> GenerateResult:
        """Wave after wave until the target, the candidates, the demonstration sets or the budget end it."""
        stopped, waves = "", 0
        for round_ in self.rounds:
            self.planner.begin(round_.sets)
            self.quotas.update(round_.quotas)
            while not stopped and (planned := self._plan(waves)):
                waves += 1
                stopped = self._ask(Wave(planned, self.planner, self.cfg, self.answers))
                self.taking.recheck()
                self._judge()
        stopped = stopped or self._why_ended()
        if self.rows.accepted.total() == 0:
            said = f" ({faults})" if (faults := self._describe_faults()) else ""
            none = f"generate: no row was accepted{said}; stopped by {stopped}{self.pool.left_running}"
            if stopped.startswith("limits."):
                first = f"see {self._to_look_at()}, or " if self.rows.refused else ""
                raise BudgetSpentError(stopped, f"{none}; {first}raise generate.{stopped}")
            raise EndpointError(f"{none}; see {self._to_look_at()}")
        self._report()
        return self.rows.result(self._summary(stopped, waves))

    def missing(self, label: Label) -> int:
        """Rows that the label still lacks."""
        return self.quotas[label] - self.rows.accepted[label]

    def state(self) -> str:
        """How far it is, in words.

        'with 120 of 200 rows; missing: bad 60, good 20'"""
        missing = ", ".join(f"{'rows' if label is None else label} {n:,}" for label in self.quotas if (n := self.missing(label)) > 0)
        given_up = "".join(f"; label {label!r} was given up: {reason}" for label, reason in self.given_up.items())
        return f"with {self.rows.accepted.total():,} of {self.target_rows:,} rows; missing: {missing or 'none'}{given_up}{self.pool.left_running}"

    def _plan(self, waves: int) -> list[Planned]:
        """The calls for rows of the next wave. waves: so far."""
        demands = {label: self._demand(label) for label in self.quotas if self._is_open(label)}
        most = math.ceil(self.cfg.most_candidates * sum(self.quotas.values()) / self.cfg.target_rows)
        candidates_left = most - sum(map(self._candidates, self.labels))
        calls = next_calls(list(demands.values()), wave_room(waves), candidates_left)
        sizes: dict[Label, list[int]] = {}
        for label, n_rows in calls:
            sizes.setdefault(label, []).append(n_rows)
        picks = {label: iter(self.planner.next_sets(label, of_label, demands[label].accepted_share)) for label, of_label in sizes.items()}
        return [next(picks[label]) for label, _ in calls]

    def _is_open(self, label: Label) -> bool:
        return self.missing(label) > 0 and label not in self.given_up and self.planner.calls_left(label) != 0

    def _demand(self, label: Label) -> Demand:
        accepted, health = self.rows.accepted[label], self.labels[label]
        bounds = [bound for bound in (self.planner.calls_left(label), health.calls_on_trial(accepted)) if bound is not None]
        return Demand(label, self.quotas[label], accepted, self._candidates(label), self.sizes[label].rows, min(bounds, default=None))

    def _candidates(self, label: Label) -> int:
        return self.labels[label].asked - self.sizes[label].lost

    def _ask(self, wave: Wave) -> str:
        """Gets every answer and takes them in the order of the plan, as soon as those before have come.

        Returns the limit that stopped it, or an empty string."""
        self._take_all(wave.ready(), wave)
        for answer in self.pool.run(wave.waiting, self.budget, self._go_on):
            failing = self.health.arrived(answer, wave.label_of(answer))
            wave.arrived(answer)
            if failing:
                self._without(failing, wave)
            self._take_all(wave.ready(), wave)
            self.ahead = wave.ahead
            self._go_on()
        done = wave.done
        self._take_all(wave.rest(), wave)
        self.ahead = wave.ahead
        self.reused += wave.reused
        return "" if done else self.pool.stopped_by or "limits"

    def _without(self, failing: set[Label], wave: Wave) -> None:
        """Gives up labels whose calls fail one after another while the endpoint takes others. Raises EndpointError where it does not."""
        others = [label for label in self.quotas if label not in failing and self.rows.accepted[label]]
        if not others or not self.pool.takes_calls():
            raise self.health.down()
        reason = self.health.excuse()
        self.given_up |= dict.fromkeys(failing, reason)
        self.failing |= failing
        wave.abandon(failing)

    def _take_all(self, jobs: Iterable[Job], wave: Wave) -> None:
        """Takes finished jobs. A label of which nothing comes any more is asked nothing further, in the middle of a wave too."""
        for job in jobs:
            for asked in job.asked:
                if asked.answer is not None:
                    self._take(asked, asked.answer)
            self.planner.cut(job.source, job.cut)
            self.planner.unanswered(job.source, job.unanswered)
            self.sizes[job.label].lose(job.n_rows, job.cut)
            reason = self._hopeless(job.label) if self.labels[job.label].ran_dry and job.label not in self.given_up else None
            if reason:
                self.given_up[job.label] = reason
                wave.abandon({job.label})

    def _take(self, asked: Asked, answer: Answer) -> None:
        parsed, label = asked.parsed, asked.request.label
        self.labels[label].taken(answer, parsed, again=asked.reask_of is not None)
        good = self.taking.take(asked, answer)
        if isinstance(asked.purpose, Slot):
            rows = asked.purpose.n_rows if asked.reask_of is None else 0
            self.labels[label].brought(rows, good, usable=parsed is not None and parsed.status == "ok")
            self._learn_size(asked.purpose, label, parsed)

    def _learn_size(self, slot: Slot, label: Label, parsed: Parsed | None) -> None:
        """Has the next calls of a label ask for fewer rows where its answers are mostly cut off: see ``CallSize``."""
        size = self.sizes[label]
        if size.taken(slot.n_rows, cut=parsed is not None and parsed.status == "truncated"):
            self.planner.ask_fewer(label, size.rows)
            self.labels[label].on_trial_again()

    def _judge(self) -> None:
        """Gives up the labels of which nothing came. Raises EndpointError when no label is left."""
        for label in self.quotas:
            reason = self._hopeless(label) if label not in self.given_up and self.missing(label) > 0 else None
            if reason:
                self.given_up[label] = reason
                self.failing |= {label} if self.labels[label].failing else set()
        kept = any(self.labels[label].repeats and self.rows.accepted[label] for label in self.quotas)  # rows of use
        if set(self.given_up) == set(self.quotas) and not kept:
            reasons = " ".join(reason if label is None else f"label {label!r}: {reason}" for label, reason in self.given_up.items())
            raise EndpointError(f"generate: {reasons} Stored answers are kept; see {self._to_look_at()}")

    def _to_look_at(self) -> str:
        """The keys behind what went wrong: of the rows where some came, else of the calls."""
        of_rows = self.rows.refused.keys() - REFUSAL_REASONS.values()
        return "generate.task and generate.gates" if of_rows else "generate.llm and generate.task"

    def _hopeless(self, label: Label) -> str | None:
        health = self.labels[label]
        if self.planner.calls_left(label) == 0 and not self.rows.accepted[label]:
            return f"its demonstration sets are used up and gave no row; {describe(health.errors, self.rows.refused_of(label))}"
        return health.hopeless(self.rows.accepted[label], self.rows.refused_of(label))

    def _why_ended(self) -> str:
        lacking = [label for label in self.quotas if self.missing(label) > 0]
        waiting = [label for label in lacking if label not in self.given_up]
        if not lacking:
            return "target"
        if not waiting:
            return "labels_failing" if self.failing else "labels_given_up"
        return "demonstration_sets" if all(self.planner.calls_left(label) == 0 for label in waiting) else "max_candidates"

    def _describe_faults(self) -> str:
        """The commonest error and the refused rows, in words."""
        return describe(sum((health.errors for health in self.labels.values()), Counter()), self.rows.refused)

    def _go_on(self) -> None:
        """Between calls, often: raises BudgetError where there is no more time."""
        self.require_time()
        self._report()

    def _report(self) -> None:
        """Renews the line of progress."""
        self.task.update(self.rows.accepted.total(), self.status.line(self.pool.pressure, self.ahead))

    def _summary(self, stopped: str, waves: int) -> dict[str, object]:
        pressure = self.pool.pressure
        return {
            "strategy": self.cfg.strategy,
            "model": self.cfg.models,
            "accepted": self.rows.accepted.total(),
            "target_rows": self.target_rows,
            "accepted_by_label": {str(label): self.rows.accepted[label] for label in self.quotas},
            "missing_by_label": {str(label): n for label in self.quotas if (n := self.missing(label)) > 0},
            "labels_given_up": {str(label): reason for label, reason in self.given_up.items()},
            "checks_off": dict(sorted(self.acceptor.switched_off.items())),
            "checks_skipped": self.acceptor.skipped,
            "gate_notes": self.acceptor.notes,
            "rows_a_call": {str(label): size.rows for label, size in self.sizes.items() if size.rows < size.most},
            "packaging_taken_off": dict(sorted(self.acceptor.packaging.taken_off.items())),
            **self.rows.figures(),
            "endpoints_left": self.pool.left,
            "answers_reused": self.reused,
            "probes": self.budget.probed,
            "requests_failed": dict(sorted(pressure.faults.items())) if pressure else {},
            "fewest_at_once": pressure.smallest if pressure else None,
            "outages": pressure.outages if pressure else 0,
            "renegotiations": self.pool.renegotiations,
            "waves": waves,
            "stopped_by": stopped,
            "missing_usd": self.status.missing_usd(),
            "labels_left_out": ", ".join(self.left_out),
            "generate_seconds": round(time.monotonic() - self.started, 1),
        }
