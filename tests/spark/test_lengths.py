"""Lengths of the rows behind a demonstration set: numpy's percentiles, whatever the partitioning, and those of the pandas call."""

import numpy as np
import pytest

from synalign_spark.core.sampling.lengths import COLUMNS, text_lengths
from synalign_spark.spark.lengths import with_lengths

TEXTS = {
    ("a", 0): ["one two three", " two\twords ", "x" * 50, "a b c d e f g h", "no-break\u00a0space", "naïve 日本"],
    ("b", 0): ["short", "1 2 3 4 5 6 7 8 9 10"],
    (None, 1): ["file\x1cseparator", "", "y y"],
    ("a", 1): ["never shown " * 40],
}


@pytest.fixture(scope="module")
def frames(spark):
    """The rows shown (two of one cluster), their sets, clusters and corpus."""
    rows = [(f"{label}{cluster}{i}", label, cluster, text) for (label, cluster), texts in TEXTS.items() for i, text in enumerate(texts)]
    clusters = spark.createDataFrame([row[:3] for row in rows], "doc_id string, label string, cluster_id int")
    corpus = spark.createDataFrame([(row[0], row[3]) for row in rows], "doc_id string, text string")
    shown = spark.createDataFrame([("a", 0, 0), ("a", 0, 1), ("b", 0, 0), (None, 1, 0)], "label string, cluster_id int, rank_in_set int")
    return shown, shown.select("label", "cluster_id").distinct(), clusters, corpus


@pytest.mark.parametrize("n_partitions", [1, 7])
def test_lengths_are_those_of_all_rows_of_the_label_in_the_cluster(frames, n_partitions):
    spread = [df.repartition(n_partitions) for df in frames]
    found = with_lengths(*spread).toArrow().to_pylist()
    assert len(found) == 4
    assert set(found[0]) == {"label", "cluster_id", "rank_in_set", *COLUMNS}
    for row in found:
        assert {name: row[name] for name in COLUMNS} == text_lengths(TEXTS[row["label"], row["cluster_id"]])


@pytest.mark.parametrize("texts", TEXTS.values())
def test_percentiles_are_numpys_rounded_half_up(texts):
    counts = [[len(text.split()) for text in texts], [len(text) for text in texts]]
    wanted = [int(np.floor(np.percentile(of, 100 * share) + 0.5)) for of in counts for share in (0.1, 0.9)]
    assert list(text_lengths(texts).values()) == wanted
