"""What stands in where an older Spark lacks something gives what the newer form gives; here the older form is forced on the Spark there is."""

import math

import numpy as np
import pyarrow as pa
import pyspark
import pytest
from pyspark.sql import functions as F

from synalign_spark import compat
from synalign_spark.config import EmbedConfig
from synalign_spark.core.features import draw_feature_map
from synalign_spark.errors import ConfigError, DataError, InstallationError
from synalign_spark.udfs.arrow import from_matrix, widths_udf
from synalign_spark.udfs.assign import assign_udf
from synalign_spark.udfs.embed import embed_udf
from synalign_spark.udfs.encoder import encoder_info
from synalign_spark.udfs.random_features import random_features_udf
from synalign_spark.udfs.text import normalise_udf

X = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
FUNCTIONS = {
    "normal form": (normalise_udf, "text"),
    "width": (widths_udf, "embedding"),
    "nearest centroid": (lambda: assign_udf(X[:4].astype(np.float64)), "embedding"),
    "random features": (lambda: random_features_udf(draw_feature_map(3, 8, [1.0], 0)), "embedding"),
    "embedding": (lambda: embed_udf(encoder_info(EmbedConfig(model="hashing"))), "text"),
}


@pytest.fixture
def older(monkeypatch):
    """Spark 3.5, as far as this package can tell."""
    return lambda: monkeypatch.setattr(pyspark, "__version__", "3.5.7")


@pytest.fixture(scope="module")
def rows(spark):
    texts = [f" text {i}\n" if i % 3 else None for i in range(len(X))]
    frame = compat.from_arrow(spark, pa.table({"i": np.arange(len(X)), "text": texts, "embedding": from_matrix(X)}))
    return frame.repartition(7).unionByName(frame.where("i < 0"))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_pandas_udfs_give_what_arrow_udfs_give(rows, older, name):
    function, column = FUNCTIONS[name]
    found = []
    for _ in range(2):
        found.append(compat.to_arrow(rows.select("i", function()(column).alias("out")).orderBy("i")))
        older()
    assert found[0].equals(found[1])
    assert found[0].num_rows == len(X)


def test_a_batch_of_nulls_alone_has_the_type_of_its_column():
    assert compat._array(pa.nulls(2).to_pandas(), compat.VECTORS).type == compat.VECTORS
    assert compat._array(pa.nulls(0).to_pandas(), compat.TEXTS).type == compat.TEXTS


def test_a_vector_that_is_not_finite_stays_so(older):
    older()
    nan = pa.array([[1.0, math.nan, 2.0]], compat.VECTORS).to_pandas()
    with pytest.raises(DataError, match="NaN or infinity"):
        assign_udf(np.zeros((1, 3))).func(nan)


def test_texts_become_numbers_as_by_try_cast(spark, older):
    texts = ["1", " 2.5\t", "-.5e3", "+7.", "NaN", "-Infinity", "inf", "1d", "", " ", "x", "1,5", "--1", "1e", "0x", "٣", None]
    frame = spark.createDataFrame([(text,) for text in texts], "text string")
    newer_form = frame.select(compat.as_number(F.col("text")).alias("n"))
    older()
    spark.conf.set("spark.sql.ansi.enabled", "true")
    older_form = frame.select(compat.as_number(F.col("text")).alias("n"))
    assert [str(row.n) for row in older_form.collect()] == [str(row.n) for row in newer_form.collect()]


def test_bytes_that_are_no_text_are_replaced(spark, older):
    frame = spark.sql("select cast(x'61FF62' as string) as text union all select 'fine \U0001f600' union all select null")
    newer_form = frame.select(compat.valid_utf8(F.col("text")).alias("t")).collect()
    older()
    assert frame.select(compat.valid_utf8(F.col("text")).alias("t")).collect() == newer_form


def test_hashes_are_those_of_spark(spark):
    numbers = [0, 1, 7, 42, 1_000_003, 2**31 - 1]
    frame = spark.createDataFrame([(n,) for n in numbers], "n int").select("n", F.hash("n").alias("hash"))
    assert {row.n: row.hash for row in frame.collect()} == {n: compat._hash(n) for n in numbers}


def test_rows_go_to_the_partition_that_they_name(spark, older):
    frame = spark.range(500).withColumn("wanted", (F.col("id") % 7).cast("int"))
    older()
    placed = compat.repartition_by_id(frame, 7, F.col("wanted")).withColumn("found", F.spark_partition_id())
    assert {(row.wanted, row.found) for row in placed.select("wanted", "found").distinct().collect()} == {(i, i) for i in range(7)}


def test_groups_go_through_a_function_of_arrow_tables(spark, older):
    frame = spark.range(9).withColumn("g", (F.col("id") % 2).cast("int"))

    def largest(table):
        return pa.table({"g": table["g"][:1], "id": [max(table["id"].to_pylist())]})

    for _ in range(2):
        found = compat.apply_in_arrow(frame.groupBy("g"), largest, "g int, id long").collect()
        assert sorted(map(tuple, found)) == [(0, 8), (1, 7)]
        older()


@pytest.mark.parametrize("n", [0, 1, 25_000])
def test_tables_reach_spark_and_come_back_by_the_older_way(spark, older, n):
    table = pa.table({"a": pa.array(range(n), pa.int32()), "b": pa.array([[i, None] for i in range(n)], pa.list_(pa.float64()))})
    older()
    assert compat.to_arrow(compat.from_arrow(spark, table)).equals(table)
    assert compat.to_arrow(compat.from_arrow(spark, table, "a long, b array<double>")).schema.field("a").type == pa.int64()


def test_settings_and_types_are_the_same_by_the_older_way(spark, monkeypatch):
    newer = compat.session_settings(spark), compat.schema_of(spark, "a int, `b c` array<float>")
    monkeypatch.delattr(type(spark.conf), "getAll")
    older = compat.session_settings(spark), compat.schema_of(spark, "a int, `b c` array<float>")
    assert newer[0]["spark.master"] == older[0]["spark.master"] == "local[2]"
    assert newer[1] == older[1]


@pytest.mark.parametrize(
    ("version", "wanted"),
    [
        ("3.5.7", "io.delta:delta-spark_2.12:3.3.3"),
        ("4.0.1", "io.delta:delta-spark_4.0_2.13:4.4.0"),
        ("4.1.1", "io.delta:delta-spark_4.1_2.13:4.4.0"),
        ("4.2.0", "io.delta:delta-spark_4.2_2.13:4.4.0"),
        ("4.1.0.dev0", "io.delta:delta-spark_4.1_2.13:4.4.0"),
    ],
)
def test_each_version_of_spark_has_its_delta(monkeypatch, version, wanted):
    monkeypatch.setattr(pyspark, "__version__", version)
    assert compat.release().delta_package == wanted


def test_a_version_that_nobody_tried_is_named(monkeypatch):
    monkeypatch.setattr(pyspark, "__version__", "5.0.0")
    with pytest.raises(InstallationError, match=r"pyspark 5.0 is not among .*3.5, 4.0, 4.1, 4.2.*pip install 'pyspark>=3.5,<4.3'"):
        compat.release()


def test_json_needs_spark_4(older):
    compat.require_variants("source")
    older()
    with pytest.raises(ConfigError, match=r"source.format: JSON is read by Spark 4.0 and later, this is 3.5; write the rows as Parquet"):
        compat.require_variants("source")
