"""The ``dedup`` stage: corpus, embeddings, centroids, and of its second step synthetic -> duplicates."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Literal

import numpy as np
import numpy.typing as npt
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from synalign_spark.compat import to_arrow
from synalign_spark.errors import DataError
from synalign_spark.pipeline.context import Context, Summary
from synalign_spark.pipeline.stages.ingest import say_notes
from synalign_spark.scrubbing import scrub
from synalign_spark.spark import duplicates
from synalign_spark.spark.sources import read_source
from synalign_spark.storage import tables

KINDS = ("exact", "lexical", "semantic", "contaminated")
EVALUATION_SETS = "dedup.evaluation_sets"


def run(ctx: Context, side: Literal["real", "synthetic"] = "real") -> Summary:
    """Marks rows of one side: of real rows copies among themselves, of synthetic ones also copies of real rows. Raises DataError for an
    evaluation set that cannot be read or has no text."""
    cfg = ctx.cfg.dedup
    with ExitStack() as stack:
        rows = _rows(ctx, side)
        known = stack.enter_context(_kept(duplicates.keyed(rows)))
        asked = known.where(F.col("side") == side)
        texts = known.where("id = text_id").select("id", "side", "doc_id")
        shingles = stack.enter_context(_kept(duplicates.shingled(texts.join(rows, ["side", "doc_id"]).select("id", "text"))))
        of_side = shingles.where(F.col("id").startswith(duplicates.REAL if side == "real" else duplicates.SYNTHETIC))
        alike = duplicates.lexical(shingles, of_side, cfg.min_jaccard)
        near = duplicates.semantic(_vectors(ctx, texts), _centroids(ctx), cfg.min_cosine, F.col("side") == side)
        first = asked.where("exact_of IS NULL")
        found = (
            duplicates.exact(asked)
            .unionByName(duplicates.marks(first, alike, "lexical"))
            .unionByName(duplicates.marks(first, near, "semantic"))
        )
        found = found.withColumn("evaluation_set", F.lit(None).cast("string"))
        sets: dict[str, int] = {}
        if cfg.evaluation_sets:
            evaluation, sets = _evaluation(ctx, stack)
            found = found.unionByName(duplicates.contaminated(asked, of_side, evaluation, cfg.min_jaccard))
        drop = {"all": F.lit(True), "none": F.lit(False), "contaminated": F.col("kind") == "contaminated"}[cfg.drop]
        ctx.lake.write(tables.DUPLICATES, found.withColumn("dropped", drop), side=side)
        n_rows = asked.count()
    return {"side": side, "rows": n_rows, **_counts(ctx, side), "evaluation_rows": sets}


@contextmanager
def _kept(rows: DataFrame) -> Iterator[DataFrame]:
    kept = rows.persist()
    try:
        yield kept
    finally:
        kept.unpersist()


def _rows(ctx: Context, side: str) -> DataFrame:
    """side, doc_id, label and text of the rows that are compared."""
    columns = ("doc_id", "label", "text")
    real = ctx.lake.read(tables.CORPUS).select(F.lit("real").alias("side"), *columns)
    if side == "real":
        return real
    return real.unionByName(ctx.lake.read(tables.SYNTHETIC).select(F.lit("synthetic").alias("side"), *columns))


def _vectors(ctx: Context, texts: DataFrame) -> DataFrame:
    """id, side and embedding of each text."""
    vectors = ctx.lake.read(tables.EMBEDDINGS).select(F.col("origin").alias("side"), "doc_id", "embedding")
    return texts.join(vectors, ["side", "doc_id"]).select("id", "side", "embedding")


def _centroids(ctx: Context) -> npt.NDArray[np.float64]:
    """(k, d), in the order of their ids."""
    known = to_arrow(ctx.lake.read(tables.CENTROIDS).select("cluster_id", "centroid").orderBy("cluster_id")).to_pylist()  # k rows
    return np.array([row["centroid"] for row in known], dtype=np.float64)


def _evaluation(ctx: Context, stack: ExitStack) -> tuple[DataFrame, dict[str, int]]:
    """The texts of the evaluation sets, and how many each has. Raises DataError for a set without any."""
    sources = ctx.cfg.dedup.evaluation_sets
    names = [str(scrub(str(source.place))) for source in sources]
    read = (
        (name, read_source(ctx.spark, source, f"{EVALUATION_SETS}[{i}]"))
        for i, (name, source) in enumerate(zip(names, sources, strict=True))
    )
    texts = stack.enter_context(_kept(duplicates.evaluation_texts(read)))
    counts = {row["evaluation_set"]: row["count"] for row in texts.groupBy("evaluation_set").count().collect()}  # a row a set
    for i, name in enumerate(names):
        if not counts.get(name) and names.index(name) == i:
            later = " that no set before it has" if i else ""
            raise DataError(
                f"{EVALUATION_SETS}[{i}]: {name!r} has no text in {' and '.join(sources[i].text_columns)}{later}; name its column in text_column, or take it out"
            )
    return texts, counts


def _counts(ctx: Context, side: str) -> Summary:
    """Marked rows by kind, those marked and those dropped; and a word on demonstrations that are to be no longer shown."""
    written = ctx.lake.read(tables.DUPLICATES, side=side)
    counts = {row["kind"]: row["count"] for row in written.groupBy("kind").count().collect()}  # four rows
    dropped = duplicates.dropped(written, side)
    summary: Summary = {kind: counts.get(kind, 0) for kind in KINDS}
    summary |= {"marked": written.select("doc_id").distinct().count(), "dropped": dropped.count()}
    if side == "real" and summary["dropped"] and ctx.lake.has_table(tables.DEMONSTRATIONS):
        shown = ctx.lake.read(tables.DEMONSTRATIONS).join(dropped, "doc_id", "left_semi").select("doc_id").distinct().count()
        if shown:
            note = f"{shown} rows that dedup.drop leaves out were shown to the language model already: select ran before; to write without them start a run of another run.id"
            say_notes(ctx, "dedup", [note])
    return summary
