"""A session on a Spark Connect server: no Java here, and the code goes to the server's workers with it."""

import contextlib
import os
import socket
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from synalign_spark.compat import version
from synalign_spark.config import Config
from synalign_spark.errors import ConfigError, DistributedError, InstallationError
from synalign_spark.scrubbing import scrub

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

VARIABLE = "SPARK_REMOTE"  # PySpark's own
MODE = "SPARK_CONNECT_MODE_ENABLED"  # too, which a session sets and leaves behind: Spark does not start in this process after that
PORT = 15_002  # where an address names none
CONNECT_S = 20.0
ROOT = Path(__file__).resolve().parents[2]  # that the package lies in


def server(cfg: Config) -> str | None:
    """The address of the Connect server of a run: ``spark.remote``, or that of the environment; None for none.

    Raises ConfigError where a master is named too."""
    found = cfg.spark.remote or os.environ.get(VARIABLE)
    if found and cfg.spark.master:
        said = "spark.remote is" if cfg.spark.remote else f"the environment variable {VARIABLE} is"
        raise ConfigError(f"{said} set beside spark.master ({cfg.spark.master}), and a run has one Spark; remove one of them")
    return found


def session(cfg: Config, address: str, conf: dict[str, str]) -> "SparkSession":
    """A new session on the server, with the code for its workers. conf: what is set in it; what a server has fixed is refused by its name.

    Raises DistributedError where no server answers, ConfigError for a setting that it does not take, InstallationError without the client."""
    if version() < (4, 0):
        raise ConfigError(
            "spark.remote needs PySpark 4.0 or later, for Arrow tables do not cross Connect before; install one, or set spark.master"
        )
    _require_client()
    _require_open(address)
    spark = _connected(address)
    with contextlib.ExitStack() as where_refused:
        where_refused.callback(spark.stop)
        for key, value in conf.items():
            try:
                spark.conf.set(key, value)
            except Exception as err:
                said = _first_line(err, address)
                raise ConfigError(f"spark.conf: the Connect server does not take {key}: {said}; start the server with it") from err
        _ship(spark)
        where_refused.pop_all()
    return spark


@contextlib.contextmanager
def mode_kept() -> Iterator[None]:
    """Leaves the process as it was, with Spark of its own or without, once the body has stopped its session."""
    before = MODE in os.environ
    try:
        yield
    finally:
        if not before:
            os.environ.pop(MODE, None)


def _require_client() -> None:
    try:
        import pyspark.sql.connect.session  # noqa: F401  looks for what it needs
    except ImportError as err:
        raise InstallationError(
            f"spark.remote needs the client of Spark Connect ({_first_line(err)}); pip install 'synalign-spark[connect]'"
        ) from err


def _connected(address: str) -> "SparkSession":
    from pyspark.sql import SparkSession

    try:
        spark = SparkSession.builder.remote(address).create()
        spark.version  # noqa: B018  the first request
    except Exception as err:  # gRPC's and PySpark's, by what is missing
        said = _first_line(err, address)
        raise DistributedError(f"spark.remote: no Spark Connect server answers at {scrub(_place(address))}: {said}") from err
    return spark


def _require_open(address: str) -> None:
    """Raises DistributedError where nobody listens: the client itself would try for minutes."""
    place = urlsplit(_place(address).replace("sc:", "http:", 1))
    try:
        with socket.create_connection((place.hostname, place.port or PORT), timeout=CONNECT_S):
            pass
    except (OSError, ValueError) as err:
        raise DistributedError(
            f"spark.remote: nobody listens at {scrub(_place(address))} ({err}); start a Spark Connect server there, or mend the address"
        ) from err


def _ship(spark: "SparkSession") -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "synalign.zip")
        archive(path)
        spark.addArtifacts(path, pyfile=True)


def archive(target: str, root: str | os.PathLike[str] = ROOT) -> None:
    """The package below ``root`` as an archive that workers import from."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as found:
        for folder, _, files in os.walk(os.path.join(root, "synalign_spark"), followlinks=True):  # udfs and conf are links
            for path in (os.path.join(folder, name) for name in files if not name.endswith(".pyc")):
                found.write(path, os.path.relpath(path, root))


def _place(address: str) -> str:
    """Host and port: what follows may be a token.

    >>> _place("sc://spark.example:15002/;token=secret")
    'sc://spark.example:15002'
    """
    return address.split("/;")[0].split(";")[0]


def _first_line(err: BaseException, address: str = "") -> str:
    """What an error says, without what follows the place in the address, which some errors repeat."""
    said = str(err).replace(address, _place(address)) if address else str(err)
    return str(scrub(next((line for line in said.splitlines() if line.strip()), type(err).__name__).strip()))[:300]
