"""Copies and near-copies among rows: by their normal form, by MinHash of their words, by their vectors within a cluster.

A row is a duplicate where an earlier one is like it: real rows come before synthetic ones, then the order is that of ``doc_id``. It points to the
most similar earlier row, so that what is found is a property of pairs: no chain of small steps joins rows that are unlike. Whoever leaves
all marked rows out keeps the first of each group. Nothing but counts of clusters reaches the driver.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from synalign_spark.compat import apply_in_arrow
from synalign_spark.core.minhash import BANDS_SHARED
from synalign_spark.core.nearest_earlier import nearest_earlier
from synalign_spark.spark.keys import content_id
from synalign_spark.udfs.arrow import to_matrix
from synalign_spark.udfs.assign import assign_udf
from synalign_spark.udfs.shingles import shingles_udf
from synalign_spark.udfs.text import normalised

REAL, SYNTHETIC, OUTSIDE = "0", "1", "!"  # what an id begins with: its text order is that of the rows, evaluation rows first
MOST_IN_BUCKET = (
    50  # rows of a bucket that the others are compared with, the first ones: a form letter sent a million times is no 10^12 pairs
)
MOST_AT_ONCE = 10_000  # rows of a cluster that are compared in one task, with as many others: 31 MB of 384 floats
NEAR = pa.schema([("id", pa.string()), ("of", pa.string()), ("similarity", pa.float64())])
NEAR_DDL = "id string, of string, similarity double"


def keyed(rows: DataFrame) -> DataFrame:
    """The rows without their text. rows: side ('real' or 'synthetic'), doc_id, label, text.

    Returns id (in the order of the rows), side, doc_id, content (hash of the normal form), text_id (the first row of the same content) and exact_of:
    the first row with the same text, null for a first one. Rows of one side whose labels differ are none: of a
    corpus in which texts have several labels a text is a row of each."""
    found = rows.select("side", "doc_id", "label", content_id(normalised("text")).alias("content"))
    found = found.withColumn("id", F.concat(F.when(F.col("side") == "real", REAL).otherwise(SYNTHETIC), F.col("doc_id")))
    same, same_label = Window.partitionBy("content"), Window.partitionBy("content", "side", "label")
    first_real = F.min(F.when(F.col("side") == "real", F.col("id"))).over(same)
    first = F.coalesce(F.when(F.col("side") == "synthetic", first_real), F.min("id").over(same_label))
    found = found.withColumns({"text_id": F.min("id").over(same), "first": first})
    return found.select(
        "id", "side", "doc_id", "content", "text_id", F.when(F.col("first") != F.col("id"), F.col("first")).alias("exact_of")
    )


def shingled(texts: DataFrame) -> DataFrame:
    """id, shingles and bands of texts. texts: id, text."""
    return texts.select("id", shingles_udf()("text").alias("found")).select("id", "found.shingles", "found.bands")


def lexical(earlier: DataFrame, later: DataFrame, least: float) -> DataFrame:
    """id, of, similarity: of each text the earlier one of the largest Jaccard similarity of their shingles, where it is at least ``least`` (>= 0.6).

    earlier, later: :func:`shingled` texts, which may be the same. Candidates have BANDS_SHARED bands in common; their similarity is exact. In a
    bucket of more than MOST_IN_BUCKET texts the rest is compared with that many, the first."""
    band = F.explode("bands").alias("band")
    within = Window.partitionBy("band").orderBy("of")
    first = (
        earlier.select(F.col("id").alias("of"), band)
        .withColumn("n", F.row_number().over(within))
        .where(F.col("n") <= F.lit(MOST_IN_BUCKET))
    )
    met = first.join(later.select("id", band), "band").where("of < id").groupBy("of", "id").agg(F.count("*").alias("shared"))
    pairs = met.where(F.col("shared") >= BANDS_SHARED).select("of", "id")
    pairs = pairs.join(later.select("id", F.col("shingles").alias("a")), "id").join(
        earlier.select(F.col("id").alias("of"), F.col("shingles").alias("b")), "of"
    )
    shared = F.size(F.array_intersect("a", "b"))
    pairs = pairs.select("id", "of", (shared / (F.size("a") + F.size("b") - shared)).alias("similarity"))
    return nearest(pairs.where(F.col("similarity") >= least))


def semantic(vectors: DataFrame, centroids: npt.NDArray[np.float64], least: float, wanted: Column) -> DataFrame:
    """id, of, similarity: of each row the earlier one of its cluster of the largest cosine, where it is at least ``least``.

    vectors: id, embedding (unit vectors); centroids: (k, d); wanted: the rows to ask for. A cluster of more than MOST_AT_ONCE rows is parted by a hash of the id, and
    each pair of its parts is compared in a task."""
    rows = vectors.select(
        "id", "embedding", wanted.alias("wanted"), assign_udf(centroids)("embedding").getField("cluster_id").alias("cluster_id")
    )
    sizes = rows.groupBy("cluster_id").agg(F.ceil(F.count("*") / MOST_AT_ONCE).cast("int").alias("parts"))  # at most k rows
    parted = rows.join(F.broadcast(sizes), "cluster_id").withColumn("part", F.pmod(F.xxhash64("id"), F.col("parts")).cast("int"))
    parted = parted.withColumn("other", F.explode(F.expr("sequence(0, parts - 1)"))).where("parts = 1 OR part != other")
    parted = parted.select(
        "cluster_id", F.least("part", "other").alias("a"), F.greatest("part", "other").alias("b"), "id", "embedding", "wanted"
    )

    def compare(table: pa.Table) -> pa.Table:
        table = table.sort_by("id")
        x, ids = to_matrix(table.column("embedding")), table.column("id").combine_chunks()
        rows, before, cosines = nearest_earlier(x, least, table.column("wanted").to_numpy())
        return pa.Table.from_arrays([ids.take(pa.array(rows)), ids.take(pa.array(before)), pa.array(cosines)], schema=NEAR)

    return nearest(apply_in_arrow(parted.groupBy("cluster_id", "a", "b"), compare, NEAR_DDL))


def nearest(pairs: DataFrame) -> DataFrame:
    """The pair of each id of the largest similarity, ties to the smaller ``of``. pairs: id, of, similarity."""
    best = F.min(F.struct((-F.col("similarity")).alias("minus"), "of")).alias("best")
    return pairs.groupBy("id").agg(best).select("id", F.col("best.of").alias("of"), (-F.col("best.minus")).alias("similarity"))


def marks(rows: DataFrame, found: DataFrame, kind: str) -> DataFrame:
    """The columns of DUPLICATES but evaluation_set and dropped. rows: :func:`keyed`; found: id of a text, of, similarity."""
    of_text = found.withColumnRenamed("id", "text_id")
    return rows.join(of_text, "text_id").select(
        "side", "doc_id", F.lit(kind).alias("kind"), plain_id("of").alias("duplicate_of"), "similarity"
    )


def exact(rows: DataFrame) -> DataFrame:
    """As :func:`marks`, of rows with an ``exact_of``."""
    columns = (F.lit("exact").alias("kind"), plain_id("exact_of").alias("duplicate_of"), F.lit(1.0).alias("similarity"))
    return rows.where("exact_of IS NOT NULL").select("side", "doc_id", *columns)


def plain_id(name: str) -> Column:
    """An id without what says its side."""
    return F.substr(F.col(name), F.lit(2))


def contaminated(rows: DataFrame, shingles: DataFrame, evaluation: DataFrame, least: float) -> DataFrame:
    """As :func:`marks`, and evaluation_set: rows that are copies or lexical near-copies of evaluation rows.

    rows: :func:`keyed`; shingles: of their texts; evaluation: id, content, text, evaluation_set, one row a text."""
    same = rows.where("id = text_id").join(evaluation.select("content", F.col("id").alias("of")), "content")
    pairs = lexical(shingled(evaluation), shingles, least).unionByName(same.select("id", "of", F.lit(1.0).alias("similarity")))
    sets = evaluation.select(plain_id("id").alias("duplicate_of"), "evaluation_set")
    return marks(rows, nearest(pairs), "contaminated").join(sets, "duplicate_of")


def evaluation_texts(sources: Iterator[tuple[str, DataFrame]]) -> DataFrame:
    """id, content, text and evaluation_set of the distinct texts of evaluation sets; a text of several is of the first.

    sources: name of each set and its rows, of ``read_source``."""
    parts = [
        rows.where("text IS NOT NULL").select(normalised("text").alias("text"), F.lit(i).alias("i"), F.lit(name).alias("evaluation_set"))
        for i, (name, rows) in enumerate(sources)
    ]
    every = parts[0]
    for part in parts[1:]:
        every = every.unionByName(part)
    first = every.where("text != ''").groupBy("text").agg(F.min(F.struct("i", "evaluation_set")).alias("of"))
    content = content_id("text").alias("content")
    return first.select(F.concat(F.lit(OUTSIDE), content_id("text")).alias("id"), content, "text", "of.evaluation_set")


def dropped(duplicates: DataFrame, side: str) -> DataFrame:
    """doc_id of the rows of a side that later stages leave out. duplicates: DUPLICATES."""
    return duplicates.where((F.col("side") == side) & F.col("dropped")).select("doc_id").distinct()
