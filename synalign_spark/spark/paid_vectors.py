"""Vectors that an endpoint gave, read from the ledger in which each is stored as soon as it is paid. They never pass through the driver."""

from collections.abc import Iterator

import pyarrow as pa
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from synalign_spark.core.packed_vectors import unpack
from synalign_spark.storage.paths import spark_path
from synalign_spark.udfs.arrow import from_matrix
from synalign_spark.udfs.encoder import EncoderInfo

VECTORS = "key string, embedding array<float>"


def text_key(info: EncoderInfo) -> Column:
    """What the vector of a row's text is stored under: equal texts, whatever their labels, share it."""
    return F.sha2(F.concat_ws("\x1f", F.lit(info.model), F.lit(info.revision), "text"), 256)


def paid_vectors(spark: SparkSession, ledger_dir: str) -> DataFrame:
    """key and embedding, one row a key, of all answers in a ledger that holds some. Lines that a kill has torn are left out."""
    lines = spark.read.schema("status string, answer string").json(f"{spark_path(ledger_dir)}/*.jsonl")
    answers = lines.where((F.col("status") == "answered") & F.col("answer").isNotNull()).select("answer")
    # A request of which nobody knew the end may have been sent again, and answered twice; the minimum decides.
    return answers.mapInArrow(_unpacked, VECTORS).groupBy("key").agg(F.min("embedding").alias("embedding"))


def _unpacked(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        for line in batch.column("answer"):
            keys, x = unpack(line.as_py())
            yield pa.record_batch({"key": pa.array(keys, pa.string()), "embedding": from_matrix(x)})
