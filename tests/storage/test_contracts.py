"""One contract, two schemas: what Spark is told and what Arrow is told must be the same columns."""

import pytest
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import StructType

from synalign_spark.storage.contracts import arrow_type
from synalign_spark.storage.tables import TABLES


@pytest.mark.usefixtures("spark")  # the JVM parses DDL
@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_both_schemas_have_the_same_columns_types_and_nulls(table):
    by_spark = to_arrow_schema(StructType.fromDDL(table.ddl), timezone="UTC")
    assert [(f.name, f.type, f.nullable) for f in table.arrow] == [(f.name, f.type, f.nullable) for f in by_spark]


def test_a_type_without_an_arrow_form_is_named():
    with pytest.raises(ValueError, match=r"'struct<a:int>'; known are string"):
        arrow_type("struct<a:int>")
