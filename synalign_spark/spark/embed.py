"""Vectors of texts; those that any run has computed with the same model and revision are taken over."""

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from synalign_spark.errors import DataError
from synalign_spark.storage.tables import EMBEDDINGS
from synalign_spark.udfs.embed import embed_udf
from synalign_spark.udfs.encoder import EncoderInfo

SMALL_TASK = 64  # rows below which a task costs more to start than it saves
ROWS_PER_TASK = 2_048  # some seconds of work, and a file of 3 MB
MOST_TASKS = 10_000


def embed(rows: DataFrame, known: DataFrame | None, info: EncoderInfo, origin: str, partitions: int) -> DataFrame:
    """EMBEDDINGS rows for ``rows`` (doc_id, text, label; doc_id unique).

    known: doc_id and embedding from ``known_vectors``, or None. partitions: tasks of the encoding; a small
    input arrives in one partition, and would keep one core busy. Runs nothing yet."""
    fresh = rows if known is None else rows.join(known, "doc_id", "left_anti")
    encoded = fresh.repartition(partitions, "doc_id").select("doc_id", "label", embed_udf(info)("text").alias("embedding"))
    if known is not None:
        encoded = encoded.unionByName(rows.join(known, "doc_id").select("doc_id", "label", "embedding"))
    constants = {"origin": F.lit(origin), "model": F.lit(info.model), "revision": F.lit(info.revision)}
    return encoded.withColumns(constants).select(*EMBEDDINGS.column_names)


def encoding_tasks(spark: SparkSession, n_rows: int) -> int:
    """Tasks for encoding so many rows: enough for every core, each with some seconds of work.

    A remote session does not tell its cores; ``spark.sql.shuffle.partitions`` is what its owner thinks fit."""
    shuffle_partitions = int(spark.conf.get("spark.sql.shuffle.partitions", "200") or 200)
    return max(1, min(shuffle_partitions, n_rows // SMALL_TASK), min(n_rows // ROWS_PER_TASK, MOST_TASKS))


def known_vectors(stored: DataFrame, info: EncoderInfo) -> DataFrame:
    """One vector per doc_id of those stored under this model and revision, in any run.

    stored: EMBEDDINGS rows. Raises DataError if one of them is null or has another width or a number that is not
    finite: then the name does not stand for one model."""
    same = stored.where((F.col("model") == info.model) & (F.col("revision") == info.revision))
    usable = F.forall("embedding", lambda value: value.isNotNull() & ~F.isnan(value) & (F.abs(value) != float("inf")))
    found = same.agg(F.min(F.size("embedding")), F.max(F.size("embedding")), F.count_if(~F.coalesce(usable, F.lit(False)))).collect()[0]
    for width in found[:2]:
        if width is not None and width != info.width:
            raise DataError(
                f"embed.model: the lake holds vectors of width {width} under model {info.model!r}, revision {info.revision!r}, but the model gives {info.width}; "
                "set embed.revision to a new name, or use another lake.path"
            )
    if found[2]:
        raise DataError(
            f"embeddings: {found[2]} stored vectors of model {info.model!r}, revision {info.revision!r} hold null, NaN or infinity; "
            "delete those rows, or set embed.revision to a new name"
        )
    # The same text has the same bits on every machine of one kind; the minimum decides between kinds.
    return same.groupBy("doc_id").agg(F.min("embedding").alias("embedding"))
