"""Inputs that real users bring: each is read whole, or refused with the fix, and never turned into something plausible."""

import datetime
import gzip
import json
import os

import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest

from synalign_spark.config import IngestConfig, SourceConfig
from synalign_spark.errors import DataError
from synalign_spark.spark.ingest import ingest
from synalign_spark.spark.sources import read_source
from tests.spark.source_cases import LABEL, ingested, lines, texts, write

NESTED = {
    "text": ["one", "two"],
    "messages": [[{"role": "user", "content": "hi"}, {"role": "bot", "content": "hello"}], [{"role": "user", "content": "ho"}]],
    "labels": [["a", "b"], ["a"]],
    "label": [3.836, 2.5],
    "meta": [{"label": "a", "title": "A"}, {"label": "b", "title": None}],
    "count": [1, 2],
    "flag": [True, False],
    "day": [datetime.date(2024, 1, 1), datetime.date(2024, 1, 2)],
    "when": pa.array([1, 2], pa.timestamp("ns")),
}


@pytest.fixture(scope="module")
def nested(tmp_path_factory):
    path = tmp_path_factory.mktemp("nested") / "x.parquet"
    pq.write_table(pa.table(NESTED), path)
    return path


@pytest.fixture(scope="module")
def nested_json(tmp_path_factory):
    plain = {name: values for name, values in NESTED.items() if name not in ("day", "when")}
    rows = [dict(zip(plain, values, strict=True)) for values in zip(*plain.values(), strict=True)]
    return lines(tmp_path_factory.mktemp("nested") / "x.jsonl", rows)


def delimited(separator, stray=True):
    rows = [f"line {i}{separator}{'ab'[i % 2]}" for i in range(40)]
    rows[19] = '"' * stray + rows[19]
    return "\n".join([f"text{separator}label", *rows]) + "\n"


def test_a_stray_quote_in_tsv_is_a_letter_and_in_csv_is_told(spark, tmp_path):
    found = texts(ingested(spark, write(tmp_path / "x.tsv", delimited("\t")), **LABEL))
    assert len(found) == 40
    assert ('"line 19', "b") in found
    path = write(tmp_path / "x.csv", delimited(","))
    with pytest.raises(DataError, match=r"source.quote: 20 of 40 lines of .* Set source.quote to ''"):
        ingested(spark, path, **LABEL)
    assert len(texts(ingested(spark, path, **LABEL, quote=""))) == 40


def test_a_few_lines_that_a_quote_took_in_are_said(spark, tmp_path):
    rows = [f"line {i},{'ab'[i % 2]}" for i in range(400)]
    rows[399] = '"cut,x\nlast one,b'
    accepted, rejects, notes = ingested(spark, write(tmp_path / "x.csv", "text,label\n" + "\n".join(rows)), **LABEL)
    assert len(accepted) == 399
    fix = "mend it, or see source.quote ('\"' now), source.escape and source.separator (',' now)"
    assert rejects == [("malformed", f"the source row could not be parsed; it spans 2 lines, 17 characters; {fix}")]
    assert notes[0].startswith("1 of 401 lines of ")


@pytest.mark.parametrize(
    ("content", "keys"),
    [
        ("text;label\ncafé, so;x\nb d;y\n", {}),
        ("text|label\ncafé, so|x\nb d|y\n", {}),
        ('text,label\n"café, so",x\nb d,y\n'.encode("latin-1"), {}),
        ('text,label\n"café, so",x\nb d,y\n'.encode("utf-16"), {}),
        ("café, so;x\nb d;y\n", {"header": False, "text_column": "_c0", "label_column": "_c1"}),
        ("text,label\n'café, so',x\nb d,y\n", {"quote": "'"}),
        ('text,label\n"café, so",x\nb d,y\n'.replace("\n", "\r"), {}),
        (" text ;label \ncafé, so;x\nb d;y\n", {}),
    ],
)
def test_delimited_text_of_every_kind_gives_the_same_rows(spark, tmp_path, content, keys):
    assert texts(ingested(spark, write(tmp_path / "x.csv", content), **{**LABEL, **keys})) == [("b d", "y"), ("café, so", "x")]


def test_windows_1252_has_its_quotes(spark, tmp_path):
    path = write(tmp_path / "x.csv", "text,label\nhe said “no”,x\n5 €a,y\n".encode("cp1252"))
    assert texts(ingested(spark, path, **LABEL)) == [("5 €a", "y"), ("he said “no”", "x")]


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"text_column": "meta.title"}, [("A", None)]),
        ({"text_template": "{text}: {meta.title}"}, [("one: A", None), ("two:", None)]),
        ({"text_template": "{messages.content}"}, [("hi hello", None), ("ho", None)]),
        ({"text_template": "{labels}"}, [("a", None), ("a b", None)]),
        ({"label_column": "meta.label"}, [("one", "a"), ("two", "b")]),
        ({"label_column": "count"}, [("one", "1"), ("two", "2")]),
        ({"label_column": "flag"}, [("one", "true"), ("two", "false")]),
        ({"label_column": "label", "label_bins": [2.5, 3]}, [("one", "3 and above"), ("two", "2.5 to 3")]),
        ({"label_column": "label", "label_bins": [3]}, [("one", "3 and above"), ("two", "below 3")]),
        ({"label_column": "label", "labels": ["3.836", "2.5"]}, [("one", "3.836"), ("two", "2.5")]),
        ({"where": "count > 1"}, [("two", None)]),
    ],
)
@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
def test_nested_columns_and_templates(spark, nested, nested_json, kind, keys, expected):
    assert texts(ingested(spark, nested if kind == "parquet" else nested_json, **keys)) == expected


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"text_column": "messages"}, r"source.text_column: 'messages' is array.*source.text_template"),
        ({"text_column": "meta"}, r"source.text_column: 'meta' is struct"),
        ({"text_column": "count"}, r"source.text_column: 'count' is bigint, not text"),
        ({"text_template": "{meta}"}, r"source.text_template: 'meta' is struct.*such as \{meta.content\}"),
        ({"label_column": "labels"}, r"source.label_column: 'labels' is array<string>.*one class a row"),
        ({"label_column": "label"}, r"source.label_column: 'label' is double.*source.label_bins"),
        ({"label_column": "meta"}, r"source.label_column: 'meta' is struct.*meta.label"),
        ({"label_column": "day"}, r"source.label_column: 'day' is date, which is no class"),
        ({"id_column": "labels"}, r"source.id_column: 'labels' is array"),
        ({"weight_column": "meta"}, r"source.weight_column: 'meta' is struct.*not a number"),
        ({"label_column": "meta.none"}, r"source.label_column: no column 'meta.none'"),
        ({"label_column": "when"}, r"column 'when' is timestamp\[ns\], which Spark does not read"),
    ],
)
def test_a_type_that_cannot_be_what_is_asked_for_is_refused(spark, nested, keys, words):
    with pytest.raises(DataError, match=words):
        read_source(spark, SourceConfig(path=str(nested), **keys))


def test_types_of_a_table_are_looked_at_too(spark):
    spark.sql("create or replace temp view typed as select 'a' text, array('x') labels, 1.5D score")
    for column in ("labels", "score"):
        with pytest.raises(DataError, match=f"source.label_column: '{column}' is "):
            read_source(spark, SourceConfig(table="typed", label_column=column))


def test_json_rows_of_another_type_are_rejects_and_late_keys_are_found(spark, tmp_path):
    rows = [{"text": f"row {i}"} for i in range(1500)]
    late = [
        {"text": "late", "label": "b"},
        {"text": "later", "label": "a"},
        {"text": {"a": 1}, "label": "a"},
        {"text": "t", "label": ["a"]},
    ]
    accepted, rejects, _ = ingested(spark, lines(tmp_path / "x.jsonl", rows + late), **LABEL)
    assert [row[:2] for row in accepted] == [("late", "b"), ("later", "a")]
    assert [detail for reason, detail in rejects if reason == "wrong_type"] == [
        "label is ARRAY<STRING>, which is no class", "text is OBJECT<a: BIGINT>, not text",
    ]  # fmt: skip
    with pytest.raises(DataError, match="source.text_column: no column 'body' in .*; it has text"):
        ingested(spark, tmp_path / "x.jsonl", text_column="body")


def test_a_json_array_is_read(spark, tmp_path):
    rows = [{"text": f"t {i}", "label": "ab"[i % 2]} for i in range(4)]
    found = ingested(spark, write(tmp_path / "x.json", json.dumps(rows, indent=1)), **LABEL)
    assert texts(found) == [("t 0", "a"), ("t 1", "b"), ("t 2", "a"), ("t 3", "b")]


@pytest.mark.parametrize("form", ["file", "stream", "dictionary"])
def test_arrow_files_are_read_with_their_class_names(spark, tmp_path, form):
    rows = pa.table({"text": ["a b", "c d", "e"], "label": [0, 1, -1]})
    if form == "dictionary":
        rows = pa.table({"text": pa.array(["a b", "c d", "e"]).dictionary_encode(), "label": rows["label"]})
    for name in ("1.arrow", "2.arrow"):
        if form == "file":
            feather.write_feather(rows, str(tmp_path / name))
        else:
            with pa.OSFile(str(tmp_path / name), "wb") as file, pa.ipc.new_stream(file, rows.schema) as stream:
                stream.write_table(rows)
    (tmp_path / "state.json").write_text("{}")
    (tmp_path / "dataset_info.json").write_text(json.dumps({"features": {"label": {"names": ["neg", "pos"], "_type": "ClassLabel"}}}))
    accepted, rejects, _ = ingested(spark, tmp_path, **LABEL)
    assert [row[:2] for row in accepted] == [("a b", "neg"), ("c d", "pos")]
    assert sorted(reason for reason, _ in rejects) == ["duplicate", "duplicate", "null_label", "null_label"]


def test_a_note_beside_parquet_is_not_read_and_folders_name_columns(spark, tmp_path):
    for label in ("01", "2"):
        (tmp_path / f"label={label}").mkdir()
        pq.write_table(pa.table({"text": [f"of {label}"]}), tmp_path / f"label={label}" / "x.parquet")
    (tmp_path / "README.md").write_text("# notes")
    assert texts(ingested(spark, tmp_path, **LABEL)) == [("of 01", "01"), ("of 2", "2")]


def test_a_path_that_is_there_is_no_pattern(spark, tmp_path):
    (tmp_path / "a[1]{b}").mkdir()
    assert texts(ingested(spark, lines(tmp_path / "a[1]{b}" / "x.jsonl", [{"text": "hi"}]))) == [("hi", None)]


def test_labels_that_look_alike_are_one_and_nearly_alike_are_said(spark, tmp_path):
    labels = ["pos", "pos\t", "pos\u00a0", " pos", "po\u200bs", "Pos", "neg"]
    accepted, _, notes = ingested(
        spark, lines(tmp_path / "x.jsonl", [{"text": f"t{i}", "label": v} for i, v in enumerate(labels)]), **LABEL
    )
    assert sorted({row[1] for row in accepted}) == ["Pos", "neg", "pos"]
    assert notes == ["labels 'Pos' and 'pos' are nearly one name; source.rename_labels joins them"]


@pytest.mark.parametrize(
    ("conflicts", "kept", "reasons"),
    [
        ("majority", [("most", "z")], {"label_conflict": 3, "duplicate": 1}),
        ("first", [("even", "a"), ("most", "a")], {"label_conflict": 3}),
        ("drop", [], {"label_conflict": 5}),
    ],
)
def test_a_text_under_several_labels(spark, tmp_path, conflicts, kept, reasons):
    rows = [("most", "z"), ("most ", "z"), ("most", "a"), ("even", "a"), ("even", "b"), ("one", "a"), ("two", "z")]
    path = lines(tmp_path / "x.jsonl", [{"text": text, "label": label} for text, label in rows])
    accepted, rejects, notes = ingested(spark, path, {"conflicts": conflicts}, **LABEL)
    assert [row[:2] for row in accepted] == sorted([*kept, ("one", "a"), ("two", "z")])
    assert {reason: sum(found == reason for found, _ in rejects) for reason, _ in rejects} == reasons
    assert "have a text that other rows have under another label" in notes[0]


def test_a_name_that_is_renamed_and_that_no_row_has_is_said(spark, tmp_path):
    path = lines(tmp_path / "x.jsonl", [{"text": f"t{i}", "label": label} for i, label in enumerate(["0", " 1", "0", "2"])])
    accepted, _, notes = ingested(spark, path, **LABEL, rename_labels={"0": "bad", "1": "good", "3": "fine"})
    assert sorted(row[1] for row in accepted) == ["2", "bad", "bad", "good"]
    assert notes == ["source.rename_labels renames '3', which no row is labelled; the labels are '0', '1', '2'"]
    with pytest.raises(
        DataError, match=r"source.rename_labels renames 'O', which no row is labelled; the labels are '0', '1', '2'; correct"
    ):
        ingested(spark, path, **LABEL, rename_labels={"O": "bad"})


@pytest.mark.parametrize("values", [[f"{i * 0.37:.2f}" for i in range(1, 40)], [str(i) for i in range(40)]])
def test_numbers_that_are_no_classes_are_refused(spark, tmp_path, values):
    path = write(tmp_path / "x.csv", "text,score\n" + "".join(f"t {i},{value}\n" for i, value in enumerate(values)))
    with pytest.raises(DataError, match=r"source.label_column: 'score' has .*which are no classes; part them with source.label_bins"):
        ingested(spark, path, label_column="score")
    assert {row[1] for row in ingested(spark, path, label_column="score", label_bins=[10])[0]} == {"below 10", "10 and above"}


def test_many_classes_that_are_numbers_are_taken(spark, tmp_path):
    path = lines(tmp_path / "x.jsonl", [{"text": f"t {i}", "label": i % 30} for i in range(300)])
    assert len({row[1] for row in ingested(spark, path, **LABEL)[0]}) == 30


def test_bad_weights_are_rejects_that_keep_their_text(spark, tmp_path):
    rows = [{"text": f"t {i}", "w": value} for i, value in enumerate([1e-7, -1, "x", float("nan"), None, "2.5"])]
    source = SourceConfig(path=str(lines(tmp_path / "x.jsonl", rows)), weight_column="w")
    with ingest(read_source(spark, source), source, IngestConfig(), "real") as found:
        assert {row["prior_weight"] for row in found.accepted.collect()} == {1e-7, 2.5}
        assert sorted((row["reason"], row["raw"], row["detail"]) for row in found.rejects.collect()) == [
            ("bad_weight", "t 1", "w is -1, not a number >= 0"),
            ("bad_weight", "t 2", "w is x, not a number >= 0"),
            ("bad_weight", "t 3", "w is NaN, not a number >= 0"),
            ("bad_weight", "t 4", "w is null or blank, not a number >= 0"),
        ]


@pytest.mark.parametrize("scale", [1e-7, 330.0])
def test_a_blank_weight_is_no_1_among_weights_of_another_scale(spark, tmp_path, scale):
    rows = "".join(f"t {i},{weight}\n" for i, weight in enumerate([scale, 2 * scale, "", " ", "nan"]))
    accepted, rejects, _ = ingested(spark, write(tmp_path / "x.csv", "text,w\n" + rows), weight_column="w")
    assert [weight for *_, weight in accepted] == [scale, 2 * scale]
    assert [reason for reason, _ in rejects] == ["bad_weight"] * 3


def test_white_space_is_kept_where_asked_and_ids_are_the_same(spark, tmp_path):
    code = "def f():\n\treturn 1\n"
    path = lines(
        tmp_path / "x.jsonl", [{"text": code}, {"text": "def f(): return 1"}, {"text": "C++"}, {"text": "C#"}, {"text": "ok \U0001f600"}]
    )
    source = SourceConfig(path=str(path))
    ids = {}
    for whitespace, expected in (("collapse", "def f(): return 1"), ("keep", code)):
        with ingest(read_source(spark, source), source, IngestConfig(whitespace=whitespace), "real") as found:
            rows = {row["text"]: row["doc_id"] for row in found.accepted.collect()}
            assert (len(rows), found.reasons) == (4, {"duplicate": 1})
            ids[whitespace] = rows[expected]
    assert len(set(ids.values())) == 1


@pytest.mark.parametrize(
    ("name", "content", "keys", "words"),
    [
        (
            "x.csv",
            "text,stars\na,4\nb,many\n",
            {"where": "stars > 3"},
            r"x.csv': \[CAST_INVALID_INPUT\] The value 'many'.*source.where.*try_cast",
        ),
        ("x.jsonl.gz", None, {}, r"x.jsonl.gz.*: Unexpected end of input stream; fetch or write the file again"),
    ],
)
def test_a_fault_in_the_middle_of_a_read_is_one_line(spark, tmp_path, name, content, keys, words):
    if content is None:  # whole in its first megabyte, and cut after it
        packed = gzip.compress("".join(json.dumps({"text": os.urandom(500).hex()}) + "\n" for _ in range(4000)).encode(), 1)
        content = packed[: len(packed) * 3 // 4]
    with pytest.raises(DataError, match=words) as caught:
        ingested(spark, write(tmp_path / name, content), **keys)
    assert "\n" not in str(caught.value)
