"""Bounded hash samples of both sides on the driver, for what chooses the strength: vectors and texts of about 4,000 real rows a half
and 20,000 synthetic ones, in the order of the ids.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from synalign_spark.alignment.base_measure import half_column
from synalign_spark.alignment.inputs import Survey
from synalign_spark.alignment.runtimes.local import in_order, logs
from synalign_spark.config.alignment import AlignConfig
from synalign_spark.core.features import FeatureMap
from synalign_spark.core.solver.path import Sample
from synalign_spark.core.strength.candidates import Half, Pool
from synalign_spark.core.strength.classifiers import Labelled, Views, hashed_ngrams
from synalign_spark.core.strength.density_ratio import Texts
from synalign_spark.spark.groups import by_group
from synalign_spark.spark.keys import unit
from synalign_spark.udfs.arrow import to_matrix

VALIDATION_ROWS = 4_000  # real rows a half
HALVES = ("fit", "validation")
RARE_VALIDATION_ROWS = 500  # real rows of a label on the driver, where it has so many
FEWEST_SAMPLE_ROWS = 1_000  # synthetic rows of each group


@dataclass(frozen=True)
class SideSample:
    """Rows of one side that have weight. views: their two views, labels and weights; group: (n,); half: (n,), see ``align_base.half_column``."""

    views: Views
    group: npt.NDArray[np.object_]
    half: npt.NDArray[np.bool_]

    @property
    def texts(self) -> Texts:
        """The words of the rows."""
        return Texts(self.views.ngrams, self.group, self.views.weight, self.half)

    @property
    def labelled(self) -> Labelled:
        """Embeddings, labels and weights."""
        return self.views.x, self.views.labels, self.views.weight


def real_side(real: DataFrame, texts: DataFrame, counts: Survey, validated: list[str], seed: int) -> SideSample:
    """Of the real rows that shape the weights, of both halves."""
    kept, weight = _validation_rows(real, counts, validated)
    return _side(kept.withColumn("weight", weight), texts, seed)


def synthetic_side(synthetic: DataFrame, texts: DataFrame, counts: Survey, cfg: AlignConfig, validated: list[str], seed: int) -> SideSample:
    """Of the synthetic rows, with the weights that they came with."""
    return _side(_sampled(synthetic, counts, cfg, validated).where(F.col("prior") > 0).withColumn("weight", F.col("prior")), texts, seed)


def _side(rows: DataFrame, texts: DataFrame, seed: int) -> SideSample:
    kept = rows.select("doc_id", "label", "grp", "weight", "embedding", half_column(seed).alias("half"))
    table = F.broadcast(kept).join(texts, "doc_id").toArrow().sort_by("doc_id")
    group, half = (np.asarray(table.column(name).to_pylist(), dtype=kind) for name, kind in (("grp", object), ("half", bool)))
    return SideSample(_views(table, to_matrix(table.column("embedding")), "weight"), group, half)


def real_halves(
    real: DataFrame, texts: DataFrame, means: Mapping[str, Mapping[str, Sample]], counts: Survey, validated: list[str]
) -> tuple[Half, Half]:
    """Both halves of the real rows: means of all rows, vectors and texts of a sample."""
    kept, weight = _validation_rows(real, counts, validated)
    columns = kept.select("doc_id", "label", "split", weight.alias("weight"), "embedding")
    table = F.broadcast(columns).join(texts, "doc_id").toArrow()  # about 2 x VALIDATION_ROWS rows
    table = table.sort_by("doc_id")
    split = np.asarray(table.column("split").to_pylist())
    found = []
    for name in HALVES:
        part = table.filter(pa.array(split == name))
        found.append(Half({group: means[group][name] for group in validated}, _views(part, to_matrix(part.column("embedding")), "weight")))
    return found[0], found[1]


def synthetic_pool(
    synthetic: DataFrame, texts: DataFrame, counts: Survey, features: FeatureMap, cfg: AlignConfig, seed: int, validated: list[str]
) -> Pool:
    """A sample of the synthetic rows with their texts, by group and id."""
    kept = _sampled(synthetic, counts, cfg, validated)
    draw = unit(seed, "align.probe0", "doc_id").alias("draw")
    sample = kept.select("doc_id", "label", "grp", "prior", "embedding", draw, half_column(seed).alias("half"))
    rows, group, x = in_order(F.broadcast(sample).join(texts, "doc_id").toArrow())
    draws, half = rows.column("draw").to_numpy(), rows.column("half").to_numpy(zero_copy_only=False)
    return Pool(_views(rows, x, "prior"), group, features(x), logs(rows, "prior"), draws, half)


def _validation_rows(real: DataFrame, counts: Survey, validated: list[str]) -> tuple[DataFrame, Column]:
    """About VALIDATION_ROWS real rows of each half and the weight of each: a rare label's rows nearly all, which then weigh less."""
    rows = sum(counts.real.values())
    rates = {group: min(1.0, max(2.5 * VALIDATION_ROWS / rows, RARE_VALIDATION_ROWS / counts.real[group])) for group in validated}
    usable = (F.col("split") != "holdout") & (F.col("prior") > 0) & F.col("grp").isin(validated)
    return real.where(usable).where(F.col("u") < by_group(rates)), F.col("prior") / by_group(rates)


def _sampled(synthetic: DataFrame, counts: Survey, cfg: AlignConfig, validated: list[str]) -> DataFrame:
    """About ``warm_start_rows`` synthetic rows of the labels that are validated."""
    share = cfg.warm_start_rows / sum(counts.synthetic.values())
    rates = {group: min(1.0, max(share, FEWEST_SAMPLE_ROWS / counts.synthetic[group])) for group in validated}
    return synthetic.where(F.col("grp").isin(validated)).where(F.col("u_warm") < by_group(rates))


def _views(table: pa.Table, x: npt.NDArray[np.float32], weight: str) -> Views:
    labels = np.asarray(table.column("label").to_pylist(), dtype=object)
    return Views(x, hashed_ngrams(table.column("text").to_pylist()), labels, table.column(weight).to_numpy())
