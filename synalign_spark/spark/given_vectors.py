"""Vectors of rows that their source has already: joined to the accepted rows by their ids, and checked before any is used."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from synalign_spark.config import SourceConfig
from synalign_spark.core.defaults import GIVEN_COSINE, PROBE_TEXTS
from synalign_spark.errors import DataError
from synalign_spark.spark.ingest import row_id
from synalign_spark.spark.source_layout import layout_of
from synalign_spark.spark.sources import read_source
from synalign_spark.storage.tables import EMBEDDINGS
from synalign_spark.udfs.given import CHECKED, NONE, NOT_FINITE, ZERO, checked_batches
from synalign_spark.udfs.text import normalised

GIVEN = "given"  # the model and revision of such vectors, as EMBEDDINGS has them: no text is ever embedded under this revision
SHOWN = 60  # characters of a text in an error


@dataclass(frozen=True)
class Given:
    """Checked unit vectors. ``vectors``: doc_id, label and embedding, one row an id; ``several``: of how many texts rows brought more than one."""

    vectors: DataFrame
    rows: int
    width: int
    several: int

    def embeddings(self, origin: str, model: str) -> DataFrame:
        """Rows of EMBEDDINGS."""
        constants = {"origin": F.lit(origin), "model": F.lit(model), "revision": F.lit(GIVEN)}
        return self.vectors.withColumns(constants).select(*EMBEDDINGS.column_names)


@contextmanager
def given_vectors(spark: SparkSession, source: SourceConfig, rows: DataFrame, field: str = "source") -> Iterator[Given]:
    """The vectors in ``source.embedding_column`` of the accepted ``rows`` (doc_id, text, label), read from the source once more.

    Where rows of one text brought several the smallest counts. They are cached until the context is left. field: configuration section that
    errors name. Raises DataError where a row has no vector, one that is not finite or zero, where widths differ, and where all are the same."""
    brought = read_source(spark, source, field, layout_of(source, field)).withColumn("normal", normalised("text"))
    one = F.min("embedding")
    of_id = brought.select(row_id(source).alias("doc_id"), "embedding").groupBy("doc_id").agg(one.alias("embedding"), (one != F.max("embedding")).alias("several"))  # fmt: skip
    joined = rows.select("doc_id", "label").join(of_id, "doc_id", "left").select("doc_id", "label", "several", "embedding")
    checked = joined.mapInArrow(checked_batches, CHECKED).persist()
    try:
        found = checked.groupBy("fault").agg(
            F.count("*").alias("rows"),
            F.min("doc_id").alias("first"),
            F.min("width").alias("narrowest"),
            F.max("width").alias("widest"),
            (F.min("embedding") == F.max("embedding")).alias("constant"),
            F.count_if(F.col("several")).alias("several"),
        ).collect()  # a row a fault  # fmt: skip
        width = _require_usable({row["fault"]: row for row in found}, rows, source, field)
        n, several = (sum(row[name] for row in found) for name in ("rows", "several"))
        yield Given(checked.select("doc_id", "label", "embedding"), n, width, several)
    finally:
        checked.unpersist()


def _require_usable(found: dict[str | None, Row], rows: DataFrame, source: SourceConfig, field: str) -> int:
    """The one width of all vectors. found: by fault, None for those without; raises DataError for the first fault."""
    column, total = f"{field}.embedding_column {source.embedding_column!r}", sum(row["rows"] for row in found.values())
    leave_out = f"compute them again, or leave those rows out by {field}.where"
    faults = {
        NONE: ("have no vector", f"give them one, or leave them out by {field}.where"),
        NOT_FINITE: ("have a vector that holds null, NaN or infinity", leave_out),
        ZERO: ("have a vector of zeros, which has no direction", leave_out),
    }
    for fault, (what, fix) in faults.items():
        if bad := found.get(fault):
            text = rows.where(F.col("doc_id") == bad["first"]).select(F.left("text", F.lit(SHOWN)).alias("text")).collect()[0]["text"]
            raise DataError(f"{column}: {bad['rows']} of {total} rows {what} (such as {text!r}); {fix}")
    if not total:
        raise DataError(f"{column}: there are no rows; run the stage before first")
    usable = found[None]
    if usable["narrowest"] != usable["widest"]:
        raise DataError(f"{column}: vectors of widths {usable['narrowest']} to {usable['widest']}; embed all rows with one embedder")
    if usable["constant"] and total > 1:
        raise DataError(
            f"{column}: all {total} vectors are the same, so that they tell no row from another; name the column that an embedder wrote"
        )
    return int(usable["widest"])


def require_width(width: int, of_real: int, field: str) -> None:
    """Raises DataError where synthetic vectors have another width than the real ones."""
    if width != of_real:
        raise DataError(
            f"{field}.embedding_column: vectors of width {width}, and those of the real rows have {of_real}; give vectors of the embedder that made "
            "those of the real rows"
        )


def sampled(rows: DataFrame) -> DataFrame:
    """A few rows, by the hash that their id is. rows: with doc_id."""
    return rows.orderBy(F.xxhash64("doc_id"), "doc_id").limit(PROBE_TEXTS)


def require_one_space(given: Given, encoded: DataFrame, model: str, field: str) -> float:
    """The mean cosine of given vectors with those that ``model`` makes of the same rows. encoded: doc_id and embedding of some rows.

    Raises DataError where it is below GIVEN_COSINE, or the widths differ."""
    other = encoded.select("doc_id", F.col("embedding").alias("other"))
    product = F.aggregate(F.zip_with("embedding", "other", lambda a, b: a.cast("double") * b), F.lit(0.0), lambda total, one: total + one)
    both = given.vectors.join(other, "doc_id")
    found = both.agg(F.avg(product).alias("cosine"), F.max(F.size("other")).alias("width"), F.count("*").alias("rows")).collect()[
        0
    ]  # one row
    if found["width"] != given.width:
        raise DataError(
            f"{field}.embedding_column: vectors of width {given.width}, and embed.model {model!r} makes {found['width']} numbers; name the embedder that "
            "made them, or give vectors of both sides (source.embedding_column and generate.imported.embedding_column)"
        )
    if found["cosine"] < GIVEN_COSINE:
        raise DataError(
            f"{field}.embedding_column: of {found['rows']} rows the vectors have a mean cosine of {found['cosine']:.3f} with those that embed.model {model!r} "
            f"makes of the same texts, at least {GIVEN_COSINE:g} is needed; name the embedder that made them, with its embed.prompt, "
            "embed.max_tokens and ingest.whitespace, or give vectors of both sides"
        )
    return float(found["cosine"])
