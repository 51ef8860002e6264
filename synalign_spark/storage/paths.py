"""Paths of the lake and the sources, on a local disk or in an object store, without Spark.

A path without a scheme is a local one, whatever the cluster's default file system is. On a cluster it
must therefore be on a disk that all machines share, or carry a scheme (hdfs://, s3a://, abfss://, gs://).
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from pyarrow import fs

from synalign_spark.errors import LakeError

# What a file system says when it cannot do it: no permission, no space, no such store, a malformed address, a fault of its own kind.
STORE_FAULTS = (OSError, ValueError, NotImplementedError, pa.ArrowException)
_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*):")
# What Hadoop calls these stores, and what Arrow calls them.
_ARROW_SCHEMES = {"s3a": "s3", "s3n": "s3", "gcs": "gs"}
# Arrow would try a Google store that it cannot reach, or has no key for, for a quarter of an hour.
_OPTIONS = {"gs": "retry_limit_seconds=30"}
_REMEDIES = {
    "file": "name a folder that you may write, on a disk that has room",
    "s3": "check the bucket and, in the environment, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, and AWS_ENDPOINT_URL for a service other than Amazon's",
    "gs": "check the bucket and GOOGLE_APPLICATION_CREDENTIALS in the environment",
    "hdfs": "check the address and, in the environment, JAVA_HOME, HADOOP_HOME and CLASSPATH=$(hadoop classpath --glob)",
}


RUNS = "_synalign"  # folder of the lake that holds what is not a table
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class RunPaths:
    """Where a run keeps what is not a table: the folder ``<lake>/_synalign/<run_id>``.

    >>> RunPaths("s3a://bucket/lake/", "first").ledger
    's3a://bucket/lake/_synalign/first/ledger'
    """

    lake: str
    run_id: str

    @property
    def folder(self) -> str:
        return f"{self.lake.rstrip('/')}/{RUNS}/{self.run_id}"

    @property
    def ledger(self) -> str:
        """Folder of the language model's stored answers."""
        return f"{self.folder}/ledger"

    @property
    def embedding_ledger(self) -> str:
        """Folder of the vectors that an endpoint gave."""
        return f"{self.folder}/embedding-ledger"

    @property
    def scratch(self) -> str:
        """Folder of ``synalign doctor``'s table, removed when it is read."""
        return f"{self.folder}/doctor"

    @property
    def local_folder(self) -> str | None:
        """The folder as a path on this machine; None for a lake elsewhere."""
        local = local_path(self.folder)
        return None if local is None else str(local)

    @property
    def local_log(self) -> str | None:
        """File of the structured log; None for a lake elsewhere."""
        return None if self.local_folder is None else f"{self.local_folder}/log.jsonl"


def other_format(table: str, lake: str, stored: str) -> LakeError:
    """The error for a table that is not of the format that the configuration names. stored: 'delta', or 'parquet' where there is no Delta log."""
    if stored == "delta":
        return LakeError(
            f"lake.format is 'parquet', but table '{table}' in {lake!r} is delta; set lake.format to 'delta' or choose another lake.path"
        )
    return LakeError(
        f"lake.format is 'delta', but table '{table}' in {lake!r} has files and no Delta log: if it is parquet, set lake.format to 'parquet' or "
        "choose another lake.path; if its _delta_log was deleted, restore it, or delete the table's folder and start the runs that wrote it again"
    )


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
    """Arrow's file system of a path, and the path within it. Raises one of STORE_FAULTS for an address it cannot open."""
    local = local_path(path)
    if local is not None:
        return fs.LocalFileSystem(), str(local)
    kind = _arrow_scheme(path)
    address = kind + path[len(scheme(path)) :]
    if kind in _OPTIONS and "?" not in address:
        address = f"{address}?{_OPTIONS[kind]}"
    files, inside = fs.FileSystem.from_uri(address)
    return files, str(inside)


def remedy(path: str) -> str:
    """What a user may do about a path that cannot be read or written."""
    return _REMEDIES.get(_arrow_scheme(path), "check the address, and your rights there")


def fault_line(err: Exception) -> str:
    """The first line of a store's message: some go on with a page of what was tried, and py4j's own only names the call."""
    java = getattr(err, "java_exception", None)
    return (str(err) if java is None else str(java.toString())).lstrip("\n").split("\n", 1)[0]


def _arrow_scheme(path: str) -> str:
    kind = scheme(path)
    return _ARROW_SCHEMES.get(kind, kind)


def s3_endpoint() -> str | None:
    """The address of an S3 service other than Amazon's, where the environment names one; Arrow reads the same variables."""
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or None


def delta_rs_options() -> dict[str, str]:
    """What delta-rs must be told beside the environment: the endpoint, and that one without TLS is meant."""
    endpoint = s3_endpoint()
    return {"aws_endpoint": endpoint, "aws_allow_http": str(endpoint.startswith("http:")).lower()} if endpoint else {}
