"""``synalign plan``: what a run would do, in rows, requests, tokens, cost and time, without a single call."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape

from synalign_spark.config import Config
from synalign_spark.core import defaults
from synalign_spark.formatting import number
from synalign_spark.generation.estimate import estimate
from synalign_spark.pipeline.runner import source_fingerprints, stored_states
from synalign_spark.storage.runs import RunStore

# Rows a second and core of the embedder at some 30 tokens a row, as measured on a 2.6 GHz server core; a guess elsewhere.
EMBEDDED_ROWS_PER_CORE_S = 60.0


def make_plan(cfg: Config) -> dict[str, Any]:
    """Plain JSON values: the stages with what they need, the corpus's rows, and an estimate of the generation.

    Counts the corpus with Spark unless the run's manifest knows it already. Raises SynalignError."""
    store = RunStore(cfg.lake.path, cfg.run.id, writable=False)
    manifest = store.manifest()
    states = stored_states(cfg, manifest, source_fingerprints(cfg), store)
    todo = [state.step.name for state in states if not state.done]
    known = manifest["ingest"]["summary"] if "ingest" in manifest and "ingest" not in todo else None
    labels, counted = (
        (known["labels"] or {"": known["rows_accepted"]}, "manifest") if known else (count_rows(cfg), "source, before validation")
    )
    plan: dict[str, Any] = {
        "run_id": cfg.run.id,
        "lake": cfg.lake.path,
        "stages": [{"stage": state.step.name, "will_run": not state.done, "why": state.why} for state in states],
        "changed_settings": [{"stage": state.step.name, "key": k, "was": a, "is": b} for state in states for k, a, b in state.changed],
        "rows": {"real": sum(labels.values()), "by_label": labels, "counted_from": counted},
    }
    if "embed" in todo:
        plan["embed_minutes"] = round(plan["rows"]["real"] / EMBEDDED_ROWS_PER_CORE_S / cores() / 60, 1)
    if "generate" in todo and cfg.generate.strategy != "imported":
        by_label = {None if label == "" else label: n for label, n in labels.items()}
        plan["generate"] = estimate(cfg.generate, by_label, expected_sets(cfg, len(labels)), cfg.select.rows_per_set)
    return plan


def expected_sets(cfg: Config, n_labels: int) -> int:
    """Demonstration sets to expect before the clusters are known."""
    return cfg.select.demonstration_sets if cfg.select.demonstration_sets != "auto" else defaults.SETS_A_LABEL * n_labels


def cores() -> int:
    """Cores of this machine."""
    import os

    return os.cpu_count() or 1


def count_rows(cfg: Config) -> dict[str, int]:
    """Source rows by label ('' without one), by one Spark job."""
    from pyspark.sql import functions as F

    from synalign_spark.pipeline.session import spark_session
    from synalign_spark.spark.sources import read_source

    with spark_session(cfg) as spark:
        rows = read_source(spark, cfg.source)
        found = rows.groupBy(F.coalesce("label", F.lit("")).alias("label")).count().orderBy("label").limit(10_000).collect()
    return {row["label"]: row["count"] for row in found}


def render(plan: Mapping[str, Any], console: Console) -> None:
    """The plan in words."""
    console.print(f"[bold]plan[/] of run [cyan]{escape(plan['run_id'])}[/] in [cyan]{escape(plan['lake'])}[/]")
    for stage in plan["stages"]:
        mark = "[yellow]will run[/]" if stage["will_run"] else "[green]done[/]    "
        console.print(f"  {mark} {stage['stage']:<16} {escape(stage['why'])}")
    for change in plan["changed_settings"]:
        console.print(f"  [red]changed[/] {change['key']}: {escape(repr(change['was']))} -> {escape(repr(change['is']))} (needs --redo)")
    rows = plan["rows"]
    labels = ", ".join(f"{label} {number(n)}" for label, n in rows["by_label"].items() if label)
    console.print(f"  real rows: {number(rows['real'])} ({escape(labels or 'no labels')}; from the {rows['counted_from']})")
    if "embed_minutes" in plan:
        console.print(f"  embedding: about {number(plan['embed_minutes'])} min on this machine's {cores()} cores")
    generation = dict(plan.get("generate", {}))
    budgets = generation.pop("budgets", [])
    for key, value in generation.items():
        text = " to ".join(number(v) for v in value) if isinstance(value, list) else "unknown" if value is None else number(value)
        console.print(f"  generate, {key.replace('_', ' ')}: {escape(text)}")
    for budget in budgets:
        console.print(f"  [yellow]generate, budget:[/] {escape(budget)}")
    console.print("no call to the language model was made")
