"""How a command ends: in silence, or with a message and an exit status."""

import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

from rich.markup import escape

from synalign_spark.console import Console
from synalign_spark.errors import ConfigError, SynalignError
from synalign_spark.spark_errors import told_error


class Terminated(KeyboardInterrupt):
    """The process was asked to end (SIGTERM), as schedulers do: all is left as after Ctrl-C."""


def _terminated(*_: object) -> None:
    raise Terminated


def exit_with(action: Callable[[], Any]) -> None:
    """Runs an action; a fault that the user can mend, or that comes from Spark, Arrow or the system, becomes a message and an exit status (2:
    configuration, 1: else). Whoever reads the output may leave before its end, as ``head`` does."""
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _terminated)
    try:
        action()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that nothing is written there when Python ends
        raise SystemExit(0) from None
    except KeyboardInterrupt as err:
        console = Console(stderr=True, highlight=False, soft_wrap=True)
        for note in getattr(err, "__notes__", ()):
            console.print(escape(note))
        console.print("stopped; start it again with the same command and it goes on where it was")
        raise SystemExit(143 if isinstance(err, Terminated) else 130) from None
    except Exception as err:
        found = err if isinstance(err, SynalignError) else told_error(err, "synalign", {})
        if found is None:
            raise
        Console(stderr=True, highlight=False, soft_wrap=True).print(f"[red bold]{type(found).__name__}[/]: {escape(str(found))}")
        raise SystemExit(2 if isinstance(found, ConfigError) else 1) from None
