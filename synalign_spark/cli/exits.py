"""How a command ends: in silence, or with a message; and the exit status that says why to whoever started it."""

import contextlib
import logging
import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from rich.markup import escape

from synalign_spark.console import Console
from synalign_spark.errors import SynalignError
from synalign_spark.exit_status import STOPPED, Exit, Terminated, asked_before, fault_of, status_of

_OF_PY4J = ("java_gateway", "clientserver")  # modules of it that log
GO_ON = "stopped; start it again with the same command and it goes on where it was"


@dataclass(frozen=True)
class Ending:
    """How a command ended; error: what ended it, None where nothing went wrong."""

    status: Exit
    error: BaseException | None = None

    @property
    def retryable(self) -> bool:
        """Whether the same command may get further at another time, with nothing changed."""
        return self.status in STOPPED or bool(getattr(self.error, "retryable", False))

    @property
    def message(self) -> str:
        """What the error says, with what was added to it on its way; empty without one."""
        said = () if self.error is None else (str(self.error), *getattr(self.error, "__notes__", ()))
        return "\n".join(filter(None, (*said, GO_ON if self.status in STOPPED else "")))


def exit_with(action: Callable[[], Any], told: Callable[[Ending], None] = lambda ending: None) -> None:
    """Runs an action; a fault that the user can mend, or that comes from Spark, Arrow or the system, becomes a message, and every fault an exit
    status.

    action: may return an Exit; told: hears of the end, after the message and before the process ends."""
    with _drained() as asked_to_end:
        try:
            found = action()
            ending = Ending(found if isinstance(found, Exit) else Exit.DONE)
        except (Exception, KeyboardInterrupt) as fault:
            if isinstance(fault, BrokenPipeError) and _reader_left():  # as ``head`` does; that of a lost connection is a fault
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that nothing is written there when Python ends
                raise SystemExit(int(Exit.UNREAD)) from None
            err = asked_before(fault) or Terminated() if asked_to_end.is_set() else fault_of(fault)
            ending = Ending(status_of(err), err)
            _say(ending)
        told(ending)
        if ending.status is Exit.FAULT and ending.error is not None:
            raise ending.error
        if ending.status is not Exit.DONE:
            raise SystemExit(int(ending.status)) from None


def _reader_left() -> bool:
    """Whether standard output is a pipe that nobody reads any more."""
    try:
        waiting = select.poll()
        waiting.register(sys.stdout.fileno(), 0)  # what went wrong is told unasked
        return bool(waiting.poll(0))
    except (OSError, ValueError):  # no file
        return False


def _say(ending: Ending) -> None:
    """The message on standard error; that of a fault of the code comes with its trace, from Python."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    if isinstance(ending.error, SynalignError):
        console.print(f"[red bold]{type(ending.error).__name__}[/]: {escape(ending.message)}")
    elif ending.status is not Exit.FAULT:
        console.print(escape(ending.message))


def _tells_a_person(record: logging.LogRecord) -> bool:
    """py4j logs a trace where a signal ends its wait for the JVM, or where that has gone; it raises the same, which is told in words."""
    return record.module not in _OF_PY4J


@contextlib.contextmanager
def _drained() -> Iterator[threading.Event]:
    """SIGTERM is raised in the body as Terminated, and noted; as it was afterwards. Only where nobody else has taken the signal."""
    asked = threading.Event()

    def terminated(*_: object) -> None:
        asked.set()
        raise Terminated

    taken = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    if taken:
        signal.signal(signal.SIGTERM, terminated)
    loggers = [
        logging.getLogger(name) for name in (None, *(f"py4j.{module}" for module in _OF_PY4J))
    ]  # a filter holds for its logger alone
    for logger in loggers:
        logger.addFilter(_tells_a_person)
    try:
        yield asked
    finally:
        for logger in loggers:
            logger.removeFilter(_tells_a_person)
        if taken:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
