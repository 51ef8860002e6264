"""Which jars Spark needs beside its own, and where they come from: a configured folder, or Maven through Spark's own resolver."""

from pathlib import Path

from synalign_spark.compat import release
from synalign_spark.config import Config
from synalign_spark.errors import LakeError
from synalign_spark.storage.paths import scheme

PACKAGES, EXCLUDES, FOLDER = "spark.jars.packages", "spark.jars.excludes", "spark.jars"
# Spark ships these already; resolving them again costs 70 MB of downloads.
DELTA_EXCLUDES = (
    "com.fasterxml.jackson.core:*,com.fasterxml.jackson.datatype:*,org.apache.hadoop:hadoop-client-api,org.apache.hadoop:hadoop-client-runtime,"
    "org.apache.parquet:*,org.apache.logging.log4j:*,org.slf4j:*,org.roaringbitmap:*,org.xerial.snappy:*,com.github.luben:*,"
    "commons-logging:*,commons-pool:*,io.airlift:*,javax.annotation:*,com.google.code.findbugs:*,org.locationtech.jts:*"
)
# Of Amazon's SDK only the parts that Hadoop 3.5 uses: the bundle, which older ones come with, has 600 MB, these 12.
_SDK_OF, _SDK = "3.5.0", "2.35.4"
_SDK_PARTS = tuple(f"software.amazon.awssdk:{part}:{_SDK}" for part in ("s3-transfer-manager", "sts", "apache-client", "netty-nio-client"))
_SDK_EXCLUDES = "software.amazon.awssdk:bundle,org.wildfly.openssl:*,io.netty:*,org.apache.httpcomponents:*,commons-codec:*"


def jars(cfg: Config) -> dict[str, str]:
    """The Spark settings that bring Delta and S3 where the configuration needs them, with the user's own jars beside.

    Raises LakeError for a folder ``lake.jars`` that lacks Delta."""
    settings = {key: value for key in (PACKAGES, EXCLUDES, FOLDER) if (value := cfg.spark.conf.get(key))}
    if cfg.lake.jars is not None:
        return _joined(settings, {FOLDER: _folder(cfg.lake.jars, cfg.lake.format == "delta")})
    if cfg.lake.format == "delta":
        settings = _joined(settings, {PACKAGES: release().delta_package, EXCLUDES: DELTA_EXCLUDES})
    if on_s3(cfg):
        settings = _joined(settings, s3_packages())
    return settings


def s3_packages() -> dict[str, str]:
    """The settings that bring s3a:// of the Hadoop that PySpark carries."""
    hadoop = release().hadoop
    connector = f"org.apache.hadoop:hadoop-aws:{hadoop}"
    return {PACKAGES: ",".join((connector, *_SDK_PARTS)), EXCLUDES: _SDK_EXCLUDES} if hadoop == _SDK_OF else {PACKAGES: connector}


def on_s3(cfg: Config) -> bool:
    """Whether the lake or a source is at an s3a:// address."""
    paths = (cfg.lake.path, cfg.source.path, cfg.generate.imported.path)
    return any(scheme(path) == "s3a" for path in paths if path is not None)


def _joined(first: dict[str, str], second: dict[str, str]) -> dict[str, str]:
    """Both, the lists of keys that both have one after the other."""
    return first | {key: f"{first[key]},{value}" if key in first else value for key, value in second.items()}


def _folder(folder: str, with_delta: bool) -> str:
    found = sorted(Path(folder).glob("*.jar"))
    if with_delta and not any(jar.name.startswith(("delta-spark", "io.delta_delta-spark")) for jar in found):
        raise LakeError(
            f"lake.jars: no delta-spark jar in {folder!r}; put delta-spark, delta-storage and delta-kernel jars there or unset it"
        )
    return ",".join(str(jar) for jar in found)
