"""The settings that shape a step's output, as manifests keep them and a later start compares them."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from synalign_spark.config import Config
from synalign_spark.config.secrets import HIDDEN, address_hash, fingerprinted_address, is_secret
from synalign_spark.scrubbing import scrub

if TYPE_CHECKING:
    from synalign_spark.pipeline.steps import Step

# Keys that change how fast or how far a step goes, never what it computes from the same answers (but for the last bits of a vector).
OPERATIONAL = frozenset(
    {
        "embed.batch_size",
        "embed.device",
        *(
            f"embed.endpoint.{key}"
            for key in (
                "api_key_env",
                "concurrency",
                "headers",
                "limits",
                "max_attempts",
                "price_input_usd",
                "texts_per_request",
                "timeout_s",
            )
        ),
        "generate.limits",
        "generate.llm.actors",
        "generate.llm.backend",
        "generate.llm.mode",
        "generate.llm.batch_requests",
        "generate.llm.concurrency",
        "generate.metrics_port",
        "generate.llm.ray_address",
        "generate.llm.timeout_s",
        "generate.llm.max_attempts",
        "generate.llm.api_key_env",
        "generate.llm.headers",
        "generate.llm.token_parameter",
        "align.runtime",
        "align.device",
        "align.memory_gb",
        "align.tasks",
        "align.peer_timeout_s",
    }
)
ADDRESS, SEVERAL = "generate.llm.base_url", "generate.llms"
ADDRESSES = (ADDRESS, "embed.endpoint.base_url")
RELEASE_SETTING = "synalign.version"  # manifests of the first release name it among the settings; it shapes no table


def settings_of(step: "Step", cfg: Config) -> dict[str, Any]:
    """The flat settings (dotted key to JSON value) that shape a step's output, with the seed."""
    dumped = json.loads(cfg.model_dump_json(by_alias=True))
    flat = {"run.seed": dumped["run"]["seed"]}
    for section in step.sections:
        flat |= _flatten(dumped[section], section)
    if "select" in step.sections:  # auto stands for what the generation needs
        flat["select.demonstration_sets"] = cfg.demonstration_sets
        if cfg.select.demonstration_sets == "auto" and cfg.generate.label_shares is not None:
            flat["generate.label_shares"] = cfg.generate.label_shares
    if "dedup" in step.sections:  # a source has many keys, and most have their defaults
        named = (one.model_dump(mode="json", exclude_defaults=True) for one in cfg.dedup.evaluation_sets)
        flat["dedup.evaluation_sets"] = [{key: _public(key, value) for key, value in one.items()} for one in named]
    if step.name in ("select", "generate") and cfg.loop.rounds > 1:  # what a round has of the sets and the rows
        flat["loop.rounds"] = cfg.loop.rounds
    gates = step.name == "generate" and cfg.generate.strategy != "imported"
    if step.name in ("cluster", "select") or gates:  # they look at the rows that are not held out
        flat["align.holdout"] = cfg.align.holdout
    return flat


def limits_of(cfg: Config) -> dict[str, Any]:
    """The limits that may end the generation early, as plain JSON values."""
    return cfg.generate.limits.model_dump(mode="json")


def _flatten(value: Any, key: str) -> dict[str, Any]:
    if key in OPERATIONAL:
        return {}
    if key == SEVERAL and value is not None:
        return {key: [{"model": one["model"], "base_url": _public(ADDRESS, one["base_url"])} for one in value]}
    if isinstance(value, dict) and value:
        return {k: v for name, inner in value.items() for k, v in _flatten(inner, f"{key}.{name}").items()}
    return {key: _public(key, value)}


def _public(key: str, value: Any) -> Any:
    """A setting as manifests and messages hold it: an address may hold a secret, and still must tell itself from another.
    Parameters that are secrets are refused today, and an earlier release left them whole."""
    if is_secret(key.rpartition(".")[2]) and not isinstance(value, bool):  # source.header is a switch
        return HIDDEN
    secret = isinstance(value, str) and (key in ADDRESSES or scrub(value) != value) and "://" in value
    return fingerprinted_address(value) if secret else value


def _identity(value: Any) -> Any:
    """A setting as it is compared: addresses by their hash, whatever else of them a release has written."""
    if isinstance(value, list):
        return [_identity(one) for one in value]
    if isinstance(value, dict):
        return {name: _identity(one) for name, one in value.items()}
    return address_hash(value) if isinstance(value, str) and "://" in value else value


def changed_settings(stored: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[tuple[str, Any, Any], ...]:
    """The settings that differ, as (key, value then, value now). stored: of a manifest, of whatever release; now: of ``settings_of``."""
    before = {key: _public(key, value) for key, value in stored.items() if key not in (RELEASE_SETTING, *OPERATIONAL)}
    keys = [key for key in sorted(now.keys() | before.keys()) if _identity(now.get(key)) != _identity(before.get(key))]
    return tuple((key, before.get(key), now.get(key)) for key in keys)
