"""The ``select`` stage: centroids, clusters, corpus -> demonstrations, selection_trace."""

from typing import Any

from synalign_spark.compat import to_arrow
from synalign_spark.core.holdout import lost_in_words, lost_labels
from synalign_spark.pipeline.context import Context, Summary
from synalign_spark.spark import duplicates
from synalign_spark.spark.holdout import held_out, held_out_by_label
from synalign_spark.spark.select import recounted, select
from synalign_spark.storage import tables


def run(ctx: Context) -> Summary:
    """Picks clusters and their demonstrations, none of them a row that is held out, and writes both tables."""
    centroids, clusters, corpus = (ctx.lake.read(table) for table in (tables.CENTROIDS, tables.CLUSTERS, tables.CORPUS))
    shares = ctx.cfg.generate.label_shares if ctx.cfg.select.demonstration_sets == "auto" else None
    seed, holdout = ctx.cfg.run.seed, ctx.cfg.align.holdout
    rows = held_out_by_label(clusters, seed, holdout)
    shown = clusters.where(~held_out(seed, holdout))
    if ctx.lake.exists(tables.DUPLICATES, side="real"):
        dropped = duplicates.dropped(ctx.lake.read(tables.DUPLICATES), "real")
        shown = shown.join(dropped, "doc_id", "left_anti")
        centroids = recounted(centroids, shown)
    demonstrations, trace = select(centroids, shown, corpus, ctx.cfg.select, seed, ctx.cfg.demonstration_sets, shares=shares)
    ctx.lake.write(tables.DEMONSTRATIONS, demonstrations)
    ctx.lake.write(tables.SELECTION_TRACE, trace)
    summary = _summary(to_arrow(trace).to_pylist(), ctx.lake.read(tables.DEMONSTRATIONS).count())
    return summary | {"rows_held_out": sum(held for _, held in rows.values()), "labels_held_out": _said(ctx, lost_labels(rows))}


def _said(ctx: Context, lost: dict[str, int]) -> dict[str, int]:
    """The labels of which nothing can be shown, once that is said."""
    if lost:
        note = f"select: {lost_in_words(lost)} (align.holdout)"
        ctx.log.warning(note)
        ctx.progress.console.print(f"  {note}", style="yellow", markup=False, soft_wrap=True)
    return lost


def _summary(trace: list[dict[str, Any]], n_demonstrations: int) -> Summary:
    """How many demonstration sets there are and how far they reach: the least covered label speaks for all. trace: its rows, MOST_SETS at most where their number is not configured."""
    last = {row["label"]: row for row in sorted(trace, key=lambda row: (row["round"], row["set_rank"]))}
    return {
        "demonstration_sets": len(trace),
        "labels": len([label for label in last if label is not None]),
        "demonstrations": n_demonstrations,
        "coverage": min(row["coverage_after"] for row in last.values()),
        "mean_posterior_sd": max(row["mean_sd_after"] for row in last.values()),
    }
