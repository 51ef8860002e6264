"""What is there of a run's tables: the data files of its own rows, by folder, without Spark.

A step counts as done while the files that it wrote are there. Somebody may have deleted a folder, some of its files, or a table that other
runs have written anew since.
"""

import contextlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

import pyarrow as pa
from pyarrow import fs

from synalign_spark.errors import LakeError
from synalign_spark.storage.contracts import RUN_ID
from synalign_spark.storage.paths import STORE_FAULTS, delta_rs_options, fault_line, filesystem, local_path, other_format, remedy

Format = Literal["delta", "parquet"]
Files = dict[str, int]  # folder below the table's to its number of data files


def refuse_other_format(table: str, lake: str, format: Format) -> None:
    """Raises LakeError for a folder that holds the table in the other format; known for local lakes only."""
    root = local_path(lake)
    if root is None or not (root / table).is_dir():
        return
    has_log = (root / table / "_delta_log").is_dir()
    has_files = any(child.name.startswith(f"{RUN_ID}=") for child in (root / table).iterdir())
    stored = "delta" if has_log else "parquet" if has_files else format
    if stored != format:
        raise other_format(table, lake, stored)


def own_files(lake: str, table: str, run_id: str, format: Format) -> Files | None:
    """The data files of a run in a table; none in it for a run that wrote no row. None where the table is not there, or a file that it names is not.

    Raises LakeError where the lake cannot be read."""
    with _reading(lake):
        files, root = filesystem(f"{lake.rstrip('/')}/{table}")
        found = {path[len(root) + 1 :] for path in _below(files, f"{root}/{RUN_ID}={run_id}")}
        if format == "parquet":
            here = files.get_file_info(f"{root}/{RUN_ID}={run_id}").type == fs.FileType.Directory
            return _counted(found) if here else None
        if not any(files.get_file_info(fs.FileSelector(f"{root}/_delta_log", allow_not_found=True))):
            return None
        named = _named_in_log(f"{lake.rstrip('/')}/{table}", run_id)
        if named is None:
            return _counted(found)
        return _counted(named) if named <= found else None


def still_there(recorded: Files, now: Files | None, format: Format) -> bool:
    """Whether the files that were recorded of a table are there. Those of Delta may have been joined to fewer (OPTIMIZE).

    >>> still_there({"run_id=a": 3}, {"run_id=a": 2}, "parquet"), still_there({"run_id=a": 3}, {"run_id=a": 1}, "delta")
    (False, True)
    """
    if now is None:
        return False
    return all(now.get(folder, 0) >= (n if format == "parquet" else min(n, 1)) for folder, n in recorded.items())


def entry_is_there(entry: Mapping[str, Any], lake: str, run_id: str, format: Format) -> bool:
    """Whether the tables of a step are there, by its entry in the manifest; entries of earlier releases do not tell the files."""
    recorded = entry.get("files", {})
    return all(still_there(recorded.get(table, {}), own_files(lake, table, run_id, format), format) for table in entry["tables"])


def files_of(tables: Iterable[str], scope: Mapping[str, str], lake: str, run_id: str, format: Format) -> dict[str, Files]:
    """What the manifest keeps of the tables that a step has written, for ``entry_is_there``; a table that is not there is left out.

    scope: which part the step writes of a table that others write too; they may write theirs anew, as fewer files."""
    found = {table: own_files(lake, table, run_id, format) for table in tables}
    return {
        table: {folder: n for folder, n in files.items() if _within(folder, scope)} for table, files in found.items() if files is not None
    }


def _within(folder: str, scope: Mapping[str, str]) -> bool:
    """Whether a folder is no other part of a table than that of a scope.

    >>> [_within("run_id=a/origin=real", scope) for scope in ({"origin": "real"}, {"origin": "synthetic"}, {"side": "real"})]
    [True, False, True]
    """
    values = dict(part.partition("=")[::2] for part in folder.split("/"))
    return all(values.get(name, value) == value for name, value in scope.items())


def _named_in_log(address: str, run_id: str) -> set[str] | None:
    """The files of the run that the table's log names; None where delta-rs is not there or cannot read the log, which Spark then judges."""
    try:
        from deltalake import DeltaTable

        table = DeltaTable(str(local_path(address) or address), storage_options=delta_rs_options())
        paths = pa.table(table.get_add_actions(flatten=True)).column("path").to_pylist()
    except Exception:  # delta-rs and each store have their own families of exceptions
        return None
    return {path for path in paths if path.startswith(f"{RUN_ID}={run_id}/")}


def _below(files: fs.FileSystem, folder: str) -> list[str]:
    infos = files.get_file_info(fs.FileSelector(folder, recursive=True, allow_not_found=True))
    hidden = ("_", ".")  # what Spark passes over
    return [info.path for info in infos if info.type == fs.FileType.File and not info.base_name.startswith(hidden)]


def _counted(paths: set[str]) -> Files:
    return dict(sorted(Counter(os.path.dirname(path) for path in paths).items()))


@contextlib.contextmanager
def _reading(lake: str) -> Iterator[None]:
    try:
        yield
    except STORE_FAULTS as err:
        raise LakeError(f"lake.path: {lake!r} cannot be read ({fault_line(err)}); {remedy(lake)}") from err
