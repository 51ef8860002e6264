"""What a source that cannot be read is told: its key, its value and the fix."""

import bz2
import json
import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from synalign_spark.errors import DataError
from tests.spark.source_cases import LABEL, ingested, lines, write


@pytest.mark.parametrize(("element", "said"), [("a word", '"a word"'), (None, "null"), ([{"text": "t"}], r'\[{"text": "t"}\]')])
def test_an_element_of_a_json_array_that_is_no_object_is_named(spark, tmp_path, element, said):
    rows = [{"text": "t 0", "label": "a"}, element, {"text": "t 1", "label": "b"}]
    with pytest.raises(DataError, match=f"element 2 of the JSON array in '.*x.json' is {said} and no object, .*; take it out"):
        ingested(spark, write(tmp_path / "x.json", json.dumps(rows, indent=1)), **LABEL)
    with pytest.raises(DataError, match="malformed 1.* mend it: one JSON object, or an array of nothing else, is needed"):
        ingested(spark, write(tmp_path / "line.json", json.dumps(rows)), **LABEL)


def test_names_that_spark_passes_over_are_said(spark, tmp_path):
    for name in ("_x.jsonl", ".x.jsonl"):
        lines(tmp_path / name, [{"text": "a b", "label": "a"}])
        with pytest.raises(DataError, match=f"Spark passes over '.*{name}', whose name begins with '_' or '.'; rename the file"):
            ingested(spark, tmp_path / name, **LABEL)
    with pytest.raises(DataError, match="no file at '.*not below names that begin with '_' or '.'"):
        ingested(spark, tmp_path, **LABEL)


@pytest.mark.parametrize(
    ("name", "said"),
    [("meta.bod", "there are meta.body, meta.n"), ("label.x", "label is string, which has no parts"), ("chat.tex", "there are chat.text")],
)
def test_a_part_that_is_missing_is_told_with_those_there(spark, tmp_path, name, said):
    row = {"meta": {"body": "a b", "n": 1}, "chat": [{"text": "c"}], "label": "a"}
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "x.parquet")
    with pytest.raises(DataError, match=f"source.text_template: no column '{name}'; {said}"):
        ingested(spark, tmp_path / "x.parquet", text_template=f"{{{name}}}", **LABEL)


def test_a_packed_file_that_is_cut_is_no_matter_of_the_codec(spark, tmp_path):
    whole = bz2.compress("".join(json.dumps({"text": f"t {i} {i**80}", "label": "ab"[i % 2]}) + "\n" for i in range(20_000)).encode())
    with pytest.raises(DataError, match="x.jsonl.bz2.*end of stream; fetch or write the file again"):
        ingested(spark, write(tmp_path / "x.jsonl.bz2", whole[:-1_000]), **LABEL)
    pq.write_table(pa.table({"text": ["a b"], "label": ["a"]}), tmp_path / "x.parquet", compression="brotli")
    with pytest.raises(DataError, match="x.parquet.*; write it with snappy or zstd: this Spark has not the codec"):
        ingested(spark, tmp_path / "x.parquet", **LABEL)


def test_a_name_that_is_not_utf8_is_said(spark, tmp_path):
    with open(os.fsencode(tmp_path) + b"/caf\xe9.jsonl", "wb"):
        pass
    with pytest.raises(DataError, match=r"source.path: a name below '.*' is not UTF-8 \(b'.*caf\\xe9.jsonl'\), .*; rename it"):
        ingested(spark, tmp_path, **LABEL)
