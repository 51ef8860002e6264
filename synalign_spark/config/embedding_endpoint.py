"""An endpoint that makes vectors of texts (/v1/embeddings): where it is, and what its calls may take."""

from typing import Annotated

from pydantic import Field, field_validator, model_validator

from synalign_spark.config.language_model import LimitsConfig, LlmConfig, check_address, named_headers, variable_name
from synalign_spark.config.section import Positive, Section


class EmbeddingEndpointConfig(Section):
    """An OpenAI-compatible endpoint (`/v1/embeddings`) that the stage `embed` asks for the vectors of `embed.model`, in place of
    a model of this machine. Null, the default, is none; `{}` is OpenAI's own."""

    base_url: str | None = Field(
        None,
        pattern=r"^https?://",
        description="Endpoint address, mostly ending in /v1; null is OpenAI's own. A query is sent with every request.",
    )
    api_key_env: str = Field(
        "OPENAI_API_KEY",
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*$",
        description="Environment variable that holds the key; keys are never written in a configuration.",
    )
    headers: dict[str, Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]] = Field(
        default_factory=dict, description="Further headers of every request, each with the environment variable that holds its value."
    )
    dimensions: Positive | None = Field(
        None, description="Numbers in a vector, for models that can shorten theirs; null is the model's own width, and is not sent."
    )
    max_chars: Positive | None = Field(
        None,
        description="Texts are cut after so many characters; null sends them whole, and one that is too long for the model is an error.",
    )
    texts_per_request: Annotated[int, Field(ge=1, le=1_024)] = Field(128, description="Texts a request; fewer where they are long.")
    timeout_s: float = Field(120.0, gt=0, description="Seconds a request may take.")
    max_attempts: Positive = Field(5, description="HTTP requests per call at most, over all kinds of fault.")
    concurrency: Positive = Field(8, description="Requests in flight.")
    price_input_usd: Annotated[float, Field(ge=0)] | None = Field(None, description="Price of a million tokens, for costs and budgets.")
    limits: LimitsConfig = Field(default_factory=LimitsConfig)

    _headers_are_names = field_validator("headers")(named_headers)
    _variable = field_validator("api_key_env")(variable_name)

    @model_validator(mode="after")
    def _usable(self) -> "EmbeddingEndpointConfig":
        check_address(self.base_url)
        if self.limits.max_cost_usd is not None and self.price_input_usd is None:
            raise ValueError("limits.max_cost_usd needs price_input_usd; set it, or remove the budget")
        return self

    def llm(self, model: str) -> LlmConfig:
        """The same as the calls of generation know an endpoint.

        >>> EmbeddingEndpointConfig(base_url="http://me:secret@h/v1", price_input_usd=0.02).llm("m").name
        'm at http://h/v1'
        """
        names = ("base_url", "api_key_env", "headers", "timeout_s", "max_attempts", "concurrency", "price_input_usd")
        priced = {} if self.price_input_usd is None else {"price_output_usd": 0.0}
        return LlmConfig(provider="openai", model=model, backend="in_process", **{name: getattr(self, name) for name in names}, **priced)
