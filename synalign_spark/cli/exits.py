"""How a command ends: in silence, or with a message and an exit status."""

import signal
import threading
from collections.abc import Callable
from typing import Any

from rich.markup import escape

from synalign_spark.console import Console
from synalign_spark.errors import ConfigError, SynalignError


class Terminated(KeyboardInterrupt):
    """The process was asked to end (SIGTERM), as schedulers do: all is left as after Ctrl-C."""


def _terminated(*_: object) -> None:
    raise Terminated


def exit_with(action: Callable[[], Any]) -> None:
    """Runs an action; a fault that the user can mend becomes a message and an exit status (2: configuration, 1: else)."""
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _terminated)
    try:
        action()
    except SynalignError as err:
        Console(stderr=True, highlight=False, soft_wrap=True).print(f"[red bold]{type(err).__name__}[/]: {escape(str(err))}")
        raise SystemExit(2 if isinstance(err, ConfigError) else 1) from None
    except KeyboardInterrupt as err:
        console = Console(stderr=True, highlight=False, soft_wrap=True)
        for note in getattr(err, "__notes__", ()):
            console.print(escape(note))
        console.print("stopped; start it again with the same command and it goes on where it was")
        raise SystemExit(143 if isinstance(err, Terminated) else 130) from None
