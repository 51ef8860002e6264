"""The figures of a run as Prometheus names them: seconds, bytes and counts, ``_total`` for what only grows."""

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from synalign_spark.exit_status import Exit
from synalign_spark.progress import Figures

LAST_SUCCESS = "synalign_run_last_success_timestamp_seconds"
Summaries = Mapping[str, Mapping[str, Any]]


@dataclass
class StageState:
    """A stage of a run, as far as this start knows. started: seconds since 1970; seconds: how long it took, None while it is not done."""

    running: bool = False
    done: bool = False
    failed: bool = False
    started: float | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class TaskState:
    """How far a piece of work is."""

    unit: str
    done: float
    total: float | None


@dataclass
class RunState:
    """What is known of a run. tasks: by stage and name; summaries: of finished stages; live: figures that change while a stage runs, by stage."""

    run_id: str
    release: str
    started: float = field(default_factory=time.time)
    last_success: float | None = None
    exit: Exit | None = None
    stages: dict[str, StageState] = field(default_factory=dict)
    tasks: dict[tuple[str, str], TaskState] = field(default_factory=dict)
    summaries: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    live: dict[str, Figures] = field(default_factory=dict)

    def collect(self) -> Iterator[Metric]:
        """Every family, as Prometheus' client asks for them."""
        yield from _of_run(self)
        yield from _of_stages(self)
        yield from _of_tasks(self)
        yield from self._of_generation()
        yield from _of_rejects(self)

    def _of_generation(self) -> Iterator[Metric]:
        """Calls, rows and cost by stage: of the manifest where the stage is done, else those of the moment."""
        by_stage = {name: list(_of_summary(summary)) for name, summary in dict(self.summaries).items()}
        by_stage |= {name: list(collect()) for name, collect in list(self.live.items()) if name not in self.summaries}
        merged: dict[str, Metric] = {}
        for stage, families in by_stage.items():
            for one in families:
                into = merged.setdefault(one.name, Metric(one.name, one.documentation, one.type))
                for sample in one.samples:
                    into.add_sample(sample.name, {"run_id": self.run_id, "stage": stage, **sample.labels}, sample.value)
        yield from merged.values()


def _of_run(state: RunState) -> Iterator[Metric]:
    of_run = [state.run_id]

    def gauge(name: str, said: str, value: float) -> Metric:
        family = GaugeMetricFamily(f"synalign_run_{name}", said, labels=["run_id"])
        family.add_metric(of_run, value)
        return family

    info = GaugeMetricFamily("synalign_run_info", "Release of synalign-spark that runs it", labels=["run_id", "release"])
    info.add_metric([state.run_id, state.release], 1)
    yield info
    yield gauge("running", "Whether a start of the run is going on", state.exit is None)
    yield gauge("start_timestamp_seconds", "When the last start began", state.started)
    yield gauge(
        "heartbeat_timestamp_seconds", "When this file was written: an old one of a run that goes on is of a process that died", time.time()
    )
    if state.last_success is not None:
        yield gauge(LAST_SUCCESS.removeprefix("synalign_run_"), "When the run was last found or made complete", state.last_success)
    if state.exit is not None:
        kinds = GaugeMetricFamily("synalign_run_exit", "1 for the kind of the last start's end", labels=["run_id", "kind"])
        for kind in Exit:
            kinds.add_metric([state.run_id, kind.name.lower()], kind is state.exit)
        yield kinds
        yield gauge("exit_code", "Exit status of the last start", state.exit)


def _of_stages(state: RunState) -> Iterator[Metric]:
    def family(name: str, said: str, values: Mapping[str, float | None]) -> Metric:
        found = GaugeMetricFamily(f"synalign_stage_{name}", said, labels=["run_id", "stage"])
        for stage, value in values.items():
            if value is not None:
                found.add_metric([state.run_id, stage], value)
        return found

    now, stages = time.time(), dict(state.stages)
    so_far = {name: now - (one.started or now) if one.running else one.seconds for name, one in stages.items()}
    yield family("running", "Whether the stage is running", {name: one.running for name, one in stages.items()})
    yield family("done", "Whether the stage is done for the present configuration", {name: one.done for name, one in stages.items()})
    yield family("failed", "Whether the last start ended in the stage", {name: one.failed for name, one in stages.items()})
    yield family("start_timestamp_seconds", "When the stage began", {name: one.started for name, one in stages.items()})
    yield family("duration_seconds", "How long the stage took, or has been running", so_far)


def _of_tasks(state: RunState) -> Iterator[Metric]:
    labels = ["run_id", "stage", "task", "unit"]
    done = GaugeMetricFamily("synalign_progress_done", "Rows, or other units, of a piece of work that are done", labels=labels)
    expected = GaugeMetricFamily("synalign_progress_expected", "Rows, or other units, of a piece of work in all", labels=labels)
    for (stage, name), task in list(state.tasks.items()):
        done.add_metric([state.run_id, stage, name, task.unit], task.done)
        if task.total is not None:
            expected.add_metric([state.run_id, stage, name, task.unit], task.total)
    yield done
    yield expected


def _of_rejects(state: RunState) -> Iterator[Metric]:
    family = GaugeMetricFamily(
        "synalign_rows_rejected", "Rows of a source that were rejected, by reason", labels=["run_id", "stage", "reason"]
    )
    for stage, summary in dict(state.summaries).items():
        for reason, n in (summary.get("rejected_by_reason") or summary.get("rejected") or {}).items():
            family.add_metric([state.run_id, stage, reason], n)
    yield family


def _of_summary(summary: Mapping[str, Any]) -> Iterable[Metric]:
    """The figures of a stage that asked a model, named as ``generation.status`` names them while it goes on; none of another stage."""
    tokens = summary["tokens"] if "requests" in summary else None
    if "accepted_by_label" in summary:
        tokens = summary.get("prompt_tokens", 0) + summary.get("completion_tokens", 0)
        yield GaugeMetricFamily("synalign_rows_target", "Rows to generate", summary.get("target_rows", summary["accepted"]))
        yield _labelled(GaugeMetricFamily, "synalign_rows_accepted", "Accepted rows by label", "label", summary["accepted_by_label"])
        yield _labelled(CounterMetricFamily, "synalign_rows_refused", "Refused rows by reason", "reason", summary.get("refused", {}))
        yield _labelled(CounterMetricFamily, "synalign_calls", "Ended calls by status", "status", summary.get("calls", {}))
    if tokens is not None:
        yield CounterMetricFamily("synalign_tokens", "Tokens of prompts and answers", tokens)
        yield CounterMetricFamily("synalign_cost_usd", "Cost by the configured prices", summary.get("cost_usd") or 0.0)
    if "requests" in summary:
        yield CounterMetricFamily("synalign_requests", "HTTP requests", summary["requests"])


def _labelled(kind: Any, name: str, said: str, key: str, counts: Mapping[str, float]) -> Any:
    family = kind(name, said, labels=[key])
    for value, n in counts.items():
        family.add_metric([value], n)
    return family
