"""The ``embed`` stage: corpus or synthetic -> embeddings."""

from typing import Literal

from synalign_spark.errors import DataError
from synalign_spark.pipeline.context import Context, Summary
from synalign_spark.pipeline.spark_progress import spark_progress
from synalign_spark.spark.embed import MOST_TASKS, ROWS_PER_TASK, embed, known_vectors
from synalign_spark.storage.tables import CORPUS, EMBEDDINGS, SYNTHETIC
from synalign_spark.udfs.encoder import encoder_info

TASKS_PER_CORE = 4  # evens out texts of different length, and moves the progress bar
SMALL = 512  # rows below which starting more workers costs more than it gives


def run(ctx: Context, origin: Literal["real", "synthetic"] = "real") -> Summary:
    """Writes one vector per row of the corpus or of the synthetic set; only texts without a stored vector are encoded.

    Raises ConfigError for an embedder that cannot be used, DataError for stored vectors that do not fit it."""
    info = encoder_info(ctx.cfg.embed)
    rows = ctx.lake.read(CORPUS if origin == "real" else SYNTHETIC).select("doc_id", "text", "label")
    n_rows = rows.count()
    if not n_rows:
        raise DataError(
            f"embed: run {ctx.lake.run_id!r} has no {origin} rows; run the {'ingest' if origin == 'real' else 'generate'} stage first"
        )
    known = known_vectors(ctx.lake.read_all_runs(EMBEDDINGS), info) if ctx.lake.has_table(EMBEDDINGS) else None
    n_known = rows.join(known, "doc_id", "left_semi").count() if known is not None else 0
    n_fresh = n_rows - n_known
    partitions = _partitions(n_fresh, TASKS_PER_CORE * _cores(ctx))
    with spark_progress(ctx, f"embed {origin}", n_fresh):
        ctx.lake.write(EMBEDDINGS, embed(rows, known, info, origin, partitions), origin=origin)
    return {
        "origin": origin,
        "rows": n_rows,
        "rows_encoded": n_fresh,
        "rows_reused": n_known,
        "model": info.model,
        "revision": info.revision,
        "width": info.width,
    }


def _partitions(rows: int, fewest: int) -> int:
    """Tasks for so many rows: ``fewest`` at least, unless there is next to nothing to do."""
    return 1 if rows <= SMALL else max(fewest, min(-(-rows // ROWS_PER_TASK), MOST_TASKS))


def _cores(ctx: Context) -> int:
    try:
        return int(ctx.spark.sparkContext.defaultParallelism)
    except Exception:  # a remote session does not tell
        return 1
