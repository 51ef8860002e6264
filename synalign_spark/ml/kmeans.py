"""k-means as a Spark ML estimator: every choice by hash, so that no partitioning changes the centroids."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.ml import Estimator, Model
from pyspark.ml.util import DefaultParamsReadable, DefaultParamsWritable
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from synalign_spark.config import ClusterConfig
from synalign_spark.ml.shared import KeywordParams, TableWritable, with_columns, with_param, with_section
from synalign_spark.spark.cluster import cluster
from synalign_spark.spark.select import label_clusters
from synalign_spark.spark.user_columns import vector_column
from synalign_spark.udfs.arrow import from_matrix
from synalign_spark.udfs.assign import assign_udf

Float64Array = npt.NDArray[np.float64]
FOUND = "__nearest"  # while both columns are taken out of it


@with_columns("embedding", "cluster_id", "sq_distance")
class Clustered(KeywordParams):
    """The columns that a model of clusters reads and adds."""

    def with_clusters(self, frame: DataFrame, vectors: Column, centroids: Float64Array) -> DataFrame:
        """The frame with the nearest of ``centroids`` (ties to the smaller id) and the squared distance to it."""
        found = frame.withColumn(FOUND, assign_udf(centroids)(vectors))
        columns = {self.getClusterId(): F.col(f"{FOUND}.cluster_id"), self.getSqDistance(): F.col(f"{FOUND}.sq_distance")}
        return found.withColumns(columns).drop(FOUND)


@with_section("cluster")
@with_param("seed", "Seed of the order of the rows and of the start.", 0, int)
@with_columns("id")
class SynAlignKMeans(Clustered, Estimator["SynAlignKMeansModel"], DefaultParamsReadable["SynAlignKMeans"], DefaultParamsWritable):
    """Mini-batch k-means finished by full passes (Sculley 2010, Lloyd 1982) over a column of vectors.

    Parameters: embedding, id, cluster_id, sq_distance (columns), seed, and the keys of the configuration's section
    ``cluster``: k, sample_rows, memory_gb, batch_rows, max_epochs, tolerance.

    >>> from synalign_spark.ml import SynAlignKMeans
    >>> vectors = spark.createDataFrame([([0.0, 0.1],), ([0.1, 0.0],), ([5.0, 5.0],)], "vec array<float>")
    >>> model = SynAlignKMeans(embedding="vec", k=2).fit(vectors)
    >>> sorted(row.cluster_id for row in model.transform(vectors).collect())
    [0, 0, 1]"""

    def _fit(self, dataset: DataFrame) -> "SynAlignKMeansModel":
        """Fits on the driver, or where there are many vectors in a barrier stage; two passes over the rows on the executors.

        Raises DataError for no rows, fewer rows than clusters and vectors that cannot be used."""
        vectors = dataset.select(vector_column(dataset, self.getEmbedding()).alias("embedding"), *self._given_id())
        if self.getId() is None:  # equal vectors may share an id: which of them is sampled changes nothing
            vectors = vectors.withColumn("doc_id", F.sha2(F.array_join(F.col("embedding").cast("array<string>"), ",", "null"), 256))
        rows = vectors.withColumn("label", F.lit(None).cast("string"))
        with cluster(rows, ClusterConfig(**self.options("cluster")), self.getSeed()) as (centroids, _):
            found = label_clusters(centroids)
        model = SynAlignKMeansModel()
        model.centroids, model.n_rows = found.centroids, found.rows[None]
        return self._copyValues(model)

    def _given_id(self) -> list[Any]:
        return [] if self.getId() is None else [F.col(self.getId()).cast("string").alias("doc_id")]


class SynAlignKMeansModel(Clustered, Model, TableWritable):
    """Centroids by falling number of rows.

    centroids: (k, d) float64; n_rows: (k,) rows nearest to each when it was fitted."""

    stored_tables = ("centroids",)
    centroids: Float64Array = np.empty((0, 0))
    n_rows: npt.NDArray[np.int64] = np.empty(0, dtype=np.int64)

    def clusterCenters(self) -> list[Float64Array]:  # noqa: N802  # Spark ML's name
        """The centroids as a list, as Spark's own models give them."""
        return list(self.centroids)

    def _transform(self, dataset: DataFrame) -> DataFrame:
        """Adds the nearest centroid (ties to the smaller id) and the squared distance to it.

        A vector that is null, of another width or not finite fails the job."""
        return self.with_clusters(dataset, vector_column(dataset, self.getEmbedding()), self.centroids)

    def to_tables(self) -> dict[str, pa.Table]:
        return {"centroids": pa.table({"centroid": from_matrix(self.centroids, pa.float64()), "n_rows": pa.array(self.n_rows)})}

    def from_tables(self, stored: Mapping[str, pa.Table]) -> None:
        self.centroids = np.array(stored["centroids"]["centroid"].to_pylist(), dtype=np.float64)
        self.n_rows = stored["centroids"]["n_rows"].to_numpy()
