"""Sources that would be read in part, twice or otherwise than they are meant: said and refused, with the key and the fix."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from synalign_spark.config import SourceConfig
from synalign_spark.errors import DataError
from synalign_spark.spark.source_layout import layout_of
from tests.spark.source_cases import LABEL, ingested, texts, write

ROWS = pa.table({"text": ["one", "two"], "label": ["a", "b"]})
CLASS = {"names": ["bad", "good"], "_type": "ClassLabel"}


def refused(path, **keys) -> str:
    with pytest.raises(DataError) as caught:
        layout_of(SourceConfig(path=str(path), **keys))
    return str(caught.value)


def test_a_column_that_stands_twice_is_named(tmp_path):
    table = pa.Table.from_arrays([*ROWS.columns, ROWS["label"]], names=["text", "label", "label"])
    with pa.OSFile(str(tmp_path / "x.arrow"), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    pq.write_table(table, tmp_path / "x.parquet")
    for kind in ("arrow", "parquet"):
        assert "source.label_column: column 'label' stands twice in" in refused(tmp_path / f"x.{kind}", **LABEL)
        assert layout_of(SourceConfig(path=str(tmp_path / f"x.{kind}"))).kind == kind  # nobody needs it


def test_a_link_to_a_file_that_is_gone_is_no_file_less(tmp_path):
    pq.write_table(ROWS, tmp_path / "a.parquet")
    (tmp_path / "note.md").symlink_to(tmp_path / "gone.md")
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "b.parquet").symlink_to(tmp_path / "gone")
    layout_of(SourceConfig(path=str(tmp_path)))
    (tmp_path / "b.parquet").symlink_to(tmp_path / "gone")
    assert f"source.path: '{tmp_path}/b.parquet' is a link to '{tmp_path}/gone', which is not there" in refused(tmp_path)


def test_a_delta_table_is_never_read_as_the_files_that_it_has(tmp_path):
    log = tmp_path / "_delta_log"
    log.mkdir()
    pq.write_table(ROWS, tmp_path / "a.parquet")
    assert "is a Delta table whose log is gone" in refused(tmp_path)
    (log / "00000000000000000000.json").write_text("{}")
    assert "set source.format to delta" in refused(tmp_path, format="parquet")
    (tmp_path / "label=a").mkdir()
    pq.write_table(ROWS, tmp_path / "label=a" / "b.parquet")
    for name in ("*.parquet", "a.parquet", "label=a/b.parquet", "label=a"):
        assert f"names files of the Delta table '{tmp_path}', which alone hold deleted rows too" in refused(tmp_path / name)


def test_class_names_are_of_parts_and_of_lists_too(spark, tmp_path):
    meta = pa.array([{"label": 0}, {"label": 1}])
    told = {
        "meta": {"label": CLASS},
        "tags": {"feature": CLASS, "_type": "List"},
        "old": [CLASS],
        "free": {"dtype": "int64", "_type": "Value"},
    }
    table = pa.table({"text": ["one", "two"], "meta": meta, "tags": [[0, 1], [1]], "old": [[1], [0]], "free": [0, 1]})
    path = tmp_path / "x.parquet"
    pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": told}})}), path)
    assert texts(ingested(spark, path, label_column="meta.label")) == [("one", "bad"), ("two", "good")]
    several = ingested(spark, path, label_column="tags", label_separator=";")
    assert texts(several) == [("one", "bad"), ("one", "good"), ("two", "good")]
    assert texts(ingested(spark, path, label_column="old", label_separator=";")) == [("one", "good"), ("two", "bad")]
    assert texts(ingested(spark, path, label_column="free")) == [("one", "0"), ("two", "1")]


def test_what_is_no_number_is_in_no_bin_and_not_blank(spark, tmp_path):
    cells = ["3", "1", "x", "1d", "nan", ""]
    path = write(tmp_path / "x.csv", "text,label\n" + "".join(f"row {i},{cell}\n" for i, cell in enumerate(cells)))
    bins = {**LABEL, "label_bins": [2.0]}
    accepted, rejects, _ = ingested(spark, path, **bins)
    assert [row[:2] for row in accepted] == [("row 0", "2 and above"), ("row 1", "below 2")]
    wrong = [("wrong_type", f"label is {cell}, no number that label_bins could part") for cell in ("1d", "nan", "x")]
    assert rejects == [("null_label", "column label is null or blank"), *wrong]
    rows = [{"text": f"row {i}", "label": cell} for i, cell in enumerate([3, 1.5, "x", "1f", None])]
    path = write(tmp_path / "x.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    _, rejects, _ = ingested(spark, path, **bins)
    assert [reason for reason, _ in rejects] == ["null_label", "wrong_type", "wrong_type"]


def test_half_a_condition_is_none(spark, tmp_path):
    path = write(tmp_path / "x.csv", "text,label\none,a\ntwo,b\nthree,a\n")
    with pytest.raises(DataError, match="source.where: \"label = 'a' OR\" is not a condition"):
        ingested(spark, path, where="label = 'a' OR")
    assert len(texts(ingested(spark, path, where="label = 'a' -- of them"))) == 2


@pytest.mark.parametrize("header", ["text,label", '"text","label"'])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_header_in_the_middle_is_no_row(spark, tmp_path, header, mark):
    one, other = (f"{mark}{header}\none {i},a\ntwo {i},b\n" for i in range(2))
    accepted, rejects, _ = ingested(spark, write(tmp_path / "x.csv", one + other), **LABEL)
    assert len(accepted) == 4
    assert rejects == [("malformed", "the header once more, and no row")]


@pytest.mark.parametrize("content", ['text, label\n"one, it", "a"\n"two, it", "b"\n', 'label,text\na, "one, it"\nb, "two, it"\n'])
def test_quotes_behind_blanks_make_no_class_of_their_own(tmp_path, content):
    path = write(tmp_path / "x.csv", content)
    assert f"source.quote: '{path}' has blanks before the quotes" in refused(path, **LABEL)
    layout_of(SourceConfig(path=str(path), quote="", **LABEL))


@pytest.mark.parametrize("codec", ["utf-16-be", "utf-16-le", "utf-32-be", "utf-32-le"])
def test_what_has_no_mark_is_converted_from_what_it_is(tmp_path, codec):
    path = write(tmp_path / "x.csv", "text,label\none,a\n".encode(codec))
    name = codec.upper().replace("-BE", "BE").replace("-LE", "LE")
    assert f"iconv -f {name} -t UTF-8" in refused(path)
    assert f"iconv -f {name} -t UTF-8" in refused(path, encoding=codec[:6])
