"""Validates source rows: each becomes a corpus row or a reject with a reason, and equal texts become one row."""

from dataclasses import dataclass
from typing import Any

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from synalign_spark.config import IngestConfig, SourceConfig
from synalign_spark.spark.ingest_counts import check, counted, half_read, lines_lost, never_renamed, odd_labels
from synalign_spark.spark.keys import content_id, id_of_each_label
from synalign_spark.spark.source_layout import Layout
from synalign_spark.spark.sources import lost_in_lines
from synalign_spark.spark.swallowed import swallowed_lines
from synalign_spark.spark_errors import outside_faults
from synalign_spark.storage.tables import CORPUS, REJECTS
from synalign_spark.udfs.text import normalised

RAW_CHARS = 1_000
_UNDECODABLE = "\ufffd"


@dataclass(frozen=True)
class Ingested:
    """The validated rows. A context manager: leave it when both parts are written, so that the cache is freed."""

    accepted: DataFrame  # the columns of CORPUS
    rejects: DataFrame  # the columns of REJECTS
    reasons: dict[str, int]  # reason to number of rejected rows, most frequent first
    labels: dict[str, int]  # label to number of accepted rows, by label; empty without labels
    n_accepted: int
    bytes_read: int  # of the texts, and of rows that did not parse, as UTF-8
    bytes_lost: int  # of these, in rejected rows other than duplicates
    notes: list[str]  # what is odd and no fault
    _validated: DataFrame

    @property
    def n_read(self) -> int:
        return self.n_accepted + sum(self.reasons.values())

    def __enter__(self) -> "Ingested":
        return self

    def __exit__(self, *_: Any) -> None:
        self._validated.unpersist()


def ingest(
    rows: DataFrame, source: SourceConfig, cfg: IngestConfig, origin: str, field: str = "source", layout: Layout | None = None
) -> Ingested:
    """Accepts or rejects the rows of ``read_source`` and counts them, once; nothing is written yet.

    origin: 'real' or 'synthetic'. field: configuration section that errors name; layout: of the source's files. Of rows with equal text and label the first by
    (source_id, source_file, text as it was) is kept; of texts under several labels what cfg.conflicts says. Raises DataError for a source
    that cannot be read, without rows, without accepted rows, with more than 1 % of its lines swallowed by a stray quote, or (real rows) with
    a label column that has one value, more than MAX_LABELS, or numbers that are no classes."""
    malformed = _malformed(layout, field)
    with outside_faults(f"{field}: {source.place!r}", _fixes(field)):
        validated = _without_duplicates(_validated(rows, source, cfg, malformed), source, cfg).persist()
    try:
        with outside_faults(f"{field}: {source.place!r}", _fixes(field)):
            found = counted(validated)
            lost = lost_in_lines(rows.sparkSession, source, layout)
            within = swallowed_lines(validated.where("reason is null"), source, layout.dialect, found.labels) if layout else 0
        check(found, source, layout.label_names if layout else None, origin, field)
        delimited = layout is None or layout.dialect is not None
        notes = (
            (layout.notes if layout else [])
            + lines_lost(found, within, source, field, delimited)
            + half_read(found, lost, source, field, arrays=layout is not None and layout.array)
            + never_renamed(found, source, field)
            + odd_labels(found, field)
        )
    except BaseException:
        validated.unpersist()
        raise
    accepted = validated.where(F.col("reason").isNull()).select(*CORPUS.column_names)
    rejects = validated.where(F.col("reason").isNotNull()).withColumn("origin", F.lit(origin)).select(*REJECTS.column_names)
    return Ingested(accepted, rejects, found.reasons, found.labels, found.n_accepted, found.bytes_read, found.bytes_lost, notes, validated)


def _validated(rows: DataFrame, source: SourceConfig, cfg: IngestConfig, malformed: str) -> DataFrame:
    """Adds the normal form, n_chars, reason (null: accepted), detail, raw and the lines that the row spans where it did not parse.
    malformed: what to do about such a row."""
    raw = F.coalesce(F.col("malformed"), F.col("text"))
    known = (
        rows.withColumn("normal", normalised("text"))
        .withColumn("n_chars", F.char_length("normal").cast("int"))
        .withColumn(
            "lines",
            F.when(F.col("malformed").isNotNull(), F.size(F.split(F.regexp_replace("malformed", "[\r\n]+$", ""), "\n"))).otherwise(1),
        )
        .withColumn("undecodable", F.coalesce(raw.contains(_UNDECODABLE), F.lit(False)))
    )
    faults = _faults(source, cfg, malformed)
    reason = detail = F.lit(None).cast("string")
    for condition, code, message in reversed(faults):
        reason = F.when(condition, F.lit(code)).otherwise(reason)
        detail = F.when(condition, message).otherwise(detail)
    return known.select(
        F.col("normal" if cfg.whitespace == "collapse" else "text").alias("text"),
        F.col("text").alias("as_read"),
        "normal", "lines", "n_chars", "label", "source_id", "source_file", "prior_weight", "renamed",
        reason.alias("reason"),
        detail.alias("detail"),
        F.left(raw, F.lit(RAW_CHARS)).alias("raw"),
        F.coalesce(F.octet_length(raw), F.lit(0)).cast("long").alias("bytes"),
    )  # fmt: skip


def _faults(source: SourceConfig, cfg: IngestConfig, malformed: str) -> list[tuple[Column, str, Column]]:
    """(condition, reason code, detail) of everything that can be wrong with one row; the first that holds counts."""
    length = F.col("n_chars")
    characters = F.concat(length.cast("string"), F.lit(" characters"))
    faults = [
        (F.col("undecodable"), "bad_encoding", F.lit("holds bytes that are not UTF-8, or U+FFFD in their place")),
        (F.col("malformed").isNotNull(), "malformed", F.concat(F.lit("the source row could not be parsed"), _extent(), F.lit(malformed))),
        *((F.col("fault") == code, code, F.col("fault_detail")) for code in ("malformed", "wrong_type", "bad_weight")),
        (F.col("text").isNull(), "null_text", F.lit(f"column {' and '.join(source.text_columns)} is null")),
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


def _malformed(layout: Layout | None, field: str) -> str:
    """What to do about a row that did not parse."""
    if layout is None or layout.dialect is None:
        is_json = layout is not None and layout.kind == "jsonl"
        return "; mend it: one JSON object, or an array of nothing else, is needed, with each key once" if is_json else ""
    quote = f"{field}.quote ({layout.dialect.quote!r} now)"
    return f"; mend it, or see {quote}, {field}.escape and {field}.separator ({layout.dialect.separator!r} now)"


def _extent() -> Column:
    """How far a row reaches of which the rejects have the beginning alone."""
    lines, chars = F.col("lines").cast("string"), F.length("malformed").cast("string")
    return F.when(F.col("lines") > 1, F.concat(F.lit("; it spans "), lines, F.lit(" lines, "), chars, F.lit(" characters"))).otherwise("")


def row_id(source: SourceConfig) -> Column:
    """The doc_id of a row, by its ``normal`` form and, where a text is a row of each of its labels, its ``label``."""
    return id_of_each_label("normal", "label") if source.label_separator is not None else content_id("normal")


def _without_duplicates(validated: DataFrame, source: SourceConfig, cfg: IngestConfig) -> DataFrame:
    """Adds doc_id; of the accepted rows of one text all but one become duplicates, or conflicts where their label is another."""
    # Rejected rows have no rank to win and may be many (all nulls): a group of their own per row spreads them.
    group = F.when(F.col("reason").isNull(), F.col("doc_id"))
    keyed = validated.withColumn("doc_id", row_id(source))
    keyed = keyed.withColumn("group", group)
    keyed = keyed.withColumn("spread", F.when(F.col("group").isNull(), F.xxhash64("raw", "source_id")))
    same = Window.partitionBy("group", "spread")
    counted = keyed.withColumn("of_label", F.count("*").over(Window.partitionBy("group", "spread", "label")))
    votes = [F.col("of_label").desc()] if cfg.conflicts == "majority" else []
    first = same.orderBy(
        *votes, *(F.col(name).asc_nulls_last() for name in ("label", "source_id", "source_file", "as_read", "prior_weight"))
    )
    ranked = counted.withColumns(
        {
            "rank": F.row_number().over(first),
            "kept_label": F.first("label").over(first),
            "of_kept": F.first("of_label").over(first),
        }
    )
    rival = (F.col("of_label") == F.col("of_kept")) & ~F.col("label").eqNullSafe(F.col("kept_label"))
    ranked = ranked.withColumns(
        {
            "conflict": F.col("group").isNotNull() & ~F.min("label").over(same).eqNullSafe(F.max("label").over(same)),
            "tied": F.max(rival).over(same),
            "rows": F.count("*").over(same),
        }
    )
    nobody = {"majority": F.col("tied"), "first": F.lit(False), "drop": F.lit(True)}[cfg.conflicts]
    lost = F.col("conflict") & (nobody | ~F.col("label").eqNullSafe(F.col("kept_label")))
    kept = F.when(nobody, "none").otherwise(F.concat(F.lit("'"), F.col("kept_label"), F.lit("'")))
    words = F.concat(F.lit("same text with another label: kept "), kept, F.lit(", of "), F.col("rows").cast("string"), F.lit(" rows"))
    duplicate = F.col("group").isNotNull() & (F.col("rank") > 1)
    return ranked.select(
        "doc_id", "text", "n_chars", "label", "source_id", "source_file", "prior_weight", "renamed", "raw", "lines", "bytes",
        F.when(lost, "label_conflict").when(duplicate, "duplicate").otherwise(F.col("reason")).alias("reason"),
        F.when(lost, words).when(duplicate, "same text as an accepted row").otherwise(F.col("detail")).alias("detail"),
    )  # fmt: skip


def _fixes(field: str) -> dict[str, str]:
    """What to do about a fault of Spark's, by a word of it."""
    return {
        "CAST_INVALID_INPUT": f"in {field}.where write try_cast(column AS type) for cells that may hold something else",
        "PARQUET_COLUMN_DATA_TYPE_MISMATCH": "write the column as one type in all files",
        "DIVIDE_BY_ZERO": f"in {field}.where write try_divide(a, b)",
        "Codec was not found": "write it with snappy or zstd: this Spark has not the codec that it is packed with",
        "duplicate field": "rename one of the columns, which differ by capitals alone",
        "CSV header": "write all files with the same columns in the same order",
        "while reading file": "fetch or write the file again, or take it out",
        "": f"look at {field}.where, if it is set; else fetch or write the file again, or take it out",
    }
