"""The page of the documents that lists every table of a lake, made from the contracts so that it cannot fall behind."""

from synalign_spark.formatting import markdown, paragraph
from synalign_spark.storage.contracts import Column, Table
from synalign_spark.storage.tables import TABLES

PAGE = "docs/reference/tables.md"
HEAD = """\
# Tables

What each stage writes to the lake, and what the next one may rely on. Generated from the
contracts in `synalign_spark/storage/tables.py` and `alignment_tables.py` by `make reference`;
change it there.

Every table also has the column **`run_id`**, by which it is partitioned. A write replaces the
rows of its run as a whole; a column is never null unless that is said. Types are
those of Spark SQL.
"""


def page() -> str:
    """The whole page as Markdown: a heading a table, an item a column."""
    return "\n".join([HEAD, *map(_table, TABLES)])


def _table(table: Table) -> str:
    about = f"{markdown(table.doc)} Written by `{table.producer}`. {_key(table)}"
    if table.scope:
        about += f" A write replaces one {' and '.join(f'`{name}`' for name in table.scope)} of the run."
    return "\n".join([f"## {table.name}\n", paragraph(about), "", *map(_column, table.columns)]) + "\n"


def _key(table: Table) -> str:
    return f"Unique within a run: {', '.join(f'`{name}`' for name in table.key)}." if table.key else "Its rows have no key."


def _column(column: Column) -> str:
    null = ", may be null" if column.nullable else ""
    return paragraph(f"**`{column.name}`** (`{column.dtype}`{null}): {markdown(column.doc)}", "- ")


def main() -> None:
    """``python -m synalign_spark.storage.reference FILE`` writes the page."""
    import sys
    from pathlib import Path

    Path(sys.argv[1]).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
