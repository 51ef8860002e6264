"""What a run reads and writes, as OpenLineage names data sets, with the schemas of the contracts."""

import re
from collections.abc import Iterator, Mapping

from openlineage.client.event_v2 import InputDataset, OutputDataset
from openlineage.client.generated.base import DatasetFacet
from openlineage.client.generated.documentation_dataset import DocumentationDatasetFacet
from openlineage.client.generated.output_statistics_output_dataset import OutputStatisticsOutputDatasetFacet
from openlineage.client.generated.schema_dataset import SchemaDatasetFacet, SchemaDatasetFacetFields
from openlineage.client.generated.symlinks_dataset import Identifier, SymlinksDatasetFacet

from synalign_spark.config import Config, SourceConfig
from synalign_spark.pipeline.steps import Step
from synalign_spark.storage.contracts import RUN_ID, RUN_ID_DOC
from synalign_spark.storage.paths import local_path, scheme
from synalign_spark.storage.tables import Table

SCHEMES = {"s3a": "s3", "s3n": "s3", "gcs": "gs", "abfs": "abfss"}  # as OpenLineage calls these stores
KEYED = ("s3", "gs", "abfss")  # stores of objects: their keys begin with no slash
SCHEME = re.compile(r"^[^:/]*:(?://)?")
USER = re.compile(r"^[^/@:]*:(?!\d{1,5}(?:/|$)).*@")  # and password, which may hold "/" and "@"
QUERY = re.compile(r"\?[^/?]*=.*$")  # with names: a question mark alone is of a pattern
PATTERN = re.compile(r"/[^/]*[*?\[{].*$")  # the part of a path from which on several files are meant
PLAIN_CATALOG = "spark_catalog"


def named(address: str) -> tuple[str, str]:
    """Namespace and name of files, by OpenLineage's naming: without user, password and query, and of a pattern the folder.

    >>> named("s3a://me:secret@bucket/lake/corpus"), named("/data/real/*.parquet"), named("hdfs://name:8020/x"), named("dbfs:/mnt/x")
    (('s3://bucket', 'lake/corpus'), ('file', '/data/real'), ('hdfs://name:8020', '/x'), ('dbfs://', '/mnt/x'))
    >>> named("s3://me:sec/ret@bucket/x#1/part-?.csv"), named("https://me:secret@host:80/x?sig=secret")
    (('s3://bucket', 'x#1'), ('https://host:80', '/x'))
    >>> named("abfss://box@account.dfs.core.windows.net/lake")
    ('abfss://box@account.dfs.core.windows.net', 'lake')
    """
    local = local_path(address)
    if local is not None:
        return "file", PATTERN.sub("", str(local)) or "/"
    kind = SCHEMES.get(scheme(address), scheme(address))
    place, _, key = QUERY.sub("", USER.sub("", SCHEME.sub("", address))).partition("/")
    path = PATTERN.sub("", f"/{key}").rstrip("/")
    place = place if kind == "abfss" else place.rpartition("@")[2]
    return f"{kind}://{place}", (path.lstrip("/") if kind in KEYED else path) or "/"


def source_named(source: SourceConfig) -> tuple[str, str] | None:
    """The same of a source; None for a query, whose text may hold texts of the data."""
    if source.path is not None:
        return named(source.path)
    if source.table is not None:
        return in_catalog(source.table)
    return ("pypi", source.package) if source.package is not None else None


def in_catalog(table: str) -> tuple[str, str]:
    """A table by name: which metastore is behind the catalog, Spark alone knows.

    >>> in_catalog("main.reviews.real"), in_catalog("reviews.real")
    (('spark://main', 'reviews.real'), ('spark://spark_catalog', 'reviews.real'))
    """
    parts = table.replace("`", "").split(".")
    catalog, rest = (parts[0], parts[1:]) if len(parts) > 2 else (PLAIN_CATALOG, parts)
    return f"spark://{catalog}", ".".join(rest)


def sources(cfg: Config, step: Step) -> list[InputDataset]:
    """What a step reads from outside the lake."""
    return [InputDataset(*place) for source in _sources(cfg, step) if (place := source_named(source)) is not None]


def _sources(cfg: Config, step: Step) -> Iterator[SourceConfig]:
    imported = [cfg.generate.imported] if cfg.generate.strategy == "imported" else []
    origin = step.arguments.get("origin", "real")
    if step.name == "ingest":
        yield cfg.source
    elif step.name == "generate":
        yield from imported
    elif step.stage == "embed" and cfg.embedding_column(origin) is not None:
        yield from [cfg.source] if origin == "real" else imported
    elif step.stage == "dedup":
        yield from cfg.dedup.evaluation_sets


def table_read(cfg: Config, table: Table) -> InputDataset:
    """A table of the lake that rows are read of."""
    return InputDataset(*_place(cfg, table), facets=_facets(cfg, table))


def table_written(cfg: Config, table: Table, rows: Mapping[str, int]) -> OutputDataset:
    """A table of the lake that a stage replaces the run's rows of. rows: how many, by table, where they are known."""
    known = {"outputStatistics": OutputStatisticsOutputDatasetFacet(rowCount=rows[table.name])} if table.name in rows else {}
    return OutputDataset(*_place(cfg, table), facets=_facets(cfg, table), outputFacets=dict(known))


def _place(cfg: Config, table: Table) -> tuple[str, str]:
    return named(f"{cfg.lake.path.rstrip('/')}/{table.name}")


def _facets(cfg: Config, table: Table) -> dict[str, DatasetFacet]:
    fields = [SchemaDatasetFacetFields(name=RUN_ID, type="string", description=RUN_ID_DOC)]
    fields += [SchemaDatasetFacetFields(name=column.name, type=column.dtype, description=column.doc) for column in table.columns]
    found: dict[str, DatasetFacet] = {"schema": SchemaDatasetFacet(fields=fields), "documentation": DocumentationDatasetFacet(table.doc)}
    if cfg.lake.schema_name is not None:
        full = ".".join(filter(None, (cfg.lake.catalog, cfg.lake.schema_name, f"{cfg.lake.prefix}{table.name}")))
        found["symlinks"] = SymlinksDatasetFacet(identifiers=[Identifier(*in_catalog(full), "TABLE")])
    return found
