"""Exports: every format holds the rows and weights of the lake, whole or not at all, and replaces nothing that is not its own."""

import csv
import json
import os
import subprocess
import sys

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

import synalign_spark as sa
from synalign_spark.cli.main import app
from synalign_spark.errors import ConfigError, DataError, LakeError
from synalign_spark.exports import export as module
from synalign_spark.exports import formats, rows
from synalign_spark.exports.csv_guard import guarded, unguarded
from synalign_spark.storage import tables
from synalign_spark.storage.lake_view import LakeView

from .conftest import FORMULA, LABELS, TEXTS, N, augmented_rows, manifest, synthetic_rows, weight_rows, write_manifest, write_rows

OPTIONS = {"format": "datasets", "table": "augmented", "columns": None, "overwrite": False}
FORMATS = list(formats.FORMATS)


def export(view, out, **options):
    return module.export(view, out, **OPTIONS | options)


def expected(table):
    """The rows as they went into the lake, by their key, with a key a part."""
    found = {}
    weights = {row["doc_id"]: row for row in weight_rows()}
    for row in synthetic_rows() if table == "synthetic" else augmented_rows():
        whole = row | weights[row["doc_id"]] if table == "synthetic" else row
        parts = dict(whole.get("fields") or [])
        found[row["doc_id"]] = whole | {"field_title": parts.get("title"), "field_a b|c": parts.get("a b|c")}
    return found


def read_back(done):
    """Rows of an export as dictionaries, with labels as texts and cells of CSV without their guards."""
    files = sorted(done.folder / name for name in done.files if name != "README.md")
    if done.format in ("datasets", "parquet"):
        whole = pa.concat_tables(pq.read_table(path) for path in files)
        names = (
            json.loads(whole.schema.metadata[b"huggingface"])["info"]["features"]["label"]["names"] if done.format == "datasets" else None
        )
        return [row | {"label": names[row["label"]]} if names else row for row in whole.to_pylist()]
    if done.format == "jsonl":
        return [json.loads(line) for line in files[0].read_text(encoding="utf-8").splitlines()]
    with open(files[0], encoding="utf-8", newline="") as file:
        numbers = ("draw", "weight", "sample_weight", "weight_in_label", "base_weight", "label_confidence")
        return [
            {name: (float(cell) if cell else None) if name in numbers else unguarded(cell) or None for name, cell in row.items()}
            for row in csv.DictReader(file)
        ]


@pytest.mark.parametrize("table", ["augmented", "synthetic"])
@pytest.mark.parametrize("format", FORMATS)
def test_a_format_holds_every_row_with_its_weights(view, tmp_path, format, table):
    done = export(view, tmp_path / "out", format=format, table=table)
    read, wanted = read_back(done), expected(table)
    assert len(read) == done.rows == len(wanted)
    for row in read:
        assert {name: wanted[row["doc_id"]].get(name) for name in row} == row
    assert {"text", "label", "weight", "field_title"} <= set(read[0])
    assert sorted(done.files) == sorted(
        str(p.relative_to(done.folder)) for p in done.folder.rglob("*") if p.is_file() and p.name != "export.json"
    )
    assert os.listdir(tmp_path) == ["out"], "no temporary folder is left"


def test_the_same_run_gives_the_same_bytes_however_its_rows_are_batched(view, tmp_path, monkeypatch):
    for format in FORMATS:
        read = []
        for i, size in enumerate((1, 7, 10_000)):
            monkeypatch.setattr(rows, "BATCH_ROWS", size)
            read.append(read_back(export(view, tmp_path / f"{format}{i}", format=format, table="synthetic")))
        again = export(view, tmp_path / f"{format}3", format=format, table="synthetic").folder
        assert read[0] == read[1] == read[2]
        assert {p.name: p.read_bytes() for p in again.rglob("*.*")} == {
            p.name: p.read_bytes() for p in (tmp_path / f"{format}2").rglob("*.*")
        }


def test_large_tables_are_parted_into_numbered_files(view, tmp_path, monkeypatch):
    monkeypatch.setattr(rows, "BATCH_ROWS", 10)
    monkeypatch.setattr(formats, "SHARD_BYTES", 1)
    done = export(view, tmp_path / "out", table="synthetic")
    names = [name for name in done.files if name.endswith(".parquet")]
    assert names == [f"data/train-{i:05d}-of-{len(names):05d}.parquet" for i in range(len(names))]
    assert len(names) > 2
    assert len(read_back(done)) == N


def test_no_cell_of_a_csv_file_is_a_formula(view, tmp_path):
    done = export(view, tmp_path / "out", format="csv", table="synthetic")
    with open(done.folder / "synthetic.csv", encoding="utf-8", newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert "'" + FORMULA in cells
    assert [cell for cell in cells if cell.strip()[:1] in tuple("=+-@\uff1d")] == [], "no number is negative here"
    assert [text for text in TEXTS if text not in cells] == [FORMULA, "+1", "-x", "@SUM(A1)", "\t=1", " =1", "'=1", "\uff1d1"]
    frame = pd.read_csv(done.folder / "synthetic.csv")
    assert frame["weight"].sum() == pytest.approx(sum(row["weight"] for row in weight_rows()))


@pytest.mark.parametrize("text", ["\tx", "\rx", "\nx", "'\tx"])
def test_what_a_spreadsheet_skips_before_a_formula_is_guarded_on_its_own(text):
    assert guarded(pa.array([text])).to_pylist() == ["'" + text]


@given(st.lists(st.text(alphabet="'=+-@ a\t\n\r\u3000\uff0b", max_size=5)))
def test_a_guard_can_be_taken_away_again(texts):
    cells = guarded(pa.array(texts, pa.string())).to_pylist()
    assert [unguarded(cell) for cell in cells] == texts
    assert not [cell for cell in cells if cell.strip()[:1] in tuple("=+-@\uff0b")]


def test_columns_are_chosen_and_ordered(view, tmp_path):
    done = export(view, tmp_path / "out", format="jsonl", table="synthetic", columns=["weight", "field_title", "text"])
    read = read_back(done)
    assert list(read[0]) == ["weight", "field_title", "text"]
    assert sorted(row["weight"] for row in read) == sorted(row["weight"] for row in weight_rows())
    assert sorted(row["text"] for row in read) == sorted(row["text"] for row in synthetic_rows())
    for columns in (["nope"], [], ["text", "text"]):
        with pytest.raises(ConfigError, match="columns"):
            export(view, tmp_path / "no", columns=columns)


def test_many_labels_stay_texts(view, tmp_path, monkeypatch):
    monkeypatch.setattr(formats, "MOST_CLASSES", 3)
    assert (
        pq.read_schema(export(view, tmp_path / "out").folder / "data" / "train-00000-of-00001.parquet").field("label").type == pa.string()
    )


@pytest.mark.parametrize(("options", "words"), [
    ({"format": "excel"}, "format is 'excel'; it is one of datasets, parquet, csv, jsonl"),
    ({"table": "calls"}, "table is 'calls'; it is one of augmented, synthetic"),
])  # fmt: skip
def test_unknown_formats_and_tables_are_named(view, tmp_path, options, words):
    with pytest.raises(ConfigError, match=words):
        export(view, tmp_path / "out", **options)
    assert os.listdir(tmp_path) == []


def test_an_export_is_replaced_on_demand_alone(view, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    export(view, out, format="csv")
    with pytest.raises(ConfigError, match="is not empty; name another one, or replace an earlier export with --overwrite"):
        export(view, out, format="jsonl")
    assert (out / "augmented.csv").exists()
    export(view, out, format="jsonl", overwrite=True)
    assert sorted(os.listdir(out)) == ["README.md", "augmented.jsonl", "export.json"]


@pytest.mark.parametrize("own", ["notes.txt", ".git/HEAD", "data/train.csv", "empty/"])
def test_what_no_export_wrote_is_never_replaced(view, tmp_path, own):
    out = tmp_path / "out"
    export(view, out)
    (out / own).parent.mkdir(exist_ok=True)
    (out / own).mkdir() if own.endswith("/") else (out / own).write_text("mine")
    with pytest.raises(ConfigError, match="holds what no export wrote"):
        export(view, out, overwrite=True)
    assert (out / own).exists()


def test_places_that_are_no_folder_of_this_machine(view, tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path)
    for out in (tmp_path / "file", tmp_path / "link", "s3a://bucket/x", ""):
        with pytest.raises(ConfigError, match="^out"):
            export(view, out, overwrite=True)
    with pytest.raises(DataError, match="cannot be written"):
        export(view, tmp_path / "file" / "below")
    with pytest.raises(ConfigError, match="no export wrote"):
        export(view, view.path, overwrite=True)


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_failed_export_leaves_what_was_there(view, tmp_path, monkeypatch, overwrite):
    out = tmp_path / "out"
    if overwrite:
        export(view, out)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    monkeypatch.setattr(module.card, "render", lambda *_: (_ for _ in ()).throw(OSError("No space left on device")))
    with pytest.raises(DataError, match="No space left"):
        export(view, out, overwrite=overwrite)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert os.listdir(tmp_path) == (["out"] if overwrite else [])


def test_a_run_that_is_not_finished_is_no_export(lake, tmp_path):
    view = LakeView(str(lake[0]), lake[1], "other")
    with pytest.raises(DataError, match="run.id 'other' .* is not finished: resample, report are left to run; start `synalign run` first"):
        export(view, tmp_path / "out")
    with pytest.raises(DataError, match="has no rows"):  # align is done, and wrote none
        export(view, tmp_path / "out", table="synthetic")
    assert os.listdir(tmp_path) == []


def test_tables_that_change_meanwhile_or_do_not_belong_together(tmp_path):
    root = tmp_path / "lake"
    for table, found in ((tables.AUGMENTED, augmented_rows()), (tables.SYNTHETIC, synthetic_rows()), (tables.WEIGHTS, weight_rows()[1:])):
        write_rows(root, "delta", "done", table, found)
    write_rows(root, "delta", "done", tables.CERTIFICATE, [{"label": None}])
    write_manifest(root, "done", manifest())
    view = LakeView(str(root), "delta", "done")
    with pytest.raises(LakeError, match="synthetic row 's59' has no weight"):
        export(view, tmp_path / "out", table="synthetic")
    states = iter([manifest()] * 2)
    view.manifest = lambda: next(states, manifest() | {"resample": {"produced": "anew", "inputs": {}}})
    with pytest.raises(LakeError, match="was run again"):
        export(view, tmp_path / "out")
    assert os.listdir(tmp_path) == ["lake"]


def test_the_function_and_the_command_write_the_same(lake, tmp_path):
    config = {"source": {"path": "unused"}, "lake": {"path": str(lake[0]), "format": lake[1]}, "run": {"id": "done"}}
    done = sa.export(config, tmp_path / "a", format="csv", columns=["text", "weight"])
    words = [*command(lake), "--out", str(tmp_path / "b"), "--format", "csv", "--columns", "text, weight", "--json"]
    ran = CliRunner().invoke(app, words)
    assert json.loads(ran.stdout) == {"folder": str(tmp_path / "b"), "table": "augmented", "format": "csv", "rows": 80, "files": done.files}
    assert (tmp_path / "a" / "augmented.csv").read_bytes() == (tmp_path / "b" / "augmented.csv").read_bytes()
    refused = CliRunner().invoke(app, words)
    assert (refused.exit_code, "is not empty" in refused.stderr) == (2, True)


def command(lake):
    settings = (f"lake.path={lake[0]}", f"lake.format={lake[1]}", "run.id=done")
    return ["export", *(word for one in settings for word in ("--set", one))]


@pytest.mark.parametrize("lake", ["delta"], indirect=True)
def test_the_command_needs_no_spark(lake, tmp_path):
    code = "import sys; from synalign_spark.cli.main import app; app(standalone_mode=False); print('pyspark' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code, *command(lake), "--out", str(tmp_path / "out")], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == [
        f"80 rows of augmented as datasets in {tmp_path / 'out'} (README.md, data/train-00000-of-00001.parquet)",
        "False",
    ]


@pytest.mark.parametrize("format", FORMATS)
def test_the_library_datasets_reads_every_format(view, tmp_path, monkeypatch, format):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_OFFLINE", True)
    done = export(view, tmp_path / "out", format=format)
    found = datasets.load_dataset(str(done.folder), split="train", cache_dir=str(tmp_path / "cache"))
    assert len(found) == done.rows
    assert sum(found["sample_weight"]) == pytest.approx(sum(row["sample_weight"] for row in augmented_rows()))
    if format == "datasets":
        assert found.features["label"] == datasets.ClassLabel(names=sorted(LABELS))
        assert {found.features["label"].int2str(i) for i in found["label"]} == set(LABELS)
