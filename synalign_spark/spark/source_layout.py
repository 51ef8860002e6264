"""What a source's files are, told by looking at them without Spark: format, columns and their types, dialect; what does not fit is refused."""

import os
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa
from pyarrow import fs

from synalign_spark.config import SourceConfig
from synalign_spark.errors import DataError
from synalign_spark.formatting import MOST_IN_A_LINE
from synalign_spark.spark.delimited import Dialect, dialect_of
from synalign_spark.spark.encodings import utf8_told
from synalign_spark.spark.source_classes import class_names
from synalign_spark.spark.source_files import (
    COMPRESSIONS,
    FILES_LOOKED_AT,
    data_files,
    detect_format,
    file_schemas,
    head,
    list_files,
    refuse_names,
    source_path,
)  # fmt: skip
from synalign_spark.spark.source_folders import columns_of_folders, read_below, refuse_delta, splits_in
from synalign_spark.spark.source_json import check_array, is_array, json_rows
from synalign_spark.spark.source_types import LABEL_FIX, TEXT_FIX, fix, json_kind, parts_of

SHOWN = 3  # names of files in a line
JSON_FILES = 20  # whose first rows are looked at
MOST_LOOKED_THROUGH, UNPACKED = 1 << 28, 8  # bytes of a JSON array that is looked at as a whole; how much larger a packed one is


@dataclass(frozen=True)
class Layout:
    """How the files of a source are read.

    data: its files, None where only Spark can look there; names: of the columns, as far as known; array: whether each file is one JSON array,
    marked_array: with a byte order mark before it; below: whether files lie in folders whose names are no columns; folders: the columns that stand in the names of folders; label_names: of the classes that
    a column of numbers stands for; types: of the columns that the source names, as far as known; told: what was not configured but found, for people."""

    path: str
    kind: str
    data: list[fs.FileInfo] | None = None
    dialect: Dialect | None = None
    names: tuple[str, ...] | None = None
    schema: pa.Schema | None = None
    array: bool = False
    marked_array: bool = False
    below: bool = False
    folders: tuple[str, ...] = ()
    label_names: list[str] | None = None
    types: dict[str, str] = field(default_factory=dict)
    told: dict[str, str] = field(default_factory=dict)

    @property
    def filtered(self) -> bool:
        """Whether files are left beside the data."""
        return "files_left" in self.told

    @property
    def looked_through(self) -> bool:
        """Whether what a JSON array has beside what is read of it is counted."""
        return "not_looked_for" not in self.told

    @property
    def notes(self) -> list[str]:
        """What was told in more words than a stage's line has room for."""
        return [f"{key.replace('_', ' ')}: {words}" for key, words in self.told.items() if len(words) > MOST_IN_A_LINE]


def layout_of(source: SourceConfig, section: str = "source") -> Layout | None:
    """Looks at the files of a source; None for a table, view or query.

    Raises DataError for files that cannot be read, that do not fit each other, or whose columns are missing or of types that cannot be used."""
    if source.in_catalog:
        return None
    path = source_path(source, section)
    if path is None:
        raise DataError(f"{section} names no rows; set {section}.path, {section}.table, {section}.query or {section}.package")
    found = list_files(path, section)
    kind = source.format if source.format != "auto" else detect_format(path, found, section)
    if kind != "delta" and (key := next((key for key in ("version", "timestamp") if getattr(source, key) is not None), None)):
        raise DataError(
            f"{section}.{key}: is set, and {path!r} is {kind}, of which there are no older versions; name a Delta table, or remove it"
        )
    if found is None or kind == "delta":
        if kind in ("csv", "tsv", "arrow"):
            raise DataError(f"{section}.path: {path!r} cannot be looked into here, which {kind} needs; convert it to Parquet or JSON lines")
        return Layout(path, kind)
    if kind == "parquet":
        refuse_delta(found, path, section)
    data, left = data_files(found, kind)
    refuse_names(data, section)
    below = read_below(path, data, section)
    told = {"files_left": _listed([os.path.basename(info.path) for info in left])} if left else {}
    if len(splits := splits_in(path, data)) > 1:
        told["splits"] = f"{' and '.join(splits)}, all read: name one of them in {section}.path to leave the others"
    return replace(_look(path, kind, data, source, section, told), below=below)


def _look(path: str, kind: str, data: list[fs.FileInfo], source: SourceConfig, section: str, told: dict[str, str]) -> Layout:
    if kind in ("csv", "tsv"):
        return _delimited(path, kind, data, source, section, told)
    if kind in ("parquet", "arrow"):
        return _typed(path, kind, data, source, section, told)
    for info in data[:: -(-len(data) // FILES_LOOKED_AT)]:
        told |= utf8_told(head(path, info.path, section), info.path, kind, section)
    return _json(path, data, source, section, told) if kind == "jsonl" else Layout(path, kind, data, told=told)


def header_of(path: str, found: list[fs.FileInfo], kind: str) -> list[str]:
    """Columns in the header of the first CSV or TSV file that has one. Raises DataError where none has."""
    for info in found:
        if (dialect := dialect_of(head(path, info.path), SourceConfig(path=path), kind, info.path, "source")) is not None:
            return list(dialect.names)
    raise DataError(f"source.path: {path!r} has no header line and no rows; name a file with a header")


def wanted(source: SourceConfig) -> dict[str, str]:
    """The columns that a source names, each with the key that names it."""
    keys = dict.fromkeys(source.text_columns, source.text_key)
    for key in ("label_column", "id_column", "weight_column", "embedding_column"):
        if (name := getattr(source, key)) is not None:
            keys.setdefault(name, key)
    return keys


def _looked_at(source: SourceConfig, names: tuple[str, ...]) -> tuple[str, ...]:
    """Those of the columns that the source names, itself or a part of it."""
    return tuple(parts[0] for name in wanted(source) if (parts := parts_of(name, names)))


def check_columns(source: SourceConfig, names: list[str] | tuple[str, ...], where: str, section: str, hint: str = "") -> None:
    """Raises DataError for a column that the source names and that is not among ``names``."""
    for name, key in wanted(source).items():
        if parts_of(name, names) is None:
            columns = ", ".join(name for name in names if name != "_metadata")
            raise DataError(f"{section}.{key}: no column {name!r} in {where}; it has {columns}{hint}")


def _listed(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")


def _delimited(path: str, kind: str, data: list[fs.FileInfo], source: SourceConfig, section: str, told: dict[str, str]) -> Layout:
    """The first file that is not empty tells; the others have to have its header."""
    first: tuple[str, Dialect] | None = None
    escape: str | None = None
    for info in data[:: -(-len(data) // FILES_LOOKED_AT)]:
        found = dialect_of(head(path, info.path, section), source, kind, info.path, section)
        if found is None:
            continue
        escape, told = escape or found.escape, {**found.told, **told}
        if first is None:
            first = info.path, found
        elif source.header and found.names != first[1].names:
            raise DataError(
                f"{section}.path: the CSV header of {info.path!r} ({', '.join(found.names)}) is not that of {first[0]!r} "
                f"({', '.join(first[1].names)}); write all files with the same columns in the same order"
            )
        elif (found.encoding, found.separator, found.quote) != (first[1].encoding, first[1].separator, first[1].quote):
            raise DataError(
                f"{section}.path: {info.path!r} looks like {found.encoding} with separator {found.separator!r} and quote {found.quote!r}, "
                f"{first[0]!r} like {first[1].encoding} with {first[1].separator!r} and {first[1].quote!r}; write all files alike, or set "
                f"{section}.encoding, {section}.separator and {section}.quote"
            )
    if first is None:
        raise DataError(f"{section}.path: {path!r} has no header line and no rows; name a file with a header")
    dialect = replace(first[1], escape=escape)
    folders = columns_of_folders(path, data, dialect.names, section)
    hint = f"; if its first line is a row and no header, set {section}.header to false and name _c0, _c1, ..." if source.header else ""
    check_columns(source, (*dialect.names, *folders), repr(path), section, hint)
    return Layout(
        path, kind, data, dialect, (*dialect.names, *folders), folders=folders, types=dict.fromkeys(wanted(source), "text"), told=told
    )


def _json(path: str, data: list[fs.FileInfo], source: SourceConfig, section: str, told: dict[str, str]) -> Layout:
    """Arrays are read whole, lines one by one; the types of the first rows of some files tell what can be no text and no class."""
    arrays, marked = [], False
    for info in data[:FILES_LOOKED_AT]:
        text = head(path, info.path, section).decode("utf-8", errors="replace")
        marked = marked or text.startswith("\ufeff")
        arrays.append(is_array(text.removeprefix("\ufeff")))
        if arrays[-1]:
            check_array(text.removeprefix("\ufeff"), info.path, section)
    if (any(arrays) and not all(arrays)) or (arrays and arrays[0] and len(data) > FILES_LOOKED_AT):
        odd = data[arrays.index(not arrays[0])].path if not all(arrays) else data[0].path
        raise DataError(
            f"{section}.path: of the files at {path!r} some are one JSON array and others JSON lines (see {odd!r}); keep one of them"
        )
    names: dict[str, None] = {}
    labels: dict[str, str] = {}  # kind to the file where it stands first
    kinds: dict[str, dict[str, None]] = {name: {} for name in wanted(source)}
    for info in data[:JSON_FILES]:
        rows = [row for row in json_rows(path, info.path, section) if isinstance(row, dict)]
        for row in rows:
            names |= dict.fromkeys(row)
        _check_json(rows, tuple(names), source, info.path, section, labels)
        for name, seen in kinds.items():
            seen |= dict.fromkeys(json_kind(_at(row, parts_of(name, tuple(names)))) for row in rows)
    if len(labels) > 1:
        (one, first), (other, second) = list(labels.items())[:2]
        raise DataError(
            f"{section}.label_column: {source.label_column!r} is {one} in {first!r} and {other} in {second!r}; write it as one type, so that "
            "no class is two"
        )
    array = bool(arrays and arrays[0])
    if array:
        told = {"form": "one JSON array", **told}
    if array and not _looked_through(data):
        told["not_looked_for"] = f"keys that stand twice, and what follows an array, in files above {MOST_LOOKED_THROUGH >> 20} MiB"
    folders = columns_of_folders(path, data, _looked_at(source, tuple(names)), section)
    types = {name: "text" if name in folders else " or ".join(seen) for name, seen in kinds.items()}
    known = (*names, *folders) if names else None
    return Layout(path, "jsonl", data, names=known, array=array, marked_array=array and marked, folders=folders, types=types, told=told)


def _check_json(
    rows: list[dict[str, Any]], names: tuple[str, ...], source: SourceConfig, file: str, section: str, labels: dict[str, str]
) -> None:
    """Raises DataError for texts and labels of kinds that they cannot have. labels: gets the kinds of labels."""
    if source.text_template is None:
        kinds = Counter(json_kind(_at(row, parts_of(source.text_column, names))) for row in rows)
        kinds.pop("null", None)
        if kinds and kinds.most_common(1)[0][0] != "text":
            raise DataError(
                f"{section}.text_column: {source.text_column!r} is {kinds.most_common(1)[0][0]}, not text, in {file!r}; {fix(TEXT_FIX, section)}"
            )
    if source.label_column is None:
        return
    for row in rows:
        kind = json_kind(_at(row, parts_of(source.label_column, names)))
        if kind == "null" or (source.label_bins is not None and kind in ("a whole number", "a number")):
            continue
        if kind == "a list" and source.label_separator is not None:
            continue
        if kind in ("a list", "an object") or (kind == "a number" and source.labels is None):
            raise DataError(
                f"{section}.label_column: {source.label_column!r} is {kind} in {file!r}, which is no class; {fix(LABEL_FIX[kind], section)}"
            )
        labels.setdefault("a number" if kind == "a whole number" and source.labels is not None else kind, file)  # 0, 0.5 and 1 are one type


def _looked_through(data: list[fs.FileInfo]) -> bool:
    """Whether files that are one JSON array each are small enough to be looked at as a whole."""
    return all(info.size * (UNPACKED if info.extension in COMPRESSIONS else 1) <= MOST_LOOKED_THROUGH for info in data)


def _at(row: Any, parts: tuple[str, ...] | None) -> Any:
    for part in parts or (None,):
        row = row.get(part) if isinstance(row, dict) else None
    return row


def _typed(path: str, kind: str, data: list[fs.FileInfo], source: SourceConfig, section: str, told: dict[str, str]) -> Layout:
    """All files have to have the named columns, with the types of the first."""
    schemas = file_schemas(path, data, kind, section)
    schema = schemas[0][1]
    folders = columns_of_folders(path, data, _looked_at(source, tuple(schema.names)), section)
    kinds: dict[str, str] = {}
    for name, key in wanted(source).items():
        types: dict[str, str] = {}
        for file, found in schemas:
            names = [*found.names, *folders]
            parts = parts_of(name, names)
            if parts is None:
                raise DataError(
                    f"{section}.{key}: no column {name!r} in {path if len(schemas) == 1 else file!r}; it has {', '.join(names)}"
                )
            if found.names.count(parts[0]) > 1:
                raise DataError(f"{section}.{key}: column {parts[0]!r} stands twice in {file!r}; rename one of each")
            if parts[0] in found.names:
                types.setdefault(str(_plain(found.field(parts[0]).type)), file)
        if len(types) > 1:
            (one, where), (other, there) = list(types.items())[:2]
            raise DataError(f"{section}.{key}: {name!r} is {one} in {where!r} and {other} in {there!r}; write it as one type in all files")
        kinds[name] = next(iter(types), "text")  # what stands in the names of folders is text
    label_names = None if source.rename_labels else class_names(path, data, schema, source.label_column)
    if label_names:
        told = {**told, "class_names": "from the files"}
    return Layout(
        path, kind, data, names=(*schema.names, *folders), folders=folders, schema=schema, label_names=label_names, types=kinds, told=told
    )


def _plain(found: pa.DataType) -> pa.DataType:
    """Types that only differ in how they are stored are one."""
    if pa.types.is_dictionary(found):
        return _plain(found.value_type)
    return pa.string() if pa.types.is_large_string(found) or pa.types.is_string_view(found) else found
