"""The whole configuration, and the few keys of the report."""

import math

from pydantic import Field, model_validator

from synalign_spark.config.alignment import AlignConfig, ResampleConfig
from synalign_spark.config.environment import LakeConfig, RunConfig, SparkConfig
from synalign_spark.config.generation import GenerateConfig
from synalign_spark.config.section import Positive, Section
from synalign_spark.config.selection import ClusterConfig, EmbedConfig, SelectConfig
from synalign_spark.config.source import IngestConfig, SourceConfig
from synalign_spark.core import defaults


class ReportConfig(Section):
    """The HTML page of the run."""

    map_rows: Positive = Field(2_000, description="Rows a side on the 2-D map.")
    downstream: bool = Field(
        True,
        description="Where the corpus has labels: train a downstream classifier on weighted and on unweighted rows, and score both on held-out real rows.",
    )


class Config(Section):
    """All sections. ``Config.model_validate`` gives a frozen tree."""

    run: RunConfig = Field(default_factory=RunConfig)
    lake: LakeConfig = Field(default_factory=LakeConfig)
    spark: SparkConfig = Field(default_factory=SparkConfig)
    source: SourceConfig
    ingest: IngestConfig = Field(default_factory=IngestConfig)
    embed: EmbedConfig = Field(default_factory=EmbedConfig)
    cluster: ClusterConfig = Field(default_factory=ClusterConfig)
    select: SelectConfig = Field(default_factory=SelectConfig)
    generate: GenerateConfig = Field(default_factory=GenerateConfig)
    align: AlignConfig = Field(default_factory=AlignConfig)
    resample: ResampleConfig = Field(default_factory=ResampleConfig)
    report: ReportConfig = Field(default_factory=ReportConfig)

    @property
    def demonstration_sets(self) -> int:
        """Sets of real rows to show: as configured, or as many as the rows to generate need."""
        if self.select.demonstration_sets != "auto":
            return self.select.demonstration_sets
        needed = math.ceil(defaults.SETS_MARGIN * self.generate.target_rows / self.generate.rows_a_set(self.select.rows_per_set))
        return min(needed, defaults.MOST_SETS)

    @model_validator(mode="after")
    def _source_given(self) -> "Config":
        if not (self.source.path or self.source.table or self.source.package):
            raise ValueError("source names no corpus: set source.path, source.table or source.package")
        return self
