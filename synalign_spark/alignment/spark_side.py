"""Rows of one side in a DataFrame: everything but samples and sums stays on the executors."""

from collections.abc import Mapping, Sequence
from functools import reduce
from operator import or_

import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import from_arrow_schema

from synalign_spark.alignment.sides import REAL_NUMBERS, REAL_SCHEMA, SYNTHETIC_NUMBERS, SYNTHETIC_SCHEMA, Draw, Job
from synalign_spark.compat import to_arrow
from synalign_spark.core.weights import power_of_two_scale
from synalign_spark.spark.groups import by_group, group_column
from synalign_spark.spark.holdout import deciding_id, split
from synalign_spark.spark.keys import unit


class SparkSide:
    """See ``sides.Side``."""

    def __init__(self, frame: DataFrame, texts: DataFrame | None) -> None:
        """frame: the columns of the side; texts: doc_id and text of its rows, or None."""
        self.frame, self._texts = frame, texts

    @property
    def has_texts(self) -> bool:
        return self._texts is not None

    def scan(self, job: Job, schema: pa.Schema, columns: Sequence[str]) -> pa.Table:
        return to_arrow(self.frame.select(*columns).mapInArrow(job, from_arrow_schema(schema))).cast(schema)

    def sample(self, draws: Mapping[str, Draw], columns: Sequence[str]) -> pa.Table:
        taken = {name: _taken(draw) for name, draw in draws.items()}
        wanted = [F.col(name) for name in columns if name != "text"]
        rows = self.frame.where(reduce(or_, taken.values())).select(*wanted, *(column.alias(name) for name, column in taken.items()))
        if self._texts is not None and "text" in columns:
            rows = F.broadcast(rows).join(self._texts, "doc_id")
        return to_arrow(rows).sort_by("doc_id")

    def rebased(self, job: Job, with_texts: bool) -> "SparkSide":
        rows = self.with_texts() if with_texts else self.frame
        return SparkSide(rows.mapInArrow(job, self.frame.schema), self._texts)

    def with_texts(self) -> DataFrame:
        """The rows, with a column ``text`` where there are texts."""
        return self.frame if self._texts is None else self.frame.join(self._texts, "doc_id")

    def text_bytes(self) -> int:
        """Of all texts; 0 where there are none."""
        if self._texts is None:
            return 0
        return to_arrow(self._texts.agg(F.sum(F.octet_length("text")).alias("n"))).to_pylist()[0]["n"] or 0

    def table(self) -> pa.Table:
        return to_arrow(self.frame)


def _taken(draw: Draw) -> Column:
    """Whether a draw takes the row, never null."""
    if not draw.rates:
        return F.lit(False)
    taken = F.col(draw.column) < F.coalesce(by_group(draw.rates), F.lit(0.0))
    if draw.splits:
        taken &= F.col("split").isin(*draw.splits)
    return taken & (F.col("prior") > 0) if draw.weighted else taken


def real_side(
    embeddings: DataFrame,
    texts: DataFrame | None,
    prior: DataFrame | None,
    per_label: bool,
    seed: int,
    *,
    holdout: float,
    validation: float,
    ids_given: bool = False,
) -> SparkSide:
    """Real rows. embeddings: doc_id, label, embedding; texts: doc_id and text, or None; prior: doc_id and prior_weight, of which
    only the ratios count, or None for equal ones; per_label: whether each label is a group; holdout, validation: shares of the rows;
    ids_given: whether the doc_ids are the caller's, so that texts decide what is held out."""
    by_text = ids_given and texts is not None
    if texts is not None and by_text:
        embeddings = embeddings.join(texts, "doc_id")
    if prior is not None:
        embeddings = embeddings.join(prior.select("doc_id", _prior(prior).alias("prior")), "doc_id")
    else:
        embeddings = embeddings.withColumn("prior", F.lit(1.0))
    numbers = {name: unit(seed, purpose, "doc_id") for name, purpose in REAL_NUMBERS.items()}
    columns = {**numbers, "split": split(seed, holdout, validation, deciding_id(by_text)), "prior": F.col("prior").cast("double")}
    return SparkSide(_columns(embeddings, REAL_SCHEMA, per_label, columns), texts)


def synthetic_side(embeddings: DataFrame, synthetic: DataFrame, texts: DataFrame | None, per_label: bool, seed: int) -> SparkSide:
    """Synthetic rows; embedding is null where there is none. synthetic: doc_id, label, prior_weight; texts: doc_id and text, or None;
    per_label: as of ``real_side``."""
    rows = synthetic.select("doc_id", "label", _prior(synthetic).alias("prior")).join(
        embeddings.select("doc_id", "embedding"), "doc_id", "left"
    )
    numbers = {name: unit(seed, purpose, "doc_id") for name, purpose in SYNTHETIC_NUMBERS.items()}
    half = numbers.pop("u_half") < 0.5
    columns = {**numbers, "half": half, "prior": F.col("prior"), "base": F.col("prior")}
    return SparkSide(_columns(rows, SYNTHETIC_SCHEMA, per_label, columns), texts)


def _prior(rows: DataFrame) -> Column:
    """Prior weights of any scale, of which only the ratios count, brought to one that sums in fixed point hold."""
    weight = F.coalesce("prior_weight", F.lit(1.0)).cast("double")
    largest = to_arrow(rows.agg(F.max(weight).alias("largest"))).to_pylist()[0]["largest"]  # one number
    return weight * power_of_two_scale(largest or 0.0)


def _columns(rows: DataFrame, schema: pa.Schema, per_label: bool, columns: Mapping[str, Column]) -> DataFrame:
    given = {**columns, "grp": group_column(per_label)} | {name: F.col(name) for name in ("doc_id", "label", "embedding")}
    unknown = {
        name: F.lit(None).cast("string") for name in ("outlier", "repaired_label")
    }  # as what the base measure is made of, before it is known
    return rows.select(*(given.get(name, unknown.get(name, F.lit(None).cast("double"))).alias(name) for name in schema.names))
