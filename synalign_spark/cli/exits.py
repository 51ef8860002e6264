"""How a command ends: in silence, or with a message and an exit status."""

from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.markup import escape

from synalign_spark.errors import ConfigError, SynalignError


def exit_with(action: Callable[[], Any]) -> None:
    """Runs an action; a fault that the user can mend becomes a message and an exit status (2: configuration, 1: else)."""
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
        raise SystemExit(130) from None
