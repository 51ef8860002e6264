"""The page of the documents on what a template may use, made from the code so that it cannot fall behind."""

import textwrap
from collections.abc import Mapping

from synalign_spark.generation.prompts.templates import TEMPLATES
from synalign_spark.generation.prompts.variables import FILTERS, VARIABLES

PAGE = "docs/reference/prompts.md"
HEAD = """\
# Prompt templates

The files of a folder that `generate.prompts` names, and what may stand in them. Generated from
`synalign_spark/generation/prompts/` by `make reference`; change it there. How to use them is in
[Prompts](../guide/prompts.md).
"""


def page() -> str:
    """The whole page as Markdown: an item a file, variable and filter."""
    sections = {"Files": TEMPLATES, "Variables": VARIABLES, "Filters": FILTERS}
    return "\n".join([HEAD, *(_section(title, entries) for title, entries in sections.items())])


def _section(title: str, entries: Mapping[str, str]) -> str:
    items = [textwrap.fill(f"**`{name}`**: {text}", 100, initial_indent="- ", subsequent_indent="  ", break_on_hyphens=False) for name, text in entries.items()]  # fmt: skip
    return "\n".join([f"## {title}\n", *items]) + "\n"


def main() -> None:
    """``python -m synalign_spark.generation.prompts.reference FILE`` writes the page."""
    import sys
    from pathlib import Path

    Path(sys.argv[1]).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
