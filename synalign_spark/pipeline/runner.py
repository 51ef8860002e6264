"""Runs the steps of a run in order, skips what is done, and records each in the run's manifest."""

import contextlib
import functools
import json
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any

from pyspark.sql import SparkSession

from synalign_spark import __version__, logs
from synalign_spark.config import Config
from synalign_spark.errors import BudgetError
from synalign_spark.pipeline import loop, steps
from synalign_spark.pipeline.context import Context, Deadline
from synalign_spark.pipeline.observer import Observer
from synalign_spark.pipeline.relay import Relay, watched
from synalign_spark.pipeline.session import spark_session
from synalign_spark.pipeline.settings import limits_of, settings_of
from synalign_spark.pipeline.steps import Step, StepState
from synalign_spark.spark_errors import outside_faults
from synalign_spark.spark_jobs import described
from synalign_spark.storage.catalog import CatalogTables
from synalign_spark.storage.lake import Lake
from synalign_spark.storage.runs import RunStore
from synalign_spark.storage.stored_files import entry_is_there, files_of, refuse_other_format

ENTRY = {"settings", "inputs", "produced", "summary", "tables"}  # of a step in the manifest, as far as it is looked at
AGAIN = "the trace is in the run's log; mend what it names and start the run again: what is done stays done"
Session = Callable[[Config], AbstractContextManager[SparkSession]]
Opened = Callable[[], SparkSession]  # starts Spark where it was not yet


def run_pipeline(
    cfg: Config, observer: Observer, redo: bool = False, only: str | None = None, session: Session = spark_session
) -> dict[str, Any]:
    """The whole run, or the one stage ``only``. Returns the manifest; raises SynalignError with the fix in its message.

    A step that is done for the same settings and inputs is skipped; ``redo`` allows replacing the output of
    steps whose settings changed; ``session`` opens Spark, and only when there is work. Raises BudgetError where ``run.max_minutes`` are over
    before the end."""
    if only is not None:
        steps.require_known(only, cfg)
    store = RunStore(cfg.lake.path, cfg.run.id)
    say = partial(observer.progress.console.print, highlight=False, markup=False, soft_wrap=True)
    with store.lock(cfg.run.lock_wait_s, say), watched(cfg, observer, only) as told, opening(session, cfg, told) as spark:
        deadline = Deadline.after(cfg.run.max_minutes)
        manifest = store.manifest()
        source = source_fingerprints(cfg, spark)
        states = stored_states(cfg, manifest, source, store, only)
        if not redo:
            steps.refuse_foreign_lake(states, cfg)
        todo = _todo(states, only)
        told.plan(cfg, states, todo)
        if todo or cfg.lake.schema_name:  # names may be new, of tables that are there
            preflight(cfg, todo)
            if steps.begins_loop_anew(states, todo):
                store.forget(["rounds", "select"])  # at once: either alone would lead a start after a kill into a round of the loop before
                todo = _todo(stored_states(cfg, store.manifest(), source, store, only), only)
            again = partial(_next_round, cfg, source, store) if only is None else list
            _execute(cfg, todo, source, store, told, spark, deadline, again)
        manifest = store.manifest()
        told.closing(cfg, manifest, [state.step.name for state in stored_states(cfg, manifest, source, store) if not state.done])
        return manifest


@contextmanager
def opening(session: Session, cfg: Config, observer: Observer) -> Iterator[Opened]:
    """Gives Spark, which is started when it is first asked for, and left at the end where it was."""
    with contextlib.ExitStack() as stack:

        @functools.cache
        def spark() -> SparkSession:
            with observer.waiting("starting Spark"):
                opened = stack.enter_context(session(cfg))
            stack.enter_context(described(opened, f"synalign {cfg.run.id}: preparing"))
            return opened

        yield spark


def source_fingerprints(cfg: Config, spark: Opened | None = None) -> dict[str, str]:
    """Fingerprints of what steps read from outside the lake. spark: gives the session, for sources that are in its catalog. Raises DataError
    where a path or table is missing, ConfigError for a folder that holds no templates."""
    from synalign_spark.generation.prompts import templates
    from synalign_spark.spark.source_fingerprint import source_fingerprint

    found = {"ingest": source_fingerprint(cfg.source, "source", spark)}
    if cfg.generate.strategy == "imported":
        found["generate"] = source_fingerprint(cfg.generate.imported, "generate.imported", spark)
    elif cfg.generate.prompts != templates.BUILT_IN:
        found |= dict.fromkeys(("generate", "rounds"), templates.fingerprint(cfg.generate.prompts))
    if sets := cfg.dedup.evaluation_sets:
        parts = " ".join(source_fingerprint(one, f"dedup.evaluation_sets[{i}]", spark) for i, one in enumerate(sets))
        found |= dict.fromkeys(("dedup", "dedup-synthetic"), parts)
    return found


def stored_states(
    cfg: Config, manifest: dict[str, Any], source: dict[str, str], store: RunStore, asked: str | None = None
) -> list[StepState]:
    """``steps.step_states``, where a step counts as done only while its tables are there (somebody may have deleted a folder, or some of their files)."""
    for name, entry in manifest.items():
        if lacking := ", ".join(sorted(ENTRY - entry.keys())):
            raise store.damaged(f"the entry of {name!r} has no {lacking}")
    kept = {
        name: entry
        for name, entry in manifest.items()
        if name not in steps.BY_NAME or entry_is_there(entry, cfg.lake.path, cfg.run.id, cfg.lake.format)
    }
    return steps.step_states(cfg, kept, source, asked)


def _todo(states: Sequence[StepState], only: str | None) -> list[Step]:
    """The steps to run: all that are not done, or those of the one stage ``only`` (`embed` and `dedup` are two steps)."""
    wanted = [state.step for state in states if not state.done and only in (None, state.step.name, state.step.stage)]
    if only is None:
        return wanted
    done = {state.step.name for state in states if state.done}
    if only in ("embed", "dedup"):  # the synthetic rows come when they are there
        wanted = [step for step in wanted if step.name == only or done.issuperset(step.after)]
    for step in wanted:
        steps.require_done(step, [state for state in states if state.step not in wanted])
    return wanted


def _next_round(cfg: Config, source: dict[str, str], store: RunStore) -> list[Step]:
    """The steps from ``select`` on where another round is due; none where the loop is over, or there is none."""
    manifest = store.manifest()
    return _todo(stored_states(cfg, manifest, source, store), None) if loop.next_is_due(manifest) else []


def preflight(cfg: Config, todo: Sequence[Step]) -> None:
    """Checks what can be checked before Spark starts: the lake's format, the embedder, the prompts, the language-model endpoint, the Ray cluster."""
    for table in dict.fromkeys(table.name for step in todo for table in step.writes):
        refuse_other_format(table, cfg.lake.path, cfg.lake.format)  # before the manifest forgets what is done
    names = {step.name for step in todo}
    if "select" in names:
        cfg.select.refuse_rows()
    if cfg.embeds and names & {"embed", "embed-synthetic"}:
        if cfg.embed.endpoint is not None:
            from synalign_spark.generation.embedding import require_usable as endpoint_usable

            endpoint_usable(cfg.embed)
        else:
            from synalign_spark.udfs.encoder import encoder_info

            encoder_info(cfg.embed)
    if "generate" in names and cfg.generate.strategy != "imported":
        from synalign_spark.generation.endpoint import require_usable
        from synalign_spark.generation.prompts import Prompter

        Prompter(cfg.generate, [] if cfg.source.label_column else [None])
        require_usable([one.llm for one in cfg.generate.endpoints])
        if cfg.generate.llm.ray_address:
            from synalign_spark.generation.backends.ray_on_spark import ADDRESS
            from synalign_spark.generation.backends.ray_session import ray_session

            with ray_session(cfg.generate.llm) if cfg.generate.llm.ray_address != ADDRESS else contextlib.nullcontext():
                pass


def _execute(
    cfg: Config,
    todo: Sequence[Step],
    source: dict[str, str],
    store: RunStore,
    observer: Relay,
    opened: Opened,
    deadline: Deadline,
    again: Callable[[], list[Step]],
) -> None:
    """Runs the steps one after the other. again: after ``rounds``, those of the next round, which take the place of those that are left."""
    with logs.logging_to(store.paths.local_log):
        spark = opened()
        lake = Lake(spark, cfg.lake.path, cfg.lake.format, cfg.run.id, observer.read)
        names = _names(cfg, lake, todo, observer)
        left, is_first = deque(todo), True
        while left:
            step = left.popleft()
            if not is_first:  # each start gets further, however long Spark takes to start
                deadline.require_time()
            is_first = False
            log = logs.get_logger(run_id=cfg.run.id, stage=step.name)
            words = f"synalign {cfg.run.id}: {step.name}"
            with _reported(step, log, observer), outside_faults(f"stage {step.name}", {"": AGAIN}), described(spark, words):
                _run_step(step, Context(cfg, spark, lake, observer.progress, log, deadline), source.get(step.name, ""), store, observer)
            if names is not None:
                names.register(step.writes)
            if step.name == "rounds" and (following := again()):
                left = deque(following)


def _names(cfg: Config, lake: Lake, todo: Sequence[Step], observer: Observer) -> CatalogTables | None:
    """The names that the lake's tables have in a catalog, those given that are there; None where none are wanted. Before any work, since a catalog
    may refuse them."""
    if cfg.lake.schema_name is None:
        return None
    names = CatalogTables(lake, cfg.lake.schema_name, cfg.lake.catalog, cfg.lake.prefix)
    names.require_free(table for step in todo for table in step.writes)
    names.register(table for step in steps.STEPS for table in step.writes)
    if not names.lasting:
        words = f"  lake.schema: {names.schema} is in memory, and its names end with the session; spark.sql.catalogImplementation: hive keeps them"
        observer.progress.console.print(words, style="yellow", markup=False, highlight=False, soft_wrap=True)
    return names


def _run_step(step: Step, ctx: Context, source: str, store: RunStore, observer: Observer) -> None:
    started, clock = datetime.now(UTC), time.monotonic()
    ctx.log.info("stage started")
    observer.started(step)
    store.forget([step.name])
    summary = json.loads(json.dumps(step.load()(ctx), default=str))
    seconds = round(time.monotonic() - clock, 2)
    manifest = store.manifest()
    store.record(
        step.name,
        {
            "release": __version__,
            "algorithm": step.algorithm,
            "settings": settings_of(step, ctx.cfg),
            "limits": limits_of(ctx.cfg),
            "source": source,
            "inputs": {name: manifest[name]["produced"] for name in step.inputs(manifest)},
            "produced": uuid.uuid4().hex,
            "started": started.isoformat(),
            "seconds": seconds,
            "tables": [table.name for table in step.writes],
            "files": files_of((table.name for table in step.writes), step.scope, ctx.cfg.lake.path, ctx.cfg.run.id, ctx.cfg.lake.format),
            "summary": summary,
        },
    )
    ctx.log.info("stage finished", seconds=seconds, **{f"result_{key}": value for key, value in summary.items()})
    observer.finished(step, summary, seconds)


@contextmanager
def _reported(step: Step, log: Any, observer: Observer) -> Iterator[None]:
    """Logs a failure with its trace and says which stage it was; the exception goes on to the command line."""
    try:
        yield
    except BaseException as err:
        with contextlib.suppress(OSError):  # on a full disk the fault itself is what is to be seen
            log.error(
                "stage failed", error=str(err), kind=type(err).__name__, exc_info=not isinstance(err, KeyboardInterrupt | BudgetError)
            )
        observer.failed(step)
        raise
