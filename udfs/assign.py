"""The nearest centroid of each vector, as a column expression for DataFrames and SQL.

``assign_udf(centroids)("embedding")`` is a struct ``cluster_id int, sq_distance double``. The centroids
travel inside the function: they are few, and each Python worker unpacks them once.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
from pyspark.sql.functions import arrow_udf, pandas_udf  # type: ignore[attr-defined]  # not in its own export list
from pyspark.sql.types import DoubleType, IntegerType, StructField, StructType

from synalign_spark.core.sampling.neighbours import nearest
from synalign_spark.udfs.arrow import from_matrix, to_matrix

# A type object, not DDL text: text can only be parsed where Spark runs.
ASSIGNED = StructType([StructField("cluster_id", IntegerType()), StructField("sq_distance", DoubleType())])
ASSIGNED_TYPE = pa.struct([("cluster_id", pa.int32()), ("sq_distance", pa.float64())])
# The function is shipped with every task; 5,000 centroids of 768 doubles are 29 MiB.
MAX_CENTROID_BYTES = 64 * 2**20


def assign(embeddings: pa.Array | pa.ChunkedArray, centroids: npt.NDArray[np.float64]) -> pa.StructArray:
    """Nearest centroid of each vector of an Arrow list column.

    embeddings: n lists of d numbers; centroids: (k, d) float64.
    Returns n structs of cluster_id (row of ``centroids``, ties to the smaller) and squared Euclidean distance.
    Raises DataError for null, ragged or non-finite vectors, ValueError for another width than the centroids'."""
    ids, sq_dist = nearest(to_matrix(embeddings), centroids)
    return pa.StructArray.from_arrays([pa.array(ids), pa.array(sq_dist)], fields=list(ASSIGNED_TYPE))


def assign_udf(centroids: npt.NDArray[np.float64]) -> Callable[..., Any]:
    """:func:`assign` as an iterator ``arrow_udf`` (Spark 4.1 and later): the fast form.

    centroids: (k, d) float64, at most MAX_CENTROID_BYTES. Register it for SQL by
    ``spark.udf.register("synalign_assign", assign_udf(centroids))``. Raises ValueError where they are too big."""
    shipped = _shippable(centroids)

    def assign_batches(batches: Iterator[pa.Array]) -> Iterator[pa.Array]:
        for batch in batches:
            yield assign(batch, shipped)

    wrapped: Callable[..., Any] = arrow_udf(assign_batches, ASSIGNED)
    return wrapped


def assign_pandas_udf(centroids: npt.NDArray[np.float64]) -> Callable[..., Any]:
    """:func:`assign` as an iterator ``pandas_udf``, for older Spark and for pandas users; same arguments and result."""
    shipped = _shippable(centroids)

    def assign_batches(batches: Iterator[pd.Series]) -> Iterator[pd.DataFrame]:
        for batch in batches:
            column = from_matrix(np.stack(batch.to_list())) if len(batch) and _regular(batch) else _ragged(batch)
            ids, sq_dist = assign(column, shipped).flatten()
            yield pd.DataFrame({"cluster_id": ids.to_numpy(), "sq_distance": sq_dist.to_numpy()})

    wrapped: Callable[..., Any] = pandas_udf(assign_batches, ASSIGNED)
    return wrapped


def _regular(batch: pd.Series) -> bool:
    """Whether all rows are arrays of one width, so that they stack."""
    return len({-1 if row is None else len(row) for row in batch}) == 1 and batch.iloc[0] is not None


def _ragged(batch: pd.Series) -> pa.Array:
    """Rows that do not stack as an Arrow column, for :func:`to_matrix` to say what is wrong with them."""
    return pa.array(batch.to_list(), type=pa.list_(pa.float32()))


def _shippable(centroids: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    shipped = np.ascontiguousarray(centroids, dtype=np.float64)
    if shipped.nbytes > MAX_CENTROID_BYTES:
        raise ValueError(
            f"centroids of shape {shipped.shape} take {shipped.nbytes} bytes, more than the {MAX_CENTROID_BYTES} that travel with a task; use fewer clusters"
        )
    return shipped
