"""The ``select`` stage: centroids, clusters, corpus -> demonstrations, selection_trace."""

from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from synalign_spark.compat import from_arrow, to_arrow
from synalign_spark.core.holdout import lost_in_words, lost_labels
from synalign_spark.pipeline import loop
from synalign_spark.pipeline.context import Context, Summary
from synalign_spark.pipeline.stages.generate import label_counts
from synalign_spark.spark import duplicates
from synalign_spark.spark.holdout import held_out, held_out_by_label
from synalign_spark.spark.select import MissingMass, missing_masses, recounted, select
from synalign_spark.storage import tables
from synalign_spark.storage.runs import RunStore


def run(ctx: Context) -> Summary:
    """Picks clusters and their demonstrations, none of them a row that is held out, and writes both tables.

    In a later round of the loop: beside those of the rounds before, where the witness says that synthetic rows are missing."""
    centroids, clusters, corpus = (ctx.lake.read(table) for table in (tables.CENTROIDS, tables.CLUSTERS, tables.CORPUS))
    shares = ctx.cfg.generate.label_shares if ctx.cfg.select.demonstration_sets == "auto" else None
    seed, holdout = ctx.cfg.run.seed, ctx.cfg.align.holdout
    rows = held_out_by_label(clusters, seed, holdout)
    shown = clusters.where(~held_out(seed, holdout))
    if ctx.lake.exists(tables.DUPLICATES, side="real"):
        dropped = duplicates.dropped(ctx.lake.read(tables.DUPLICATES), "real")
        shown = shown.join(dropped, "doc_id", "left_anti")
        centroids = recounted(centroids, shown)
    rounds = loop.next_rounds(RunStore(ctx.cfg.lake.path, ctx.cfg.run.id, writable=False).manifest()) if ctx.cfg.loop.rounds > 1 else []
    earlier: DataFrame | None = None
    missing = None
    if rounds:
        shown_before, earlier = (
            _before(ctx, table, rounds[-1]["last_set_round"]) for table in (tables.DEMONSTRATIONS, tables.SELECTION_TRACE)
        )
        missing = missing_masses(centroids, ctx.lake.read(tables.WITNESS))
        shares = _shares_missing(ctx, missing)
    demonstrations, trace = select(
        centroids, shown, corpus, ctx.cfg.select, seed, ctx.cfg.demonstration_sets, earlier=earlier, shares=shares, missing=missing
    )
    if earlier is not None:
        demonstrations, trace = demonstrations.unionByName(shown_before), trace.unionByName(earlier)
    ctx.lake.write(tables.DEMONSTRATIONS, demonstrations)
    ctx.lake.write(tables.SELECTION_TRACE, trace)
    summary = _summary(to_arrow(ctx.lake.read(tables.SELECTION_TRACE)).to_pylist(), ctx.lake.read(tables.DEMONSTRATIONS).count())
    if ctx.cfg.loop.rounds > 1:
        summary |= {"round": f"{len(rounds) + 1} of {ctx.cfg.loop.rounds}", loop.EARLIER: rounds}
    return summary | {"rows_held_out": sum(held for _, held in rows.values()), "labels_held_out": _said(ctx, lost_labels(rows))}


def _before(ctx: Context, table: tables.Table, last_set_round: int) -> DataFrame:
    """The sets of the rounds that are over, out of the table that is about to be written anew: collected, thousands of rows. What a round left that was cut off is not among them."""
    return from_arrow(ctx.spark, to_arrow(ctx.lake.read(table).where(F.col("round") <= last_set_round)), table.ddl)


def _shares_missing(ctx: Context, missing: MissingMass) -> dict[str, float] | None:
    """Share of each label in the sets of a later round: its share of the rows times the share of them that synthetic ones lack. None without labels."""
    if None in missing:
        return None
    lacking = {str(label): float(mass.sum()) for label, mass in missing.items()}
    wanted = ctx.cfg.generate.label_shares
    counts = {str(label): float(n) for label, n in label_counts(ctx).items() if label is not None} if wanted is None else wanted
    return {label: counts.get(label, 0.0) * share for label, share in lacking.items()}


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
