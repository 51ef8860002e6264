"""Groups of rows (:mod:`synalign_spark.core.groups`) as column expressions."""

from collections.abc import Mapping

from pyspark.sql import Column
from pyspark.sql import functions as F

from synalign_spark.core.groups import ALL


def group_column(per_label: bool) -> Column:
    """The group that a row is matched in."""
    return F.when(F.col("label").isNull(), F.lit(ALL)).otherwise(F.concat(F.lit("="), "label")) if per_label else F.lit(ALL)


def by_group(values: Mapping[str, float]) -> Column:
    """The value of the row's group; for as many groups as there are labels."""
    return F.element_at(F.create_map(*[F.lit(item) for pair in sorted(values.items()) for item in pair]), F.col("grp"))
