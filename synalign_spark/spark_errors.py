"""Errors of this project on their way out of Spark: a failed job hands the driver text alone, so the text carries them.

A worker raises ``carrier(err, where)``, or an expression fails with the text of ``marked(err)``; the driver finds either in what
Spark raised with ``failure_in``. Imports no Spark: it only looks at what an exception says of itself and of its causes.
"""

import base64
import json
import re
from dataclasses import dataclass

from synalign_spark import errors
from synalign_spark.errors import SynalignError

LONGEST_MESSAGE = 2_000  # characters; a message may quote a row
MOST_CAUSES = 20
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
    parts = [str(err)]
    cause = getattr(err, "_origin", None) or getattr(err, "java_exception", None)
    for _ in range(MOST_CAUSES):
        if cause is None:
            break
        parts.append(str(cause.toString()))
        cause = cause.getCause()
    return "\n".join(parts)
