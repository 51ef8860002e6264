"""An error survives being quoted by Spark; what is not ours is not taken for ours. No Spark."""

import pickle
import socket

import pytest
from py4j.clientserver import ClientServer, JavaParameters, PythonParameters

from synalign_spark.errors import ContractError, DataError, DistributedError, LakeError
from synalign_spark.spark_errors import LONGEST_MESSAGE, carrier, failure_in, marked, outside_faults, told_error


class JavaCause:
    """As much of a py4j exception as is looked at."""

    def __init__(self, text, cause=None):
        self._text, self._cause = text, cause

    def toString(self):  # noqa: N802 - Java's name
        return self._text

    def getCause(self):  # noqa: N802
        return self._cause


@pytest.mark.parametrize("message", ["plain", "two\nlines 'and' \"quotes\"", "ünïcode: 50% of 3", "x" * 10_000])
def test_a_message_of_any_characters_arrives_whole_and_bounded(message):
    found = failure_in(RuntimeError(f"org.apache.spark.SparkException: [X] {marked(ContractError(message), 'task 1 of 2')} at line 3"))
    assert (found.kind, found.message, found.where) == ("ContractError", message[:LONGEST_MESSAGE], "task 1 of 2")
    assert isinstance(found.error, ContractError)


def test_an_error_of_another_kind_is_a_failure_and_no_error_of_ours():
    carried = pickle.loads(pickle.dumps(carrier(KeyError("no_such"), "task 0 of 1")))
    found = failure_in(carried)
    assert (found.kind, found.message, found.error) == ("KeyError", "'no_such'", None)
    assert failure_in(RuntimeError("disk full")) is None
    assert failure_in(RuntimeError("synalign_spark.errors.os: not a class of errors")).error is None


def test_the_trace_of_a_udf_and_a_cause_in_the_jvm_are_looked_at():
    traced = RuntimeError('File "x.py", line 3\nsynalign_spark.errors.DataError: embedding: not finite; mend it\n\tat org.apache')
    assert str(failure_in(traced).error) == "embedding: not finite; mend it"
    outer = RuntimeError("Job aborted")
    outer.java_exception = JavaCause("Job aborted", JavaCause(marked(DataError("from below"))))
    assert str(failure_in(outer).error) == "from below"


class Py4JJavaError(Exception):
    """As py4j's."""

    __module__ = "py4j.protocol"

    def __init__(self, cause):
        super().__init__("An error occurred while calling o1.collect.\n: " + "\n\tat org.apache.spark.X(X.scala:1)" * 240)
        self.java_exception = cause


FULL = JavaCause("org.apache.spark.SparkException: Job aborted", JavaCause("java.io.IOException: No space left on device"))
CUT = JavaCause(
    "org.apache.spark.SparkException: [FAILED_READ_FILE.NO_HINT] Encountered error while reading file file:///c/x.jsonl.gz. SQLSTATE: KD001",
    JavaCause("java.io.EOFException: Unexpected end of input stream"),
)


@pytest.mark.parametrize(
    ("err", "kind", "message"),
    [
        (Py4JJavaError(CUT), DataError, "stage ingest in file:///c/x.jsonl.gz: Unexpected end of input stream; again"),
        (
            Py4JJavaError(FULL),
            LakeError,
            "stage ingest: no space is left on a disk; free some (Spark's own files are in spark.local.dir), then start again",
        ),
        (OSError(28, "No space left on device"), LakeError, None),
        (PermissionError(13, "Permission denied", "/lake"), DataError, "stage ingest: [Errno 13] Permission denied: '/lake'; again"),
        (RuntimeError("x"), None, None),
        (KeyError("our own fault"), None, None),
    ],
)
def test_what_comes_from_outside_is_one_line_and_what_does_not_stays(err, kind, message):
    found = told_error(err, "stage ingest", {"nothing of it": "other", "": "again"})
    assert type(found) is (kind or type(None))
    assert message is None or str(found) == message


def test_the_boundary_keeps_the_trace_as_the_cause_and_lets_ours_through():
    with pytest.raises(DataError, match="stage ingest in file") as caught, outside_faults("stage ingest", {}):
        raise Py4JJavaError(CUT)
    assert isinstance(caught.value.__cause__, Py4JJavaError)
    mine = DataError("mine")
    with pytest.raises(DataError) as caught, outside_faults("stage ingest", {}):
        raise mine
    assert caught.value is mine


def test_a_jvm_that_has_ended_is_no_fault_of_the_data():
    """py4j itself, at a port where nobody listens any more; the same error from elsewhere says nothing of Spark."""
    with socket.socket() as gone:
        gone.bind(("127.0.0.1", 0))
        port = gone.getsockname()[1]
    jvm = ClientServer(java_parameters=JavaParameters(port=port), python_parameters=PythonParameters(port=0))
    try:
        with pytest.raises(ConnectionRefusedError) as raised:
            jvm.jvm.System.currentTimeMillis()
    finally:
        jvm.shutdown()
    found = told_error(raised.value, "stage report", {})
    assert type(found) is DistributedError
    assert str(found).startswith("stage report: Spark was lost (")
    assert type(told_error(ConnectionRefusedError(111, "Connection refused"), "stage report", {})) is DataError


@pytest.mark.parametrize(
    "text",
    [
        "Job aborted due to stage failure: ... ExecutorLostFailure (executor 1 exited caused by one of the running tasks)",
        "Job 3 cancelled because SparkContext was shut down",
        "An error occurred while trying to connect to the Java server (127.0.0.1:40001)",
    ],
)
def test_a_cluster_that_is_lost_is_no_fault_of_the_data(text):
    found = told_error(OSError(text), "stage embed", {"": "mend it"})
    assert type(found) is DistributedError
    assert found.retryable
    assert str(found).startswith("stage embed: Spark was lost (")
