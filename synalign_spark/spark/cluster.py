"""Clusters the real corpus: k-means fitted on all rows, then one pass that assigns every row."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from synalign_spark.compat import from_arrow, to_arrow
from synalign_spark.config import ClusterConfig
from synalign_spark.core.sampling.clusters import by_number_of_rows
from synalign_spark.errors import DataError
from synalign_spark.spark.cluster_fit import fit_clusters
from synalign_spark.spark.holdout import held_out
from synalign_spark.storage.tables import CENTROIDS
from synalign_spark.udfs.arrow import from_matrix, widths_udf
from synalign_spark.udfs.assign import assign_udf


@dataclass(frozen=True)
class _Tally:
    """What the assigned rows add up to, by the cluster ids of the fit. rows, inertia: (k,)."""

    rows: npt.NDArray[np.int64]
    inertia: npt.NDArray[np.float64]
    labels: list[dict[str, int]]


@contextlib.contextmanager
def cluster(
    embeddings: DataFrame, cfg: ClusterConfig, seed: int, holdout: float = 0.0, report: Callable[[str], None] = lambda text: None
) -> Iterator[tuple[DataFrame, DataFrame]]:
    """Yields ``centroids`` and ``clusters`` by their table contracts: ``with cluster(e, cfg, seed) as (centroids, clusters)``.

    embeddings: doc_id, label, embedding (array<float>) of the real rows, one row a doc_id. holdout: share of the rows that shape no
    cluster; every row gets its nearest centroid, and only rows that are not held out are counted.
    On the driver: LOCAL_BYTES of vectors at most, k centroids, k * labels counts. On the executors: where there are more, the vectors
    while k-means is fitted; the assignment, kept (memory, then disk) while the block lasts because it is read twice: to count and to
    write. report: is told where k-means is fitted and on how many rows.
    Raises DataError for no rows, fewer rows than clusters, unusable vectors or vectors of different widths."""
    held = held_out(seed, holdout)
    n_rows, width = _check(embeddings, held)
    fitted = fit_clusters(embeddings.where(~held), cfg, seed, n_rows, width, report)  # each of its centroids is the nearest of some row
    assigned = embeddings.select("doc_id", "label", assign_udf(fitted.centroids)("embedding").alias("at"))
    assigned = assigned.select("doc_id", "label", "at.cluster_id", "at.sq_distance").persist()
    try:
        tally = _tally(assigned.where(~held), len(fitted.centroids))
        kept, renumbered = by_number_of_rows(tally.rows, fitted.centroids)
        yield _centroids(embeddings, fitted.centroids, tally, kept), _renumbered(assigned, renumbered)
    finally:
        assigned.unpersist()


def _check(embeddings: DataFrame, held: Column) -> tuple[int, int]:
    """The number of rows that are not held out and the width of all, after one pass that looks at every vector. Raises DataError where k-means could not run."""
    width = widths_udf()("embedding").alias("width")
    found = embeddings.select(width, held.alias("held")).agg(
        F.count("*").alias("rows"),
        F.count_if(~F.col("held")).alias("shown"),
        F.count_if(F.col("width") < 1).alias("unusable"),
        F.min("width").alias("narrow"),
        F.max("width").alias("wide"),
    )  # fmt: skip
    seen = to_arrow(found).to_pylist()[0]  # one row
    if not seen["rows"]:
        raise DataError("cluster: the embeddings table holds no real rows; run `embed` on a corpus that has rows")
    if seen["unusable"]:
        raise DataError(
            f"cluster: {seen['unusable']} of {seen['rows']} embeddings are null, empty or hold NaN or infinity; run `embed` again"
        )
    if seen["narrow"] != seen["wide"]:
        raise DataError(f"cluster: embeddings of width {seen['narrow']} and {seen['wide']} in one table; run `embed` again with one model")
    if not seen["shown"]:
        raise DataError(f"cluster: all {seen['rows']} real rows are held out; add rows, or lower align.holdout")
    return int(seen["shown"]), int(seen["wide"])


def _tally(assigned: DataFrame, k: int) -> _Tally:
    counted = assigned.groupBy("cluster_id", "label").agg(F.count("*").alias("rows"), F.sum("sq_distance").alias("inertia"))
    tally = _Tally(np.zeros(k, dtype=np.int64), np.zeros(k), [{} for _ in range(k)])
    # At most k * labels rows; sorted, so that the sums do not depend on the order of arrival.
    for row in sorted(to_arrow(counted).to_pylist(), key=lambda row: (row["cluster_id"], row["label"] or "")):
        tally.rows[row["cluster_id"]] += row["rows"]
        tally.inertia[row["cluster_id"]] += row["inertia"]
        if row["label"] is not None:
            tally.labels[row["cluster_id"]][row["label"]] = row["rows"]
    return tally


def _centroids(embeddings: DataFrame, centroids: npt.NDArray[np.float64], tally: _Tally, order: npt.NDArray[np.int64]) -> DataFrame:
    rows = tally.rows[order]
    columns = [
        pa.array(np.arange(len(order), dtype=np.int32)),
        from_matrix(centroids[order], pa.float64()),
        pa.array(rows),
        pa.array(rows / rows.sum()),
        pa.array([list(tally.labels[i].items()) for i in order], type=pa.map_(pa.string(), pa.int64())),
        pa.array(tally.inertia[order]),
    ]
    return from_arrow(embeddings.sparkSession, pa.Table.from_arrays(columns, schema=CENTROIDS.arrow))


def _renumbered(assigned: DataFrame, new_id: npt.NDArray[np.int64]) -> DataFrame:
    """Cluster ids of the fit become ranks by number of rows in the corpus."""
    looked_up = F.element_at(F.array(*(F.lit(int(i)) for i in new_id)), F.col("cluster_id") + 1)
    return assigned.select("doc_id", "label", looked_up.cast("int").alias("cluster_id"), "sq_distance")
