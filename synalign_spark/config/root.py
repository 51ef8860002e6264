"""The whole configuration, and the few keys of the report."""

import math
from typing import Any

from pydantic import Field, model_validator

from synalign_spark.config.alignment import AlignConfig, ResampleConfig
from synalign_spark.config.dedup import DedupConfig
from synalign_spark.config.environment import LakeConfig, RunConfig, SparkConfig
from synalign_spark.config.generation import GenerateConfig
from synalign_spark.config.loop import LoopConfig
from synalign_spark.config.profile import ProfileConfig
from synalign_spark.config.section import Positive, Section
from synalign_spark.config.selection import ClusterConfig, EmbedConfig, SelectConfig
from synalign_spark.config.source import IngestConfig, SourceConfig
from synalign_spark.core import defaults

SHOWING = ("synalign", "fewshot")  # strategies that show demonstrations


class EvaluateConfig(Section):
    """How good the rows are: figures beside held-out real rows, where they are asked for (`synalign evaluate`)."""

    max_rows: int = Field(5_000, ge=100, description="Rows a side that are looked at, drawn by hash; the time grows with their square.")


class ReportConfig(Section):
    """The HTML page of the run."""

    map_rows: Positive = Field(
        2_000, description="Rows a side on the 2-D map. A page of 2,000 a side has about 1 MB, one of 20,000 at most some 10 MB."
    )
    map_texts: bool | None = Field(
        None,
        description="Whether the page holds the beginnings of the texts on the map, which are shown where the reader points. null: it does. false "
        "keeps them out of a page that is handed on; the examples below the map are shown all the same.",
    )
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
    profile: ProfileConfig = Field(default_factory=ProfileConfig)
    embed: EmbedConfig = Field(default_factory=EmbedConfig)
    cluster: ClusterConfig = Field(default_factory=ClusterConfig)
    dedup: DedupConfig = Field(default_factory=DedupConfig)
    select: SelectConfig = Field(default_factory=SelectConfig)
    generate: GenerateConfig = Field(default_factory=GenerateConfig)
    align: AlignConfig = Field(default_factory=AlignConfig)
    loop: LoopConfig = Field(default_factory=LoopConfig)
    resample: ResampleConfig = Field(default_factory=ResampleConfig)
    evaluate: EvaluateConfig = Field(default_factory=EvaluateConfig)
    report: ReportConfig = Field(default_factory=ReportConfig)

    @property
    def demonstration_sets(self) -> int:
        """Sets of real rows to show in a round: as configured, or as many as the rows to generate need."""
        rounds = self.loop.rounds
        if self.select.demonstration_sets != "auto":
            return math.ceil(self.select.demonstration_sets / rounds)
        needed = math.ceil(defaults.SETS_MARGIN * self.generate.target_rows / rounds / self.generate.rows_a_set(self.select.rows_per_set))
        return min(needed, math.ceil(defaults.MOST_SETS / rounds))

    @property
    def target_rows(self) -> list[int]:
        """Rows to have after each round.

        >>> Config.model_validate({"source": {"path": "x"}, "generate": {"target_rows": 10}, "loop": {"rounds": 3}}).target_rows
        [3, 6, 10]
        """
        rounds = self.loop.rounds
        return [self.generate.target_rows * (i + 1) // rounds for i in range(rounds)]

    @model_validator(mode="after")
    def _source_given(self) -> "Config":
        if not self.source.place:
            raise ValueError("source names no corpus: set source.path, source.table, source.query or source.package")
        return self

    def embedding_column(self, origin: str) -> str | None:
        """The column that holds the vectors of the 'real' or 'synthetic' rows; None where ``embed`` makes them."""
        return self.source.embedding_column if origin == "real" else self.generate.imported.embedding_column

    @property
    def embeds(self) -> bool:
        """Whether any text is embedded."""
        return None in (self.embedding_column("real"), self.embedding_column("synthetic"))

    @model_validator(mode="after")
    def _one_space(self) -> "Config":
        """Vectors of one side beside texts of the other: only who made them knows by which embedder, and the default is hardly it."""
        keys = {
            "source.embedding_column": self.embedding_column("real"),
            "generate.imported.embedding_column": self.embedding_column("synthetic"),
        }
        given = [key for key, column in keys.items() if column is not None]
        if len(given) != 1 or "model" in self.embed.model_fields_set:
            return self
        other = next(key for key in keys if key not in given)
        texts = "real" if other.startswith("source") else "synthetic"
        both = f", or set {other} too" if texts == "real" or self.generate.strategy == "imported" else ""
        raise ValueError(
            f"{given[0]} is set, and the {texts} texts are embedded by embed.model, which is not named; name the embedder that made the vectors{both}"
        )

    @model_validator(mode="after")
    def _rounds_fit(self) -> "Config":
        """A round is led by what it shows, and brings rows."""
        rounds, generate = self.loop.rounds, self.generate
        if rounds > 1 and generate.strategy not in SHOWING:
            raise ValueError(
                f"loop.rounds is {rounds}, and generate.strategy '{generate.strategy}' shows no real rows that could lead a round; set strategy to "
                f"{' or '.join(SHOWING)}, or loop.rounds to 1"
            )
        if rounds > generate.target_rows:
            raise ValueError(f"loop.rounds is {rounds}, more than generate.target_rows={generate.target_rows}; lower it")
        return self

    @model_validator(mode="after")
    def _labels_known(self) -> "Config":
        """Keys that speak of labels need labels, and of those that are known."""
        generate, source = self.generate, self.source
        spoken: dict[str, Any] = {
            "align.label_shares": self.align.label_shares,
            "generate.label_shares": generate.label_shares,
            "generate.label_descriptions": generate.label_descriptions or None,
            "generate.label_agreement": generate.label_agreement,
        }
        for key, value in spoken.items():
            if value is not None and source.label_column is None and source.place:
                raise ValueError(f"{key} is set, and source.label_column is not: there are no labels; name the column, or remove {key}")
            allowed = source.labels or []
            unknown = sorted(set(value) - set(allowed)) if isinstance(value, dict) and allowed else []
            if unknown:
                raise ValueError(
                    f"{key} names {', '.join(unknown[:5])}, not among source.labels ({', '.join(allowed[:10])}); mend the name"
                )
        if generate.label_shares is not None and generate.strategy != "imported":
            asked = self.align.label_shares or {}
            unwritten = sorted(label for label, share in asked.items() if share > 0 and not generate.label_shares.get(label))
            if unwritten:
                raise ValueError(
                    f"align.label_shares wants rows of {', '.join(unwritten[:5])}, and generate.label_shares has none written of them; mend either"
                )
        if generate.label_agreement is not None and generate.strategy == "imported":
            raise ValueError("generate.label_agreement is set, and strategy 'imported' asks no gate; remove it")
        return self
