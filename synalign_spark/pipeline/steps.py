"""The steps of a run: their order, what each depends on, and whether it is already done.

Nothing here starts Spark: a run that is finished is recognised from its manifest alone.
"""

import functools
import importlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from synalign_spark.config import Config
from synalign_spark.errors import ConfigError, DataError, ForeignLakeError
from synalign_spark.pipeline import loop
from synalign_spark.pipeline.settings import changed_settings, limits_of, settings_of
from synalign_spark.storage import tables
from synalign_spark.storage.tables import Table

STAGES = "synalign_spark.pipeline.stages"
NOT_RUN = "not run yet"
TERMS = ("loop.max_mmd2", "loop.min_gain", "the algorithm")  # other ones judge the last round again, and leave the others


@dataclass(frozen=True)
class Step:
    """One stage of the flow. ``sections``: the configuration that shapes its output; ``after``: the steps it reads;
    ``on_request``: runs where it is named or configured, and again with a run that has it; ``if_there``: steps on request whose tables it reads
    too; ``if_before``: the same, but one that first runs after it does not make it old."""

    name: str
    module: str
    sections: tuple[str, ...]
    after: tuple[str, ...]
    writes: tuple[Table, ...]
    arguments: Mapping[str, str] = field(default_factory=dict)
    on_request: bool = False
    if_there: tuple[str, ...] = ()
    if_before: tuple[str, ...] = ()

    @property
    def algorithm(self) -> int:
        """What decides, beside settings and inputs, whether its tables are still those that it would write: see ALGORITHMS."""
        return ALGORITHMS[self.name]

    @property
    def scope(self) -> Mapping[str, str]:
        """The part that it writes of a table that other steps write too."""
        return self.arguments or {"origin": "real"}

    @property
    def stage(self) -> str:
        """The stage that the step belongs to, as `spark-submit.sh` names it."""
        return self.module

    def inputs(self, manifest: Mapping[str, Any]) -> tuple[str, ...]:
        """The steps whose tables it reads in a run with this manifest."""
        return (*self.after, *(name for name in (*self.if_there, *self.if_before) if name in manifest))

    def old_by(self, manifest: Mapping[str, Any], again: Collection[str] = ()) -> list[str]:
        """The steps that ran anew after it, or are to (``again``), by the manifest that has it."""
        read = manifest[self.name].get("inputs", {})
        return [
            name
            for name in self.inputs({**manifest, **dict.fromkeys(again)})
            if (name in again or manifest.get(name, {}).get("produced") != read.get(name)) and (name in read or name not in self.if_before)
        ]

    def wanted(self, cfg: Config) -> bool:
        """Whether a run has the step by its configuration."""
        configured = {"dedup": bool(cfg.dedup.evaluation_sets), "rounds": cfg.loop.rounds > 1}
        return not self.on_request or configured.get(self.stage, False)

    def load(self) -> Callable[..., dict[str, Any]]:
        """The job's ``run``, imported only when it is needed (its libraries take seconds)."""
        return functools.partial(importlib.import_module(f"{STAGES}.{self.module}").run, **self.arguments)


# The algorithm of each step: raised when it writes other tables from the same settings and inputs, in columns, meaning or values beyond
# the last bits. The release is not looked at: one that raises none of these finds every finished run done.
# 2 of cluster, select, generate and align: columns were given the field's terms (cluster share, attribute set, label confidence, ...).
# 3 of cluster, 4 of select: rows that are held out shape no cluster and are not shown.
# 3 of align and resample: weights.capped_by, and sample weights that keep the label shares.
# 3 of generate, 2 of resample: lengths of clusters, fields of rows, prompts, calls.reask_of.
# 4 of align: rows whose label the real rows dispute gain no weight.
# 4 of generate: demonstration sets whose own rows the gates refuse are not shown.
ALGORITHMS = {
    "ingest": 1,
    "embed": 1,
    "cluster": 3,
    "dedup": 1,
    "select": 4,
    "generate": 5,
    "embed-synthetic": 1,
    "dedup-synthetic": 1,
    "align": 4,
    "rounds": 2,
    "resample": 4,
    "evaluate": 1,
    "report": 1,
}
STEPS: tuple[Step, ...] = (
    Step("ingest", "ingest", ("source", "ingest"), (), (tables.CORPUS, tables.REJECTS)),
    Step("embed", "embed", ("embed",), ("ingest",), (tables.EMBEDDINGS,), {"origin": "real"}),
    Step("cluster", "cluster", ("cluster",), ("embed",), (tables.CENTROIDS, tables.CLUSTERS)),
    Step("dedup", "dedup", ("dedup",), ("cluster",), (tables.DUPLICATES,), {"side": "real"}, on_request=True),
    Step("select", "select", ("select",), ("cluster",), (tables.DEMONSTRATIONS, tables.SELECTION_TRACE), if_before=("dedup",)),
    Step(
        "generate",
        "generate",
        ("generate", "ingest"),
        ("ingest", "select"),
        (tables.ATTRIBUTES, tables.SYNTHETIC, tables.REFUSALS, tables.CALLS, tables.PROMPTS),
    ),
    Step("embed-synthetic", "embed", ("embed",), ("generate",), (tables.EMBEDDINGS,), {"origin": "synthetic"}),
    Step(
        "dedup-synthetic",
        "dedup",
        ("dedup",),
        ("cluster", "embed-synthetic"),
        (tables.DUPLICATES,),
        {"side": "synthetic"},
        on_request=True,
    ),
    Step(
        "align",
        "align",
        ("align",),
        ("embed", "cluster", "embed-synthetic"),
        (tables.WEIGHTS, tables.CERTIFICATE, tables.SOLVER_TRACE, tables.WITNESS),
    ),
    # Its rounds rest on what was shown and written, which a later select or generate that is cut off no longer tells.
    Step("rounds", "rounds", ("loop", "select", "generate"), ("align",), (tables.ROUNDS,), on_request=True),
    Step("resample", "resample", ("resample",), ("align",), (tables.AUGMENTED,), if_there=("dedup", "dedup-synthetic")),
    Step("evaluate", "evaluate", ("evaluate",), ("align",), (tables.EVALUATION, tables.NEAREST_PAIRS), on_request=True),
    Step("report", "report", ("report",), ("resample",), (tables.METRICS,), if_there=("evaluate", "rounds")),
)
BY_NAME = {step.name: step for step in STEPS}


def require_known(stage: str, cfg: Config) -> None:
    """Raises ConfigError, with the names there are, for a stage that is none, and for the loop's where there is no loop."""
    if stage not in BY_NAME:
        raise ConfigError(f"stage {stage!r} is not one; the stages are {', '.join(BY_NAME)}")
    if stage == "rounds" and cfg.loop.rounds == 1:
        raise ConfigError("stage 'rounds' is of the closed loop, and loop.rounds is 1; set it above 1, or leave the stage out")


@dataclass(frozen=True)
class StepState:
    """Whether a step must run. ``changed``: settings that differ from the lake's, as (key, value then, value now);
    next_round: it has begun a round, and is to begin the next."""

    step: Step
    done: bool
    why: str
    changed: tuple[tuple[str, Any, Any], ...] = ()
    next_round: bool = False


def begins_loop_anew(states: Sequence[StepState], todo: Collection[Step]) -> bool:
    """Whether what is to run makes the rounds that are over old: a step that ``select`` reads, ``select`` itself, but for its next round
    or once more after it was cut off in one, or other settings of what shows and writes rows, be its own entry there or cut off."""
    found = {state.step.name: state for state in states}
    select, before = found["select"], _ancestors(BY_NAME["select"])
    running = {name for name, state in found.items() if not state.done and state.step in todo}
    if running & {"select", "generate", *before} and "rounds" in found and _other_rounds(found["rounds"].changed):
        return True
    own = "select" in running and not select.next_round and select.why != NOT_RUN
    marks = {name for name in BY_NAME["select"].if_before if name in running and found[name].changed}
    return own or bool(running & before or marks)


def _other_rounds(changed: Collection[tuple[str, Any, Any]]) -> bool:
    """Whether settings of the step ``rounds`` changed that its rounds rest on."""
    return any(key not in TERMS for key, _, _ in changed)


def step_states(cfg: Config, manifest: Mapping[str, Any], source: Mapping[str, str], asked: str | None = None) -> list[StepState]:
    """What each step of the run needs, in order. ``source``: step name to the fingerprint of the files it reads; ``asked``: a stage on
    request that is to run, though the run does not have it yet."""
    states: list[StepState] = []
    again: set[str] = set()
    rounds = _state_of(BY_NAME["rounds"], cfg, manifest, source.get("rounds", ""), again)
    anew = bool(loop.earlier_rounds(manifest)) and _other_rounds(rounds.changed)
    for step in STEPS:
        if step.stage != asked and step.name not in manifest and not step.wanted(cfg):
            continue
        state = _state_of(step, cfg, manifest, source.get(step.name, ""), again)
        if anew and step.name == "select" and (state.done or state.next_round):
            state = StepState(step, False, "the rounds of the loop begin anew")
        if not state.done and (step.name in manifest or step.wanted(cfg)):  # what is asked for alone makes others old once it is there
            again.add(step.name)
        states.append(state)
    return states


def _state_of(step: Step, cfg: Config, manifest: Mapping[str, Any], source: str, again: set[str]) -> StepState:
    entry = manifest.get(step.name)
    if entry is None:
        return StepState(step, False, NOT_RUN)
    changed = changed_settings(entry["settings"], settings_of(step, cfg))
    algorithm = entry.get("algorithm", entry.get("format", 1))  # by the name that earlier releases gave it; the first had none
    if algorithm != step.algorithm:
        changed += (("the algorithm", algorithm, step.algorithm),)
    if source != entry.get("source", ""):
        changed += (("source files", "as they were", "changed since"),)
    if changed:
        return StepState(step, False, "its settings changed", changed)
    if upstream := step.old_by(manifest, again):
        return StepState(step, False, f"{' and '.join(upstream)} ran anew")
    stopped_by = str(entry["summary"].get("stopped_by", ""))
    if stopped_by.startswith("limits.") and entry.get("limits") != limits_of(cfg):  # with a larger budget there is more to do
        return StepState(step, False, f"generate.{stopped_by} stopped it, and the limits changed")
    if stopped_by == "labels_failing":
        return StepState(step, False, "the endpoint failed call after call of some labels")
    if step.name == "select" and loop.next_is_due(manifest):
        return StepState(step, False, f"round {len(loop.next_rounds(manifest)) + 1} of {cfg.loop.rounds} is to come", next_round=True)
    return StepState(step, True, "done")


def stopped_by_budget(manifest: Mapping[str, Any]) -> bool:
    """Whether a budget ended the generation, so that there is more to do with a larger one."""
    return str(manifest.get("generate", {}).get("summary", {}).get("stopped_by", "")).startswith("limits.")


def left_to_run(manifest: Mapping[str, Any]) -> list[str]:
    """Steps that have not run, whose inputs ran anew after them (what their tables hold is of the rows before), or of which a next round
    is to come. By the manifest alone."""
    left: list[str] = []
    for step in STEPS:
        if step.on_request and step.name not in manifest:
            continue
        if step.name not in manifest or step.old_by(manifest, left) or (step.name == "select" and loop.next_is_due(manifest)):
            left.append(step.name)
    return left


def refuse_foreign_lake(states: Sequence[StepState], cfg: Config) -> None:
    """Raises ForeignLakeError where the run in the lake was made with other settings: paid work is never replaced unasked."""
    lines = [f"  - {state.step.name}: {key} was {before!r}, is now {now!r}" for state in states for key, before, now in state.changed]
    if lines:
        raise ForeignLakeError(
            f"run.id {cfg.run.id!r} in lake.path {cfg.lake.path!r} was made from another configuration:\n"
            + "\n".join(dict.fromkeys(lines))
            + "\nkeep both: --set run.id=ANOTHER_NAME; or redo the steps that change, and those after them: --redo"
            + "\n(finished language-model calls whose prompts stay the same are not repeated)"
        )


def require_done(step: Step, states: Sequence[StepState]) -> None:
    """Raises DataError where a step is asked for alone and one before it is not done."""
    missing = [state for state in states if state.step.name in _ancestors(step) and not state.done]
    if missing:
        raise DataError(
            f"stage {step.name!r} needs {', '.join(v.step.name for v in missing)} first ({missing[0].why}); "
            "run those stages, or all with `synalign run`"
        )


def _ancestors(step: Step) -> set[str]:
    found: set[str] = set()
    for name in step.after:
        found |= {name} | _ancestors(BY_NAME[name])
    return found
