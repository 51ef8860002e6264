"""Where a run works: its name, the lake, and Spark."""

import re
from typing import Annotated, Literal

from pydantic import Field, model_validator

from synalign_spark.config.secrets import is_secret
from synalign_spark.config.section import Positive, Section, check_path


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
