"""The folders that a source's files lie in: those whose names are columns, those that are none, and links between them."""

import os
import re

from pyarrow import fs

from synalign_spark.errors import DataError
from synalign_spark.storage.paths import filesystem, local_path

GLOB = re.compile(r"[*?\[{]")
SPLITS = {"train", "test", "validation", "valid", "val", "dev"}


def refuse_twice(found: list[fs.FileInfo], path: str, field: str) -> None:
    """Of folders that links lead into twice, a loop among them, every row would be read twice."""
    if local_path(path) is None:
        return
    places: dict[str, str] = {}
    for folder in sorted({os.path.dirname(info.path) for info in found}):
        if (first := places.setdefault(os.path.realpath(folder), folder)) != folder:
            raise DataError(f"{field}.path: {folder!r} is a link to {first!r}, whose files would be read twice; take the link out")


def refuse_dangling(found: list[fs.FileInfo], path: str, field: str) -> None:
    """Links to files that are gone are listed by nobody: their rows would be missing without a word. found: of the folder's files; links of other
    endings hold no rows."""
    local = local_path(path)
    if local is None or not local.is_dir():
        return
    endings = {os.path.splitext(info.path)[1] for info in found}
    for folder, below, names in os.walk(local):
        below[:] = [name for name in below if not name.startswith(("_", "."))]  # what no reader looks into
        for name in sorted(names):
            link = os.path.join(folder, name)
            if (
                not name.startswith(("_", "."))
                and os.path.splitext(name)[1] in endings
                and os.path.islink(link)
                and not os.path.exists(link)
            ):
                raise DataError(
                    f"{field}.path: {link!r} is a link to {os.readlink(link)!r}, which is not there; fetch the file, or take the link out"
                )


def refuse_delta(found: list[fs.FileInfo], path: str, field: str) -> None:
    """The files of a Delta table alone hold rows that were deleted or replaced: its log alone tells which."""
    local = local_path(path)
    if any("/_delta_log/" in info.path and info.path.endswith((".json", ".parquet")) for info in found):
        raise DataError(
            f"{field}.format: {path!r} is a Delta table, whose files alone hold deleted rows too; set {field}.format to delta, or to auto"
        )
    if local is not None and (local / "_delta_log").is_dir():
        raise DataError(
            f"{field}.path: {path!r} is a Delta table whose log is gone, which alone tells deleted rows from others; bring the files of _delta_log "
            "back, or move the Parquet files that hold rows into a folder of their own"
        )
    for folder in sorted({_above_partitions(os.path.dirname(info.path)) for info in found} if local is not None else ()):
        if os.path.isdir(os.path.join(folder, "_delta_log")):
            raise DataError(
                f"{field}.path: {path!r} names files of the Delta table {folder!r}, which alone hold deleted rows too; set {field}.path to that folder"
            )


def _above_partitions(folder: str) -> str:
    """The folder of a table, of one within it whose name is a value of a column."""
    while "=" in os.path.basename(folder):
        folder = os.path.dirname(folder)
    return folder


def folders_within(path: str, data: list[fs.FileInfo]) -> set[tuple[str, ...]]:
    """The folders that files lie in, below a path or below what a glob names; () for those right there."""
    local = local_path(path)
    inside = str(local) if local is not None else filesystem(GLOB.split(path)[0])[1] + path[len(GLOB.split(path)[0]) :]
    depth = inside.rstrip("/").count("/") + 1
    return {tuple(info.path.split("/")[depth:-1]) for info in data}


def read_below(path: str, data: list[fs.FileInfo], field: str) -> bool:
    """Whether files lie in folders whose names are no columns, as key=value is: Spark passes over those unless it is told.

    Raises DataError where some do, and others lie in folders whose names are columns."""
    folders = folders_within(path, data)
    plain = next((parts for parts in sorted(folders) if any("=" not in part for part in parts)), None)
    named = next((parts for parts in sorted(folders) if any("=" in part for part in parts)), None)
    if named and (plain or () in folders):
        raise DataError(
            f"{field}.path: {path!r} has files in {'/'.join(named)!r}, whose name is a column, and others in "
            f"{'/'.join(plain or ()) or path!r}, whose name is none; name one of them, or move the files"
        )
    return plain is not None


def columns_of_folders(path: str, data: list[fs.FileInfo], names: tuple[str, ...], field: str) -> tuple[str, ...]:
    """The columns that stand in the names of folders (``label=good``). names: of the columns of the files themselves that are told by
    their places or that the source names: of others it does not matter which of the two is meant.

    Raises DataError for one that stands in both."""
    found = {part.partition("=")[0] for parts in folders_within(path, data) for part in parts if "=" in part}
    spelled = {name.strip().lower() for name in names}
    if both := sorted(name for name in found if name.lower() in spelled):
        raise DataError(
            f"{field}.path: {path!r} has the column {both[0]!r} in its files and in the names of their folders; take it out of the files, or rename "
            "the folders"
        )
    return tuple(sorted(found))


def splits_in(path: str, data: list[fs.FileInfo]) -> list[str]:
    """The parts of a data set that files belong to by their names or those of their folders, such as train and test."""
    names = {part for parts in folders_within(path, data) for part in parts} | {re.split(r"[-_.]", info.base_name)[0] for info in data}
    return sorted(names & SPLITS)
