"""How CSV and TSV are written: what encloses and parts their columns, told from the first block by rule."""

import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from synalign_spark.config import SourceConfig
from synalign_spark.errors import DataError
from synalign_spark.spark.encodings import encoding_of, require_mark, western_told

_FOR_EXCEL = re.compile(r'("?sep=([^\r\n])"?)[;,|\t]*\r?\n', re.IGNORECASE)
LINES_LOOKED_AT = 1_000
SEPARATORS = {"csv": ",;|\t", "tsv": "\t,;|"}  # the format's own first


@dataclass(frozen=True)
class Dialect:
    """What a delimited source is read by. names: of the columns; told: keys and values that were not configured but told from the file."""

    separator: str
    quote: str
    encoding: str
    names: tuple[str, ...]
    told: dict[str, str]
    escape: str | None = None  # None: a quote that is a letter is doubled, as far as the first block has one


def dialect_of(block: bytes, source: SourceConfig, kind: str, name: str, field: str) -> Dialect | None:
    """How a file is to be read, by its first block; None where it is empty. Raises DataError for columns that stand twice."""
    encoding = source.encoding if source.encoding != "auto" else encoding_of(block, name, field)
    require_mark(block, encoding, name, field)
    text = block.decode(encoding, errors="replace").removeprefix("\ufeff")
    if not text.strip():
        return None
    if line := _FOR_EXCEL.match(text):
        raise DataError(
            f"{field}.path: {name!r} begins with the line {line.group(1)!r}, which is for Excel and neither header nor row; take it out (tail -n +2), and set "
            f"{field}.separator to {line.group(2)!r} where it is not told"
        )
    wanted = [*source.text_columns, *filter(None, (source.label_column, source.id_column, source.weight_column))]
    separator = source.separator
    if separator == "auto":
        separator = _separator(text, SEPARATORS[kind], wanted if source.header else [])
    quote = source.quote if source.quote != "auto" else '"' if kind == "csv" or _doubles(text, separator) else ""
    if quote and (after := _after_blanks(text, separator, quote)):
        raise DataError(
            f"{field}.quote: {name!r} has blanks before the quotes that enclose columns, such as in {after!r}, so that they are letters; write it "
            f"without these blanks, or set {field}.quote to '' where they are letters"
        )
    escape = "\\" if source.escape is None and quote and _backslashes(text, separator, quote) else source.escape
    told = {} if source.encoding != "auto" or encoding == "utf-8" else {"encoding": encoding}
    if told and encoding == "windows-1252":
        told = western_told(block, text, field)
    if source.separator == "auto" and separator != SEPARATORS[kind][0]:
        told["separator"] = "tab" if separator == "\t" else separator
    if source.quote == "auto" and kind == "tsv" and '"' in text:
        told["quote"] = quote or "none: quotes are letters"
    if escape != source.escape:
        told["escape"] = "a backslash"
    first = _records(text, separator, quote, 1)[0]
    names = [column or f"_c{i}" for i, column in enumerate(first)] if source.header else [f"_c{i}" for i in range(len(first))]
    counted = Counter(column.lower() for column in names)
    twice = sorted({column for column in names if counted[column.lower()] > 1})
    if twice:
        raise DataError(f"{field}.path: columns {twice[:10]} stand twice in the header of {name!r}; rename one of each")
    return Dialect(separator, quote, encoding, tuple(names), told, escape)


def _separator(text: str, choice: str, wanted: Sequence[str]) -> str:
    """The first under which the header has all wanted columns; without names the one that parts most lines alike."""
    names = {name.strip().lower() for name in wanted}
    for separator in choice if names else "":
        if names <= {name.strip().lower() for name in _records(text, separator, '"', 1)[0]}:
            return separator
    return max(choice, key=lambda separator: _alike(_records(text, separator, '"', 100)))


def _alike(records: list[list[str]]) -> int:
    """Records of as many columns as the first, 0 where that has one."""
    return sum(len(record) == len(records[0]) for record in records) if len(records[0]) > 1 else 0


def _records(text: str, separator: str, quote: str, most: int) -> list[list[str]]:
    quoting = {"quotechar": quote} if quote else {"quoting": csv.QUOTE_NONE, "quotechar": None}
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, **quoting)
    found: list[list[str]] = []
    try:
        for record in reader:
            if record:
                found.append(record)
            if len(found) == most:
                break
    except csv.Error:  # a column longer than csv takes: what was read before it tells
        pass
    return found or [[]]


def _doubles(text: str, separator: str) -> bool:
    """Whether a tab-separated text encloses columns: a column that a quote begins and ends has one doubled or a line break inside, and no
    column has a quote at its start alone, but one that the text may end in: of a large file it is the first block.

    >>> _doubles('a\\t"so ""it"" is"\\nb\\t"and then', "\\t"), _doubles('a\\t"so ""it"" is"\\nb\\t"and then\\nc\\t"x"\\n', "\\t")
    (True, False)
    """
    s = re.escape(separator)
    whole = re.findall(rf'(?:^|{s}|\n)"((?:[^"]|"")*)"(?={s}|\r?\n|$)', text)
    stray = re.search(rf'(?:^|{s}|\n)"(?!(?:[^"]|"")*"(?:{s}|\r?\n|$))', text)
    closed = re.compile(rf'(?<!")"(?:"")*(?={s}|\r?\n)')
    ended = stray is not None and closed.search(text, stray.end())  # after the first of them, or after none
    return not ended and any('""' in column or "\n" in column for column in whole)


def _after_blanks(text: str, separator: str, quote: str) -> str | None:
    """The first column that a quote encloses behind a blank, where half of the lines have one; None where they have not.

    >>> _after_blanks('a, "b"\\nc, "d, e"\\n', ",", '"'), _after_blanks('a,"b"\\n"c, ""d"", e",f\\n', ",", '"')
    (', "b"', None)
    """
    s, q = re.escape(separator), re.escape(quote)
    lines = text.splitlines()[:LINES_LOOKED_AT]
    found = [match for line in lines if (match := re.search(rf"{s} +{q}[^{q}]+{q} *(?={s}|$)", line))]
    return found[0].group() if 2 * len(found) >= len(lines) > 1 else None


def _backslashes(text: str, separator: str, quote: str) -> bool:
    """Whether a backslash stands before quotes that are letters, as Spark and MySQL write them: the first quote within an enclosed column has one
    before it, and none is doubled.

    >>> _backslashes('"he said \\\\"no\\\\", so",x', ",", '"'), _backslashes('"he said ""no"", so",x\\n"c:\\\\",y', ",", '"')
    (True, False)
    """
    s, q = re.escape(separator), re.escape(quote)
    escaped = re.search(rf"(?:^|{s}|\n){q}[^{q}]*\\{q}(?!{q}|{s}|[\r\n]|$)", text)
    doubled = re.search(rf"(?<!\\)(?<!{s})(?<!\n){q}{q}(?!{s}|[\r\n]|$)", text)
    return escaped is not None and doubled is None
