"""Validates source rows: each becomes a corpus row or a reject with a reason, and equal texts become one row."""

from dataclasses import dataclass
from typing import Any

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from synalign_spark.config import IngestConfig, SourceConfig
from synalign_spark.errors import DataError
from synalign_spark.spark.keys import content_id
from synalign_spark.storage.tables import CORPUS, REJECTS
from synalign_spark.udfs.text import normalised

RAW_CHARS = 1_000
MAX_LABELS = 1_000
_UNDECODABLE = "\ufffd"


@dataclass(frozen=True)
class Ingested:
    """The validated rows. A context manager: leave it when both parts are written, so that the cache is freed."""

    accepted: DataFrame  # the columns of CORPUS
    rejects: DataFrame  # the columns of REJECTS
    reasons: dict[str, int]  # reason to number of rejected rows, most frequent first
    labels: dict[str, int]  # label to number of accepted rows, by label; empty without labels
    n_accepted: int
    _validated: DataFrame

    @property
    def n_read(self) -> int:
        return self.n_accepted + sum(self.reasons.values())

    def __enter__(self) -> "Ingested":
        return self

    def __exit__(self, *_: Any) -> None:
        self._validated.unpersist()


def ingest(rows: DataFrame, source: SourceConfig, cfg: IngestConfig, origin: str, field: str = "source") -> Ingested:
    """Accepts or rejects the rows of ``read_source`` and counts them, once; nothing is written yet.

    origin: 'real' or 'synthetic'. field: configuration section that errors name. Of rows with equal text the
    first by (label, source_id, source_file, text as it was) is kept. Raises DataError for a source without
    rows, without accepted rows, or (real rows) with a label column that has one value or more than MAX_LABELS."""
    validated = _without_duplicates(_validated(rows, source, cfg)).persist()
    try:
        reasons, labels, n_accepted = _counted(validated)
        _check(reasons, labels, n_accepted, source, origin, field)
    except BaseException:
        validated.unpersist()
        raise
    accepted = validated.where(F.col("reason").isNull()).select(*CORPUS.column_names)
    rejects = validated.where(F.col("reason").isNotNull()).withColumn("origin", F.lit(origin)).select(*REJECTS.column_names)
    return Ingested(accepted, rejects, reasons, labels, n_accepted, validated)


def _validated(rows: DataFrame, source: SourceConfig, cfg: IngestConfig) -> DataFrame:
    """Adds the normal form (as text), n_chars, reason (null: accepted), detail and raw."""
    raw = F.coalesce(F.col("malformed"), F.col("text"))
    known = (
        rows.withColumn("normal", normalised("text"))
        .withColumn("n_chars", F.char_length("normal").cast("int"))
        .withColumn("undecodable", F.coalesce(raw.contains(_UNDECODABLE), F.lit(False)))
    )
    faults = _faults(source, cfg)
    reason = detail = F.lit(None).cast("string")
    for condition, code, message in reversed(faults):
        reason = F.when(condition, F.lit(code)).otherwise(reason)
        detail = F.when(condition, message).otherwise(detail)
    return known.select(
        F.col("normal").alias("text"),
        F.col("text").alias("as_read"),
        "n_chars", "label", "source_id", "source_file", "prior_weight",
        reason.alias("reason"),
        detail.alias("detail"),
        F.left(raw, F.lit(RAW_CHARS)).alias("raw"),
    )  # fmt: skip


def _faults(source: SourceConfig, cfg: IngestConfig) -> list[tuple[Column, str, Column]]:
    """(condition, reason code, detail) of everything that can be wrong with one row; the first that holds counts."""
    length = F.col("n_chars")
    characters = F.concat(length.cast("string"), F.lit(" characters"))
    faults = [
        (F.col("undecodable"), "bad_encoding", F.lit("holds bytes that are not UTF-8, or U+FFFD in their place")),
        (F.col("malformed").isNotNull(), "malformed", F.lit("the source row could not be parsed")),
        (F.col("text").isNull(), "null_text", F.lit(f"column {source.text_column} is null")),
        (length == 0, "empty", F.lit("nothing but white space")),
        (length < cfg.min_chars, "too_short", F.concat(characters, F.lit(f", ingest.min_chars is {cfg.min_chars}"))),
        (length > cfg.max_chars, "too_long", F.concat(characters, F.lit(f", ingest.max_chars is {cfg.max_chars}"))),
    ]
    if source.label_column is not None:
        faults.append((F.col("label").isNull(), "null_label", F.lit(f"column {source.label_column} is null or blank")))
    if source.labels is not None:
        unknown = ~F.col("label").isin(*source.labels)
        faults.append((unknown, "unknown_label", F.concat(F.lit("label '"), F.col("label"), F.lit("' is not among the allowed labels"))))
    return faults


def _without_duplicates(validated: DataFrame) -> DataFrame:
    """Adds doc_id; of the accepted rows of one text all but the first become duplicates."""
    # Rejected rows have no rank to win and may be many (all nulls): a group of their own per row spreads them.
    group = F.when(F.col("reason").isNull(), F.col("doc_id"))
    keyed = validated.withColumn("doc_id", content_id("text")).withColumn("group", group)
    order = [F.col(name).asc_nulls_last() for name in ("label", "source_id", "source_file", "as_read", "prior_weight")]
    first = Window.partitionBy("group", F.when(F.col("group").isNull(), F.xxhash64("raw", "source_id"))).orderBy(*order)
    ranked = keyed.withColumn("rank", F.row_number().over(first)).withColumn("kept_label", F.first("label").over(first))
    duplicate = F.col("group").isNotNull() & (F.col("rank") > 1)
    which = F.when(
        ~F.col("label").eqNullSafe(F.col("kept_label")),
        F.concat(F.lit("same text with another label: kept '"), F.coalesce("kept_label", F.lit("null")), F.lit("'")),
    ).otherwise(F.lit("same text as an accepted row"))
    return ranked.select(
        "doc_id", "text", "n_chars", "label", "source_id", "source_file", "prior_weight", "raw",
        F.when(duplicate, F.lit("duplicate")).otherwise(F.col("reason")).alias("reason"),
        F.when(duplicate, which).otherwise(F.col("detail")).alias("detail"),
    )  # fmt: skip


def _counted(validated: DataFrame) -> tuple[dict[str, int], dict[str, int], int]:
    """Rejected rows by reason, accepted rows by label, accepted rows. At most MAX_LABELS + 50 groups reach the driver."""
    label = F.when(F.col("reason").isNull(), F.col("label")).alias("label")
    groups = validated.groupBy("reason", label).count().limit(MAX_LABELS + 50).collect()
    reasons = {row["reason"]: row["count"] for row in groups if row["reason"] is not None}
    accepted = {row["label"]: row["count"] for row in groups if row["reason"] is None}
    labels = {name: accepted[name] for name in sorted(name for name in accepted if name is not None)}
    by_count = dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0])))
    return by_count, labels, sum(accepted.values())


def _check(reasons: dict[str, int], labels: dict[str, int], n_accepted: int, source: SourceConfig, origin: str, field: str) -> None:
    place = source.path or source.table or source.package
    if not n_accepted and not reasons:
        hint = f" that {field}.where lets through" if source.where else ""
        raise DataError(f"{field}: {place!r} has no rows{hint}; name a source with rows")
    if not n_accepted:
        counts = ", ".join(f"{reason} {count}" for reason, count in reasons.items())
        raise DataError(
            f"{field}: all {sum(reasons.values())} rows of {place!r} were rejected ({counts}); look at the columns and limits that these reasons name"
        )
    if source.label_column is None or origin != "real":
        return
    if len(labels) == 1:
        raise DataError(
            f"{field}.label_column: {source.label_column!r} has the one value {next(iter(labels))!r} in all {n_accepted} accepted rows; set it to null for a corpus without labels"
        )
    if len(labels) > MAX_LABELS:
        raise DataError(f"{field}.label_column: {source.label_column!r} has more than {MAX_LABELS} values; name a column of classes")
