"""The terminal: nothing that is printed drives it, wherever its words come from."""

from typing import Any

import rich.console
from rich.text import Text

from synalign_spark.formatting import undriven


class Console(rich.console.Console):
    """As rich's. Control characters and direction marks in words (a label, a server's message, a path) become blanks; colours and tables
    are rich's own, and stay.

    >>> console = Console(width=40)
    >>> with console.capture() as said:
    ...     console.print("label \\x1b]0;hello\\x07 and [bold]words[/]")
    >>> said.get()
    'label  ]0;hello  and words\\n'
    """

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(undriven(text), **options)
