"""The ``ingest`` stage: source files or table -> corpus, rejects."""

from synalign_spark.pipeline.context import Context, Summary
from synalign_spark.pipeline.profile import profile_of, refuse
from synalign_spark.spark.ingest import ingest
from synalign_spark.spark.source_layout import layout_of
from synalign_spark.spark.sources import read_source
from synalign_spark.storage.tables import CORPUS, REJECTS


def run(ctx: Context) -> Summary:
    """Reads the configured source and writes accepted and rejected rows. Raises DataError before anything is written, also for a corpus
    whose profile is above a threshold."""
    source = ctx.cfg.source
    layout = layout_of(source)
    with ingest(read_source(ctx.spark, source, layout=layout), source, ctx.cfg.ingest, origin="real", layout=layout) as found:
        profile = profile_of(ctx.cfg, found, layout)
        say_notes(ctx, "ingest", profile["notes"])
        refuse(profile)
        ctx.lake.write(REJECTS, found.rejects, origin="real")
        ctx.lake.write(CORPUS, found.accepted)
        return {
            "rows_read": found.n_read,
            "rows_accepted": found.n_accepted,
            "rows_rejected": found.n_read - found.n_accepted,
            "rejected_by_reason": found.reasons,
            "labels": found.labels,
            **(layout.told if layout else {}),
            "notes": profile["notes"],
            "profile": profile,
        }


def say_notes(ctx: Context, stage: str, notes: list[str]) -> None:
    """Notes on the log and on the terminal."""
    for note in notes:
        ctx.log.warning(note)
        ctx.progress.console.print(f"  {stage}: {note}", style="yellow", markup=False, soft_wrap=True)
