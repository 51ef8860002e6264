"""The log of a Delta table without Spark: which commit was the last that changed rows (delta.io/protocol: actions and ``dataChange``)."""

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

from pyarrow import fs

from synalign_spark.storage.paths import STORE_FAULTS

_COMMIT = re.compile(r"/_delta_log/\d{20}\.json$")
# Operations, by the names that commits give them, after which the same rows are there.
KEEPS_ROWS = frozenset(
    {
        "OPTIMIZE", "REORG", "VACUUM START", "VACUUM END", "SET TBLPROPERTIES", "UNSET TBLPROPERTIES", "ADD CONSTRAINT", "DROP CONSTRAINT",
        "UPGRADE PROTOCOL", "CLUSTER BY", "COMPUTE STATS", "FSCK", "DOMAIN METADATA CLEANUP", "CHANGE COLUMN", "UPDATE COLUMN METADATA",
    }
)  # fmt: skip


def log_files(found: Iterable[fs.FileInfo]) -> list[fs.FileInfo]:
    """The commits of a Delta table among the files of its folder, oldest first; none where the folder holds no table, or several."""
    commits = sorted((info for info in found if _COMMIT.search(info.path)), key=lambda info: str(info.path))
    return commits if len({info.path.rpartition("/")[0] for info in commits}) == 1 else []


def last_change(files: fs.FileSystem, commits: Sequence[fs.FileInfo]) -> str | None:
    """Name and content hash of the newest commit that changed rows; None where none of those that are left did, or one cannot be read.

    Commits are read from the newest on, up to that one."""
    for info in reversed(commits):
        try:
            with files.open_input_stream(info.path, compression=None) as stream:
                content = bytes(stream.read())
            if changes_rows([json.loads(line) for line in content.splitlines() if line.strip()]):
                return f"{info.base_name} {hashlib.sha256(content).hexdigest()}"
        except (*STORE_FAULTS, AttributeError):  # not there any more, or no log of Delta's
            return None
    return None


def changes_rows(actions: Iterable[dict[str, Any]]) -> bool:
    """Whether a commit of these actions adds or removes rows, or may give columns another meaning.

    >>> changes_rows([{"add": {"path": "x", "dataChange": False}}, {"remove": {"path": "y", "dataChange": False}}])
    False
    >>> changes_rows([{"add": {"path": "x", "dataChange": True}}])
    True
    """
    operation, metadata = None, False
    for action in actions:
        for kind in ("add", "remove"):
            if kind in action and action[kind].get("dataChange", True):
                return True
        operation = action.get("commitInfo", {}).get("operation", operation)
        metadata = metadata or "metaData" in action
    return metadata and operation not in KEEPS_ROWS
