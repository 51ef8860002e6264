"""How synthetic rows are asked for: the language model, its limits, and what a row is."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from synalign_spark.config.section import Positive, Section, Share
from synalign_spark.config.source import SourceConfig
from synalign_spark.core import defaults


class LimitsConfig(Section):
    """Rate limits, which slow the calls down, and budgets, which end them cleanly."""

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
    """The language model: where it is, how it is asked, and by how many calls at once."""

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
    backend: Literal["ray", "in_process"] = Field(
        "ray", description="What sends the requests: Ray actors, or a thread of the job's own process (one machine, no Ray)."
    )
    actors: Positive = Field(1, description="Ray actors that send requests.")
    concurrency: Positive = Field(8, description="Requests in flight over the whole pool.")
    ray_address: str | None = Field(None, description="Address of a running Ray cluster; null starts Ray on this machine.")
    price_input_usd: Annotated[float, Field(ge=0)] | None = Field(
        None, description="Price of a million prompt tokens, for costs and budgets."
    )
    price_output_usd: Annotated[float, Field(ge=0)] | None = Field(None, description="Price of a million completion tokens.")


class GenerateConfig(Section):
    """How synthetic rows are asked for, and which answers become rows."""

    strategy: Literal["synalign", "fewshot", "simprompt", "attrprompt", "imported"] = Field(
        "synalign", description="How rows are asked for; imported takes generate.imported and calls no model."
    )
    task: str = Field("a text", min_length=1, description="What one row is, for the prompts: 'a sentence from a movie review'.")
    language: str = Field("English", min_length=1, description="Language of the rows.")
    target_rows: Positive = Field(1_000, description="Accepted rows to end with.")
    max_candidates: Positive | None = Field(None, description="Stop after this many candidate rows; null is 5 * target_rows.")
    rows_per_request: Positive = Field(5, description="Rows asked for in one call.")
    max_rows_per_set: Positive | None = Field(
        None,
        description=f"Candidate rows asked for from one demonstration set at most; null is {defaults.ROWS_A_SET}, or rows_per_request where that is more. "
        "A larger number may send the same prompt again.",
    )
    max_reasks: int = Field(
        1, ge=0, description="How often a call is asked again whose answer does not parse (the fault is said) or was cut off (fewer rows)."
    )
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

    @property
    def rows_a_set(self) -> int:
        """Candidate rows asked for from one demonstration set at most."""
        return self.max_rows_per_set or max(defaults.ROWS_A_SET, self.rows_per_request)

    @property
    def calls_a_set(self) -> int:
        """Calls for rows made from one demonstration set at most."""
        return self.rows_a_set // self.rows_per_request

    @model_validator(mode="after")
    def _consistent(self) -> "GenerateConfig":
        given = self.imported.path or self.imported.table or self.imported.package
        if self.strategy == "imported" and not given:
            raise ValueError("strategy 'imported' needs generate.imported.path or generate.imported.table")
        if self.strategy != "imported" and given:
            raise ValueError(f"imported is set but strategy is '{self.strategy}'; set strategy to 'imported' or remove it")
        if self.llm.backend == "in_process" and self.llm.ray_address:
            raise ValueError("llm.ray_address is set but llm.backend is 'in_process'; set llm.backend to 'ray' or remove the address")
        if self.max_rows_per_set is not None and self.max_rows_per_set < self.rows_per_request:
            raise ValueError(
                f"max_rows_per_set is {self.max_rows_per_set}, less than the rows_per_request={self.rows_per_request} of one call; "
                "raise max_rows_per_set or lower rows_per_request"
            )
        priced = self.llm.price_input_usd is not None and self.llm.price_output_usd is not None
        if self.limits.max_cost_usd is not None and not priced:
            raise ValueError("limits.max_cost_usd needs llm.price_input_usd and llm.price_output_usd")
        return self
