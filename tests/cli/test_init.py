"""`synalign init`: the file it writes is a valid configuration, filled in with what the corpus tells."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from synalign_spark.cli.init import look_at, template, write
from synalign_spark.cli.main import app
from synalign_spark.config.files import load
from synalign_spark.errors import ConfigError, DataError


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "corpus.csv"
    path.write_text("id,Review,sentiment\n1,fine,pos\n")
    return path


def test_the_file_is_valid_keeps_its_comments_and_is_filled_in(corpus, tmp_path):
    target = tmp_path / "new" / "films.yaml"
    said = "\n".join(write(str(target), str(corpus)))
    cfg = load([target])
    assert (cfg.source.path, cfg.source.text_column, cfg.source.label_column) == (str(corpus), "Review", "sentiment")
    assert (cfg.run.id, cfg.lake.path) == ("films", "lake/films")
    text = target.read_text()
    assert "api_key_env names; never write it here" in text
    assert f"synalign plan   --config {target}" in text
    assert "change: the model's name there" in text
    assert f"synalign run --config {target}" in said
    assert "source.text_column: Review (of id, Review, sentiment)" in said


def test_without_a_source_the_marks_stay(tmp_path):
    write(str(tmp_path / "a b.yaml"), None)  # no name for a run: the template's stays
    text = (tmp_path / "a b.yaml").read_text()
    assert text.count("# change:") == template().count("# change:") > 4
    assert load([tmp_path / "a b.yaml"]).run.id == "local"


def test_an_existing_file_is_left_as_it_is(tmp_path):
    (tmp_path / "x.yaml").write_text("mine")
    with pytest.raises(ConfigError, match=r"x.yaml' exists and is left as it is; name another file"):
        write(str(tmp_path / "x.yaml"), None)
    assert (tmp_path / "x.yaml").read_text() == "mine"


@pytest.mark.parametrize(("names", "text", "label"), [
    (["body"], "body", None), (["a", "b"], None, None), (["words", "label"], "words", "label"), (["LABEL", "Text", "sentence"], "Text", "LABEL"),
])  # fmt: skip
def test_columns_are_told_by_their_names_in_every_format(tmp_path, names, text, label):
    rows = pa.table({name: ["x"] for name in names})
    pq.write_table(rows, tmp_path / "x.parquet")
    (tmp_path / "x.jsonl").write_text(json.dumps(rows.to_pylist()[0]))
    (tmp_path / "x.tsv").write_text("\t".join(names) + "\n")
    for ending in ("parquet", "jsonl", "tsv"):
        guess = look_at(str(tmp_path / f"x.{ending}"))
        assert (guess.text, guess.label, guess.columns) == (text, label, tuple(names)), ending


def test_lines_of_text_have_no_columns(tmp_path):
    (tmp_path / "x.txt").write_text("one\n")
    assert look_at(str(tmp_path / "x.txt")).text == "text"


def test_a_source_that_is_not_there_writes_nothing(tmp_path):
    with pytest.raises(DataError, match="no file at"):
        write(str(tmp_path / "x.yaml"), str(tmp_path / "none.csv"))
    assert list(tmp_path.iterdir()) == []


def test_the_command_ends_with_the_message_and_status(corpus, tmp_path):
    words = ["init", str(tmp_path / "c.yaml"), "--source", str(corpus)]
    first, second = CliRunner().invoke(app, words), CliRunner().invoke(app, words)
    assert (first.exit_code, second.exit_code) == (0, 2)
    assert first.stdout.startswith(f"wrote {tmp_path / 'c.yaml'}")
    assert "remove it first" in second.stderr
