"""Names in a catalog: they show what the folders hold, whatever writes there later, and never take another's place."""

import subprocess
import sys

import pytest
from pydantic import ValidationError

from synalign_spark.config import LakeConfig
from synalign_spark.errors import LakeError
from synalign_spark.storage.catalog import CatalogTables
from synalign_spark.storage.lake import Lake
from synalign_spark.storage.tables import Column, Table

WORDS = Table(
    "words", "ingest", "It's the words.", ("id",), (Column("id", "string", "hash of a 'word'"), Column("n", "int", "length", nullable=True))
)
SIDES = Table(
    "sides", "embed", "Two sides.", ("id",), (Column("origin", "string", "which"), Column("id", "string", "hash")), scope=("origin",)
)


@pytest.fixture
def schema(spark):
    """A schema of this test alone, whose name needs no quotes: Spark makes no other."""
    spark.sql("CREATE SCHEMA names_of_tests")
    yield "names_of_tests"
    spark.sql("DROP SCHEMA names_of_tests CASCADE")


@pytest.fixture(params=["delta", "parquet"])
def lake(request, spark, tmp_path):
    return Lake(spark, str(tmp_path / "it's a lake"), request.param, "r1")


def words(spark, *values):
    return spark.createDataFrame([(value, len(value)) for value in values], "id string, n int")


def named(spark, name, *columns):
    return sorted(tuple(row) for row in spark.table(name).select(*columns).collect())


def test_a_name_shows_what_is_written_before_and_after(spark, lake, schema):
    names = CatalogTables(lake, schema, prefix="sa_")
    names.register([WORDS, SIDES])  # not there yet
    assert spark.sql(f"SHOW TABLES IN {schema}").filter("NOT isTemporary").isEmpty()  # other tests' views are in every schema
    lake.write(WORDS, words(spark, "a", "b"))
    names.register([WORDS])
    name = f"{schema}.sa_words"
    assert named(spark, name, "run_id", "id", "n") == [("r1", "a", 1), ("r1", "b", 1)]
    lake.write(WORDS, words(spark, "ccc"))
    Lake(spark, lake.path, lake.format, "007").write(WORDS, words(spark, "x"))
    names.register([WORDS])
    assert named(spark, name, "run_id", "id") == [("007", "x"), ("r1", "ccc")]
    said = {row["col_name"]: row["comment"] for row in spark.sql(f"DESCRIBE TABLE {name}").collect()}
    assert (said["id"], said["n"], said["run_id"]) == ("hash of a 'word'", "length", "run that wrote the row (run.id)")
    about = {row["col_name"]: row["data_type"] for row in spark.sql(f"DESCRIBE TABLE EXTENDED {name}").collect()}
    assert (about["Comment"], about["Type"], about["Provider"]) == ("It's the words.", "EXTERNAL", lake.format)


def test_a_part_that_went_is_gone_under_the_name_too(spark, lake, schema):
    names = CatalogTables(lake, schema)
    for origin in ("real", "synthetic"):
        lake.write(SIDES, words(spark, origin[0]).select("id"), origin=origin)
        names.register([SIDES])
    assert named(spark, f"{schema}.sides", "origin", "id") == [("real", "r"), ("synthetic", "s")]
    lake.write(SIDES, words(spark).select("id"), origin="real")
    names.register([SIDES])
    assert named(spark, f"{schema}.sides", "origin", "id") == [("synthetic", "s")]


def test_dropping_the_names_loses_no_row(spark, lake, schema):
    names = CatalogTables(lake, schema)
    lake.write(WORDS, words(spark, "a"))
    names.register([WORDS])
    spark.sql(f"DROP TABLE {schema}.words")
    assert [row.id for row in lake.read(WORDS).collect()] == ["a"]
    names.register([WORDS])
    assert named(spark, f"{schema}.words", "id") == [("a",)]


@pytest.mark.parametrize("made", ["TABLE {} (id string) USING parquet", "VIEW {} AS SELECT 'theirs' AS id"])
def test_what_is_anothers_keeps_its_name(spark, lake, schema, made):
    spark.sql(f"CREATE {made.format(f'{schema}.words')}")
    before = spark.table(f"{schema}.words").collect()
    lake.write(WORDS, words(spark, "a"))
    names = CatalogTables(lake, schema)
    for take in (names.require_free, names.register):
        with pytest.raises(LakeError, match=r"`words` is there already and .*, which is not the lake .*; set lake.prefix"):
            take([WORDS])
    assert spark.table(f"{schema}.words").collect() == before
    CatalogTables(lake, schema, prefix="sa_").register([WORDS])


@pytest.mark.parametrize(("schema", "catalog"), [("not_there", None), ("s", "no_catalog"), ("x`; DROP TABLE y; --", None), ("a.b", None)])
def test_a_schema_that_is_not_there_is_said_before_any_work(spark, lake, schema, catalog):
    with pytest.raises(LakeError, match=r"lake.schema: this session sees no schema .*; make it \(CREATE SCHEMA "):
        CatalogTables(lake, schema, catalog)


def test_a_catalog_or_prefix_without_a_schema_is_refused():
    for given in ({"catalog": "main"}, {"prefix": "sa_"}):
        with pytest.raises(ValidationError, match=r"is set, and schema is not"):
            LakeConfig.model_validate(given)
    assert LakeConfig.model_validate({"schema": "s", "prefix": "sa_"}).schema_name == "s"
    with pytest.raises(ValidationError, match="prefix"):
        LakeConfig.model_validate({"schema": "s", "prefix": "a.b"})


CORPUS = """
run: {{id: named}}
lake: {{path: {folder}/lake, schema: films, prefix: sa_}}
source: {{path: {folder}/real.csv, text_column: text, label_column: label}}
spark:
  master: local[2]
  conf:
    spark.ui.enabled: "false"
    spark.sql.catalogImplementation: hive
    spark.sql.warehouse.dir: {folder}/warehouse
    spark.hadoop.javax.jdo.option.ConnectionURL: "jdbc:derby:;databaseName={folder}/metastore;create=true"
"""
LOOK = """
import sys
from synalign_spark.config.files import load
from synalign_spark.pipeline.session import spark_session
with spark_session(load([sys.argv[1]])) as spark:
    for statement in sys.argv[2:]:
        print("found", [tuple(row) for row in spark.sql(statement).collect()], flush=True)
"""


@pytest.mark.slow
def test_another_session_finds_the_rows_in_a_hive_metastore(tmp_path):
    """A metastore in Derby: a schema is made, a run gives it names, and a third process reads by them."""
    (tmp_path / "real.csv").write_text("text,label\n" + "".join(f"film {i} is {'good' if i % 2 else 'bad'},{i % 2}\n" for i in range(40)))
    (tmp_path / "c.yaml").write_text(CORPUS.format(folder=tmp_path))

    def look(*statements):
        done = subprocess.run([sys.executable, "-c", LOOK, tmp_path / "c.yaml", *statements], capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr[-2000:]
        return [line for line in done.stdout.splitlines() if line.startswith("found")]

    command = [sys.executable, "-m", "synalign_spark", "run", "--config", tmp_path / "c.yaml", "--stage", "ingest"]
    refused = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert refused.returncode == 3
    assert "make it (CREATE SCHEMA `films`)" in " ".join(refused.stderr.split())
    look("CREATE SCHEMA films")
    for _ in range(2):  # the second finds all done, and the name there
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr[-2000:]
        assert "in memory" not in done.stdout
    assert look("SELECT count(*), min(text) FROM films.sa_corpus", "SELECT count(*) FROM films.sa_rejects") == [
        "found [(40, 'film 0 is bad')]",
        "found [(0,)]",
    ]
