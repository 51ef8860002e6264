"""The card: its head is YAML, its numbers are the run's, and no name of the data breaks either or shows a secret."""

import re

import pytest
import yaml

from synalign_spark.config.language_model import EMBEDDED_MODELS
from synalign_spark.exports import facts
from synalign_spark.exports.card import Words, literal
from synalign_spark.exports.export import export
from synalign_spark.storage import tables
from synalign_spark.storage.lake_view import LakeView

from .conftest import LABELS, TABLES, N, augmented_rows, manifest, write_manifest, write_rows

MARKDOWN = pytest.importorskip("markdown")  # comes with mkdocs


def written(view, tmp_path, format="datasets", table="augmented", columns=None):
    """(head, body) of a card."""
    done = export(view, tmp_path / f"{format}-{table}", format=format, table=table, columns=columns, overwrite=False)
    text = (done.folder / "README.md").read_text(encoding="utf-8")
    # As huggingface_hub takes the head out.
    found = re.match(r"^(\s*---[\r\n]+)([\S\s]*?)([\r\n]+---(\r\n|\r|\n|$))", text)
    return yaml.safe_load(found[2]), text[found.end() :]


def test_the_head_says_what_the_files_are(view, tmp_path):
    head, _ = written(view, tmp_path)
    assert head["license"] == "unknown"
    assert head["language"] == ["fr", "de"], "of the real rows, and what the model was asked for"
    assert head["task_categories"] == ["text-classification"]
    assert head["size_categories"] == ["n<1K"]
    assert head["configs"] == [{"config_name": "default", "data_files": [{"split": "train", "path": "data/train-*.parquet"}]}]
    features = {feature["name"]: feature["dtype"] for feature in head["dataset_info"]["features"]}
    assert features["label"] == {"class_label": {"names": {str(i): name for i, name in enumerate(sorted(LABELS))}}}
    assert (features["draw"], features["weight"], features["field_a b|c"]) == ("int32", "float64", "string")
    assert head["dataset_info"]["splits"][0]["num_examples"] == len(augmented_rows())


def test_other_formats_have_no_classes_and_exports_without_labels_no_task(view, tmp_path):
    head, _ = written(view, tmp_path, "csv", "synthetic", ["text", "weight"])
    assert "dataset_info" not in head
    assert "task_categories" not in head
    assert head["configs"][0]["data_files"][0]["path"] == "synthetic.csv"


def test_the_numbers_are_the_runs(view, tmp_path):
    _, body = written(view, tmp_path)
    for words in (
        f"{N + 20} rows: {N} synthetic, drawn by weight, and 20 real.",
        "count as 500 real ones",
        "7 calls; licence: not known here",
        "12,345 tokens of prompts, 678 of answers; cost 1.500 USD",
        "10 real rows in 5 sets, picked by the uncertainty of a Gaussian process over 4 clusters",
        "12 real rows were held out",
        "60% (40% to 80%)",
        f"41 of {N} |",
        "| generated · copied | 8 |",
        "| generated · form | 1 |",
        "| source · real · duplicate | 4 |",
        "Gates: form, copied",
        "**Seed**: 7.",
        "embedded:all-MiniLM-L6-v2; licence: Apache 2.0",
        "| coverage | 0.2500 | 0.5000 | 0.7500 | higher |",
    ):
        assert words in body, words
    assert body.count("| 5 | 15 |") == len(LABELS), "rows by label"
    _, of_synthetic = written(view, tmp_path, table="synthetic")
    assert "`weight` is the probability to draw a row" in of_synthetic
    assert "real rows are in this table" not in of_synthetic
    assert of_synthetic.count(" | 15 |\n") == len(LABELS)


def test_names_of_the_data_stay_text(view, tmp_path):
    """Rendered, the card has the headings, tables and links of the template alone."""
    _, body = written(view, tmp_path)
    html = MARKDOWN.markdown(body, extensions=["tables", "fenced_code"])
    assert re.findall(r"<h\d>(.*?)</h\d>", html) == [
        "done (augmented)", "The rows", "What the weights mean", "How it was made", "Certificate", "Evaluation", "What was refused", "Limits",
    ]  # fmt: skip
    assert not re.search(r"<(script|img|b|a|hr)\b", html)
    for line in body.splitlines():
        if line.startswith("|"):
            columns = len(re.findall(r"(?<!\\)\|", line)) - 1
            assert columns in (2, 3, 5, 6), line


def test_no_secret_and_no_folder_of_the_user_is_in_the_card(view, tmp_path):
    _, body = written(view, tmp_path)
    assert "secretword" not in body
    assert "sk-secretsecret" not in body
    assert "/home/me" not in body
    assert "reviews\\|1.csv" in body


def test_literal_text():
    assert literal("a\n# b\x1b[2J") == "a \\# b \\[2J"
    assert literal("www.a.b http://c") == "www\\.a.b http\\://c"
    assert literal(Words("**own**")) == "**own**"
    assert literal(1234) == "1,234"


def test_licences_of_the_models_that_come_with_the_project_are_known():
    assert set(EMBEDDED_MODELS) < set(facts.LICENCES)


def test_figures_of_an_evaluation_that_is_to_be_made_anew_are_left_out(lake, tmp_path):
    steps = manifest()
    steps["evaluate"]["inputs"] = {"align": "before"}
    view = LakeView(str(lake[0]), lake[1], "done")
    view.manifest = lambda: steps
    assert "## Evaluation" not in written(view, tmp_path)[1]


def test_an_imported_set_without_labels(tmp_path):
    steps = manifest()
    steps["generate"]["settings"] = {
        "generate.strategy": "imported",
        "generate.imported.path": "s3a://me:pw@bucket/set.csv?sig=abc",
        "generate.language": "English",
    }
    steps["ingest"]["summary"] = {"rows_accepted": 3}
    write_manifest(tmp_path / "lake", "done", steps)
    for table in (tables.AUGMENTED, tables.CERTIFICATE):
        rows = [row | {"label": None} for row in TABLES[table][:3]]
        write_rows(tmp_path / "lake", "parquet", "done", table, rows[:1] if table is tables.CERTIFICATE else rows)
    head, body = written(LakeView(str(tmp_path / "lake"), "parquet", "done"), tmp_path)
    assert "language" not in head
    assert "task_categories" not in head
    assert [feature["dtype"] for feature in head["dataset_info"]["features"] if feature["name"] == "label"] == ["string"]
    assert "an existing set, s3a\\://\\[hidden\\]\\@bucket/set.csv?\\[hidden\\]" in body
    assert "Language model" not in body
    assert "No row was refused" in body
