"""The terminal: nothing that is printed drives it or shows a secret, wherever its words come from."""

from typing import Any

import rich.console
from rich.text import Text

from synalign_spark.formatting import undriven
from synalign_spark.scrubbing import scrub


class Console(rich.console.Console):
    """As rich's. Control characters and direction marks in words (a label, a server's message, a path) become blanks, and what may be a secret in an
    address is hidden; colours and tables are rich's own, and stay.

    >>> console = Console(width=60)
    >>> with console.capture() as said:
    ...     console.print("label \\x1b]0;hello\\x07 and [bold]words[/] in [bold]s3a://me:secret@bucket/x[/]")
    >>> said.get()
    'label  ]0;hello  and words in s3a://[hidden]@bucket/x\\n'
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(emoji=False, **options)  # ":x:" is a word of the corpus

    def render_str(self, text: str, **options: Any) -> Text:
        shown = super().render_str(undriven(text), **options)
        public = scrub(shown.plain)
        return shown if public == shown.plain else Text(public, justify=shown.justify, overflow=shown.overflow)


def say(*lines: str) -> None:
    """Plain lines on standard output."""
    console = Console(highlight=False)
    for line in lines:
        console.print(line, markup=False, soft_wrap=True)
