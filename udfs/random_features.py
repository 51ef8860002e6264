"""Random features of an embedding column, for DataFrames and SQL: phi(x) of an RBF kernel.

``random_features(array, feature_map)`` works on one Arrow array; the two factories wrap it as a column
function. The feature map is drawn on the driver and travels with the function.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import pyarrow as pa

from synalign_spark.compat import VECTORS, arrow_udf, pandas_udf
from synalign_spark.core.features import FeatureMap
from synalign_spark.udfs.arrow import from_matrix, to_matrix

FEATURE_TYPE = "array<float>"


def random_features(array: pa.Array, feature_map: FeatureMap) -> pa.Array:
    """Features of an Arrow list column.

    array: n lists of d floats. Returns n lists of D float32, of unit norm. Raises DataError for nulls, NaN or
    ragged rows and ValueError where the width is not that of the feature map.

    >>> from synalign_spark.core.features import draw_feature_map
    >>> phi = random_features(pa.array([[1.0, 0.0], [0.0, 1.0]]), draw_feature_map(width=2, n_features=8, bandwidths=[1.0], seed=0))
    >>> len(phi), len(phi[0].as_py())
    (2, 8)
    """
    if not len(array):
        return pa.array([], type=pa.list_(pa.float32()))
    return from_matrix(feature_map(to_matrix(array)))


def random_features_udf(feature_map: FeatureMap) -> Callable[..., Any]:
    """Column function, an Arrow UDF where Spark has them (4.1 and later): ``df.withColumn("phi", f("embedding"))``; register it for SQL by
    ``spark.udf.register("random_features", f)``."""
    return arrow_udf(partial(random_features, feature_map=feature_map), FEATURE_TYPE, VECTORS)


def random_features_pandas_udf(feature_map: FeatureMap) -> Callable[..., Any]:
    """The same as a pandas UDF, on every Spark; about ten times slower, as vectors become Python objects."""
    return pandas_udf(partial(random_features, feature_map=feature_map), FEATURE_TYPE, VECTORS)
