"""What the report says about a run's tables, measured in Spark.

Every function returns counts, sums or a hash sample of fixed size; no table is collected whole. Sums of
weights and costs are taken in decimals, so they do not depend on the order of the rows.
"""

import math
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from synalign_spark.compat import to_arrow
from synalign_spark.report.findings import Generation, LabelShare, Missing, Row, WeightSpread
from synalign_spark.spark.keys import unit

BINS_PER_DECADE = 4
DECADES = 8  # smaller and larger relative weights fall in the outermost bins
REASONS_SHOWN = 50
EXAMPLE_CHARS = 1_000


def collected(df: DataFrame) -> list[Row]:
    """The rows of a table of parameter size (an aggregate, a certificate, a trace) as dictionaries."""
    rows: list[Row] = to_arrow(df).to_pylist()
    return rows


def label_shares(corpus: DataFrame, synthetic: DataFrame, weights: DataFrame | None) -> list[LabelShare]:
    """Real rows, synthetic rows and share of the weight per label, by label, null last."""
    real = {row["label"]: row["rows"] for row in collected(_rows_by_label(corpus))}
    written = {row["label"]: row["rows"] for row in collected(_rows_by_label(synthetic))}
    weighted: dict[str | None, float] = {}
    if weights is not None:
        weighted = {
            row["label"]: row["weight"] for row in collected(weights.groupBy("label").agg(_exact_sum(F.col("weight")).alias("weight")))
        }
    labels = sorted({*real, *written}, key=lambda label: (label is None, label or ""))
    return [LabelShare(label, real.get(label, 0), written.get(label, 0), weighted.get(label, 0.0)) for label in labels]


def weight_spread(weights: DataFrame) -> WeightSpread | None:
    """Histogram of the weights over uniform, on a logarithmic scale; None where there is no row."""
    sums = weights.agg(
        F.count("*").alias("rows"),
        F.max("weight").alias("largest"),
        _exact_sum(F.col("weight") * F.col("weight")).alias("squares"),
        F.sum((F.col("weight") <= 0).cast("bigint")).alias("zeros"),
    )
    total = collected(sums)[0]
    if not total["rows"]:
        return None
    # Rounding puts a relative weight of 1 in the middle of a bin, where noise in the last digit cannot move it.
    place = F.round(F.log10(F.col("weight") * F.lit(float(total["rows"]))) * F.lit(BINS_PER_DECADE)).cast("int")
    edge = BINS_PER_DECADE * DECADES
    place = F.greatest(F.least(place, F.lit(edge)), F.lit(-edge))
    bins = weights.where(F.col("weight") > 0).groupBy(place.alias("place"))
    found = {row["place"]: row for row in collected(bins.agg(F.count("*").alias("rows"), _exact_sum(F.col("weight")).alias("weight")))}
    places = range(min(found, default=0), max(found, default=0) + 1)
    return WeightSpread(
        rows=total["rows"],
        zeros=total["zeros"],
        centres=[10.0 ** (p / BINS_PER_DECADE) for p in places],
        counts=[found[p]["rows"] if p in found else 0 for p in places],
        weight_shares=[found[p]["weight"] if p in found else 0.0 for p in places],
        ess=1.0 / total["squares"] if total["squares"] else 0.0,
        largest=total["largest"] * total["rows"],
    )


def generation(calls: DataFrame | None, refusals: DataFrame | None, accepted: int) -> Generation:
    """Calls by step and status, tokens, cost, and refused rows by reason."""
    by_status: list[Row] = []
    if calls is not None:
        cost = F.sum(F.col("cost_usd").cast("decimal(38,12)")).cast("double")
        by_status = collected(
            calls.groupBy("step", "status").agg(
                F.count("*").alias("calls"), F.sum("attempts").alias("attempts"), F.sum("prompt_tokens").alias("prompt"),
                F.sum("completion_tokens").alias("completion"), cost.alias("cost"),
            )
        )  # fmt: skip
    by_status = sorted(by_status, key=lambda row: (row["step"], row["status"]))
    reasons = [] if refusals is None else collected(_refused(refusals))
    costs = [row["cost"] for row in by_status if row["cost"] is not None]
    return Generation(
        calls={(row["step"], row["status"]): row["calls"] for row in by_status},
        attempts=sum(row["attempts"] for row in by_status),
        prompt_tokens=sum(row["prompt"] or 0 for row in by_status),
        completion_tokens=sum(row["completion"] or 0 for row in by_status),
        cost_usd=math.fsum(costs) if costs else None,
        refused={row["reason"]: row["rows"] for row in sorted(reasons, key=lambda row: (-row["rows"], row["reason"]))},
        accepted=accepted,
        examples={row["reason"]: _examples(row) for row in reasons if row["reason"] != "pii"},
    )


def _refused(refusals: DataFrame) -> DataFrame:
    """Rows by reason, with the first and the last by a hash of their place."""
    place = F.xxhash64("request_id", "row_index").alias("place")
    shown = [F.substring(name, 1, EXAMPLE_CHARS).alias(name) for name in ("text", "detail")]
    one = F.struct(place, "request_id", "row_index", *shown)
    return refusals.groupBy("reason").agg(F.count("*").alias("rows"), F.min(one).alias("first"), F.max(one).alias("last"))


def _examples(row: Row) -> list[Row]:
    found = [row["first"], row["last"]][: row["rows"]]
    return [{"text": one["text"], "detail": one["detail"]} for one in found]


def rejected(rejects: DataFrame) -> list[Row]:
    """Source rows that ingest refused, by origin and reason: origin, reason, rows; most first."""
    rows = collected(rejects.groupBy("origin", "reason").agg(F.count("*").alias("rows")))
    return sorted(rows, key=lambda row: (-row["rows"], row["origin"], row["reason"]))[:REASONS_SHOWN]


def missing(witness: DataFrame, n: int) -> Missing | None:
    """What the witness table says: totals by label, null last, and the n clusters with the largest missing share; None where it is empty."""
    before = F.greatest(F.lit(0.0), F.col("real_share") - F.col("synthetic_share_before"))
    totals = collected(witness.groupBy("label").agg(_exact_sum(before).alias("before"), _exact_sum(F.col("missing_share")).alias("after")))
    # Labels have clusters of the same rank: the order is total.
    order = [F.desc("missing_share"), F.asc("rank"), F.asc_nulls_last("label")]
    clusters = collected(witness.where("missing_share > 0").orderBy(*order).limit(n))
    return Missing(sorted(totals, key=lambda row: (row["label"] is None, row["label"] or "")), clusters) if totals else None


def heaviest(weights: DataFrame, n: int) -> list[Row]:
    """The n rows of largest weight: doc_id, label, weight; ties by id."""
    return collected(weights.select("doc_id", "label", "weight").orderBy(F.desc("weight"), "doc_id").limit(n))


def lightest(weights: DataFrame, n: int) -> list[Row]:
    """The n rows of smallest weight, smallest first; ties by id."""
    return collected(weights.select("doc_id", "label", "weight").orderBy("weight", "doc_id").limit(n))


def hash_sample(rows: DataFrame, n: int, total: int, seed: int, purpose: str) -> DataFrame:
    """n of the rows, drawn by hash of ``doc_id``, or all where there are no more.

    total: number of rows (about right is enough). A threshold on the hash comes first, so that only
    little more than n rows are sorted; the column ``u`` (0, 1) is their order."""
    keyed = rows.withColumn("u", unit(seed, purpose, "doc_id"))
    if total > n:
        likely = (n + 6.0 * math.sqrt(n) + 10.0) / total  # 6 standard deviations above n: never too few in practice
        keyed = keyed.where(F.col("u") < F.lit(min(likely, 1.0)))
    return keyed.orderBy("u", "doc_id").limit(n)


def _rows_by_label(df: DataFrame) -> DataFrame:
    return df.groupBy("label").agg(F.count("*").alias("rows"))


def _exact_sum(column: Column) -> Any:
    """Sum of numbers in [0, 1], the same bits for any order of the rows."""
    return F.sum(column.cast("decimal(38,30)")).cast("double")
