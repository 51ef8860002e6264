"""Errors of this project on their way out of Spark: a failed job hands the driver text alone, so the text carries them.

A worker raises ``carrier(err, where)``, or an expression fails with the text of ``marked(err)``; the driver finds either in what
Spark raised with ``failure_in``. Imports no Spark: it only looks at what an exception says of itself and of its causes.
"""

import base64
import contextlib
import errno
import json
import re
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from synalign_spark import errors
from synalign_spark.errors import DataError, DistributedError, LakeError, SynalignError

LONGEST_MESSAGE = 2_000  # characters; a message may quote a row
MOST_CAUSES = 20
LONGEST_SAID = 400
_MARK = re.compile(r"synalign-failure:([A-Za-z0-9+/=]+):")
_TRACE = re.compile(r"synalign_spark\.errors\.(\w+): (.+)")


class CarriedError(Exception):
    """Stands for another error between a worker and the driver; its text holds what the other one was."""


@dataclass(frozen=True)
class Failure:
    """What failed on a worker. kind: name of the exception's class; where: the task, in words; empty where it is not known."""

    kind: str
    message: str
    where: str = ""

    @property
    def error(self) -> SynalignError | None:
        """The failure as an error of this project; None where it is of another kind."""
        kind = getattr(errors, self.kind, None)
        return kind(self.message) if isinstance(kind, type) and issubclass(kind, SynalignError) else None


def marked(err: Exception, where: str = "") -> str:
    """A text that carries an error: for a person its kind and message, before them the same for ``failure_in``.

    >>> failure_in(RuntimeError("Job aborted ... " + marked(errors.DataError("text: no rows; name another file")))).error
    DataError('text: no rows; name another file')
    """
    found = {"kind": type(err).__name__, "message": str(err)[:LONGEST_MESSAGE], "where": where}
    # base64, since Spark escapes and wraps what it quotes.
    return f"synalign-failure:{base64.b64encode(json.dumps(found).encode()).decode()}: {found['kind']}: {found['message']}"


def carrier(err: Exception, where: str = "") -> CarriedError:
    """The exception to raise on a worker in the place of ``err``."""
    return CarriedError(marked(err, where))


def failure_in(err: BaseException) -> Failure | None:
    """What failed on a worker, by what Spark raised on the driver; None where nothing of ours stands in it.

    A carrier is found first, else an error of this project that ended a UDF: then the first line of its message."""
    text = _full_text(err)
    if found := _MARK.search(text):
        return Failure(**json.loads(base64.b64decode(found.group(1))))
    traced = _TRACE.search(text)
    return Failure(traced.group(1), traced.group(2)) if traced else None


def _full_text(err: BaseException) -> str:
    """Message of an error and of its causes, on the JVM's side too."""
    return "\n".join([str(err), *_causes(err)])


OUTSIDE = ("pyspark", "py4j", "pyarrow", "delta", "deltalake")  # packages whose exceptions are told as errors of this project
_FILE = re.compile(r"(?:while reading file|reading file:?|File:) (\S+?)[.,]?(?=\s|$)")
_FULL = re.compile(r"No space left on device|ENOSPC|Disk quota exceeded")
_KILLED = "Python worker exited unexpectedly"
_RAISED = re.compile(r"^\S.*\bTraceback \(most recent call last\):\n(?:[ \t].*\n)+(\S.*)$", re.MULTILINE)
_LOST = re.compile(
    r"ExecutorLostFailure|Master removed our application|All masters are unresponsive|SparkContext (?:was|has been) (?:shut down|cancelled)|"
    r"stopped SparkContext|Answer from Java side is empty|Error while obtaining a new communication channel|"
    r"An error occurred while trying to connect to the Java server|\[CONNECT_REQUEST\.|StatusCode\.UNAVAILABLE"
)
_CAUSE = re.compile(r"^Caused by: (.+)$", re.MULTILINE)


@contextlib.contextmanager
def outside_faults(where: str, fixes: Mapping[str, str]) -> Iterator[None]:
    """Turns what Spark, Arrow or the operating system raise in the body into one error of this project: where it was, which file, what was
    said, and the fix.

    where: stands before the message. fixes: by a text that the fault has in it, the first that fits; '' fits all.

    >>> with outside_faults("source: 'x.csv'", {"": "write it again"}):
    ...     raise OSError("Truncated compressed stream")
    Traceback (most recent call last):
    synalign_spark.errors.DataError: source: 'x.csv': Truncated compressed stream; write it again
    """
    try:
        yield
    except Exception as err:
        if (found := told_error(err, where, fixes)) is None:
            raise
        raise found from err


def told_error(err: BaseException, where: str, fixes: Mapping[str, str]) -> SynalignError | None:
    """The error to raise in the place of one from outside; None for any other, which is a fault of this project's code."""
    if isinstance(err, SynalignError) or not (isinstance(err, OSError) or type(err).__module__.split(".")[0] in OUTSIDE):
        return None
    failure = failure_in(err)
    if failure is not None and failure.error is not None:
        return failure.error
    text = _full_text(err)
    if _FULL.search(text) or (isinstance(err, OSError) and err.errno in (errno.ENOSPC, errno.EDQUOT)):
        return LakeError(f"{where}: no space is left on a disk; free some (Spark's own files are in spark.local.dir), then start again")
    if _KILLED in text:
        return DataError(
            f"{where}: a Python worker was killed, which the system does where memory is short; run fewer tasks at a time (spark.master 'local[2]', "
            "fewer cores an executor), then start again: what is done stays done"
        )
    said = _said(err, text)
    if _LOST.search(text) or (isinstance(err, ConnectionError) and _raised_by_py4j(err)):
        return DistributedError(f"{where}: Spark was lost ({said}); look at the cluster, then start again: what is done stays done")
    file = _FILE.search(text)
    fix = next((fix for word, fix in fixes.items() if word in text), "")
    in_file = f" in {file.group(1)}" if file and file.group(1).rpartition("/")[2] not in where + said else ""
    return DataError(f"{where}{in_file}: {said}" + (f"; {fix}" if fix else ""))


def _raised_by_py4j(err: BaseException) -> bool:
    """Whether an error comes out of py4j, which hands on what the socket to a JVM says that has ended."""
    frames = (frame for frame, _ in traceback.walk_tb(err.__traceback__))
    return any(frame.f_globals.get("__name__", "").startswith("py4j.") for frame in frames)


def _said(err: BaseException, text: str) -> str:
    """One line of a fault: the innermost cause that says more than that there was one, without the names of Java's classes."""
    lines = [line for line in (text.split("\n", 1)[0], *_CAUSE.findall(text)) if line]
    java = [str(line) for line in _causes(err)]
    if traced := _RAISED.findall(text):  # the last line of a worker's trace
        return str(traced[-1])[:LONGEST_SAID]
    best = java[-1] if java else lines[-1] if lines else type(err).__name__
    best = next((line for line in java if "[" in line and "NO_HINT" not in line and "FAILED" not in line), best)
    plain = re.sub(r"^(?:[a-z]\w*\.)+[A-Z]\w*(?:Exception|Error)?:?\s*", "", best.split("\n", 1)[0]).strip()
    return (plain or best.split("\n", 1)[0]).split(" SQLSTATE:")[0].rstrip(". ")[:LONGEST_SAID]


def _causes(err: BaseException) -> list[str]:
    """What the exception on the JVM's side and its causes say, outermost first."""
    cause, found = getattr(err, "_origin", None) or getattr(err, "java_exception", None), []
    for _ in range(MOST_CAUSES):
        if cause is None:
            break
        found.append(str(cause.toString()))
        cause = cause.getCause()
    return found
