"""Columns of a user's DataFrame, whatever their names and types: names are quoted, labels become text, vectors ``array<float>``."""

from pyspark.ml.functions import vector_to_array
from pyspark.ml.linalg import VectorUDT
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, BooleanType, DataType, DecimalType, FractionalType, NumericType, StringType

from synalign_spark.errors import DataError
from synalign_spark.sql_names import quoted_name


def user_column(name: str) -> Column:
    """A column by its whole name."""
    return F.col(quoted_name(name))


def label_column(frame: DataFrame, name: str) -> Column:
    """A column of classes as text: whole numbers without a fraction whatever their type is, null for a number that is not whole.

    Raises DataError for a column of lists, dates and other types, as whose text nobody means a class."""
    value, kind = user_column(name), frame.schema[name].dataType
    if not isinstance(kind, StringType | NumericType | BooleanType):
        raise DataError(
            f"label={name!r}: is {kind.simpleString()}, which is no class; name a column of text, integers or booleans, or cast it to text"
        )
    if not isinstance(kind, FractionalType | DecimalType):
        return value.cast("string")
    return F.when(value == F.rint(value), value.cast("long").cast("string"))


def text_column(frame: DataFrame, name: str) -> Column:
    """A column of texts. Raises DataError for one of another type."""
    kind = frame.schema[name].dataType
    if not isinstance(kind, StringType):
        raise DataError(f"text={name!r}: is {kind.simpleString()}, not text; name a column of text, or cast it")
    return user_column(name)


def vector_column(frame: DataFrame, name: str) -> Column:
    """A column of arrays of numbers or of Spark ML vectors, as ``array<float>``.

    Raises DataError where there is no such column or it holds something else."""
    if name not in frame.columns:
        raise DataError(f"embedding column {name!r}: the frame has no such column; it has {', '.join(frame.columns)}")
    return as_vector(user_column(name), frame.schema[name].dataType, f"embedding column {name!r}")


def is_zeros(vector: Column) -> Column:
    """Whether a vector (``array<float>``) is zeros alone; null where it is none."""
    return F.forall(vector, lambda number: number == 0)


def as_vector(column: Column, kind: DataType, named: str) -> Column:
    """A column of arrays of numbers or of Spark ML vectors as ``array<float>``. kind: its type; named: what an error calls it.

    Raises DataError where it holds something else."""
    if isinstance(kind, VectorUDT):
        return vector_to_array(column, "float32")
    if not (isinstance(kind, ArrayType) and isinstance(kind.elementType, NumericType)):
        raise DataError(f"{named} is of type {kind.simpleString()}; cast it to array<float>")
    return column.cast("array<float>")
