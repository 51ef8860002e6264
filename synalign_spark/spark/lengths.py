"""How long the real rows behind a demonstration set are: percentiles over the rows of its label in its cluster."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from synalign_spark.core.sampling.lengths import HIGH, LOW

WORD = r"(?U)[^\s\x1c-\x1f]+"  # as Python parts words


def with_lengths(shown: DataFrame, sets: DataFrame, clusters: DataFrame, corpus: DataFrame) -> DataFrame:
    """The demonstrations with words_p10, words_p90, chars_p10 and chars_p90 of their label's rows in their cluster.

    shown: with label and cluster_id; sets: the demonstration sets, with the same; clusters, corpus: the tables of those names. One
    aggregation over the rows of the clusters shown; percentiles are exact, of whole numbers, so that no partitioning changes them."""
    picked = F.broadcast(sets.select(F.col("label").alias("of_label"), F.col("cluster_id").alias("of_cluster")).distinct())
    same = F.col("label").eqNullSafe(F.col("of_label")) & (F.col("cluster_id") == F.col("of_cluster"))
    held = clusters.join(picked, same).select("doc_id", "of_label", "of_cluster")
    words, chars = F.regexp_count("text", F.lit(WORD)), F.length("text")
    measured = corpus.select("doc_id", words.alias("words"), chars.alias("chars")).join(held, "doc_id").groupBy("of_label", "of_cluster")
    lengths = measured.agg(
        _percentile("words", LOW).alias("words_p10"),
        _percentile("words", HIGH).alias("words_p90"),
        _percentile("chars", LOW).alias("chars_p10"),
        _percentile("chars", HIGH).alias("chars_p90"),
    )
    return shown.join(F.broadcast(lengths), same).drop("of_label", "of_cluster")  # a row a cluster shown


def _percentile(column: str, share: float) -> Column:
    """Rounded half up, as :func:`synalign_spark.core.sampling.lengths.percentile` does."""
    return F.floor(F.percentile(column, share) + F.lit(0.5)).cast("int")
