import hashlib

import numpy as np
import pytest

from synalign_spark.core import keys


def test_numbers_are_uniform_and_differ_between_seeds_and_purposes():
    ids = [f"row {i}" for i in range(20_000)]
    u = keys.unit(3, "sample", ids)
    assert u.dtype == np.float64
    assert 0 < u.min() < u.max() < 1
    np.testing.assert_allclose(np.histogram(u, bins=10, range=(0, 1))[0] / len(u), 0.1, atol=0.01)
    for other in (keys.unit(4, "sample", ids), keys.unit(3, "split", ids)):
        assert abs(np.corrcoef(u, other)[0, 1]) < 0.03


def test_a_number_belongs_to_its_id_and_not_to_its_place():
    u = keys.unit(0, "split", ["x", "y", "z"])
    assert keys.unit(0, "split", ["z", "x"]).tolist() == [u[2], u[0]]
    assert keys.unit(0, "split", []).shape == (0,)


def test_a_seed_that_no_integer_of_spark_holds():
    with pytest.raises(OverflowError):
        keys.unit(2**64, "split", ["x"])


def test_ids_are_hashes_of_the_content():
    alone = hashlib.sha256(b"a text").hexdigest()
    assert keys.content_ids(["a text"]) == keys.content_ids(["a text"], [None]) == [alone]
    assert keys.content_ids(["a text"], ["good"]) == [hashlib.sha256(b"good\x1fa text").hexdigest()]
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        keys.content_ids(["a", "b"], ["good"])
