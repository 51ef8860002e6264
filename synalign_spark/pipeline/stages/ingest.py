"""The ``ingest`` stage: source files or table -> corpus, rejects."""

from synalign_spark.pipeline.context import Context, Summary
from synalign_spark.spark.ingest import ingest
from synalign_spark.spark.sources import read_source
from synalign_spark.storage.tables import CORPUS, REJECTS


def run(ctx: Context) -> Summary:
    """Reads the configured source and writes accepted and rejected rows. Raises DataError before anything is written."""
    source = ctx.cfg.source
    with ingest(read_source(ctx.spark, source), source, ctx.cfg.ingest, origin="real") as found:
        ctx.lake.write(REJECTS, found.rejects, origin="real")
        ctx.lake.write(CORPUS, found.accepted)
        return {
            "rows_read": found.n_read,
            "rows_accepted": found.n_accepted,
            "rows_rejected": found.n_read - found.n_accepted,
            "rejected_by_reason": found.reasons,
            "labels": found.labels,
        }
