"""Where a run works: its name, the lake, and Spark."""

import re
from typing import Annotated, Literal

from pydantic import Field, model_validator

from synalign_spark.config.secrets import is_secret
from synalign_spark.config.section import Positive, Section, check_path
from synalign_spark.scrubbing import scrub


class RunConfig(Section):
    """The run's name, its seed, and how long a start of it may take."""

    id: str = Field(
        "default", pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$", description="Name of the run; every table carries it as run_id."
    )
    seed: int = Field(0, ge=0, lt=2**31, description="Seed of every random choice; choices are keyed by (seed, row id).")
    max_minutes: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = Field(
        None,
        description="Minutes after which a start goes no further: it ends after the stage that runs then, in generation after the calls in flight, "
        "with exit status 6; the same command goes on. null is no limit.",
    )
    lock_wait_s: float = Field(
        0.0,
        ge=0,
        allow_inf_nan=False,
        description="Seconds to wait for another process that executes the run, before it is an error (exit status 4).",
    )
    metrics_file: str | None = Field(
        None,
        description="File of the driver's machine that is kept renewed while the run goes on and at its end, with its figures as Prometheus reads them; "
        "node_exporter's textfile collector takes names that end in .prom. One run a file. null writes none.",
    )
    lineage_job: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$",
        description="Name of the job under which OpenLineage events of the run and of its stages are sent, to where the OpenLineage client is told to "
        "(OPENLINEAGE_URL, openlineage.yml); needs the extra lineage. null sends none.",
    )

    @model_validator(mode="after")
    def _local_file(self) -> "RunConfig":
        if self.metrics_file is not None and (not self.metrics_file.strip() or re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", self.metrics_file)):
            raise ValueError(
                f"metrics_file must be a path of this machine, got {scrub(self.metrics_file)!r}; name a file of a local folder"
            )
        return self


class LakeConfig(Section):
    """Where the tables lie, and in which format."""

    path: str = Field("lake/default", min_length=1, description="Folder or object-store address that holds the tables.")
    format: Literal["delta", "parquet"] = Field("delta", description="Table format.")
    catalog: str | None = Field(None, description="Catalog of the Spark session that lake.schema is in; null is the session's present one.")
    schema_name: str | None = Field(
        None,
        alias="schema",
        min_length=1,
        description="Schema in which the tables have names too: external tables over the folders of lake.path, which stay what counts.",
    )
    prefix: str = Field("", pattern=r"^[A-Za-z0-9_]{0,40}$", description="What the tables' names in lake.schema begin with.")
    jars: str | None = Field(
        None, description="Folder with the jars of Delta and, for s3a://, of S3, for machines without a package repository."
    )

    @model_validator(mode="after")
    def _takes_path(self) -> "LakeConfig":
        check_path(self.path)
        return self

    @model_validator(mode="after")
    def _names_in_schema(self) -> "LakeConfig":
        for key in ("catalog", "prefix"):
            if getattr(self, key) and self.schema_name is None:
                raise ValueError(f"{key} is set, and schema is not: there are no names without one; set lake.schema, or remove {key}")
        return self


class SparkConfig(Section):
    """The Spark session, where the job starts one itself."""

    master: str | None = Field(None, description="Spark master; null takes spark-submit's, else local[*].")
    remote: str | None = Field(
        None,
        pattern=r"^sc://[^/;]",
        description="Address of a Spark Connect server (sc://host:15002), on which the run then works instead of a Spark of its own; null takes that of the "
        "environment variable SPARK_REMOTE, where a token may stand.",
    )
    shuffle_partitions: Positive | None = Field(
        None, description="spark.sql.shuffle.partitions; null is 4 on a local master and Spark's default on a cluster."
    )
    driver_memory: str = Field("4g", pattern=r"^\d+[kmgtKMGT]$", description="Driver heap, when the job starts Spark itself.")
    conf: dict[str, str] = Field(default_factory=dict, description="Any further Spark setting.")

    @model_validator(mode="after")
    def _one_spark(self) -> "SparkConfig":
        if self.remote and self.master:
            raise ValueError("remote is set beside master, and a run has one Spark; remove one of them")
        if self.remote and (found := [name for name in re.findall(r";([^=;]+)=", self.remote) if is_secret(name)]):
            raise ValueError(
                f"remote has {found[0]} in it, and secrets do not belong in a configuration; put the whole address in the environment variable "
                "SPARK_REMOTE, and remove it here"
            )
        return self
