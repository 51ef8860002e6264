"""The rule that holds rows out as column expressions: the rows that it holds out without Spark."""

from synalign_spark.core.holdout import deciding_ids, held_out, splits
from synalign_spark.spark.holdout import deciding_id, held_out_by_label, split
from synalign_spark.spark.holdout import held_out as column

OF_LABELS = [f"{text:064x}-{label:016x}" for text in range(50) for label in range(2)]  # of texts that are a row of each of two labels
IDS = [f"row {i}" for i in range(100)] + OF_LABELS


def test_spark_holds_the_same_rows_out(spark):
    frame = spark.createDataFrame([(key, "odd" if i % 2 else "even") for i, key in enumerate(IDS)], "doc_id string, label string")
    rows = {
        row["doc_id"]: (row["held"], row["split"])
        for row in frame.select("doc_id", column(3, 0.2).alias("held"), split(3, 0.2, 0.4).alias("split")).collect()
    }
    held = held_out(3, IDS, 0.2)
    assert [rows[key] for key in IDS] == list(zip(held.tolist(), splits(3, IDS, 0.2, 0.4).tolist(), strict=True))
    texts = [f"text {i // 3}" for i in range(len(IDS))]
    given = spark.createDataFrame(list(zip(IDS, texts, strict=True)), "doc_id string, text string")
    sides = given.select("doc_id", split(3, 0.2, 0.4, deciding_id(True)).alias("split")).toArrow().to_pylist()
    assert {row["doc_id"]: row["split"] for row in sides} == dict(
        zip(IDS, splits(3, deciding_ids(IDS, texts, True), 0.2, 0.4).tolist(), strict=True)
    )
    assert held_out_by_label(frame, 3, 0.2) == {"even": (100, int(held[::2].sum())), "odd": (100, int(held[1::2].sum()))}
    twins = held[100:].reshape(50, 2)
    assert (twins[:, 0] == twins[:, 1]).all(), "a text that is held out under one label is not shown under another"
    assert 0 < twins.sum() < 100
