"""The random-feature column function on plain Arrow arrays; its Spark wrappers are tried in tests/stages/test_align_udf.py."""

import numpy as np
import pyarrow as pa
import pytest

from synalign_spark.core.features import draw_feature_map
from synalign_spark.errors import DataError
from synalign_spark.udfs.arrow import from_matrix, to_matrix
from synalign_spark.udfs.random_features import random_features

FEATURES = draw_feature_map(4, 16, [1.0], 0)


def test_an_arrow_column_gets_the_features_of_core():
    x = np.random.default_rng(0).standard_normal((9, 4)).astype(np.float32)
    np.testing.assert_array_equal(to_matrix(random_features(from_matrix(x), FEATURES)), FEATURES(x))
    np.testing.assert_array_equal(to_matrix(random_features(from_matrix(x).slice(3, 4), FEATURES)), FEATURES(x)[3:7])


def test_no_rows_give_no_rows():
    assert random_features(pa.array([], pa.list_(pa.float32())), FEATURES).to_pylist() == []


def test_bad_rows_are_refused():
    with pytest.raises(DataError):
        random_features(pa.array([[1.0, 2.0, 3.0, float("nan")]], pa.list_(pa.float32())), FEATURES)
    with pytest.raises(ValueError, match=r"shape \(n, 4\)"):
        random_features(pa.array([[1.0, 2.0]], pa.list_(pa.float32())), FEATURES)
