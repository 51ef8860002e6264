"""What a source is, told from its files alone: nothing turns into something plausible, and what is refused says the fix. Without Spark."""

import bz2
import datetime
import gzip
import json
import zipfile

import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest

from synalign_spark.config import SourceConfig
from synalign_spark.errors import DataError
from synalign_spark.spark.source_files import list_files
from synalign_spark.spark.source_layout import layout_of

NESTED = {
    "text": ["one", "two"],
    "messages": [[{"role": "user", "content": "hi"}], [{"role": "user", "content": "ho"}]],
    "labels": [["a", "b"], ["a"]],
    "label": [3.836, 2.5],
    "meta": [{"label": "a"}, {"label": "b"}],
    "count": [1, 2],
}


def layout(path, **keys):
    return layout_of(SourceConfig(path=str(path), **keys))


def lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize(
    ("name", "content", "keys", "told"),
    [
        ("x.csv", "text,label\na b,x\n", {}, {}),
        ("x.csv", "text;label\na, b;x\n", {}, {"separator": ";"}),
        ("x.csv", "label|text\nx|a, b\n", {"label_column": "label"}, {"separator": "|"}),
        ("x.csv", "text\tlabel\na, b\tx\n", {}, {"separator": "tab"}),
        ("x.tsv", "text;label\na b;x\n", {}, {"separator": ";"}),
        ("x.csv", "a, b;x\nc d;y\n", {"header": False, "text_column": "_c0"}, {"separator": ";"}),
        ("x.csv", "text,label\ncafé,x\n".encode("latin-1"), {}, {"encoding": "windows-1252", "encoding_as_in": "café"}),
        (
            "x.csv",
            "text,label\nvoilà à côté où déjà,x\n".encode("latin-1"),
            {},
            {"encoding": "windows-1252", "encoding_as_in": "voilà, à, côté"},
        ),
        (
            "x.csv",
            "text,label\nnaïve,x\n".encode("latin-1"),
            {},
            {
                "encoding": "windows-1252, a guess",
                "encoding_as_in": "naïve",
                "encoding_guessed": "as windows-1252 it has 'naïve', as WINDOWS-1250 'naďve', as WINDOWS-1257 'naļve'; where these are right, convert it (iconv -f WINDOWS-1250 "
                "-t UTF-8), else set source.encoding to windows-1252",
            },
        ),
        ("x.csv", "text,label\nnaïve,x\n".encode("latin-1"), {"encoding": "windows-1252"}, {}),
        ("x.csv", "text,label\n“so”,x\n".encode("cp1252"), {}, {"encoding": "windows-1252"}),
        ("x.csv", "text,label\ncafé,x\n".encode("latin-1"), {"encoding": "latin-1"}, {}),
        ("x.csv", "text,label\ncafé,x\n".encode("utf-16"), {}, {"encoding": "utf-16"}),
        ("x.csv", "text,label\ncafé,x\n".encode("utf-8-sig"), {}, {}),
        ("x.csv", b"text,label\ncaf\xc3\xa9 \xff,x\n", {}, {}),  # a broken byte in UTF-8
        ("x.tsv", 'text\tlabel\n"so it began\tx\n', {}, {"quote": "none: quotes are letters"}),
        ("x.tsv", 'text\tlabel\n"a whole quotation"\tx\n', {}, {"quote": "none: quotes are letters"}),
        ("x.tsv", 'text\tlabel\n"he said ""no"""\tx\n', {}, {"quote": '"'}),
        ("x.csv", 'text,label\n"he said \\"no\\", so",x\n', {}, {"escape": "a backslash"}),
        ("x.csv", 'text,label\n"he said \\"no\\", so",x\n', {"escape": "\\"}, {}),
        ("x.csv", 'text,label\n"c:\\",x\n"he said ""no""",y\n', {}, {}),
        ("x.csv", 'text,label\n"c:\\",x\nno "quotes\\" here,y\n', {}, {}),
        ("x.json", '[\n {"text": "a"},\n {"text": "b"}\n]', {}, {"form": "one JSON array"}),
        ("x.json", '[\n {"text": "a"}\n]'.encode("utf-8-sig"), {}, {"form": "one JSON array"}),
        (
            "x.txt",
            "café\ndéjà\nnaïve\nà côté\n".encode("latin-1"),
            {},
            {
                "encoding": "utf-8, though some bytes look like windows-1252 (or WINDOWS-1250, as which they are of 'déjŕ, naďve'): iconv -f WINDOWS-1252 -t UTF-8"
            },
        ),
    ],
)
def test_what_is_told_from_the_first_block(tmp_path, name, content, keys, told):
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    assert layout(tmp_path / name, **keys).told == told


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"text_column": "messages"}, r"source.text_column: 'messages' is a list, not text.*source.text_template.*\{messages.content\}"),
        ({"text_column": "meta"}, r"source.text_column: 'meta' is an object, not text"),
        ({"text_column": "count"}, r"source.text_column: 'count' is a whole number, not text"),
        ({"label_column": "labels"}, r"source.label_column: 'labels' is a list.* one class a row"),
        ({"label_column": "meta"}, r"source.label_column: 'meta' is an object.* such as meta.label"),
        ({"label_column": "label"}, r"source.label_column: 'label' is a number.*source.label_bins"),
    ],
)
def test_json_of_types_that_cannot_be_a_text_or_a_class_is_refused(tmp_path, keys, words):
    rows = [dict(zip(NESTED, values, strict=True)) for values in zip(*NESTED.values(), strict=True)]
    with pytest.raises(DataError, match=words):
        layout(lines(tmp_path / "x.jsonl", rows), **keys)


@pytest.mark.parametrize("keys", [{"label_column": "meta.label"}, {"label_column": "label", "label_bins": [3]}, {"label_column": "count"}])
def test_json_labels_that_are_classes_or_parted_are_taken(tmp_path, keys):
    rows = [dict(zip(NESTED, values, strict=True)) for values in zip(*NESTED.values(), strict=True)]
    assert layout(lines(tmp_path / "x.jsonl", rows), **keys).kind == "jsonl"


def test_errors_name_the_section_that_the_user_wrote(tmp_path):
    path = lines(tmp_path / "x.jsonl", [{"text": "a", "label": 1.5}])
    with pytest.raises(DataError, match=r"^generate.imported.label_column: .*generate.imported.label_bins"):
        layout_of(SourceConfig(path=str(path), label_column="label"), "generate.imported")


def test_labels_of_two_types_name_both_files_and_types(tmp_path):
    lines(tmp_path / "a.jsonl", [{"text": "a", "label": 1}])
    lines(tmp_path / "b.jsonl", [{"text": "b", "label": "1"}])
    with pytest.raises(DataError, match=r"'label' is a whole number in '.*a.jsonl' and text in '.*b.jsonl'"):
        layout(tmp_path, label_column="label")
    folder = tmp_path / "p"
    folder.mkdir()
    pq.write_table(pa.table({"text": ["a"], "label": [1]}), folder / "a.parquet")
    pq.write_table(pa.table({"text": ["b"], "label": ["1"]}), folder / "b.parquet")
    with pytest.raises(DataError, match=r"source.label_column: 'label' is int64 in '.*a.parquet' and string in '.*b.parquet'"):
        layout(folder, label_column="label")
    assert layout(folder).kind == "parquet"  # nobody asks for the label


def test_a_file_without_the_column_is_named(tmp_path):
    pq.write_table(pa.table({"text": ["a"]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"body": ["b"]}), tmp_path / "b.parquet")
    with pytest.raises(DataError, match=r"source.text_column: no column 'text' in '.*b.parquet'; it has body"):
        layout(tmp_path)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"x.csv": "good film,pos\nbad film,neg\n"}, "set source.header to false and name _c0, _c1"),
        ({"x.csv": b"text,label\na,x\n" + "Привет,y\nдруг,z\n".encode("cp1251")}, r"source.encoding: .* is not UTF-8.*iconv"),
        ({"a.csv": "text,label\na,x\n", "b.csv": "label,text\nx,a\n"}, r"header of '.*b.csv' \(label, text\) is not that of '.*a.csv'"),
        ({"a.csv": "text;label\na;x\n", "b.csv": "text,label\nx,a\n"}, r"b.csv' looks like utf-8 with separator ','"),
        ({"a.json": '[\n{"text": "a"}\n]', "b.json": '{"text": "a"}\n'}, "some are one JSON array and others JSON lines"),
        ({"x.json": '{\n "data": [\n  {"text": "a"}\n ]\n}'}, "is it one object over several lines"),
        ({"x.jsonl.gz": gzip.compress(b'{"text": "a"}\n' * 9)[:-12]}, r"x.jsonl.gz' cannot be read .*is it whole"),
        *(
            ({f"x.{kind}": content.encode(encoding)}, words)
            for kind, content in {
                "csv": "text,label\na,x\n",
                "txt": "a text\n",
                "jsonl": '{"text": "a"}\n',
                "json": '[\n{"text": "a"}\n]',
            }.items()
            for encoding, words in {
                "utf-16-le": "has NULs among its characters, as UTF-16 has.* iconv -f UTF-16LE",
                "utf-32-be": "has NULs",
            }.items()
        ),
        (
            {"x.txt": "a text\n".encode("utf-16")},
            r"source.path: '.*x.txt' is utf-16, and text is read as UTF-8; convert it: iconv -f UTF-16 -t UTF-8",
        ),
        ({"x.json": '[\n{"text": "a"}\n]\n[{"text": "b"}]'}, r"x.json' '\[\{.*follows the end of the JSON array"),
        ({"x.csv.lz4": "text\n"}, "'.lz4' is not read: unpack it"),
        ({"x.txt": "version https://git-lfs.github.com/spec/v1\noid sha256:0\n"}, "is a pointer of Git LFS.*git lfs pull"),
        ({"k=1/x.jsonl": '{"text": "a"}\n', "y.jsonl": '{"text": "b"}\n'}, "'k=1', whose name is a column, and others in"),
        ({"x:1.jsonl": '{"text": "a"}\n'}, r"whose name has a ':'; rename the file"),
        ({"x.csv": gzip.compress(b"text,label\na,x\n")}, r"x.csv' is packed \(gz\), and its name does not say so; rename it to x.csv.gz"),
        ({"x.jsonl": bz2.compress(b'{"text": "a"}\n')}, r"x.jsonl' is packed \(bz2\)"),
        ({"x.txt": gzip.compress(b"a\n")}, r"x.txt' is packed \(gz\)"),
        ({"x.csv": b"PK\x03\x04"}, r"is packed \(zip\), and its name does not say so; unpack it and name the files inside"),
        ({"x.zip": "PK"}, r"'.zip' is not read: unpack it"),
        ({"x.xlsx": "PK"}, r"'.xlsx' is not read: save the sheet as CSV"),
        ({"x.parquet": "PAR1 no"}, r"x.parquet' cannot be read as parquet"),
        ({"x.arrow": "no"}, r"x.arrow' cannot be read as arrow"),
        ({"a.csv": "text\na\n", "b.txt": "b\n"}, r"source.format: cannot be told.*'.csv', '.txt'"),
    ],
)
def test_what_is_refused_names_the_file_and_the_fix(tmp_path, files, words):
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=f"(?s){words}"):
        layout(tmp_path)


def test_a_compression_that_spark_finds_no_rows_in_is_refused_whatever_the_format(tmp_path):
    (tmp_path / "x.csv.lz4").write_bytes(b"text\n")
    with pytest.raises(DataError, match="packed in a way that is not read; unpack it, or pack it with gzip"):
        layout(tmp_path, format="text")


def test_the_splits_of_a_data_set_that_are_read_together_are_said(tmp_path):
    for name in ("data/train-0.jsonl", "data/test-0.jsonl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        lines(tmp_path / name, [{"text": "a"}])
    assert layout(tmp_path).told == {"splits": "test and train, all read: name one of them in source.path to leave the others"}
    assert layout(tmp_path / "data" / "train*").told == {}


def test_utf_16_without_its_mark_is_not_guessed_where_it_is_set(tmp_path):
    (tmp_path / "x.csv").write_bytes("text,label\na,x\n".encode("utf-16-le"))
    with pytest.raises(DataError, match=r"x.csv' has no byte order mark of utf-16, as source.encoding says; convert it"):
        layout(tmp_path, encoding="utf-16")


def test_notes_beside_the_data_are_left_and_named(tmp_path):
    pq.write_table(pa.table({"text": ["a"]}), tmp_path / "a.parquet")
    (tmp_path / "README.md").write_text("# notes")
    (tmp_path / "other.bin").write_text("?")
    found = layout(tmp_path)
    assert (found.kind, [info.base_name for info in found.data], found.told) == (
        "parquet", ["a.parquet"], {"files_left": "README.md, other.bin"},
    )  # fmt: skip


def test_class_names_stand_in_the_schema_or_beside_the_files(tmp_path):
    features = {"text": {"dtype": "string", "_type": "Value"}, "label": {"names": ["neg", "pos"], "_type": "ClassLabel"}}
    rows = pa.table({"text": ["a", "b"], "label": [0, 1]})
    feather.write_feather(rows, str(tmp_path / "x.arrow"))
    assert layout(tmp_path, label_column="label").label_names is None
    (tmp_path / "dataset_info.json").write_text(json.dumps({"features": features}))
    assert layout(tmp_path, label_column="label").label_names == ["neg", "pos"]
    assert layout(tmp_path, label_column="label", rename_labels={"0": "bad"}).label_names is None  # the user's names come first
    told = rows.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    (tmp_path / "p").mkdir()
    pq.write_table(told, tmp_path / "p" / "x.parquet")
    assert layout(tmp_path / "p", label_column="label").label_names == ["neg", "pos"]


def test_class_names_are_of_numbers_alone(tmp_path):
    features = {"label": {"names": ["neg", "pos"], "_type": "ClassLabel"}}
    pq.write_table(pa.table({"text": ["a", "b"], "label": ["neg", "other"]}), tmp_path / "x.parquet")
    (tmp_path / "dataset_info.json").write_text(json.dumps({"features": features}))
    assert layout(tmp_path, label_column="label").label_names is None


def test_a_zip_beside_nothing_else_is_no_csv(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as packed:
        packed.writestr("x.csv", "text\na\n")
    with pytest.raises(DataError, match="unpack it and name the files inside"):
        layout(tmp_path / "x.zip")


def test_columns_that_nobody_needs_are_of_any_type(tmp_path):
    rows = {
        "text": ["a"],
        "when": pa.array([1], pa.timestamp("ns")),
        "took": pa.array([1], pa.duration("s")),
        "day": [datetime.date(2024, 1, 1)],
    }
    pq.write_table(pa.table(rows), tmp_path / "x.parquet")
    assert layout(tmp_path / "x.parquet").names == ("text", "when", "took", "day")


@pytest.mark.parametrize("first", ["sep=;", '"sep=;"', "SEP=;"])
@pytest.mark.parametrize("header", [True, False])
def test_a_line_for_excel_is_neither_header_nor_row(tmp_path, first, header):
    (tmp_path / "x.csv").write_text(f"{first}\r\ntext;label\r\none;a\r\n")
    keys = {} if header else {"header": False, "text_column": "_c0"}
    with pytest.raises(
        DataError, match=r"source.path: .*x.csv' begins with the line .*(sep|SEP)=;.* take it out .*source.separator to ';'"
    ):
        layout(tmp_path, **keys)


@pytest.mark.parametrize(("mark", "words"), [(b"PAR1\x15\x04", "Parquet"), (b"%PDF-1.7\n", "PDF"), (b"\xd0\xcf\x11\xe0\xa1", "Excel")])
def test_a_file_that_is_no_text_by_its_first_bytes_is_refused(tmp_path, mark, words):
    (tmp_path / "x.csv").write_bytes(mark + b"text,label\na,b\n")
    with pytest.raises(DataError, match=rf"source.path: .*x.csv' is {words}.* by its first bytes"):
        layout(tmp_path)


def test_a_file_whose_name_reads_as_an_address_is_said_to_be_here(tmp_path, monkeypatch):
    (tmp_path / "re:views.csv").write_text("text\na\n")
    (tmp_path / "my:folder").mkdir()
    monkeypatch.chdir(tmp_path)
    for path in ("re:views.csv", "my:folder"):
        with pytest.raises(DataError, match=rf"source.path: '{path}' is here, but reads as an address \({path[:2]}:\); rename it"):
            list_files(path)


def test_a_link_to_a_folder_that_is_read_already_is_refused(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.csv").write_text("text\na\n")
    (tmp_path / "in" / "again").symlink_to(tmp_path / "in")
    with pytest.raises(DataError, match=r"'.*in/again.*' is a link to '.*/in', whose files would be read twice; take the link out"):
        list_files(str(tmp_path / "in"))


@pytest.mark.parametrize(("name", "content"), [("x.csv", "text,kind\na,b\n"), ("x.jsonl", '{"text": "a", "kind": "b"}\n')])
def test_a_column_in_the_files_and_in_the_names_of_folders_is_refused(tmp_path, name, content):
    for kind in ("kind=a", "kind=b"):
        (tmp_path / kind).mkdir()
        (tmp_path / kind / name).write_text(content)
    with pytest.raises(DataError, match="has the column 'kind' in its files and in the names of their folders; take it out"):
        layout(tmp_path, label_column="kind")


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_a_column_in_both_that_the_source_does_not_name_is_let_be(tmp_path, kind):
    """As writers leave them that keep the date in the rows."""
    (tmp_path / "date=1").mkdir()
    if kind == "jsonl":
        lines(tmp_path / "date=1" / "x.jsonl", [{"text": "a", "date": "1"}])
    else:
        pq.write_table(pa.table({"text": ["a"], "date": ["1"]}), tmp_path / "date=1" / "x.parquet")
    assert layout(tmp_path).kind == kind
