"""The lake: written tables are seen by independent readers, whole or not at all, and only this run's rows change."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from pyspark.sql import functions as F

from synalign_spark.errors import ContractError, DataError, LakeError
from synalign_spark.storage.lake import Lake
from synalign_spark.storage.tables import CERTIFICATE, CORPUS, REJECTS, Column, Table

# Small tables of our own, so that the rules and not the real contracts are tested.
PLAIN = Table("plain", "ingest", "", ("id",), (Column("id", "string", ""), Column("n", "int", "", nullable=True)))
SCOPED = Table("scoped", "embed", "", ("id",), (Column("origin", "string", ""), Column("id", "string", "")), scope=("origin",))


@pytest.fixture(params=["delta", "parquet"])
def lake(request, spark, tmp_path):
    return Lake(spark, str(tmp_path / "lake"), request.param, "r1")


def beside(lake, run_id):
    return Lake(lake.spark, lake.path, lake.format, run_id)


def ids(df):
    return sorted(row.id for row in df.collect())


def rows(spark, *values):
    return spark.createDataFrame([(v, i) for i, v in enumerate(values)], "id string, n int")


def independent(lake, table):
    """(run_id, id) pairs as delta-rs or pyarrow read them."""
    path = f"{lake.path}/{table.name}"
    if lake.format == "delta":
        found = DeltaTable(path).to_pyarrow_dataset().to_table()
    else:
        found = pq.read_table(path, partitioning=ds.partitioning(flavor="hive"))
    return sorted(zip(map(str, found["run_id"].to_pylist()), found["id"].to_pylist(), strict=True))


def test_a_rewrite_replaces_this_run_alone_and_independent_readers_agree(lake, spark):
    other = beside(lake, "007")  # looks like a number, must stay a string
    other.write(PLAIN, rows(spark, "x"))
    lake.write(PLAIN, rows(spark, "a", "b"))
    lake.write(PLAIN, rows(spark, "c").select("n", "id"))
    assert ids(lake.read(PLAIN)) == ["c"]
    assert lake.read(PLAIN).columns == ["id", "n"]
    assert ids(other.read(PLAIN)) == ["x"]
    assert {r.run_id for r in lake.read_all_runs(PLAIN).collect()} == {"r1", "007"}
    assert [pair[1] for pair in independent(lake, PLAIN)] == ["x", "c"]
    assert not [child.name for child in (Path(lake.path) / "plain").glob("_[so]*")]


def test_a_scope_is_replaced_alone(lake, spark):
    frame = rows(spark, "a", "b").select("id")
    lake.write(SCOPED, frame, origin="real")
    lake.write(SCOPED, rows(spark, "s").select("id").withColumn("origin", F.lit("synthetic")), origin="synthetic")
    lake.write(SCOPED, rows(spark, "c").select("id"), origin="real")
    assert ids(lake.read(SCOPED, origin="real")) == ["c"]
    assert ids(lake.read(SCOPED)) == ["c", "s"]
    assert lake.exists(SCOPED, origin="real")
    with pytest.raises(ContractError, match=r"column origin must be 'real'"):
        lake.write(SCOPED, frame.withColumn("origin", F.lit("synthetic")), origin="real")
    with pytest.raises(ContractError, match=r"no scope column"):
        lake.read(SCOPED, round="1")
    assert ids(lake.read(SCOPED)) == ["c", "s"]


def test_a_failing_write_leaves_the_old_rows(lake, spark):
    lake.write(PLAIN, rows(spark, "old"))
    half = rows(spark, "a", "b").repartition(2, "id").withColumn("n", F.when(F.col("id") == "b", F.raise_error(F.lit("boom")).cast("int")))
    with pytest.raises(Exception, match=r"boom"):
        lake.write(PLAIN, half)
    with pytest.raises(ContractError, match=r"table plain: column id is null"):
        lake.write(PLAIN, spark.createDataFrame([("a", 1), (None, 2)], "id string, n int"))
    assert ids(lake.read(PLAIN)) == ["old"]


def test_an_empty_frame_is_a_table_without_rows(lake, spark):
    lake.write(PLAIN, rows(spark, "old"))
    lake.write(PLAIN, rows(spark, "old").limit(0))
    assert lake.has_table(PLAIN)
    assert not lake.exists(PLAIN)
    assert lake.read(PLAIN).collect() == []
    assert lake.read(PLAIN).columns == ["id", "n"]


def test_rows_read_from_the_table_itself_can_be_written_back(lake, spark):
    lake.write(PLAIN, rows(spark, "a", "b"))
    lake.write(PLAIN, lake.read(PLAIN).where("id = 'b'"))
    assert ids(lake.read(PLAIN)) == ["b"]


@pytest.mark.parametrize(
    ("ddl", "message"),
    [
        ("id string", "column n .int. is missing in the rows to write"),
        ("id string, n bigint", "column n must be int, got bigint"),
        ("id string, n int, m int", r"columns \['m'\] are not in its contract"),
    ],
)
def test_wrong_columns_are_refused_before_anything_is_written(spark, tmp_path, ddl, message):
    lake = Lake(spark, str(tmp_path / "lake"), "parquet", "r1")
    with pytest.raises(ContractError, match=message):
        lake.write(PLAIN, spark.createDataFrame([], ddl))
    assert not (tmp_path / "lake").exists()


def test_a_stored_table_of_another_shape_is_refused_on_read(spark, tmp_path):
    lake = Lake(spark, str(tmp_path), "parquet", "r1")
    lake.write(PLAIN, rows(spark, "a"))
    longer = Table("plain", "ingest", "", ("id",), (*PLAIN.columns, Column("later", "string", "")))
    with pytest.raises(ContractError, match=r"column later .string. is missing in the lake"):
        lake.read(longer)


def test_a_missing_table_names_the_stage_that_makes_it(lake):
    assert not lake.exists(CORPUS)
    with pytest.raises(LakeError, match=r"'corpus' is not in the lake.*run the ingest stage first"):
        lake.read(CORPUS)


def test_the_other_format_is_named(spark, tmp_path):
    Lake(spark, str(tmp_path), "parquet", "r1").write(PLAIN, rows(spark, "a"))
    with pytest.raises(LakeError, match=r"set lake.format to 'parquet'"):
        Lake(spark, str(tmp_path), "delta", "r1").read(PLAIN)
    with pytest.raises(LakeError, match=r"set lake.format to 'delta'"):
        Lake(spark, "s3a://bucket/lake", "parquet", "r1")


def test_a_store_that_spark_has_no_client_for_is_named_before_any_work(spark):
    with pytest.raises(
        LakeError, match=r"lake.path: Spark cannot reach \'abfss://.*(No FileSystem for scheme|ClassNotFound).*spark.jars.packages"
    ):
        Lake(spark, "abfss://container@account.dfs.core.windows.net/lake", "delta", "r1")


def test_a_folder_that_cannot_be_made_is_an_error_with_the_path(spark, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(LakeError, match=r"cannot be made"):
        Lake(spark, str(tmp_path / "file" / "lake"), "delta", "r1").write(PLAIN, rows(spark, "a"))


@pytest.mark.parametrize("bad", ["", "a/b", "a'b", "..", 7])
def test_run_ids_that_need_escaping_are_refused(spark, tmp_path, bad):
    with pytest.raises(ContractError, match=r"run_id must be"):
        Lake(spark, str(tmp_path), "delta", bad)


@pytest.mark.parametrize("table", [CERTIFICATE, REJECTS])
def test_real_contracts_pass_through_empty(spark, tmp_path, table):
    lake = Lake(spark, str(tmp_path), "parquet", "r1")
    lake.write(table, spark.createDataFrame([], table.ddl))
    assert lake.read(table).columns == list(table.column_names)


def test_an_error_of_ours_on_a_worker_arrives_as_itself(spark, tmp_path):
    @F.pandas_udf("int")
    def refuse(values):
        from synalign_spark.errors import DataError

        raise DataError(f"embedding: {len(values)} rows are no good; mend them")

    lake = Lake(spark, str(tmp_path), "parquet", "r1")
    with pytest.raises(DataError, match=r"^embedding: 2 rows are no good; mend them$"):
        lake.write(PLAIN, rows(spark, "a", "b").repartition(1).withColumn("n", refuse("n")))


def test_runs_that_make_the_same_table_at_once_all_have_their_rows(spark, tmp_path):
    def write(n):
        Lake(spark, str(tmp_path), "delta", f"run-{n}").write(PLAIN, rows(spark, *(f"{n}-{i}" for i in range(3))))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    found = Lake(spark, str(tmp_path), "delta", "run-0").read_all_runs(PLAIN).groupBy("run_id").count().collect()
    assert {row["run_id"]: row["count"] for row in found} == {f"run-{n}": 3 for n in range(4)}


def test_a_deleted_log_is_not_taken_for_parquet_alone(spark, tmp_path):
    lake = Lake(spark, str(tmp_path / "lake"), "delta", "r1")
    lake.write(PLAIN, rows(spark, "a"))
    shutil.rmtree(tmp_path / "lake" / "plain" / "_delta_log")
    for look in (lambda: lake.read(PLAIN), lambda: lake.write(PLAIN, rows(spark, "b"))):
        with pytest.raises(LakeError, match=r"no Delta log: if it is parquet, .*; if its _delta_log was deleted, restore it, or delete"):
            look()


def test_a_damaged_log_is_named_with_what_to_do(spark, tmp_path):
    lake = Lake(spark, str(tmp_path), "delta", "r1")
    lake.write(PLAIN, rows(spark, "a"))
    for name in ("00000000000000000000.json", ".00000000000000000000.json.crc", "00000000000000000000.crc"):
        if (path := tmp_path / "plain" / "_delta_log" / name).exists():
            path.write_bytes(b"")
    spark._jvm.org.apache.spark.sql.delta.DeltaLog.clearCache()
    with pytest.raises(
        DataError, match=r"table plain: .*_delta_log is damaged: bring its files back from a copy, or delete the table's folder"
    ):
        lake.write(PLAIN, rows(spark, "b"))
