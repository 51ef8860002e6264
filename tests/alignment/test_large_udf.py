"""The random-feature column function in DataFrames and SQL, in both of its forms."""

import numpy as np

from synalign_spark.core.features import draw_feature_map
from synalign_spark.udfs.random_features import random_features_pandas_udf, random_features_udf


def test_both_forms_give_the_features_of_core(spark):
    x = np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32)
    features = draw_feature_map(4, 8, [1.0], 0)
    rows = spark.createDataFrame([(i, row.tolist()) for i, row in enumerate(x)], "i int, embedding array<float>").repartition(3)
    spark.udf.register("synalign_random_features", random_features_udf(features))
    rows.createOrReplaceTempView("vectors_of_test_align_udf")
    got = [
        rows.select("i", random_features_udf(features)("embedding").alias("phi")),
        rows.select("i", random_features_pandas_udf(features)("embedding").alias("phi")),
        spark.sql("SELECT i, synalign_random_features(embedding) AS phi FROM vectors_of_test_align_udf"),
    ]
    for frame in got:
        phi = np.array([row["phi"] for row in sorted(frame.toArrow().to_pylist(), key=lambda row: row["i"])], dtype=np.float32)
        np.testing.assert_array_equal(phi, features(x))
