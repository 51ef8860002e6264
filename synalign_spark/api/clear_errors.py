"""Errors of Spark jobs on their way to the caller of a function: what a worker said, instead of its trace."""

import contextlib
from collections.abc import Iterator

from synalign_spark.errors import InstallationError, SynalignError
from synalign_spark.extras import missing_extra
from synalign_spark.spark_errors import failure_in

MISSING = "ModuleNotFoundError: No module named"


@contextlib.contextmanager
def clear_errors() -> Iterator[None]:
    """Raises the error of ours that ended a job, and says what to do where the workers run another Python."""
    try:
        yield
    except SynalignError:
        raise
    except Exception as err:
        if lacking := missing_extra(err):
            raise lacking from err
        failure = failure_in(err)
        if failure is not None and failure.error is not None:
            raise failure.error from err
        if MISSING in str(err):
            module = str(err).split(MISSING, 1)[1].split("\n", 1)[0].strip()
            raise InstallationError(
                f"the Python of Spark's workers lacks the module {module}; set PYSPARK_PYTHON to the interpreter that has this package "
                "(os.environ['PYSPARK_PYTHON'] = sys.executable) before the session starts, or install it there"
            ) from err
        raise
