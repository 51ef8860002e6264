"""What accepted rows are like: their lengths, their weights, and the texts of a few of them."""

import math
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

LENGTHS = {"p10": 0.1, "median": 0.5, "p90": 0.9}
ACCURACY = 1_000  # of the percentiles: a rank is off by a thousandth of the rows


def measure(accepted: DataFrame) -> tuple[dict[str, Any], float]:
    """Lengths in characters and the scale of the weights (None where no row has one), and bytes a character. accepted: CORPUS rows; one job,
    whose one row reaches the driver."""
    length, weight = F.length("text"), F.col("prior_weight")
    found = accepted.agg(
        F.min(length).alias("shortest"),
        F.max(length).alias("longest"),
        F.percentile_approx(length, list(LENGTHS.values()), ACCURACY).alias("percentiles"),
        (F.sum(F.octet_length("text")) / F.greatest(F.sum(length), F.lit(1))).alias("bytes_a_char"),
        F.count(weight).alias("weighted"),
        F.min(weight).alias("lightest"),
        F.max(weight).alias("heaviest"),
        F.count_if(weight == 0).alias("zero"),
        F.avg(weight).alias("mean"),
    ).collect()[0]
    chars = {"min": found["shortest"], **dict(zip(LENGTHS, found["percentiles"] or (), strict=False)), "max": found["longest"]}
    weights = None
    if found["weighted"]:
        weights = {
            "rows": found["weighted"],
            "zero": found["zero"],
            "min": found["lightest"],
            "mean": found["mean"] if math.isfinite(found["mean"]) else None,
            "max": found["heaviest"],
        }
        weights["effective_rows"] = _effective_rows(accepted, found["heaviest"])
        weights["labels_of_zero"] = _labels_of_zero(accepted)
    return {"chars": chars, "weights": weights}, found["bytes_a_char"]


def _labels_of_zero(accepted: DataFrame) -> list[str | None]:
    """Labels of which no row has a weight above 0; a row a label reaches the driver."""
    heaviest = accepted.groupBy("label").agg(F.max(F.coalesce(F.col("prior_weight"), F.lit(1.0))).alias("heaviest"))
    return sorted((row["label"] for row in heaviest.where("heaviest <= 0").collect()), key=lambda label: label or "")


def _effective_rows(accepted: DataFrame, heaviest: float) -> float | None:
    """Rows of equal weight that would tell as much: the squared sum over the sum of squares, of weights over the largest, whose sum no double
    is too small for; rows without one count 1."""
    if not heaviest:
        return None
    scaled = F.coalesce(F.col("prior_weight"), F.lit(1.0)) / F.lit(max(heaviest, 1.0))
    sums = accepted.agg(F.sum(scaled).alias("one"), F.sum(scaled * scaled).alias("two")).collect()[0]
    return float(sums["one"] ** 2 / sums["two"])


def sample_texts(rows: DataFrame, most: int) -> list[str]:
    """The texts of ``most`` rows, by the hash that their id is: the same at every partitioning. rows: with doc_id and text."""
    return [row["text"] for row in rows.select("doc_id", "text").orderBy("doc_id").limit(most).collect()]


def one_a_text(rows: DataFrame) -> DataFrame:
    """The doc_id of one row of each text. rows: with doc_id and text."""
    return rows.groupBy(F.sha2("text", 256).alias("of")).agg(F.min("doc_id").alias("doc_id")).select("doc_id")


def identical_share(embeddings: DataFrame) -> float:
    """The share of rows whose vector another row has. embeddings: rows of EMBEDDINGS; eight bytes a row are shuffled."""
    groups = embeddings.groupBy(F.xxhash64("embedding").alias("hash")).count()
    found = groups.agg(F.sum("count").alias("all"), F.sum(F.when(F.col("count") > 1, F.col("count"))).alias("same")).collect()[0]
    return (found["same"] or 0) / found["all"] if found["all"] else 0.0
