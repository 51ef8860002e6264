"""What a worker said reaches the caller instead of Spark's trace."""

import pytest

from synalign_spark.api.clear_errors import clear_errors
from synalign_spark.errors import DataError, InstallationError
from synalign_spark.spark_errors import carrier


def test_an_error_of_ours_on_a_worker_is_raised_as_it_was():
    with pytest.raises(DataError, match="embedding: 3 rows are null"), clear_errors():
        raise RuntimeError(f"Job aborted: {carrier(DataError('embedding: 3 rows are null; embed them'))}")


def test_workers_with_another_python_are_named_with_the_fix():
    with pytest.raises(InstallationError, match=r"lacks the module 'numpy'; set PYSPARK_PYTHON"), clear_errors():
        raise RuntimeError("PythonException: Traceback ...\nModuleNotFoundError: No module named 'numpy'\n more")


def test_other_errors_go_on_as_they_are():
    with pytest.raises(ZeroDivisionError), clear_errors():
        raise ZeroDivisionError
