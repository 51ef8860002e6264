"""Where rows lie and how they are written: what is found is read whole, and what would be lost in silence is refused."""

import json
import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from synalign_spark.errors import DataError
from tests.spark.source_cases import LABEL, ingested, lines, texts, write


def test_a_json_array_behind_a_byte_order_mark_is_read_and_one_bad_byte_costs_one_row(spark, tmp_path):
    rows = json.dumps([{"text": f"é {i}", "label": "ab"[i % 2]} for i in range(4)], ensure_ascii=False, indent=1)
    assert len(texts(ingested(spark, write(tmp_path / "x.json", rows.encode("utf-8-sig")), **LABEL))) == 4
    broken = rows.encode().replace("é 1".encode(), b"\xe9 1")
    accepted, rejects, _ = ingested(spark, write(tmp_path / "y.json", broken), **LABEL)
    assert (len(accepted), [reason for reason, _ in rejects]) == (3, ["bad_encoding"])


def test_a_json_array_that_is_cut_is_no_quote_that_none_closes(spark, tmp_path):
    rows = json.dumps([{"text": f"t {i}", "label": "ab"[i % 2]} for i in range(4)], indent=1)
    write(tmp_path / "a.json", rows)
    write(tmp_path / "b.json", rows[:-30])
    with pytest.raises(DataError, match=r"source.path: \d+ of \d+ lines .*: is a JSON array cut or broken\?.*write the file again"):
        ingested(spark, tmp_path, **LABEL)


@pytest.mark.parametrize(
    ("folders", "path"),
    [(("data",), ""), (("", "more"), ""), (("a/b", "a/c/d"), ""), (("d1/x", "d2/x"), "d*")],
)
@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_files_in_folders_below_are_read_too(spark, tmp_path, folders, path, kind):
    for i, folder in enumerate(folders):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        file = tmp_path / folder / f"x{i}.{kind}"
        if kind == "parquet":
            pq.write_table(pa.table({"text": [f"t {i}"], "label": [str(i)]}), file)
        else:
            write(file, f"text,label\nt {i},{i}\n" if kind == "csv" else json.dumps({"text": f"t {i}", "label": str(i)}))
    assert len(texts(ingested(spark, tmp_path / path))) == len(folders)


def test_quotes_behind_backslashes_are_told(spark, tmp_path):
    rows = [(f'he said "no", {i} times', "ab"[i % 2]) for i in range(6)]
    spark.createDataFrame(rows, "text string, label string").coalesce(1).write.csv(str(tmp_path / "c"), header=True)  # Spark's own form
    assert texts(ingested(spark, tmp_path / "c", **LABEL)) == sorted(rows)


def test_labels_of_the_configuration_have_the_normal_form_of_those_of_rows(spark, tmp_path):
    path = lines(
        tmp_path / "x.jsonl", [{"text": f"t{i}", "label": label} for i, label in enumerate(["so  so", "good\u00a0one", "cafe\u0301"])]
    )
    named = ["so  so", " good one", "cafe\u0301"]
    assert [row[1] for row in ingested(spark, path, **LABEL, labels=named)[0]] == ["so so", "good one", "café"]
    renamed = ingested(spark, path, **LABEL, rename_labels={"so  so": " meh  meh "})
    assert [row[1] for row in renamed[0]] == ["meh meh", "good one", "café"]


def test_a_source_of_rejects_alone_says_one_of_their_reasons(spark, tmp_path):
    path = write(tmp_path / "x.csv", "text,label\n" + "".join(f"a,b {i},x\n" for i in range(3)))
    with pytest.raises(DataError, match=r"all 3 rows of .* were rejected \(malformed 3\), such as one for malformed: .* see source.quote"):
        ingested(spark, path, **LABEL)


def test_a_key_with_a_quote_and_a_whole_number_of_64_bits_are_taken(spark, tmp_path):
    path = lines(tmp_path / "x.jsonl", [{"text": f"t{i}", "meta": {"it's": "ab"[i]}} for i in range(2)])
    assert texts(ingested(spark, path, label_column="meta.it's")) == [("t0", "a"), ("t1", "b")]
    pq.write_table(pa.table({"text": ["a", "b"], "label": pa.array([1, 2**63], pa.uint64())}), tmp_path / "x.parquet")
    assert texts(ingested(spark, tmp_path / "x.parquet", **LABEL)) == [("a", "1"), ("b", str(2**63))]


def test_an_arrow_file_that_is_cut_is_named(spark, tmp_path):
    rows = pa.table({"text": [os.urandom(50).hex() for _ in range(20_000)]})
    with pa.OSFile(str(tmp_path / "x.arrow"), "wb") as file, pa.ipc.new_stream(file, rows.schema) as stream:
        stream.write_table(rows, max_chunksize=1_000)
    whole = (tmp_path / "x.arrow").read_bytes()
    write(tmp_path / "x.arrow", whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"x.arrow' cannot be read \(.*is it whole\? fetch or write it again"):
        ingested(spark, tmp_path)


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("", "PARSE_EMPTY_STATEMENT"),
        ("meta.label = 'a'", r"of a key within another write get_json_object\(meta, '\$.label'\)"),
        ("text rlike '('", "(is invalid|Unclosed group).*look at source.where"),
    ],
)
def test_a_condition_that_is_none_says_what_it_is(spark, tmp_path, where, words):
    path = lines(tmp_path / "x.jsonl", [{"text": f"t{i}", "meta": {"label": "ab"[i]}} for i in range(2)])
    with pytest.raises(DataError, match=words):
        ingested(spark, path, where=where)
    assert texts(ingested(spark, path, where="get_json_object(meta, '$.label') = 'a'")) == [("t0", None)]


def test_a_path_that_means_less_to_spark_is_refused(spark, tmp_path):
    (tmp_path / "more").mkdir()
    for name in ("a.jsonl", "more/b.jsonl"):
        lines(tmp_path / name, [{"text": name}])
    with pytest.raises(DataError, match="source.path: Spark finds 1 of the 2 files at"):
        ingested(spark, f"{tmp_path}/{{.,more}}/*.*")


ODD = {
    "no object, or more than their first one": ["[]", " [ ]", '{"text": "one", "label": "a"} {"text": "two", "label": "b"}', '{"text": "one", "label": "a"},{"text": "two"}',
                                     '{"text": "one", "label": "a"} two', '[{"text": "one", "label": "a"}] {"text": "two"}'],
    "a key twice": ['{"text": "one", "text": "two", "label": "a"}', '{"text": "one", "label": "a", "label": "b"}',
                    '[{"text": "one", "label": "a", "text": "two"}]'],
}  # fmt: skip


@pytest.mark.parametrize(("words", "line"), [(words, line) for words, all_ in ODD.items() for line in all_])
def test_lines_of_which_a_part_is_read_are_said_and_many_are_an_error(spark, tmp_path, words, line):
    plain = [
        json.dumps(
            {"text": f'}}{{ "text": {i}, "text": "x" }} {{', "label": "ab"[i % 2], "chat": [{"text": "u"}, {"text": "v"}], "more": {"x": 1}}
        )
        for i in range(150)
    ]
    path = write(tmp_path / "x.jsonl", "\n".join([*plain, "", line]) + "\n")
    _, _, notes = ingested(spark, path, **LABEL)
    assert [words in note and note.startswith(("1 of the lines of ", "1 of the objects of ")) for note in notes] == [True]
    assert ingested(spark, write(tmp_path / "y.jsonl", "\n".join(plain)), **LABEL)[2] == []
    with pytest.raises(DataError, match=f"source.path: 1 of the (lines|objects) of .* hold {words}"):
        ingested(spark, write(tmp_path / "z.jsonl", "\n".join([*plain[:50], line])), **LABEL)


@pytest.mark.parametrize("form", [",\n", ", "])
def test_all_of_an_array_is_looked_through(spark, tmp_path, form):
    """Beyond the first thousand objects and the first megabyte too."""
    plain = [f'{{"text": "t {i} {"x" * 1_000}", "label": "{"ab"[i % 2]}", "more": {{"x": 1, "x": 2}}}}' for i in range(1_500)]

    def read(n, end="]"):
        rows = [*plain, *(f'{{"text": "one {i}", "te\\u0078t": "two {i}", "label": "a"}}' for i in range(n))]
        return ingested(spark, write(tmp_path / "x.json", "[" + form.join(rows) + end), **LABEL)

    accepted, _, notes = read(0)
    assert (len(accepted), notes) == (1_500, []), "what nobody needs may be as it likes"
    assert [note[:22] for note in read(2)[2]] == ["2 of the objects of '" + str(tmp_path)[0]]
    with pytest.raises(DataError, match=r"source.path: 16 of the objects of .* hold a key twice, of which the last value is read"):
        read(16)
    with pytest.raises(DataError, match=r"source.path: 1 of the (files|lines) of .* hold (no object, or )?more than their "):
        read(0, "]\n" + '[{"text": "more", "label": "a"}]' * 30)


@pytest.mark.parametrize("names", [("text", "label"), ("label", "text")])
def test_lines_that_end_in_two_ways(spark, tmp_path, names):
    """As of files that were put together: a row is a row, or it is said."""
    rows = [{"text": f"line {i}", "label": "ab"[i % 2]} for i in range(8)]
    first = ",".join(names) + "\n" + "".join(",".join(row[name] for name in names) + "\n" for row in rows[:4])
    second = "".join(",".join(row[name] for name in names) + "\r\n" for row in rows[4:])
    accepted, rejects, _ = ingested(spark, write(tmp_path / "x.csv", first + second), **LABEL)
    assert ([row[:2] for row in accepted], rejects) == ([(row["text"], row["label"]) for row in rows], [])
    with pytest.raises(DataError, match=r"source.quote: .* or do lines end in more than one way"):
        ingested(spark, write(tmp_path / "y.csv", first.replace("\n", "\r\n") + second.replace("\r\n", "\n")), **LABEL)


def test_a_condition_that_divides_by_zero_is_named(spark, tmp_path):
    path = write(tmp_path / "x.csv", "text,label\none,a\ntwo,b\n")
    for where in ("1/0 > 1", "1/(length(label) - 1) > 1"):
        with pytest.raises(DataError, match=r"x.csv': \[DIVIDE_BY_ZERO\].*in source.where write try_divide"):
            ingested(spark, path, **LABEL, where=where)


def test_whole_numbers_written_in_two_ways_are_nearly_one_label(spark, tmp_path):
    path = write(tmp_path / "x.csv", "text,label\none,1\ntwo,1.0\nthree,2\n")
    assert ingested(spark, path, **LABEL)[2] == ["labels '1' and '1.0' are nearly one name; source.rename_labels joins them"]
