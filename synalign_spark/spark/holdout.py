"""Which real rows are held out, as column expressions; the rule stands in :mod:`synalign_spark.core.holdout`."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from synalign_spark.compat import to_arrow
from synalign_spark.core.holdout import FIT, HOLDOUT, OF_A_LABEL, SPLIT_KEY, TEXT_ID, VALIDATION
from synalign_spark.spark.keys import content_id, unit


def held_out(seed: int, holdout: float, doc_id: Column | str = "doc_id") -> Column:
    """Whether a real row is held out. holdout: share of the rows, 0 for none."""
    return unit(seed, SPLIT_KEY, _text_id(doc_id)) < F.lit(holdout)


def _text_id(doc_id: Column | str) -> Column:
    """See ``core.holdout.text_ids``."""
    column = F.col(doc_id) if isinstance(doc_id, str) else doc_id
    return F.when(column.rlike(OF_A_LABEL), F.substring(column, 1, TEXT_ID)).otherwise(column)


def deciding_id(given: bool) -> Column:
    """See ``core.holdout.deciding_ids``. given: whether the rows have a text and an id of the caller's."""
    return content_id("text") if given else F.col("doc_id")


def split(seed: int, holdout: float, validation: float, doc_id: Column | str = "doc_id") -> Column:
    """The split of a real row: HOLDOUT, VALIDATION or FIT. doc_id: what decides."""
    u = unit(seed, SPLIT_KEY, _text_id(doc_id))
    return F.when(u < F.lit(holdout), HOLDOUT).when(u < F.lit(holdout + validation), VALIDATION).otherwise(FIT)


def held_out_by_label(rows: DataFrame, seed: int, holdout: float, doc_id: Column | str = "doc_id") -> dict[str | None, tuple[int, int]]:
    """Rows, and of them those held out, by label; a row a label reaches the driver. rows: label, and what doc_id reads, which decides."""
    held = F.count_if(held_out(seed, holdout, doc_id))
    counted = to_arrow(rows.groupBy("label").agg(F.count("*").alias("n"), held.alias("held"))).to_pylist()
    return {row["label"]: (row["n"], row["held"]) for row in counted}
