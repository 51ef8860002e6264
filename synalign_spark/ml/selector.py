"""Exploration-aware demonstration sampling as a Spark ML estimator."""

from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
from pydantic import Field
from pyspark.ml import Estimator, Model
from pyspark.ml.util import DefaultParamsReadable, DefaultParamsWritable
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from synalign_spark.api.select import selection_trace
from synalign_spark.compat import from_arrow
from synalign_spark.config import ClusterConfig, Config, EmbedConfig, SelectConfig, SourceConfig
from synalign_spark.core.defaults import HOLDOUT, MOST_HOLDOUT
from synalign_spark.core.sampling.strata import posterior_sd
from synalign_spark.ml.kmeans import Clustered, Float64Array
from synalign_spark.ml.shared import TableWritable, with_columns, with_param, with_section
from synalign_spark.spark.columns import RealColumns, sets_of
from synalign_spark.spark.explore import explore
from synalign_spark.spark.user_columns import vector_column
from synalign_spark.udfs.arrow import from_matrix
from synalign_spark.udfs.embed import embed_udf
from synalign_spark.udfs.encoder import encoder_info

UNCERTAINTY = pa.schema([("of_label", pa.string()), ("of_cluster", pa.int32()), ("posterior_sd", pa.float64())])


@with_section("embed")
@with_columns("text", "label", "embedding", "posterior_sd", embedding=None)
class _Explored(Clustered):
    """Columns that both the estimator and its model read, and the encoder of texts where no column holds vectors."""

    def vectors(self, frame: DataFrame) -> Column:
        """The vectors of a frame's rows: its embedding column, or its texts encoded."""
        if self.getEmbedding() is not None:
            return vector_column(frame, self.getEmbedding())
        RealColumns(self.getText()).check(frame.columns)
        encoded: Column = embed_udf(encoder_info(EmbedConfig(**self.options("embed"))))(F.col(self.getText()).cast("string"))
        return encoded


@with_section("select", leave_out=["demonstration_sets"])
@with_section("cluster")
@with_param("n", "Demonstrations in all: n // rows_per_set sets.", 60, Annotated[int, Field(ge=1)])
@with_param("seed", "Seed of the rows held out, the k-means sample, its start, and of the choice of rows by hash.", 0, int)
@with_param(
    "holdout", "Share of the rows that are not shown and shape no cluster: those that an alignment with this seed holds out.",
    HOLDOUT, Annotated[float, Field(ge=0, lt=MOST_HOLDOUT)],
)  # fmt: skip
@with_columns("id", "weight")
class ExplorationSelector(
    _Explored, Estimator["ExplorationSelectorModel"], DefaultParamsReadable["ExplorationSelector"], DefaultParamsWritable
):
    """Picks the clusters that a Gaussian process knows least about, and rows of them as demonstrations.

    The same as :func:`synalign_spark.api.select.select`, and a model besides, which tells how far the demonstrations reach.
    Parameters: n, seed, holdout, text, label, embedding, id, weight, cluster_id, sq_distance, posterior_sd (columns), and the keys of
    the configuration's sections ``select``, ``cluster`` and ``embed``.

    >>> from synalign_spark.ml import ExplorationSelector
    >>> reviews = spark.createDataFrame([("fine", [1.0, 0.1]), ("good", [1.0, 0.0]), ("bad", [0.0, 1.0])], "text string, vec array<float>")
    >>> model = ExplorationSelector(embedding="vec", n=1, rows_per_set=1, k=2, holdout=0).fit(reviews)
    >>> [row.cluster_id for row in model.demonstrations.collect()]
    [0]
    >>> {row.text: round(row.posterior_sd, 2) for row in model.transform(reviews).collect()}
    {'fine': 0.1, 'good': 0.1, 'bad': 0.8}"""

    def _fit(self, dataset: DataFrame) -> "ExplorationSelectorModel":
        """See :func:`synalign_spark.spark.explore.explore`: what runs where, and what it raises."""
        columns = RealColumns(self.getText(), self.getLabel(), self.getEmbedding(), self.getId(), self.getWeight())
        cfg = self._configuration()
        found = explore(dataset, columns, cfg, self.getSeed(), holdout=self.getHoldout())
        model = ExplorationSelectorModel()
        model.centroids, model.shown = found.clusters.centroids, found.shown
        model.uncertainty = _uncertainty(posterior_sd(found.clusters, cfg.select, found.sets))
        return self._copyValues(model)

    def _configuration(self) -> Config:
        sets = sets_of(self.getN(), self.getRowsPerSet())
        return Config(
            source=SourceConfig(table="the given frame"),
            select=SelectConfig(**self.options("select"), demonstration_sets=sets),
            cluster=ClusterConfig(**self.options("cluster")),
            embed=EmbedConfig(**self.options("embed")),
        )


class ExplorationSelectorModel(_Explored, Model, TableWritable):
    """The demonstrations, and what is still unknown beside them.

    centroids: (k, d) float64; shown: the demonstrations as an Arrow table; uncertainty: UNCERTAINTY rows, one a label and cluster."""

    stored_tables = ("centroids", "demonstrations", "uncertainty")
    centroids: Float64Array = np.empty((0, 0))
    shown: pa.Table = pa.table({})
    uncertainty: pa.Table = UNCERTAINTY.empty_table()

    @property
    def demonstrations(self) -> DataFrame:
        """The rows to show, with the columns that ``select()`` returns."""
        return from_arrow(SparkSession.active(), self.shown)

    @property
    def trace(self) -> DataFrame:
        """How uncertainty fell, one row a demonstration set: the ``selection_trace`` table's columns."""
        return selection_trace(self.demonstrations)

    def _transform(self, dataset: DataFrame) -> DataFrame:
        """Adds the nearest centroid, the squared distance to it, and the posterior standard deviation there: near 1 where no
        demonstration reaches, near 0 beside one; null for a label that the fitted rows did not have.

        A vector that is null, of another width or not finite fails the job."""
        clustered = self.with_clusters(dataset, self.vectors(dataset), self.centroids)
        uncertainty = from_arrow(dataset.sparkSession, self.uncertainty.rename_columns(["of_label", "of_cluster", "__posterior_sd"]))
        same = clustered[self.getClusterId()] == uncertainty["of_cluster"]
        if self.getLabel() is not None:
            same = same & (clustered[self.getLabel()].cast("string") == uncertainty["of_label"])
        joined = clustered.join(F.broadcast(uncertainty), same, "left")
        return joined.withColumn(self.getPosteriorSd(), F.col("__posterior_sd")).drop("of_label", "of_cluster", "__posterior_sd")

    def to_tables(self) -> dict[str, pa.Table]:
        centroids = pa.table({"centroid": from_matrix(self.centroids, pa.float64())})
        return {"centroids": centroids, "demonstrations": self.shown, "uncertainty": self.uncertainty}

    def from_tables(self, stored: Mapping[str, pa.Table]) -> None:
        self.centroids = np.array(stored["centroids"]["centroid"].to_pylist(), dtype=np.float64)
        self.shown, self.uncertainty = stored["demonstrations"], stored["uncertainty"]


def _uncertainty(by_label: Mapping[str | None, Float64Array]) -> pa.Table:
    rows: list[dict[str, Any]] = [
        {"of_label": label, "of_cluster": cluster_id, "posterior_sd": value}
        for label, values in by_label.items()
        for cluster_id, value in enumerate(values.tolist())
    ]
    return pa.Table.from_pylist(rows, schema=UNCERTAINTY)
