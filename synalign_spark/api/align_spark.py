"""``align`` on Spark DataFrames: rows stay on the executors; see :mod:`synalign_spark.alignment.procedure` for what reaches the driver."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import pyarrow as pa
from pyspark import StorageLevel
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from synalign_spark.alignment.align import within_labels
from synalign_spark.alignment.certificate import Certificate
from synalign_spark.alignment.procedure import align_sides
from synalign_spark.alignment.scoring import Scorer
from synalign_spark.alignment.sides import Side
from synalign_spark.alignment.spark_side import SparkSide, real_side, synthetic_side
from synalign_spark.api.alignment import WEIGHT_COLUMNS, Alignment
from synalign_spark.api.columns import AlignColumns
from synalign_spark.api.frames import check_largest
from synalign_spark.api.vector_ids import vector_id
from synalign_spark.compat import TEXTS, VECTORS, arrow_udf, as_number, from_arrow, to_arrow
from synalign_spark.config import AlignConfig, EmbedConfig
from synalign_spark.core.groups import ALL, group_of
from synalign_spark.core.sample_weights import LabelRows, sample_weights_by_label, wanted_shares
from synalign_spark.errors import DataError
from synalign_spark.spark.columns import check_zeros
from synalign_spark.spark.embed import encoding_tasks
from synalign_spark.spark.groups import by_group, label_group
from synalign_spark.spark.keys import content_id, labelled_content_id
from synalign_spark.spark.user_columns import is_zeros, label_column, text_column, user_column, vector_column
from synalign_spark.sql_names import quoted_name
from synalign_spark.storage.tables import WEIGHTS
from synalign_spark.udfs.arrow import to_matrix
from synalign_spark.udfs.embed import embed_udf
from synalign_spark.udfs.encoder import encoder_info

ROW_ID, PRIOR = "_synalign_id", "_synalign_prior"  # columns beside the user's own while the call lasts
STORAGE = StorageLevel.MEMORY_AND_DISK
MOST_LABELS = 10_000  # that reach the driver


@dataclass(frozen=True)
class Frame:
    """The rows of one DataFrame. named: the user's columns with ROW_ID and PRIOR; distinct: doc_id, text, label, embedding and prior of each
    id, as far as the user named them; rows: their number; groups: by group their number and the sum of their prior weights."""

    named: DataFrame
    distinct: DataFrame
    rows: int
    groups: Mapping[str, LabelRows]


def align_spark(
    real: DataFrame, synthetic: DataFrame, columns: AlignColumns, cfg: AlignConfig, encoder: EmbedConfig, seed: int,
    report: Callable[[str], None],
) -> Alignment[DataFrame]:  # fmt: skip
    """:func:`synalign_spark.api.align.align` for Spark. Raises DataError for unusable rows.

    Embeddings are kept on the executors while the call lasts; the weights are computed once and kept until the caller unpersists them."""
    spark = real.sparkSession
    kept: list[DataFrame] = []

    def keep(side: Side) -> Side:
        if isinstance(side, SparkSide):
            kept.append(side.frame.persist(STORAGE))
        return side

    frames = frame_of(real, columns, "real", columns.real_weight), frame_of(synthetic, columns, "synthetic", columns.synthetic_weight)
    vectors = [_embedded(frame, columns, encoder) for frame in frames]
    texts = [None if columns.text is None else frame.distinct.select("doc_id", "text") for frame in frames]
    prior = [frame.distinct.select("doc_id", F.col("prior").alias("prior_weight")) for frame in frames]
    try:
        splits = {"holdout": cfg.holdout, "validation": cfg.validation}
        given = columns.id is not None
        first = keep(real_side(vectors[0], texts[0], prior[0], cfg.per_label, seed, **splits, ids_given=given))
        second = keep(synthetic_side(vectors[1], vectors[1].join(prior[1], "doc_id"), texts[1], cfg.per_label, seed))
        found = align_sides(first, second, cfg, seed, report, spark, keep=keep)
        weights = from_arrow(spark, found.weights, WEIGHTS.ddl) if isinstance(found.weights, pa.Table) else found.weights
        weights = weights if cfg.per_label else within_labels(weights)
        real_rows, share = frames[0].groups, _share_by_group(weights)
        synthetic_rows = {group: replace(of_group, weight=share[group]) for group, of_group in frames[1].groups.items()}
        scales = sample_weights_by_label(wanted_shares(real_rows, cfg.label_shares), real_rows, synthetic_rows, found.mixing_weight)
        result = _spread(frames[1], weights, scales.synthetic).persist(STORAGE)
        result.count()  # before what it is made of is given back
    finally:
        for frame in kept:
            frame.unpersist()
    taught = (
        frames[0].named.withColumn("sample_weight", F.col(PRIOR) * _of_group(scales.real, frames[0].named, columns)).drop(ROW_ID, PRIOR)
    )
    return Alignment(result, taught, Certificate(found.certificate), found.trace, found.scorer, scales.synthetic)


def _share_by_group(weights: DataFrame) -> dict[str, float]:
    """Sum of the weights of each label's rows; a row a label reaches the driver."""
    summed = to_arrow(weights.groupBy("label").agg(F.sum("weight").alias("weight"))).to_pylist()
    return {group_of(row["label"]): row["weight"] for row in summed}


def _of_group(values: Mapping[str, float], frame: DataFrame, columns: AlignColumns) -> Column:
    """The value of each row's group; 0 for a group without one."""
    label = label_column(frame, columns.label) if columns.label else F.lit(None).cast("string")
    return F.coalesce(by_group(values, label_group(label)), F.lit(0.0))


def weigh_spark(frame: DataFrame, columns: AlignColumns, scorer: Scorer, encoder: EmbedConfig, scale: Mapping[str, float]) -> DataFrame:
    """The rows with the weights that an earlier alignment gives them. scale: of ``Alignment.sample_scale``.

    Checks the rows in one pass; the weights themselves are made when they are asked for. Raises DataError as align does."""
    rows = frame_of(frame, columns, "synthetic", columns.synthetic_weight)
    if columns.label is not None and scorer.per_label:
        scorer.check_labels({row["label"] for row in rows.distinct.select("label").distinct().limit(MOST_LABELS).collect()})
    vectors = _embedded(rows, columns, encoder)
    first = (
        to_arrow(vectors.select("embedding").limit(1)).column("embedding").to_pylist()
    )  # one vector: all that can be known before the job
    if first and first[0] is not None:
        scorer.check_width(len(first[0]))
    prior = rows.distinct.select("doc_id", F.col("prior").alias("prior_weight"))
    texts = None if columns.text is None else rows.distinct.select("doc_id", "text")
    weights = scorer.weights(synthetic_side(vectors, vectors.join(prior, "doc_id"), texts, scorer.per_label, scorer.seed))
    return _spread(rows, weights if scorer.per_label or columns.label is None else within_labels(weights), scale)


def frame_of(frame: DataFrame, columns: AlignColumns, side: str, weight: str | None) -> Frame:
    """The rows of a DataFrame, checked in one pass. Raises DataError naming the column and how many rows."""
    if taken := [name for name in frame.columns if name in (ROW_ID, PRIOR)]:
        raise DataError(f"the {side} frame has a column {taken[0]}, a name that is used here; rename it")
    prior = F.lit(1.0) if weight is None else _weight(weight)
    named = _with_id(frame, columns).withColumn(PRIOR, F.when(F.isnan(prior), 1.0).otherwise(prior))
    parts = [F.col(ROW_ID).alias("doc_id"), F.col(PRIOR).alias("prior")]
    parts += [text_column(frame, columns.text).alias("text")] if columns.text else []
    parts += [label_column(frame, columns.label).alias("label")] if columns.label else [F.lit(None).cast("string").alias("label")]
    parts += [vector_column(frame, columns.embedding).alias("embedding")] if columns.embedding else []
    rows = named.select(*parts)
    n_rows, prior_sum = _check(rows, columns, side)
    groups = _groups(rows) if columns.label else {ALL: LabelRows(n_rows, prior_sum)}
    same = [F.min(name).alias(name) for name in rows.columns if name not in ("doc_id", "prior")]
    return Frame(named, rows.groupBy("doc_id").agg(*same, F.sum("prior").alias("prior")), n_rows, groups)


def _groups(rows: DataFrame) -> dict[str, LabelRows]:
    """Rows of some prior weight, and its sum, by label; a row a label reaches the driver."""
    summed = to_arrow(rows.groupBy("label").agg(F.count_if(F.col("prior") > 0).alias("rows"), F.sum("prior").alias("prior"))).to_pylist()
    return {group_of(row["label"]): LabelRows(row["rows"], row["prior"]) for row in summed}


def _weight(name: str) -> Column:
    """The weights as numbers: 1 where there is none, -1, which the check refuses, where it is no number."""
    value = as_number(user_column(name).cast("string"))
    return F.when(user_column(name).isNull(), 1.0).otherwise(F.coalesce(value, F.lit(-1.0)))


def _with_id(frame: DataFrame, columns: AlignColumns) -> DataFrame:
    if columns.id is not None:
        return frame.withColumn(ROW_ID, user_column(columns.id).cast("string"))
    if columns.text is not None:
        typed = frame.withColumn(ROW_ID, text_column(frame, columns.text))
        if columns.label is None:
            return typed.withColumn(ROW_ID, content_id(ROW_ID))
        labelled = typed.withColumn(PRIOR, label_column(frame, columns.label))
        return labelled.withColumn(ROW_ID, labelled_content_id(ROW_ID, PRIOR)).drop(PRIOR)
    label = F.lit(None).cast("string") if columns.label is None else label_column(frame, columns.label)
    return frame.withColumn(ROW_ID, arrow_udf(_vector_ids, "string", VECTORS, TEXTS)(vector_column(frame, columns.embedding or ""), label))


def _vector_ids(vectors: pa.Array, labels: pa.Array) -> pa.Array:
    rows = zip(to_matrix(vectors), labels.to_pylist(), strict=True)
    return pa.array([vector_id(vector, label) for vector, label in rows], pa.string())


def _check(rows: DataFrame, columns: AlignColumns, side: str) -> tuple[int, float]:
    """The number of rows and the sum of their prior weights, in one pass."""
    none = F.lit(0)
    counts = {
        "text": F.count_if(~F.coalesce(F.col("text"), F.lit("")).rlike(r"\S")) if columns.text else none,
        "label": F.count_if(F.col("label").isNull()) if columns.label else none,
        "id": F.count("*") - F.count_distinct("doc_id") if columns.id else none,
        "weight": F.count_if(~(F.col("prior") >= 0) | (F.col("prior") == float("inf"))),
    }
    counts |= {"zeros": F.count_if(is_zeros(F.col("embedding"))) if columns.embedding else none}
    sums = {"rows": F.count("*"), "prior": F.coalesce(F.sum("prior"), F.lit(0.0)), "largest": F.coalesce(F.max("prior"), F.lit(0.0))}
    found = to_arrow(rows.agg(*[column.alias(name) for name, column in (counts | sums).items()])).to_pylist()[0]  # one row
    words = {"text": "hold no text; filter them out", "label": "have no label, or a number that is not whole; fill them or filter them out",
             "id": "have no id, or that of another row; fill them, or leave id out",
             "weight": "have a negative or infinite weight, or none that is a number; give numbers >= 0"}  # fmt: skip
    for role, fix in words.items():
        if found[role]:
            name = getattr(columns, f"{side}_weight" if role == "weight" else role)
            raise DataError(f"{role}={name!r}: {found[role]} of {found['rows']} {side} rows {fix}")
    if not found["rows"]:
        raise DataError(f"{side}: the frame has no rows; give it some")
    check_zeros(found["zeros"], found["rows"], columns.embedding)
    check_largest(float(found["largest"]), side, getattr(columns, f"{side}_weight") or "")
    return int(found["rows"]), float(found["prior"])


def _embedded(frame: Frame, columns: AlignColumns, encoder: EmbedConfig) -> DataFrame:
    """doc_id, label and embedding of the distinct rows."""
    if columns.embedding is not None:
        return frame.distinct.select("doc_id", "label", "embedding")
    spread = frame.distinct.repartition(encoding_tasks(frame.named.sparkSession, frame.rows), "doc_id")
    return spread.select("doc_id", "label", embed_udf(encoder_info(encoder))("text").alias("embedding"))


def _spread(frame: Frame, weights: DataFrame, scale: Mapping[str, float]) -> DataFrame:
    """The user's rows with the weights of their ids: rows of one id share by their prior weights."""
    own_prior, total = F.col(f"rows.{PRIOR}"), F.col("found.prior")
    part = F.when(total > 0, own_prior / total).otherwise(F.lit(0.0))
    of_id = weights.join(frame.distinct.select("doc_id", "prior"), "doc_id")
    kept = [
        F.col(f"rows.{quoted_name(name)}")
        for name in frame.named.columns
        if name not in (ROW_ID, PRIOR) and name.casefold() not in WEIGHT_COLUMNS
    ]
    joined = frame.named.alias("rows").join(of_id.alias("found"), F.col(f"rows.{ROW_ID}") == F.col("found.doc_id"))
    shared = [(F.col(f"found.{name}") * part if "weight" in name else F.col(f"found.{name}")).alias(name) for name in WEIGHT_COLUMNS[:-1]]
    sample_weight = (F.col("found.weight") * part * F.coalesce(by_group(scale, label_group(F.col("found.label"))), F.lit(0.0))).alias(
        "sample_weight"
    )
    return joined.select(*kept, *shared, sample_weight)
