"""Columns of vectors, in whatever form they come, as ``array<float>``."""

from pyspark.ml.functions import vector_to_array
from pyspark.ml.linalg import VectorUDT
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, NumericType

from synalign_spark.errors import DataError


def vector_column(frame: DataFrame, name: str) -> Column:
    """A column of arrays of numbers or of Spark ML vectors, as ``array<float>``.

    Raises DataError where there is no such column or it holds something else."""
    if name not in frame.columns:
        raise DataError(f"embedding column {name!r}: the frame has no such column; it has {', '.join(frame.columns)}")
    kind = frame.schema[name].dataType
    if isinstance(kind, VectorUDT):
        return vector_to_array(F.col(name), "float32")
    if not (isinstance(kind, ArrayType) and isinstance(kind.elementType, NumericType)):
        raise DataError(f"embedding column {name!r} is of type {kind.simpleString()}; cast it to array<float>")
    return F.col(name).cast("array<float>")
