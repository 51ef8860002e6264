"""The ``select`` stage: centroids, clusters, corpus -> demonstrations, selection_trace."""

from typing import Any

from synalign_spark.pipeline.context import Context, Summary
from synalign_spark.spark.select import select
from synalign_spark.storage import tables


def run(ctx: Context) -> Summary:
    """Picks clusters and their demonstrations and writes both tables."""
    centroids, clusters, corpus = (ctx.lake.read(table) for table in (tables.CENTROIDS, tables.CLUSTERS, tables.CORPUS))
    shares = ctx.cfg.generate.label_shares if ctx.cfg.select.demonstration_sets == "auto" else None
    demonstrations, trace = select(centroids, clusters, corpus, ctx.cfg.select, ctx.cfg.run.seed, ctx.cfg.demonstration_sets, shares=shares)
    ctx.lake.write(tables.DEMONSTRATIONS, demonstrations)
    ctx.lake.write(tables.SELECTION_TRACE, trace)
    return _summary(trace.toArrow().to_pylist(), ctx.lake.read(tables.DEMONSTRATIONS).count())


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
