"""What a generation would take, without a call: for ``synalign plan``."""

import math
import os
from typing import Any

from synalign_spark.config import GenerateConfig
from synalign_spark.core.sampling.quota import quotas
from synalign_spark.generation.calls import make_request
from synalign_spark.generation.plan import Label, label_shares
from synalign_spark.generation.prompts import attributes_prompt, random_attributes, row_chars, rows_prompt

CHARS_A_TOKEN = 4.0  # typical of English; requests reserve by a more cautious figure
TYPICAL_ROW_CHARS = 120
HIGH_YIELD, LOW_YIELD = 1.0, 0.4
EMBEDDED_TOKENS_A_SECOND = 50.0  # completion tokens a core: 17,930 in 182 s on two 2.6 GHz cores
CALL_S = 3.0  # a typical hosted model, a call


def estimate(
    cfg: GenerateConfig, label_counts: dict[Label, int], n_sets: int, demo_chars: int = TYPICAL_ROW_CHARS, demonstrations: int = 3
) -> dict[str, Any]:
    """Ranges (low: every row is accepted; high: four in ten are) of calls, tokens, cost and minutes. No call is made.

    n_sets: demonstration sets over all labels (0 for strategies without demonstrations); demo_chars: mean length of a
    demonstration, in characters; demonstrations: shown per demonstration set. ``minutes`` counts the rates and the concurrency; ``budgets``
    names the limits that would, or may, end the generation before its last row."""
    if cfg.strategy == "imported":
        nothing = {"calls": [0, 0], "tokens": [0, 0], "cost_usd": [0.0, 0.0], "minutes": [0.0, 0.0]}
        return {"strategy": "imported", "rows": None, **nothing, "budgets": []}
    low, high = (_at_yield(cfg, label_counts, n_sets, demo_chars, demonstrations, share) for share in (HIGH_YIELD, LOW_YIELD))
    span = {key: [low[key], high[key]] for key in ("calls", "prompt_tokens", "completion_tokens", "tokens", "minutes")}
    cost = None if low["cost_usd"] is None else [low["cost_usd"], high["cost_usd"]]
    found = {"strategy": cfg.strategy, "model": cfg.llm.model, "rows": cfg.target_rows, **span, "cost_usd": cost}
    return found | {"budgets": _short_budgets(cfg, found)}


def _short_budgets(cfg: GenerateConfig, found: dict[str, Any]) -> list[str]:
    """The limits below what the generation takes, in words."""
    said = []
    for key, taken in (("max_requests", "calls"), ("max_tokens", "tokens"), ("max_cost_usd", "cost_usd"), ("max_minutes", "minutes")):
        limit, span = getattr(cfg.limits, key), found[taken]
        if limit is not None and span is not None and span[1] > limit:
            verb = "ends" if span[0] > limit else "may end"
            said.append(f"limits.{key} = {limit:,} {verb} it before {cfg.target_rows:,} rows are there")
    return said


def _at_yield(
    cfg: GenerateConfig, counts: dict[Label, int], n_sets: int, demo_chars: int, demonstrations: int, share: float
) -> dict[str, Any]:
    wanted = quotas(label_shares(counts or {None: 1}, cfg.label_shares, None), cfg.target_rows)
    most = (cfg.max_candidates or 5 * cfg.target_rows) // cfg.rows_per_request
    calls = min(most, sum(math.ceil(quota / (cfg.rows_per_request * share)) for quota in wanted.values()))
    attribute_sets = min(n_sets, calls) if cfg.strategy == "synalign" else 0
    card_prompt, rows_prompt_ = _prompt_tokens(cfg, next(iter(wanted)), demo_chars, demonstrations)
    row_tokens = min(TYPICAL_ROW_CHARS, row_chars(cfg.rows_per_request, cfg.max_chars, cfg.llm.max_output_tokens)) / CHARS_A_TOKEN
    prompt = int(attribute_sets * card_prompt + calls * rows_prompt_)
    completion = int(attribute_sets * len(cfg.attributes) * 10 + calls * cfg.rows_per_request * (row_tokens + 4))
    llm, limits = cfg.llm, cfg.limits
    priced = llm.price_input_usd is not None and llm.price_output_usd is not None
    cost = (prompt * (llm.price_input_usd or 0) + completion * (llm.price_output_usd or 0)) / 1e6
    seconds = [
        completion / (EMBEDDED_TOKENS_A_SECOND * (os.cpu_count() or 1))
        if llm.provider == "embedded"
        else (attribute_sets + calls) * CALL_S / llm.concurrency
    ]
    seconds += [60 * (attribute_sets + calls) / limits.requests_per_minute] if limits.requests_per_minute else []
    seconds += [60 * (prompt + completion) / limits.tokens_per_minute] if limits.tokens_per_minute else []
    return {
        "calls": attribute_sets + calls,
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "tokens": prompt + completion,
        "cost_usd": round(cost, 4) if priced else None,
        "minutes": round(max(seconds) / 60, 1),
    }


def _prompt_tokens(cfg: GenerateConfig, label: Label, demo_chars: int, demonstrations: int) -> tuple[float, float]:
    """Tokens of a step-1 and of a step-2 prompt, from prompts like those that will be sent."""
    texts = ["x" * demo_chars] * demonstrations
    limits = (cfg.min_chars, row_chars(cfg.rows_per_request, cfg.max_chars, cfg.llm.max_output_tokens))
    attribute_set = random_attributes(cfg.attributes, cfg.attribute_values, "plan") if cfg.strategy in ("synalign", "attrprompt") else None
    shown = texts if cfg.strategy == "fewshot" else ()
    step1 = attributes_prompt(texts, label, cfg.task, cfg.language, cfg.attributes)
    step2 = rows_prompt(label, cfg.task, cfg.language, cfg.rows_per_request, limits, attribute_set, shown)
    return tuple(make_request("plan", label, p, cfg.llm, "").prompt_tokens * 3.0 / CHARS_A_TOKEN for p in (step1, step2))  # type: ignore[return-value]
