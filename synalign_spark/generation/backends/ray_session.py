"""Ray for the length of a block: a small one on this machine, one that runs in this process already, or a cluster."""

import contextlib
import logging
import os
import signal
import socket
import tempfile
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from synalign_spark.config import LlmConfig
from synalign_spark.errors import DistributedError
from synalign_spark.generation.backends.ray_on_spark import ADDRESS, ray_on_spark

LOCAL_CPUS = 1
LOCAL_OBJECT_STORE_BYTES = 100 * 2**20
CONNECT_TIMEOUT_S = 10.0


@contextlib.contextmanager
def ray_session(llm: LlmConfig) -> Iterator[None]:
    """Ray for the length of the block: a small one on this machine, one on Spark's executors, or the cluster at ``llm.ray_address``.

    A Ray that runs already in this process is used and left running. Raises DistributedError for a cluster that cannot be reached."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray

    if ray.is_initialized():
        yield
        return
    terminated = signal.getsignal(signal.SIGTERM)
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR, "ignore_reinit_error": True}
    with contextlib.ExitStack() as stack:
        address = stack.enter_context(ray_on_spark(llm.actors)) if llm.ray_address == ADDRESS else llm.ray_address
        if address:
            _join(address, quiet)
        else:
            local: dict[str, Any] = {"num_cpus": LOCAL_CPUS, "object_store_memory": LOCAL_OBJECT_STORE_BYTES, "include_dashboard": False}
            ray.init(address="local", _node_ip_address="127.0.0.1", **local, **quiet)
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, terminated)  # Ray's own would end the process at once, calls in flight with it
        stack.callback(ray.shutdown)
        yield


def _join(address: str, quiet: dict[str, Any]) -> None:
    """Connects to a running cluster; our code goes along, since its workers need not have it."""
    import ray

    host, _, port = address.rpartition("://")[2].rpartition(":")
    try:
        if host and port.isdecimal():  # Ray itself would ask an address where nobody is for minutes
            socket.create_connection((host.strip("[]"), int(port)), CONNECT_TIMEOUT_S).close()
        with _package() as package:
            ray.init(address=address, runtime_env={"py_modules": [package]}, **quiet)
    except Exception as err:  # Ray has a family of errors for each way to fail
        raise DistributedError(
            f"generate.llm.ray_address: the Ray cluster at {address!r} cannot be used ({type(err).__name__}: {err}); check the address, that Python "
            "and Ray have the versions of here, and, where the cluster asks for a token, RAY_AUTH_MODE=token and RAY_AUTH_TOKEN in the "
            "environment; or remove it for a Ray on this machine"
        ) from err


@contextlib.contextmanager
def _package() -> Iterator[str]:
    """Folder of our code; unpacked for the length of the block where spark-submit brought it as an archive."""
    folder = Path(__file__).resolve().parents[2]
    if folder.is_dir():
        yield str(folder)
        return
    with tempfile.TemporaryDirectory() as work, zipfile.ZipFile(folder.parent) as archive:
        archive.extractall(work, [name for name in archive.namelist() if name.startswith(f"{folder.name}/")])
        yield str(Path(work) / folder.name)
