import numpy as np
import pyarrow as pa
import pytest

from synalign_spark.errors import DataError
from synalign_spark.udfs import assign as module
from synalign_spark.udfs.arrow import from_matrix
from synalign_spark.udfs.assign import ASSIGNED_TYPE, assign, assign_pandas_udf, assign_udf

CENTROIDS = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]])
VECTORS = [[1.0, 0.0], [4.0, 1.0], [2.0, 0.0], [0.0, 5.0]]
WANTED = [(0, 1.0), (1, 1.0), (0, 4.0), (2, 1.0)]  # the third is as near to 1 as to 0


def test_by_hand():
    got = assign(pa.array(VECTORS, type=pa.list_(pa.float32())), CENTROIDS)
    assert got.type == ASSIGNED_TYPE
    assert [(row["cluster_id"], row["sq_distance"]) for row in got.to_pylist()] == WANTED


def test_no_rows():
    assert assign(pa.array([], type=pa.list_(pa.float32())), CENTROIDS).to_pylist() == []


@pytest.mark.parametrize("factory", [assign_udf, assign_pandas_udf])
def test_too_many_centroids_to_ship(monkeypatch, factory):
    monkeypatch.setattr(module, "MAX_CENTROID_BYTES", 10)
    with pytest.raises(ValueError, match="use fewer clusters"):
        factory(CENTROIDS)


@pytest.mark.parametrize("rows", [[None, [1.0, 2.0]], [[1.0, 2.0], [1.0]], [[1.0, float("nan")]]])
def test_both_wrappers_name_unusable_rows(rows):
    import pandas as pd

    with pytest.raises(DataError, match="embedding"):
        assign_udf(CENTROIDS).func(pa.array(rows, type=pa.list_(pa.float32())))
    with pytest.raises(DataError, match="embedding"):
        assign_pandas_udf(CENTROIDS).func(pd.Series([None if row is None else np.array(row) for row in rows]))


def test_wrappers_and_sql_agree_with_the_arrow_function(spark):
    rng = np.random.default_rng(0)
    x, centroids = rng.normal(size=(300, 5)).astype(np.float32), rng.normal(size=(7, 5))
    table = pa.table({"i": np.arange(300), "embedding": from_matrix(x)})
    df = spark.createDataFrame(table).repartition(3)
    spark.udf.register("test_assign", assign_udf(centroids))
    df.createOrReplaceTempView("test_vectors")
    want = assign(table["embedding"], centroids).to_pylist()
    by_arrow = df.select("i", assign_udf(centroids)("embedding").alias("at"))
    by_pandas = df.select("i", assign_pandas_udf(centroids)("embedding").alias("at"))
    by_sql = spark.sql("select i, test_assign(embedding) as at from test_vectors")
    for got in (by_arrow, by_pandas, by_sql):
        assert got.schema["at"].dataType.simpleString() == "struct<cluster_id:int,sq_distance:double>"
        assert got.orderBy("i").toArrow()["at"].to_pylist() == want
