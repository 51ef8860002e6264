"""Behind ``synalign show``: what a run has in the lake, gathered without Spark and printed."""

import math
from typing import Any, Literal

from rich.markup import escape
from rich.table import Table as Grid
from rich.tree import Tree

from synalign_spark.console import Console
from synalign_spark.formatting import cut, duration, number, share, share_interval
from synalign_spark.pipeline.steps import left_to_run
from synalign_spark.report.lineage import with_lineage
from synalign_spark.report.place import page_path
from synalign_spark.scrubbing import scrub
from synalign_spark.storage import tables
from synalign_spark.storage.lake_view import LakeView

Shown = dict[str, Any]
MISSING_CLUSTERS = 3
STEP_KEYS = ("started", "seconds", "tables", "summary")  # settings stay in the manifest; the report lists them


def show(lake_path: str, format: Literal["delta", "parquet"], run_id: str, n_rows: int) -> Shown:
    """Tables and their rows, finished steps, certificate, the three clusters with the largest missing share, and the
    n_rows rows of highest weight with their lineage.

    Plain JSON values: an infinite number is the text 'inf' or '-inf', a missing one null. Starts no JVM.
    Raises LakeError where there is no such lake or run, naming the runs that exist."""
    view = LakeView(lake_path, format, run_id)
    manifest = view.manifest()
    missing = view.largest(tables.WITNESS, "missing_share", MISSING_CLUSTERS, list(tables.WITNESS.column_names), ("rank", "label"))
    weights = view.largest(tables.WEIGHTS, "weight", n_rows, ["doc_id", "label", "weight", "weight_in_label"])
    found = {
        "lake": scrub(lake_path),
        "format": format,
        "run_id": run_id,
        "report": scrub(page_path(lake_path, run_id)) if "report" in manifest else None,
        "tables": view.rows(),
        "steps": {name: {key: entry.get(key) for key in STEP_KEYS} for name, entry in manifest.items()},
        "left_to_run": left_to_run(manifest),
        "certificate": sorted(view.read(tables.CERTIFICATE), key=lambda row: (row["label"] is not None, row["label"] or "")),
        "missing": [row for row in missing if row["missing_share"] > 0],
        "rows": with_lineage(weights, view.fetch),
    }
    shown: Shown = _json(found)
    return shown


def render(found: Shown, console: Console) -> None:
    """Prints what ``show`` found. Text from the corpus is escaped and cut."""
    console.print(f"[bold]run {escape(found['run_id'])}[/bold] in {escape(found['lake'])} ({found['format']})")
    _tables(found, console)
    if found["left_to_run"]:
        old = [name for name in found["left_to_run"] if name in found["steps"]]
        note = f" (what {', '.join(old)} wrote is from before)" if old else ""
        console.print(f"left to run: {', '.join(found['left_to_run'])}{note}", soft_wrap=True)
    _certificate(found["certificate"], console)
    for row in found["missing"]:
        console.print(escape(_missing(row)), soft_wrap=True)
    total = found["tables"].get("weights", 0)
    for row in found["rows"]:
        console.print(_tree(row, total))
    if found["report"]:
        console.print(f"report: {escape(found['report'])}", soft_wrap=True)


def _tables(found: Shown, console: Console) -> None:
    grid = Grid(box=None, padding=(0, 2, 0, 0), header_style="dim")
    grid.add_column("stage")
    grid.add_column("table")
    grid.add_column("rows", justify="right")
    grid.add_column("time", justify="right")
    seconds: dict[str, float] = {}
    for name, step in found["steps"].items():
        producer = name.split("-")[0]  # embed-synthetic is a second run of embed
        seconds[producer] = seconds.get(producer, 0.0) + (step["seconds"] or 0.0)
    shown: set[str] = set()
    for table in tables.TABLES:
        if table.name in found["tables"]:
            first = table.producer not in shown
            shown.add(table.producer)
            time = duration(seconds.get(table.producer)) if first else ""
            grid.add_row(table.producer if first else "", table.name, f"{found['tables'][table.name]:,}", time)
    console.print(grid)


def _certificate(rows: list[Shown], console: Console) -> None:
    if not rows:
        console.print("no certificate yet: the align stage has not run")
        return
    grid = Grid(box=None, padding=(0, 2, 0, 0), header_style="dim", title="certificate", title_justify="left")
    grid.add_column("label", overflow="fold")
    for name in ("MMD²", "weighted", "closed (95%)", "p-value", "effective rows"):  # what fits in 80 columns; --json has every figure
        grid.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        label = "all rows" if row["label"] is None else escape(cut(row["label"], 30))
        effective = f"{number(round(row['ess']))} of {number(row['n_synthetic'])}"
        closed = share_interval(row["closed_share"], row["closed_share_low"], row["closed_share_high"])
        grid.add_row(label, number(row["mmd2_before"]), number(row["mmd2_after"]), closed, number(row["p_adjusted_after"]), effective)
    console.print(grid)
    for row in rows:
        if row["label"] is None:
            console.print(escape(row["verdict"]))


def _missing(row: Shown) -> str:
    """One line on a cluster whose real share the weighted rows do not reach."""
    label = "" if row["label"] is None else f" [{cut(row['label'], 30)}]"
    example = f": “{cut(row['examples'][0], 120)}”" if row["examples"] else ""
    return f"still missing{label}: cluster {row['cluster_id']} has {share(row['real_share'])} of the real rows, {share(row['synthetic_share'])} of the weight{example}"


def _tree(row: Shown, total: int) -> Tree:
    """A weighted row and what stands behind it."""
    label = "" if row["label"] is None else f" [{row['label']}]"
    tree = Tree(escape(f"{number(row['weight'] * total)} × uniform{label} “{cut(row['text'], 300)}”"))
    call, prompt = ((row[name] or "–")[:12] for name in ("request_id", "prompt_hash"))
    tree.add(escape(f"row {row['doc_id'][:12]}, {row['strategy']} by {row['model']}, call {call}, prompt {prompt}"))
    if row["attributes"]:
        tree.add(escape("attributes: " + "; ".join(f"{name} = {cut(value, 80)}" for name, value in sorted(row["attributes"].items()))))
    for real in row["demonstrations"]:
        cluster = "" if real["cluster_id"] is None else f"cluster {real['cluster_id']}, "
        tree.add(escape(f"real row {real['doc_id'][:12]} ({cluster}source id {real['source_id'] or '–'}): “{cut(real['text'], 160)}”"))
    return tree


def _json(value: Any) -> Any:
    """The value with plain JSON numbers only."""
    if isinstance(value, dict):
        return {key: _json(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_json(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value
