"""The ``embed`` stage: corpus or synthetic -> embeddings."""

from typing import Literal

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from synalign_spark.errors import DataError
from synalign_spark.pipeline.context import Context, Summary
from synalign_spark.pipeline.profile import NOTED, embedder_findings, embedder_on, in_words, limit_note, refuse, stops
from synalign_spark.pipeline.spark_progress import spark_progress
from synalign_spark.pipeline.stages.ingest import say_notes
from synalign_spark.spark.embed import MOST_TASKS, ROWS_PER_TASK, embed, known_vectors
from synalign_spark.spark.profile import identical_share, sample_texts
from synalign_spark.storage.tables import CORPUS, EMBEDDINGS, SYNTHETIC
from synalign_spark.udfs.encoder import encoder_info

TASKS_PER_CORE = 4  # evens out texts of different length, and moves the progress bar
SHARES = ("unknown_tokens", "spelled_out", "identical", "cut")
SMALL = 512  # rows below which starting more workers costs more than it gives


def run(ctx: Context, origin: Literal["real", "synthetic"] = "real") -> Summary:
    """Writes one vector per row of the corpus or of the synthetic set; only texts without a stored vector are encoded.

    Raises ConfigError for an embedder that cannot be used, DataError for stored vectors that do not fit it, and for real rows that it
    cannot tell apart."""
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
    read = _read(ctx, rows, origin, info.max_tokens)
    return {
        "origin": origin,
        "rows": n_rows,
        "rows_encoded": n_fresh,
        "rows_reused": n_known,
        "model": info.model,
        "revision": info.revision,
        "width": info.width,
        **read,
    }


def _read(ctx: Context, rows: DataFrame, origin: str, max_tokens: int) -> Summary:
    """Says how the embedder reads the rows, in shares of a sample, and which vectors are the same, of all rows. Raises DataError for real rows
    above a threshold: synthetic ones are paid, and the certificate judges them."""
    cfg = ctx.cfg
    read = embedder_on(cfg, sample_texts(rows, cfg.profile.rows_looked_at)) or {"model": cfg.embed.model, "max_tokens": max_tokens}
    read["identical"] = round(identical_share(ctx.lake.read(EMBEDDINGS).where(F.col("origin") == origin)), 4)
    findings = [one for one in embedder_findings(read, cfg.embed.max_tokens) if one[1] > NOTED]
    notes = [*limit_note(cfg, max_tokens), *(f"{origin} rows: {in_words(one)}" for one in findings)]
    say_notes(ctx, f"embed {origin}", notes)
    if origin == "real":
        refuse({"stops": stops(cfg, findings)})
    return {"texts": {key: read[key] for key in SHARES if key in read}, "notes": notes}


def _partitions(rows: int, fewest: int) -> int:
    """Tasks for so many rows: ``fewest`` at least, unless there is next to nothing to do."""
    return 1 if rows <= SMALL else max(fewest, min(-(-rows // ROWS_PER_TASK), MOST_TASKS))


def _cores(ctx: Context) -> int:
    try:
        return int(ctx.spark.sparkContext.defaultParallelism)
    except Exception:  # a remote session does not tell
        return 1
