"""Paths of the lake and the sources, on a local disk or in an object store, without Spark.

A path without a scheme is a local one, whatever the cluster's default file system is. On a cluster it
must therefore be on a disk that all machines share, or carry a scheme (hdfs://, s3a://, abfss://, gs://).
"""

import re
from pathlib import Path

from pyarrow import fs

_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*):")
# What Hadoop calls these stores, and what Arrow calls them.
_ARROW_SCHEMES = {"s3a": "s3", "s3n": "s3", "gcs": "gs"}


def scheme(path: str) -> str:
    """'file' for a local path, else the scheme of the address in lower case."""
    found = _SCHEME.match(path)
    return found.group(1).lower() if found else "file"


def local_path(path: str) -> Path | None:
    """The absolute path on this machine, or None for an address elsewhere."""
    if scheme(path) != "file":
        return None
    without = re.sub(r"^file:(//)?", "", path, flags=re.IGNORECASE)
    return Path(without).expanduser().absolute()


def spark_path(path: str) -> str:
    """The path as Spark must see it: local ones with their scheme, others as they are."""
    local = local_path(path)
    return path if local is None else f"file://{local}"


def filesystem(path: str) -> tuple[fs.FileSystem, str]:
    """Arrow's file system of a path, and the path within it. Raises OSError or ValueError for an address it cannot open."""
    local = local_path(path)
    if local is not None:
        return fs.LocalFileSystem(), str(local)
    kind = scheme(path)
    files, inside = fs.FileSystem.from_uri(_ARROW_SCHEMES.get(kind, kind) + path[len(kind) :])
    return files, str(inside)
