"""The whole configuration as pydantic models: every key, its default, its limits and its meaning.

A module holds the models of some sections; the reference in ``docs/`` is generated from them, and unknown keys are refused.
Reading files, overlays and ``--set`` is in :mod:`synalign_spark.config.files`.
"""

from synalign_spark.config.alignment import AlignConfig, ResampleConfig
from synalign_spark.config.dedup import DedupConfig
from synalign_spark.config.embedding_endpoint import EmbeddingEndpointConfig
from synalign_spark.config.environment import LakeConfig, RunConfig, SparkConfig
from synalign_spark.config.generation import GenerateConfig
from synalign_spark.config.language_model import LimitsConfig, LlmConfig
from synalign_spark.config.profile import ProfileConfig
from synalign_spark.config.root import Config, ReportConfig
from synalign_spark.config.selection import ClusterConfig, EmbedConfig, SelectConfig
from synalign_spark.config.source import IngestConfig, SourceConfig

__all__ = [
    "AlignConfig", "ClusterConfig", "Config", "DedupConfig", "EmbedConfig", "EmbeddingEndpointConfig", "GenerateConfig", "IngestConfig", "LakeConfig", "LimitsConfig", "LlmConfig",
    "ProfileConfig", "ReportConfig", "ResampleConfig", "RunConfig", "SelectConfig", "SourceConfig", "SparkConfig",
]  # fmt: skip
