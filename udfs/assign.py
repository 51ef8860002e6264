"""The nearest centroid of each vector, as a column expression for DataFrames and SQL.

``assign_udf(centroids)("embedding")`` is a struct ``cluster_id int, sq_distance double``. The centroids
travel inside the function: they are few, and each Python worker unpacks them once.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql.types import DoubleType, IntegerType, StructField, StructType

from synalign_spark.compat import VECTORS, arrow_udf, pandas_udf
from synalign_spark.core.sampling.neighbours import nearest
from synalign_spark.udfs.arrow import to_matrix

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
    """:func:`assign` as a column function: an Arrow UDF where Spark has them (4.1 and later), the fast form.

    centroids: (k, d) float64, at most MAX_CENTROID_BYTES. Register it for SQL by
    ``spark.udf.register("synalign_assign", assign_udf(centroids))``. Raises ValueError where they are too big."""
    return arrow_udf(partial(assign, centroids=_shippable(centroids)), ASSIGNED, VECTORS)


def assign_pandas_udf(centroids: npt.NDArray[np.float64]) -> Callable[..., Any]:
    """:func:`assign` as a pandas UDF, on every Spark; same arguments and result."""
    return pandas_udf(partial(assign, centroids=_shippable(centroids)), ASSIGNED, VECTORS)


def _shippable(centroids: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    shipped = np.ascontiguousarray(centroids, dtype=np.float64)
    if shipped.nbytes > MAX_CENTROID_BYTES:
        raise ValueError(
            f"centroids of shape {shipped.shape} take {shipped.nbytes} bytes, more than the {MAX_CENTROID_BYTES} that travel with a task; use fewer clusters"
        )
    return shipped
