"""Several classes a row, rows that a quote joined by chance, Arrow's own types, and names in other capitals."""

import datetime
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from synalign_spark.config import SourceConfig
from synalign_spark.errors import DataError
from synalign_spark.spark.source_layout import layout_of
from synalign_spark.spark.sources import read_source
from tests.spark.test_source_cases import LABEL, ingested, lines, texts, write

SEVERAL = [("one", "a"), ("one", "b"), ("two", "b"), ("two", "c")]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet", "arrow"])
def test_a_row_of_several_classes_becomes_a_row_of_each(spark, tmp_path, kind):
    path = tmp_path / f"x.{kind}"
    lists = {"text": ["one", "two", "three"], "label": [["a", "b", "a"], ["c", " b "], []]}
    if kind == "csv":
        write(path, "text,label\none,a; b;a\ntwo,c;b\nthree,;\n")
    elif kind == "jsonl":
        lines(path, [{"text": "one", "label": ["a", "b", "a"]}, {"text": "two", "label": "c; b "}, {"text": "three", "label": []}])
    elif kind == "parquet":
        pq.write_table(pa.table(lists), path)
    else:
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, pa.table(lists).schema) as writer:
            writer.write_table(pa.table(lists))
    accepted, rejects, _ = ingested(spark, path, **LABEL, label_separator=";")
    assert [row[:2] for row in accepted] == SEVERAL
    assert rejects == [("null_label", "column label is null or blank")]
    if kind != "csv":
        with pytest.raises(DataError, match=r"source.label_column: .*source.label_separator"):
            ingested(spark, path, **LABEL)


def test_rows_of_one_text_and_several_classes_have_ids_of_their_own(spark, tmp_path):
    path = lines(
        tmp_path / "x.jsonl", [{"text": "one", "label": ["a", "b"]}, {"text": "two", "label": ["a"]}, {"text": "one", "label": ["b"]}]
    )
    source = SourceConfig(path=str(path), label_separator=",", **LABEL)
    from synalign_spark.config import IngestConfig
    from synalign_spark.spark.ingest import ingest

    with ingest(read_source(spark, source), source, IngestConfig(), "real") as found:
        assert found.reasons == {"duplicate": 1}
        ids = {row.doc_id: row.text for row in found.accepted.collect()}
        assert len(ids) == found.n_accepted == 3
        assert len({(one[:64], text) for one, text in ids.items()}) == 2, "of one text they begin alike, and are held out together"


@pytest.mark.parametrize(
    ("header", "row", "joined", "n"),
    [
        ("text,label", "line {i},{label}", '"cut off,a\nline x,b\nline y"', 2),
        ("label,text", "{label},line {i}", '"cut off\nb,line x\na,line y"', 2),
        ("text,label,x", "line {i},{label},1", '"cut off,a,""\nline x,b,1,too many\n"" line y"', 2),
        ("id,label,text,x", "{i},{label},line {i},1", '"cut off,1\n7,b,line x,1\n8,a,line y"', 2),
    ],
)
def test_rows_that_a_quote_joined_by_chance_are_told_by_their_labels(spark, tmp_path, header, row, joined, n):
    rows = [row.format(i=i, label="ab"[i % 2]) for i in range(400)]
    cells = {
        "text,label": f"{joined},b",
        "label,text": f"b,{joined}",
        "text,label,x": f"{joined},b,1",
        "id,label,text,x": f"9,b,{joined},1",
    }
    few = write(tmp_path / "few.csv", "\n".join([header, *rows, cells[header]]) + "\n")
    accepted, _, notes = ingested(spark, few, **LABEL)
    assert len(accepted) == 401
    assert notes[0].startswith(f"{n} of 403 lines of ")
    assert "within texts" in notes[0]
    many = write(tmp_path / "many.csv", "\n".join([header, *rows[:50], cells[header]]) + "\n")
    with pytest.raises(DataError, match=r"source.quote: 2 of 53 lines .*Set source.quote to ''"):
        ingested(spark, many, **LABEL)


def test_texts_of_several_lines_are_texts(spark, tmp_path):
    """A couplet, a list with commas, and one of which a line ends with a label's letter."""
    found = ["Roses are red,\nviolets are blue", "first, second\nthird, fourth\nfifth", "plan\na", "a\nb\nc"]
    path = write(tmp_path / "x.csv", "text,label\n" + "".join(f'"{text}",{"ab"[i % 2]}\n' for i, text in enumerate(found)))
    accepted, _, notes = ingested(spark, path, **LABEL)
    assert len(accepted) == 4
    assert notes == []


@pytest.mark.parametrize("kind", ["arrow", "parquet"])
def test_types_that_only_arrow_has_are_read(spark, tmp_path, kind):
    day = datetime.datetime(2024, 1, 1, 12)
    part = pa.struct([("body", pa.string()), ("took", pa.duration("s"))])
    table = pa.table(
        {
            "meta": pa.array([{"body": "one", "took": 1}, None, {"body": "three", "took": 3}], part),
            "chat": pa.array([[{"body": "hi", "took": 1}, {"body": "ho", "took": 1}], [], None], pa.list_(part)),
            "label": pa.array([1, 2, 1], pa.uint8()),
            "id": pa.array([1, 2, 2**63], pa.uint64()),
            "w": pa.array([1, 2, 3], pa.uint32()),
            "when": pa.array([day] * 3, pa.timestamp("ms")),
            "word": pa.array(["a", "b", "c"]).dictionary_encode(),
        }
    )
    path = tmp_path / f"x.{kind}"
    if kind == "parquet":
        pq.write_table(table, path)
    else:
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table)
    keys = {**LABEL, "id_column": "id", "weight_column": "w", "where": "when > '2024-01-01'"}
    source = SourceConfig(path=str(path), text_template="{word} {meta.body} {chat.body}", **keys)
    rows = read_source(spark, source).orderBy("text").collect()
    assert [(row.text, row.label, row.source_id, row.prior_weight) for row in rows] == [
        ("a one hi\nho", "1", "1", 1.0),
        ("b  ", "2", "2", 2.0),
        ("c three ", "1", str(2**63), 3.0),
    ]


def test_a_condition_finds_a_key_in_other_capitals(spark, tmp_path):
    path = lines(tmp_path / "x.jsonl", [{"text": "one", "stars": 5}, {"text": "two", "stars": 1}])
    assert texts(ingested(spark, path, where="Stars > 3")) == [("one", None)]


def test_whole_numbers_and_fractions_are_one_type(spark, tmp_path):
    path = lines(tmp_path / "x.jsonl", [{"text": f"row {label}", "label": label} for label in (0, 0.5, 1)])
    assert texts(ingested(spark, path, **LABEL, labels=["0", "0.5", "1"])) == [("row 0", "0"), ("row 0.5", "0.5"), ("row 1", "1")]
    with pytest.raises(DataError, match=r"source.label_column: 'label' is a number .*source.label_bins"):
        ingested(spark, path, **LABEL)


def test_a_type_that_spark_does_not_read_is_named_by_the_key_that_the_user_wrote(spark, tmp_path):
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"text": ["one"], "w": pa.array([1], pa.duration("s"))}), path)
    source = SourceConfig(path=str(path), weight_column="w")
    with pytest.raises(DataError, match=r"^generate.imported.weight_column: column 'w' is duration\[s\]"):
        read_source(spark, source, "generate.imported", layout_of(source, "generate.imported"))


def test_a_label_over_several_lines_is_no_class(spark, tmp_path):
    """A quote that opens in the last column and closes in the next row."""
    rows = [f"line {i},{'ab'[i % 2]}" for i in range(300)]
    path = write(tmp_path / "x.csv", "\n".join(["text,label", 'first,"a', 'second,b"', *rows]) + "\n")
    accepted, rejects, notes = ingested(spark, path, **LABEL)
    assert len(accepted) == 300
    assert [(reason, detail.split("; mend it")[0]) for reason, detail in rejects] == [
        ("malformed", "the source row could not be parsed; it spans 2 lines, 16 characters")
    ]
    assert notes[0].startswith("1 of 302 lines of ")


@pytest.mark.parametrize("label", ["label", None])
def test_a_header_that_stands_again_is_no_row_and_no_class(spark, tmp_path, label):
    """As where files were put behind each other; a text that is the name of its column is a text."""
    part = "text,label\nthe first row,a\nthe text,label\ntext,a\n"
    (tmp_path / "x.csv").write_text(part + part.replace("row", "line").replace("the text", "a text").replace("text,a", "texts,a"))
    found = read_source(spark, SourceConfig(path=str(tmp_path / "x.csv"), label_column=label)).toArrow().to_pylist()
    refused = [row["text"] for row in found if row["fault"] == "malformed"]
    assert refused == ["text"]
    assert {row["fault_detail"] for row in found if row["fault"]} == {"the header once more, and no row"}
    assert len(found) == 7


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_the_names_of_folders_are_a_column_as_they_stand(spark, tmp_path, ending):
    for i, label in enumerate(("1", "01", "good film")):
        folder = tmp_path / f"label={label}"
        folder.mkdir()
        (folder / f"x.{ending}").write_text(f"text\nrow {i}\n" if ending == "csv" else f'{{"text": "row {i}"}}\n')
    source = SourceConfig(path=str(tmp_path), label_column="label")
    found = read_source(spark, source).toArrow().to_pylist()
    assert {(row["text"], row["label"]) for row in found} == {("row 0", "1"), ("row 1", "01"), ("row 2", "good film")}
    assert not any(row["malformed"] or row["fault"] for row in found)
    kept = read_source(spark, source.model_copy(update={"where": "label = '01'"})).toArrow().to_pylist()
    assert [row["text"] for row in kept] == ["row 1"]


def test_the_contents_of_messages_are_texts_or_lists_of_parts_and_never_json(spark, tmp_path):
    parts = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    rows = [
        [{"role": "user", "content": "hi"}, {"role": "bot", "content": "ho"}],
        [{"role": "user", "content": parts}, {"role": "bot", "content": parts[:1]}],
        [{"role": "user", "content": []}],
        [{"role": "user", "content": "hi"}, {"role": "bot", "content": parts}],
        [{"role": "user", "content": {"text": "an object"}}],
        [],
        None,
        [{"role": "user"}, {"role": "bot", "content": None}, {"role": "bot", "content": "only"}],
    ]
    (tmp_path / "x.jsonl").write_text("".join(json.dumps({"i": i, "messages": row}) + "\n" for i, row in enumerate(rows)))

    def read(template):
        source = SourceConfig(path=str(tmp_path / "x.jsonl"), text_template=template, id_column="i")
        found = sorted(read_source(spark, source).toArrow().to_pylist(), key=lambda row: row["source_id"])
        return [row["fault_detail"] if row["fault"] else row["text"] for row in found]

    of_objects = "messages.content is OBJECT<text: STRING, type: STRING>, not text; a name with dots names a part of it"
    an_object = of_objects.replace(", type: STRING", "")
    assert read("{messages.content}") == ["hi\nho", of_objects, None, of_objects, an_object, None, None, "only"]
    past = "messages.content.text is STRING before its last part"
    assert read("{messages.content.text}") == [past, "one\ntwo\none", None, past, "an object", None, None, past]
    (tmp_path / "x.jsonl").write_text('{"i": 0, "messages": [{"content": null}], "title": null}\n{"i": 1, "title": "t"}\n')
    assert read("{messages.content}{title}") == [None, "t"], "null is no text, and not an empty one"
