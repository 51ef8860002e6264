"""Labels that are none: of what stands for them in real files, what is taken, said and refused."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from synalign_spark.config import IngestConfig, SourceConfig
from synalign_spark.errors import DataError
from synalign_spark.spark.ingest import ingest
from synalign_spark.spark.source_layout import layout_of
from synalign_spark.spark.sources import read_source


def ingested(spark, path, **keys):
    """(rows by label, notes)."""
    source = SourceConfig(path=str(path), label_column="label", **keys)
    layout = layout_of(source)
    with ingest(read_source(spark, source, layout=layout), source, IngestConfig(), "real", layout=layout) as found:
        return found.labels, found.notes


def labelled(folder, labels):
    pq.write_table(pa.table({"text": [f"text {i}" for i in range(len(labels))], "label": labels}), folder / "x.parquet")
    return folder


def test_a_number_without_a_name_is_no_class(spark, tmp_path):
    labelled(tmp_path, [0, 1, 2, 0, -1])
    names = ["neg", "pos"]
    (tmp_path / "dataset_info.json").write_text(json.dumps({"features": {"label": {"names": names, "_type": "ClassLabel"}}}))
    with pytest.raises(
        DataError, match=r"source.label_column: 'label' has 2, and the files name 2 classes \(neg, pos\), counted from 0; mend"
    ):
        ingested(spark, tmp_path)
    assert ingested(spark, tmp_path, rename_labels={"0": "neg", "2": "fine"})[0] == {"-1": 1, "1": 1, "fine": 1, "neg": 2}
    assert ingested(spark, tmp_path, where="label < 2")[0] == {"neg": 2, "pos": 1}


def test_labels_that_look_like_missing_values_are_said(spark, tmp_path):
    labels, notes = ingested(spark, labelled(tmp_path, ["a", "None", "nan", "NULL", "N/A", "a", "nano"]))
    assert sum(labels.values()) == 7
    said = [note.split(" looks like a missing value")[0] for note in notes if "missing value" in note]
    assert said == ["label 'N/A' (1 rows)", "label 'NULL' (1 rows)", "label 'None' (1 rows)", "label 'nan' (1 rows)"]


@pytest.mark.parametrize(("n_labels", "rows_a_label"), [(30, 1), (40, 1.5)])
def test_an_id_is_no_label(spark, tmp_path, n_labels, rows_a_label):
    labels = [f"user{i % n_labels}" for i in range(int(n_labels * rows_a_label))]
    with pytest.raises(
        DataError, match=rf"'label' has {n_labels} different texts in {len(labels)} rows, as an id has.*name the column with"
    ):
        ingested(spark, labelled(tmp_path, labels))
    assert len(ingested(spark, tmp_path, labels=sorted(set(labels)))[0]) == n_labels


@pytest.mark.parametrize(("n_labels", "rows_a_label"), [(20, 1), (30, 2)])
def test_many_classes_of_few_rows_are_taken(spark, tmp_path, n_labels, rows_a_label):
    labels = [f"class {i % n_labels}" for i in range(n_labels * rows_a_label)]
    assert len(ingested(spark, labelled(tmp_path, labels))[0]) == n_labels


def test_a_dialogue_whose_lines_begin_with_a_label_is_read_where_the_quotes_are_said_to_enclose(spark, tmp_path):
    rows = "".join(f'pos,"well {i}\nneg,she said {i}"\nneg,"bad {i}"\n' for i in range(20))
    path = tmp_path / "x.csv"
    path.write_text("label,text\n" + rows)
    with pytest.raises(DataError, match=r"source.quote: 20 of 60 lines .*, or to '\"' where they enclose texts whose lines begin so"):
        ingested(spark, path)
    labels, notes = ingested(spark, path, quote='"')
    assert labels == {"neg": 20, "pos": 20}
    assert any("20 of 60 lines" in note for note in notes)
