"""Several endpoints or models at once: what each of them has of its own, and what it has from ``generate.llm``."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field, field_validator, model_validator

from synalign_spark.config.language_model import LimitsConfig, LlmConfig, check_address, named_headers, variable_name
from synalign_spark.config.section import Positive, Section
from synalign_spark.scrubbing import HARMLESS_QUERY

OF_ADDRESS = ("api_key_env", "headers")  # not for another host
PRICES = ("price_input_usd", "price_output_usd")
WHY_NOT_TAKEN = {  # by whether a key is one of an address, and whether it is a price
    (True, False): "its own or another base_url",
    (False, True): "its own or another base_url or model",
    (False, False): "one of its own",
}


class EndpointConfig(Section):
    """One endpoint or model of several. What it does not name it has from ``generate.llm``; but with another base_url neither key variable
    nor headers, and with another base_url or model no prices."""

    base_url: str | None = Field(None, pattern=r"^https?://", description="Endpoint address; null is that of generate.llm.")
    model: str | None = Field(None, min_length=1, description="Model name in the requests; null is that of generate.llm.")
    api_key_env: str | None = Field(
        None,
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*$",
        description="Environment variable that holds the key; OPENAI_API_KEY for an address of its own.",
    )
    headers: dict[str, Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]] | None = Field(
        None, description="Further headers of every request, each with the environment variable that holds its value."
    )
    timeout_s: Annotated[float, Field(gt=0)] | None = Field(None, description="Seconds a request may take.")
    concurrency: Positive | None = Field(None, description="Requests in flight at this endpoint.")
    requests_per_minute: Positive | None = Field(None, description="At this endpoint; null is no limit.")
    tokens_per_minute: Positive | None = Field(None, description="Prompt and completion tokens at this endpoint; null is no limit.")
    price_input_usd: Annotated[float, Field(ge=0)] | None = Field(None, description="Price of a million prompt tokens.")
    price_output_usd: Annotated[float, Field(ge=0)] | None = Field(None, description="Price of a million completion tokens.")
    weight: Annotated[float, Field(gt=0, allow_inf_nan=False)] = Field(
        1.0, description="Its share of the calls, beside the weights of the others, as far as its limits let them through."
    )

    _headers = field_validator("headers")(named_headers)
    _variable = field_validator("api_key_env")(variable_name)

    @model_validator(mode="after")
    def _address(self) -> "EndpointConfig":
        check_address(self.base_url)
        return self

    def over(self, llm: LlmConfig) -> LlmConfig:
        """The whole of it.

        >>> llm = LlmConfig(provider="openai", model="a", api_key_env="KEY_A", price_input_usd=1.0, temperature=0.3)
        >>> other = EndpointConfig(base_url="http://b/v1").over(llm)
        >>> other.model, other.temperature, other.api_key_env, other.price_input_usd
        ('a', 0.3, 'OPENAI_API_KEY', None)
        """
        own = {key: value for key in LlmConfig.model_fields if (value := getattr(self, key, None)) is not None}
        elsewhere, other = (own.get(key, getattr(llm, key)) != getattr(llm, key) for key in ("base_url", "model"))
        foreign: tuple[str, ...] = OF_ADDRESS if elsewhere else ()
        foreign += PRICES if elsewhere or other else ()
        return llm.model_copy(update={key: LlmConfig.model_fields[key].get_default(call_default_factory=True) for key in foreign} | own)


@dataclass(frozen=True)
class Endpoint:
    """Where calls may go. limits: with its own rates."""

    llm: LlmConfig
    limits: LimitsConfig
    weight: float = 1.0


def endpoints(llm: LlmConfig, limits: LimitsConfig, several: Sequence[EndpointConfig] | None) -> tuple[Endpoint, ...]:
    """The endpoints of a generation: several, or the one of ``llm``."""
    if several is None:
        return (Endpoint(llm, limits),)
    return tuple(
        Endpoint(
            one.over(llm),
            limits.model_copy(update={key: getattr(one, key) for key in ("requests_per_minute", "tokens_per_minute")}),
            one.weight,
        )
        for one in several
    )


def _check_taken(llm: LlmConfig, several: Sequence[EndpointConfig], found: Sequence[LlmConfig]) -> None:
    """Raises ValueError for a key of ``generate.llm`` that no entry takes. found: the entries as a whole."""
    for key in ("base_url", *OF_ADDRESS, "timeout_s", "concurrency", *PRICES):
        given = getattr(llm, key)
        if given == LlmConfig.model_fields[key].get_default(call_default_factory=True):
            continue
        named = key == "base_url"  # an entry may say again which one it means
        if not any(
            getattr(whole, key) == given and (named or getattr(one, key) is None) for one, whole in zip(several, found, strict=True)
        ):
            why = WHY_NOT_TAKEN[key in OF_ADDRESS, key in PRICES]
            raise ValueError(f"llm.{key} is set, and every entry of llms has {why}; move it into the entry that it is for, or remove it")


def check_several(llm: LlmConfig, limits: LimitsConfig, several: Sequence[EndpointConfig]) -> None:
    """Raises ValueError for endpoints that do not go together, and for keys beside them that would be of no use."""
    if llm.provider == "embedded":
        raise ValueError("llms is set but llm.provider is 'embedded'; set llm.provider to 'openai', or remove llms")
    if llm.mode == "batch":
        raise ValueError("llms is set but llm.mode is 'batch', which asks one endpoint; remove llms, or set llm.mode to 'calls'")
    for key in ("requests_per_minute", "tokens_per_minute"):
        if getattr(limits, key) is not None:
            raise ValueError(f"limits.{key} is set beside llms, and each endpoint has its own; move it into the entries of llms")
    found = [one.llm for one in endpoints(llm, limits, several)]
    names = [one.name for one in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(
            f"llms has {twice[0]} twice; keep one, with the limits and the weight of both (endpoints are told apart by model and address; what "
            f"may be secret in an address, its user, password and query but for {', '.join(HARMLESS_QUERY)}, stands in no table and tells none "
            "apart)"
        )
    if llm.model not in {one.model for one in found}:
        raise ValueError(
            f"llms has no entry for llm.model {llm.model!r}, by which stored answers are found; give an entry that model (leave its model out), "
            "or set llm.model to one of theirs"
        )
    _check_taken(llm, several, found)
    priced = [one.prices_usd(by_batch=False) is not None for one in found]
    if any(priced) and not all(priced):
        raise ValueError(
            f"llms has no price_input_usd and price_output_usd for {names[priced.index(False)]}, and others have; give each its prices, "
            "or none (those of llm are not taken for another base_url or model)"
        )
