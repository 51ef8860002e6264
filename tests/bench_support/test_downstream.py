"""What the downstream benchmark scores on."""

from types import SimpleNamespace

import numpy as np
import pytest

from tests.bench.downstream import fewest_validation_rows, shown_name, validation_rows

DATA = SimpleNamespace(name="t", real=range(6), synthetic=range(4), test=range(3))


def test_students_are_scored_on_the_test_rows_or_on_real_rows_that_the_run_does_not_take():
    np.testing.assert_array_equal(validation_rows(DATA), [10, 11, 12])  # real, synthetic, test
    np.testing.assert_array_equal(validation_rows(DATA, np.array([0, 4])), [1, 2, 3, 5])
    with pytest.raises(ValueError, match="--real-rows below 6"):
        validation_rows(DATA, np.arange(6))


@pytest.mark.parametrize(("develop", "name", "fewest"), [(False, "t", 3), (True, "t (development)", 4)])
def test_results_of_development_are_told_apart(develop, name, fewest):
    given = SimpleNamespace(develop=develop, real_rows=[1, 2])
    assert shown_name(DATA, given) == name
    assert fewest_validation_rows(DATA, given) == fewest
