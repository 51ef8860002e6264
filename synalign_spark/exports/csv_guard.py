"""Cells of a CSV file that a spreadsheet would take for a formula, made to be shown as text."""

import pyarrow as pa
import pyarrow.compute as pc

# What begins a formula in some spreadsheet (OWASP, CSV injection), wide forms too, with blanks before it. Quotes before it count, so that a guard
# is told from a text that begins with a quote: every text has one guarded form, and taking one quote away gives it back.
FORMULA = r"^'*[\s\p{Z}]*[=+\-@\x{FF1D}\x{FF0B}\x{FF0D}\x{FF20}]|^'*[\t\r\n]"
GUARD = "'"


def guarded(column: pa.Array) -> pa.Array:
    """A text column whose cells begin with a quote where a spreadsheet would work them out; others stay as they are.

    >>> guarded(pa.array(["=1+1", "a = b", "-1", "'=x", None])).to_pylist()
    ["'=1+1", 'a = b', "'-1", "''=x", None]
    """
    return pc.if_else(pc.match_substring_regex(column, FORMULA), pc.binary_join_element_wise(GUARD, column, ""), column)


def unguarded(cell: str) -> str:
    """A cell of an export as it stands in the lake.

    >>> unguarded("'=1+1"), unguarded("''=x"), unguarded("'twas")
    ('=1+1', "'=x", "'twas")
    """
    guards = cell.startswith(GUARD) and pc.match_substring_regex(pa.scalar(cell), FORMULA).as_py()
    return cell[len(GUARD) :] if guards else cell
