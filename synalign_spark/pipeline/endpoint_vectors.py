"""The vectors of the stage ``embed`` that an endpoint gives: each is in the run's ledger before the next is asked for, so none is paid twice."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from synalign_spark.generation.embedding import embed_texts
from synalign_spark.generation.ledger import holds_answers
from synalign_spark.pipeline.context import Context, Summary
from synalign_spark.spark.paid_vectors import paid_vectors, text_key
from synalign_spark.storage.paths import RunPaths
from synalign_spark.udfs.encoder import EncoderInfo


def by_endpoint(ctx: Context, fresh: DataFrame, info: EncoderInfo, width: int) -> tuple[DataFrame, Summary]:
    """doc_id, label and embedding of ``fresh`` (doc_id, text, label), and what they took. width: of stored vectors, 0 without any.

    Texts stream to the calls: a partition and some requests are in the driver's memory at a time. Raises EndpointError where one is left
    without a vector."""
    folder = RunPaths(ctx.cfg.lake.path, ctx.cfg.run.id).embedding_ledger
    keyed = fresh.withColumn("key", text_key(info))
    texts = keyed.select("key", "text").dropDuplicates(["key"])
    if holds_answers(folder):
        paid = paid_vectors(ctx.spark, folder)
        found = paid.join(texts.select("key"), "key", "left_semi").agg(F.max(F.size("embedding")).alias("width")).collect()[0]  # one row
        width = width or found.width or 0
        texts = texts.join(paid.select("key"), "key", "left_anti")
    took: Summary = {}
    if n_texts := texts.count():
        rows = ((row.key, row.text) for row in texts.toLocalIterator())
        took = embed_texts(rows, n_texts, ctx.cfg.embed, folder, width, ctx.progress)
        width = took.pop("width")
    vectors = keyed.join(paid_vectors(ctx.spark, folder), "key").select("doc_id", "label", "embedding")
    return vectors, {"texts_asked": n_texts, "width": width, **took}
