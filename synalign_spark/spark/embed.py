"""Vectors of texts; those that any run has computed with the same model and revision are taken over."""

from dataclasses import dataclass

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from synalign_spark.compat import from_arrow, to_arrow
from synalign_spark.core.defaults import PROBE_TEXTS
from synalign_spark.errors import DataError
from synalign_spark.spark.length_order import Lengths, by_length
from synalign_spark.storage.tables import EMBEDDINGS
from synalign_spark.udfs.embed import embed as embed_array
from synalign_spark.udfs.embed import embed_udf
from synalign_spark.udfs.encoder import EncoderInfo, in_this_process
from synalign_spark.udfs.precision import Trial, trials_in_arrow

SMALL_TASK = 64  # rows below which a task costs more to start than it saves
ROWS_PER_TASK = 2_048  # some seconds of work, and a file of 3 MB
MOST_TASKS = 10_000
ENCODED = "doc_id string, label string, embedding array<float>"


@dataclass(frozen=True)
class Known:
    """Stored vectors of some rows. ``vectors``: doc_id and embedding, one row an id; ``rows``: how many; ``width``: of each, 0 without any."""

    vectors: DataFrame
    rows: int
    width: int = 0


def embed(fresh: DataFrame, info: EncoderInfo, lengths: Lengths, tasks: int) -> DataFrame:
    """doc_id, label and embedding of ``fresh`` (doc_id, text, label), encoded by workers in so many tasks. Runs nothing yet."""
    return by_length(fresh, lengths, tasks).select("doc_id", "label", embed_udf(info)("text").alias("embedding"))


def embed_in_driver(fresh: DataFrame, info: EncoderInfo) -> DataFrame:
    """``embed`` by this process, on all its cores, for the few texts that are fewer than a worker's start is worth.

    Collects the rows: the caller bounds them. Raises as the encoder does."""
    rows = to_arrow(fresh.select("doc_id", "label", "text").orderBy(F.length("text"), "doc_id"))
    with in_this_process(info) as encoder:
        vectors = embed_array(rows["text"].combine_chunks(), info, encoder)
        del encoder  # or its memory would stay until Python finds time
    table = pa.table({"doc_id": rows["doc_id"], "label": rows["label"], "embedding": vectors})
    return from_arrow(fresh.sparkSession, table, ENCODED)


def without_known(rows: DataFrame, known: Known | None) -> DataFrame:
    """The rows that have no stored vector."""
    return rows if known is None or not known.rows else rows.join(known.vectors.select("doc_id"), "doc_id", "left_anti")


def embeddings(encoded: DataFrame | None, rows: DataFrame, known: Known | None, info: EncoderInfo, origin: str) -> DataFrame:
    """EMBEDDINGS rows: what was encoded, and the stored vectors of the other ``rows`` (doc_id, label)."""
    if known is not None and known.rows:
        stored = rows.join(known.vectors, "doc_id").select("doc_id", "label", "embedding")
        encoded = stored if encoded is None else encoded.unionByName(stored)
    if encoded is None:
        raise ValueError("there are neither encoded nor stored vectors")
    constants = {"origin": F.lit(origin), "model": F.lit(info.model), "revision": F.lit(info.revision)}
    return encoded.withColumns(constants).select(*EMBEDDINGS.column_names)


def precision_trials(rows: DataFrame, info: EncoderInfo) -> list[Trial]:
    """What a worker finds of each precision, on the rows (doc_id, text) that come first by hash. Runs one job of one task."""
    sample = rows.orderBy(F.xxhash64("doc_id"), "doc_id").limit(PROBE_TEXTS).select("text").repartition(1)
    found = sample.mapInArrow(lambda batches: trials_in_arrow(batches, info), "precision string, rate double, cosine double")
    return [Trial(row.precision, row.rate, row.cosine) for row in found.collect()]  # one row a precision


def encoding_tasks(spark: SparkSession, n_rows: int) -> int:
    """Tasks for encoding so many rows: enough for every core, each with some seconds of work.

    A remote session does not tell its cores; ``spark.sql.shuffle.partitions`` is what its owner thinks fit."""
    shuffle_partitions = int(spark.conf.get("spark.sql.shuffle.partitions", "200") or 200)
    return max(1, min(shuffle_partitions, n_rows // SMALL_TASK), min(n_rows // ROWS_PER_TASK, MOST_TASKS))


def known_vectors(stored: DataFrame, rows: DataFrame, info: EncoderInfo) -> Known:
    """The stored vectors of ``rows`` (doc_id) under this model and revision, from any run, counted and checked in one pass.

    stored: EMBEDDINGS rows. Only those of the rows are looked at, so that a few new texts beside many stored ones
    move next to nothing. An ``info`` without a width takes theirs, if it is one. Raises DataError if one of them is null or has another width or a number that is not
    finite: then the name does not stand for one model."""
    same = stored.where((F.col("model") == info.model) & (F.col("revision") == info.revision))
    wanted = same.join(rows.select("doc_id"), "doc_id", "left_semi").select("doc_id", "embedding")
    usable = F.forall("embedding", lambda value: value.isNotNull() & ~F.isnan(value) & (F.abs(value) != float("inf")))
    found = wanted.agg(
        F.min(F.size("embedding")).alias("narrowest"),
        F.max(F.size("embedding")).alias("widest"),
        F.count_if(~F.coalesce(usable, F.lit(False))).alias("unusable"),
        F.count_distinct("doc_id").alias("rows"),
    ).collect()[0]  # one row
    expected = info.width or found.widest
    for width in (found.narrowest, found.widest):
        if width is not None and width != expected:
            raise DataError(
                f"embed.model: the lake holds vectors of width {width} under model {info.model!r}, revision {info.revision!r}, but the model gives {expected}; "
                "set embed.revision to a new name, or use another lake.path"
            )
    if found.unusable:
        raise DataError(
            f"embeddings: {found.unusable} stored vectors of model {info.model!r}, revision {info.revision!r} hold null, NaN or infinity; "
            "delete those rows, or set embed.revision to a new name"
        )
    # The same text may have other last bits in another run; the minimum decides.
    return Known(wanted.groupBy("doc_id").agg(F.min("embedding").alias("embedding")), int(found.rows), int(found.widest or 0))
