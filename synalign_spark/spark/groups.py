"""Groups of rows (:mod:`synalign_spark.core.groups`) as column expressions."""

from collections.abc import Mapping

from pyspark.sql import Column
from pyspark.sql import functions as F

from synalign_spark.core.groups import ALL


def group_column(per_label: bool) -> Column:
    """The group that a row is matched in."""
    return label_group(F.col("label")) if per_label else F.lit(ALL)


def label_group(label: Column) -> Column:
    """The group of a label."""
    return F.when(label.isNull(), F.lit(ALL)).otherwise(F.concat(F.lit("="), label))


def by_group(values: Mapping[str, float], group: Column | str = "grp") -> Column:
    """The value of a row's group, null for one that has none; for as many groups as there are labels."""
    return F.element_at(
        F.create_map(*[F.lit(item) for pair in sorted(values.items()) for item in pair]), F.col(group) if isinstance(group, str) else group
    )
