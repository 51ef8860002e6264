"""How CSV and TSV are written: what encloses and parts their columns, and their encoding, told from the first block by rule."""

import codecs
import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass

from synalign_spark.config import SourceConfig
from synalign_spark.errors import DataError

SEPARATORS = {"csv": ",;|\t", "tsv": "\t,;|"}  # the format's own first
MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
         (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))  # fmt: skip
SPARK_ENCODINGS = {"utf-8": "UTF-8", "utf-16": "UTF-16", "utf-32": "UTF-32", "latin-1": "ISO-8859-1", "windows-1252": "ISO-8859-1"}
# What windows-1252 has where Latin-1 has control characters, which no text holds.
WESTERN = 0.8  # of the bytes that are not ASCII, in Western text
STRAY = 0.2  # of them, that make characters of UTF-8 by chance, or that no Western word has within
C1 = "".join(map(chr, range(0x80, 0xA0)))
WINDOWS = bytes(range(0x80, 0xA0)).decode("cp1252", errors="replace")
_VALID = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
# Beside a letter, a digit or a mark; and, with none of its kind beside it, what stands alone in Western text: words such as "à", "é" and "ö", and signs.
_ALONE = "àÀáÁèÈéÉìÌíÍòÒóÓôÔöÖùÙúÚåÅýÝ€…‘’“”•–—™£§©«®°±»¼½¾×÷".encode("cp1252")
_WESTERN = re.compile(
    rb"(?<=[A-Za-z0-9,.!?])[\x80-\xff]|[\x80-\xff](?=[A-Za-z0-9,.!?])|(?<![\x80-\xff])[" + re.escape(_ALONE) + rb"](?![\x80-\xff])"
)
# Signs within a word: letters of Central European encodings.
_NOT_WESTERN = re.compile(rb"(?<=[a-z])[\xa1-\xa6\xa8-\xac\xae\xaf\xb1-\xb3\xb5\xb6\xb8\xb9\xbb-\xbf](?=[a-z])")


@dataclass(frozen=True)
class Dialect:
    """What a delimited source is read by. names: of the columns; told: keys and values that were not configured but told from the file."""

    separator: str
    quote: str
    encoding: str
    names: tuple[str, ...]
    told: dict[str, str]


def encoding_of(block: bytes, name: str, field: str) -> str:
    """The encoding of a file by its first block.

    UTF-8 where most bytes that are not ASCII are of its characters, or there are none; windows-1252 where nearly all of them stand as in Western text.
    Raises DataError where most bytes are of neither.

    >>> encoding_of("naïve".encode(), "x", "source"), encoding_of("naïve".encode("latin-1"), "x", "source")
    ('utf-8', 'windows-1252')
    """
    for mark, found in MARKS:
        if block.startswith(mark):
            return found
    high = sum(byte >= 0x80 for byte in block)
    valid = sum(len(found.group()) for found in _VALID.finditer(block))
    if 2 * valid >= high:
        return "utf-8"
    if max(valid, len(_NOT_WESTERN.findall(block))) <= STRAY * high and len(_WESTERN.findall(block)) >= WESTERN * high:
        return "windows-1252"
    if high < 4:
        return "utf-8"  # a few broken bytes: rows of their own, to be rejected
    raise DataError(
        f"{field}.encoding: {name!r} is not UTF-8, and what it is cannot be told; set {field}.encoding, or convert it: iconv -f ENCODING -t UTF-8"
    )


def dialect_of(block: bytes, source: SourceConfig, kind: str, name: str, field: str) -> Dialect | None:
    """How a file is to be read, by its first block; None where it is empty. Raises DataError for columns that stand twice."""
    encoding = source.encoding if source.encoding != "auto" else encoding_of(block, name, field)
    text = block.decode(encoding, errors="replace").removeprefix("\ufeff")
    if not text.strip():
        return None
    wanted = [*source.text_columns, *filter(None, (source.label_column, source.id_column, source.weight_column))]
    separator = source.separator
    if separator == "auto":
        separator = _separator(text, SEPARATORS[kind], wanted if source.header else [])
    quote = source.quote if source.quote != "auto" else '"' if kind == "csv" or _doubles(text, separator) else ""
    told = {} if source.encoding != "auto" or encoding == "utf-8" else {"encoding": encoding}
    if source.separator == "auto" and separator != SEPARATORS[kind][0]:
        told["separator"] = "tab" if separator == "\t" else separator
    if source.quote == "auto" and kind == "tsv" and '"' in text:
        told["quote"] = quote or "none: quotes are letters"
    first = _records(text, separator, quote, 1)[0]
    names = [column or f"_c{i}" for i, column in enumerate(first)] if source.header else [f"_c{i}" for i in range(len(first))]
    twice = sorted({column for column in names if [other.lower() for other in names].count(column.lower()) > 1})
    if twice:
        raise DataError(f"{field}.path: columns {twice} stand twice in the header of {name!r}; rename one of each")
    return Dialect(separator, quote, encoding, tuple(names), told)


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
    stray = re.finditer(rf'(?:^|{s}|\n)"(?!(?:[^"]|"")*"(?:{s}|\r?\n|$))', text)
    closed = re.compile(rf'(?<!")"(?:"")*(?={s}|\r?\n)')
    return not any(closed.search(text, found.end()) for found in stray) and any('""' in column or "\n" in column for column in whole)
