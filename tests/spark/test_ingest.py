"""Every bad row is a reject with its reason, duplicates keep the same row whatever the partitions, and nothing is lost."""

import pytest

from synalign_spark.config import IngestConfig, SourceConfig
from synalign_spark.errors import DataError
from synalign_spark.spark.ingest import ingest
from synalign_spark.spark.sources import SOURCE_COLUMNS
from synalign_spark.storage.tables import CORPUS, REJECTS

SCHEMA = "text string, label string, source_id string, source_file string, prior_weight double, malformed string"
SOURCE = SourceConfig(path="rows", label_column="label", labels=["a", "b"])
LIMITS = IngestConfig(min_chars=2, max_chars=20)
ROWS = [
    ("first text", "a", "1", "f", 2.0, None),
    ("second  text ", "b", "2", "f", None, None),
    ("e\u0301t\u0301", "b", "9", "f", None, None),
    (" second text", "a", "3", "f", None, None),  # wins over row 2 by the label of most rows
    ("second\ttext", "a", "13", "f", None, None),
    ("first\ttext", "a", "0", "f", None, None),  # wins over row 1: smaller id
    ("\u00e9t\u0301", "b", "8", "f", None, None),
    (None, "a", "4", "f", None, None),
    (" \u200b\n", "a", "5", "f", None, None),
    ("x", "a", "6", "f", None, None),
    ("y" * 21, "a", "7", "f", None, None),
    ("caf\ufffd", "a", "10", "f", None, None),
    ("no label", None, "11", "f", None, None),
    ("strange label", "c", "12", "f", None, None),
    (None, None, None, "f", None, "{broken" * 300),
    (None, None, None, "f", None, "{caf\ufffd"),
]


def ingested(spark, rows, source=SOURCE, limits=LIMITS, origin="real"):
    frame = rows if not isinstance(rows, list) else spark.createDataFrame(rows, SCHEMA)
    frame = frame.selectExpr("*", "cast(null as string) fault", "cast(null as string) fault_detail", "cast(null as string) renamed")
    assert frame.columns == list(SOURCE_COLUMNS)
    with ingest(frame, source, limits, origin) as found:
        assert found.accepted.columns == list(CORPUS.column_names)
        assert found.rejects.columns == list(REJECTS.column_names)
        return found, sorted(found.accepted.collect()), found.rejects.collect()


@pytest.mark.parametrize("partitions", [1, 2, 7])
def test_every_row_is_accepted_or_rejected_for_its_reason(spark, partitions):
    frame = spark.createDataFrame(ROWS, SCHEMA).repartition(partitions)
    found, accepted, rejects = ingested(spark, frame)
    assert sorted((r.text, r.label, r.source_id, r.n_chars) for r in accepted) == [
        ("first text", "a", "0", 10), ("second text", "a", "13", 11), ("\u00e9t\u0301", "b", "8", 3),
    ]  # fmt: skip
    assert found.labels == {"a": 2, "b": 1}
    assert sorted((r.source_id or "", r.reason) for r in rejects) == [
        ("", "bad_encoding"), ("", "malformed"), ("1", "duplicate"), ("10", "bad_encoding"), ("11", "null_label"), ("12", "unknown_label"),
        ("2", "label_conflict"), ("3", "duplicate"), ("4", "null_text"), ("5", "empty"), ("6", "too_short"), ("7", "too_long"), ("9", "duplicate"),
    ]  # fmt: skip
    detail = {r.source_id: r.detail for r in rejects}
    assert detail["2"] == "same text with another label: kept 'a', of 3 rows"
    assert detail["7"] == "21 characters, ingest.max_chars is 20"
    assert max(len(r.raw) for r in rejects if r.raw) == 1000
    assert found.n_read == len(ROWS)
    assert sum(found.reasons.values()) + found.n_accepted == len(ROWS)
    assert next(iter(found.reasons)) == "duplicate"


def test_ids_are_the_hash_of_the_normal_text_and_unique(spark):
    import hashlib

    _, accepted, _ = ingested(spark, ROWS)
    assert [r.doc_id for r in accepted] == sorted({hashlib.sha256(r.text.encode()).hexdigest() for r in accepted})


def test_without_labels_equal_texts_are_one_row(spark):
    rows = [("same", None, None, "f", 1.0, None), ("same ", None, None, "f", 2.0, None), ("other", None, None, "f", None, None)]
    found, accepted, rejects = ingested(spark, rows, SourceConfig(path="rows"), origin="synthetic")
    assert [(r.text, r.prior_weight) for r in sorted(accepted, key=lambda r: r.text)] == [("other", None), ("same", 1.0)]
    assert [(r.origin, r.reason, r.raw) for r in rejects] == [("synthetic", "duplicate", "same ")]
    assert found.labels == {}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "source: 'rows' has no rows"),
        (
            [(None, "a", None, "f", None, None), ("caf\ufffd", "a", None, "f", None, None)],
            r"all 2 rows of 'rows' were rejected .bad_encoding 1, null_text 1.",
        ),
        ([("text one", None, None, "f", None, None)], r"all 1 rows .*null_label 1"),
        (
            [("text one", "a", None, "f", None, None), ("text two", "a", None, "f", None, None)],
            "source.label_column: 'label' has the one value 'a'",
        ),
    ],
)
def test_sources_that_cannot_be_used(spark, rows, message):
    with pytest.raises(DataError, match=message):
        ingested(spark, rows)


def test_a_label_column_that_is_no_class_is_refused(spark):
    rows = spark.range(1100).selectExpr(
        "concat('row ', id) text",
        "cast(id as string) label",
        "'' source_id",
        "'' source_file",
        "cast(null as double) prior_weight",
        "cast(null as string) malformed",
    )
    with pytest.raises(DataError, match="more than 1000 values"):
        ingested(spark, rows, SourceConfig(path="rows", label_column="label"))
