"""The stage ``embed`` where the source brings the vectors: they are checked, and held against the other side's."""

from collections.abc import Callable
from typing import Literal

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from synalign_spark.config import SourceConfig
from synalign_spark.pipeline.context import Context, Summary
from synalign_spark.pipeline.spark_progress import spark_progress
from synalign_spark.pipeline.stages.generate import with_corpus_labels
from synalign_spark.spark.given_vectors import GIVEN, given_vectors, require_one_space, require_width, sampled
from synalign_spark.storage.tables import CORPUS, EMBEDDINGS

Encode = Callable[[DataFrame, int], DataFrame]  # a few rows (doc_id, text, label) and the width expected to doc_id, label and embedding


def take_given(ctx: Context, rows: DataFrame, origin: Literal["real", "synthetic"], encode: Encode) -> Summary:
    """Writes the vectors that the source has of ``rows`` (doc_id, text, label), at length 1; what was found goes into the manifest.

    encode: the configured embedder, called only where it embeds the other side's texts. Raises DataError for vectors that cannot be used, and
    for those of another space than the other side's."""
    source, field = _source(ctx, origin)
    mixed = ctx.cfg.embeds
    model = ctx.cfg.embed.model if mixed else GIVEN
    with given_vectors(ctx.spark, source, rows, field) as given:
        took: Summary = {}
        if origin == "synthetic":
            real = ctx.lake.read(EMBEDDINGS, origin="real").select(F.size("embedding").alias("width")).first()  # one row
            if real is not None:
                require_width(given.width, real["width"], field)
        if mixed:
            took["cosine_with_model"] = round(require_one_space(given, encode(sampled(rows), given.width), model, field), 6)
        with spark_progress(ctx, f"embed {origin}", given.rows):
            ctx.lake.write(EMBEDDINGS, given.embeddings(origin, model), origin=origin)
        notes = [f"{origin} rows: of {given.several} texts the source has several vectors; the smallest is taken"] if given.several else []
        return {
            "origin": origin,
            "rows": given.rows,
            "rows_encoded": 0,
            "rows_reused": 0,
            "column": f"{field}.embedding_column",
            "model": model,
            "revision": GIVEN,
            "width": given.width,
            **took,
            "notes": notes,
        }


def _source(ctx: Context, origin: str) -> tuple[SourceConfig, str]:
    """The source of the vectors as ``ingest`` or ``generate`` read it, and its section."""
    if origin == "real":
        return ctx.cfg.source, "source"
    imported = ctx.cfg.generate.imported
    labelled = not ctx.lake.read(CORPUS).where("label is not null").isEmpty()
    return imported if labelled else with_corpus_labels(imported, []), "generate.imported"
