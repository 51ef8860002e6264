"""Ids and random numbers are the same in both engines, bit for bit."""

import pytest

from synalign_spark.core import keys as in_python
from synalign_spark.spark import keys as in_spark

TEXTS = ["", "a", "déjà vu", "日本語", "👍 fine", "x" * 31, "y" * 32, "z" * 1_000, "tab\tand\x1fseparator", "0" * 64]
LABELS = ["good", None, "", "bad", "good", None, "日本", "a\x1fb", "bad", "good"]


@pytest.mark.parametrize("seed", [0, 1, -1, 20250, 2**31 - 1, -(2**31), 2**31, -(2**31) - 1, 2**63 - 1])
def test_numbers_agree(spark, seed):
    df = spark.createDataFrame([(text,) for text in TEXTS], "id string")
    rows = df.select("id", in_spark.unit(seed, "select.demonstrations", "id").alias("u")).collect()
    found = {row["id"]: row["u"] for row in rows}
    assert [found[text] for text in TEXTS] == in_python.unit(seed, "select.demonstrations", TEXTS).tolist()


def test_content_ids_agree(spark):
    df = spark.createDataFrame(list(zip(range(len(TEXTS)), TEXTS, LABELS, strict=True)), "place int, text string, label string")
    rows = df.select("place", in_spark.content_id("text").alias("alone"), in_spark.labelled_content_id("text", "label").alias("labelled"))
    found = {row["place"]: row for row in rows.collect()}
    assert [found[i]["alone"] for i in range(len(TEXTS))] == in_python.content_ids(TEXTS)
    assert [found[i]["labelled"] for i in range(len(TEXTS))] == in_python.content_ids(TEXTS, LABELS)
