"""``synalign plan``: what a run would do, in rows, requests, tokens, cost and time, without a single call."""

import math
import statistics
from collections.abc import Mapping
from typing import Any

from rich.markup import escape

from synalign_spark.cli.profile import make_profile
from synalign_spark.config import Config
from synalign_spark.console import Console
from synalign_spark.formatting import duration, number
from synalign_spark.generation.embedding import estimate as embedding_estimate
from synalign_spark.generation.estimate import TYPICAL_ROW, RowSize, estimate
from synalign_spark.generation.prompts.tokens import n_bytes
from synalign_spark.pipeline.observer import Silent
from synalign_spark.pipeline.profile import refuse
from synalign_spark.pipeline.runner import opening, source_fingerprints, stored_states
from synalign_spark.pipeline.session import spark_session
from synalign_spark.storage.lake_view import LakeView
from synalign_spark.storage.runs import RunStore
from synalign_spark.storage.tables import CORPUS

# Rows a second and core of the embedder at some 30 tokens a row, as measured on a 2.6 GHz server core; a guess elsewhere.
EMBEDDED_ROWS_PER_CORE_S = 60.0
LOOKED_AT = 1_000  # rows of the corpus in the lake, for their length: the median's standard error is 4 % of their standard deviation


def make_plan(cfg: Config) -> dict[str, Any]:
    """Plain JSON values: the stages with what they need, the corpus's rows, and an estimate of the generation.

    Profiles the corpus with Spark unless the run's manifest knows it already. Raises SynalignError, also for a corpus for which the run
    would stop."""
    store = RunStore(cfg.lake.path, cfg.run.id, writable=False)
    manifest = store.manifest()
    with opening(spark_session, cfg, Silent()) as spark:  # left before the profile starts its own
        states = stored_states(cfg, manifest, source_fingerprints(cfg, spark), store)
    todo = [state.step.name for state in states if not state.done]
    known = manifest["ingest"]["summary"] if "ingest" in manifest and "ingest" not in todo else None
    if known:
        profile, counted, row = known.get("profile"), "manifest", typical_row(cfg)
        labels = known["labels"] or {"": known["rows_accepted"]}
    else:
        profile, counted = make_profile(cfg), "source"
        refuse(profile)
        labels, row = profile["labels"] or {"": profile["rows"]["accepted"]}, row_size(profile)
    plan: dict[str, Any] = {
        "run_id": cfg.run.id,
        "lake": cfg.lake.path,
        "stages": [{"stage": state.step.name, "will_run": not state.done, "why": state.why} for state in states],
        "changed_settings": [{"stage": state.step.name, "key": k, "was": a, "is": b} for state in states for k, a, b in state.changed],
        "rows": {"real": sum(labels.values()), "by_label": labels, "counted_from": counted},
        "profile": profile,
    }
    if cfg.embed.endpoint is not None:
        written = cfg.generate.target_rows if cfg.generate.strategy != "imported" else 0  # of an imported set nobody has counted the rows
        n_texts = plan["rows"]["real"] * ("embed" in todo and cfg.source.embedding_column is None) + written * ("embed-synthetic" in todo)
        if n_texts:
            plan["embed"] = embedding_estimate(cfg.embed, n_texts, row or TYPICAL_ROW)
    elif "embed" in todo and cfg.source.embedding_column is None:
        plan["embed_minutes"] = round(plan["rows"]["real"] / EMBEDDED_ROWS_PER_CORE_S / cores() / 60, 1)
    if "generate" in todo and cfg.generate.strategy != "imported":
        by_label = {None if label == "" else label: n for label, n in labels.items()}
        selected = manifest["select"]["summary"]["demonstration_sets"] if "select" in manifest and "select" not in todo else None
        rounds = cfg.loop.rounds
        n_sets = selected if selected and rounds == 1 else rounds * max(cfg.demonstration_sets, len(labels))
        auto = cfg.select.demonstration_sets == "auto"
        found = estimate(cfg.generate, by_label, n_sets, cfg.select.rows_per_set, row or TYPICAL_ROW, auto)
        plan["generate"] = found | {"row_chars_from": "the real rows" if row else "assumed: no real row could be looked at"}
        if rounds > 1:
            plan["loop"] = {
                "rounds": rounds,
                "rows_after_each": cfg.target_rows,
                "calls_a_round": [math.ceil(n / rounds) for n in found["calls"]],
            }
            plan["loop"] |= {"ends_sooner": _ends_sooner(cfg)}
    return plan


def _ends_sooner(cfg: Config) -> str:
    """What may end the loop before its last round, in words."""
    found = [f"at an mmd2_after of {cfg.loop.max_mmd2:g}"] if cfg.loop.max_mmd2 is not None else []
    found += [f"after a round that gains less than {cfg.loop.min_gain:g} standard errors"] if cfg.loop.min_gain else []
    return " or ".join(found) or "only at a budget"


def typical_row(cfg: Config) -> RowSize | None:
    """Median length of the first rows of the corpus in the lake, and their bytes a character; None where there are none."""
    rows = LakeView(cfg.lake.path, cfg.lake.format, cfg.run.id).head(CORPUS, LOOKED_AT, ["text"])
    texts = [row["text"] for row in rows]
    chars = sum(map(len, texts))
    return RowSize(round(statistics.median(map(len, texts))), sum(map(n_bytes, texts)) / chars) if chars else None


def row_size(profile: Mapping[str, Any]) -> RowSize:
    """Median length of the rows of a profile, and their bytes a character."""
    return RowSize(profile["chars"]["median"], profile["bytes"]["a_character"])


def cores() -> int:
    """Cores of this machine that this process may use: a container may have a part of them."""
    from joblib import cpu_count

    return int(cpu_count())


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
    for note in (plan["profile"] or {}).get("notes", []):
        console.print(f"  [yellow]note:[/] {escape(note)}", soft_wrap=True)
    if "embed_minutes" in plan:
        console.print(f"  embedding: about {duration(60 * plan['embed_minutes'])} on this machine's {cores()} cores")
    for key, value in plan.get("embed", {}).items():
        text = "unknown" if value is None else duration(60 * value) if key == "minutes" else number(value)
        console.print(f"  embed, {key.replace('_', ' ')}: {text}")
    generation = dict(plan.get("generate", {}))
    budgets, notes = generation.pop("budgets", []), generation.pop("notes", [])
    if "minutes" in generation:
        generation["time"] = " to ".join(duration(60 * minutes) for minutes in generation.pop("minutes"))
    for key, value in generation.items():
        text = " to ".join(number(v) for v in value) if isinstance(value, list) else "unknown" if value is None else number(value)
        console.print(f"  generate, {key.replace('_', ' ')}: {escape(text)}")
    if looped := plan.get("loop"):
        after = ", ".join(number(n) for n in looped["rows_after_each"])
        calls = " to ".join(number(n) for n in looped["calls_a_round"])
        console.print(
            f"  loop: {looped['rounds']} rounds at most, rows after each {after}, calls a round {calls}; ends sooner {looped['ends_sooner']}"
        )
    for budget in budgets:
        console.print(f"  [yellow]generate, budget:[/] {escape(budget)}")
    for note in notes:
        console.print(f"  [yellow]generate, note:[/] {escape(note)}")
    console.print("no call to the language model was made")
