"""What a generation would take, without a call: for ``synalign plan``."""

import math
from dataclasses import dataclass
from typing import Any

import joblib

from synalign_spark.config import GenerateConfig
from synalign_spark.config.endpoints import Endpoint
from synalign_spark.core.sampling.quota import quotas
from synalign_spark.generation import prompts
from synalign_spark.generation.calls import CHAT_OVERHEAD_TOKENS
from synalign_spark.generation.demand import label_shares, wave_room
from synalign_spark.generation.plan import FIRST_WAVE_CALLS, TRUSTED_YIELD, WITH_DEMONSTRATIONS, Label
from synalign_spark.generation.prompts.tokens import typical_tokens

ROW_OVERHEAD_TOKENS = 4  # quotes, comma and number around a row of an answer
ATTRIBUTE_TOKENS = 10  # name, quotes and a value of a few words
HIGH_YIELD, LOW_YIELD = 1.0, 0.4  # all rows; and fewer than of the embedded models, whose ways of asking had 0.58 to 0.97 accepted
REASK_SHARE = 0.1  # of the calls, where few rows are accepted: one answer in ten does not parse
# Prompt and completion tokens a second and core of an embedded model: the quickstart's 81,963 and 12,639 took 261 s on two cores. Alone, Gemma reads
# 360 and writes 80, SmolLM2 250 and 150.
EMBEDDED_PROMPT_RATE, EMBEDDED_COMPLETION_RATE = 250.0, 70.0
BATCH_MINUTES = 5.0, 24 * 60.0  # of a batch: few are answered sooner than the first, and none later than the second
CALL_S = 3.0  # a call of a hosted model: some 200 tokens at 70 a second, a guess until the first call is made


@dataclass(frozen=True)
class RowSize:
    """A typical row. chars: its characters; bytes_a_char: of each in UTF-8, 1 to 3.

    >>> RowSize(4, 1.5).text
    'xxx\u597d'
    """

    chars: int
    bytes_a_char: float = 1.0

    @property
    def text(self) -> str:
        """A text of this size."""
        wide = round(self.chars * min(2.0, self.bytes_a_char - 1) / 2)  # characters of three bytes among those of one
        return "".join("\u597d" if (i + 1) * wide // self.chars > i * wide // self.chars else "x" for i in range(self.chars))


TYPICAL_ROW = RowSize(120)  # where nobody has looked at the corpus: a sentence of twenty words in English


def estimate(
    cfg: GenerateConfig,
    label_counts: dict[Label, int],
    n_sets: int,
    rows_per_set: int,
    row: RowSize = TYPICAL_ROW,
    auto_sets: bool = False,
) -> dict[str, Any]:
    """Ranges (low: every row is accepted; high: four in ten are, and one call in ten is asked again) of calls, tokens, cost and
    minutes, and of batches where the calls go in batches. No call is made.

    label_counts: corpus rows by label; n_sets: demonstration sets over all labels; rows_per_set: demonstrations in each;
    row: a typical one, real or written; auto_sets: whether the number of sets follows from the rows, as it does unless
    somebody says otherwise: their margin is then no cause for a warning, only sets that cannot do. ``minutes`` counts the rates and the concurrency; ``budgets`` names what would,
    or may, end the generation before its last row, ``notes`` says what is odd about the prompts.

    >>> estimate(GenerateConfig(target_rows=100, rows_per_request=5), {None: 50}, n_sets=20, rows_per_set=3)["calls"]
    [40, 66]
    """
    if cfg.strategy == "imported":
        nothing = {"calls": [0, 0], "tokens": [0, 0], "cost_usd": [0.0, 0.0], "minutes": [0.0, 0.0]}
        return {"strategy": "imported", "rows": None, **nothing, "budgets": []}
    low, high = (_at_yield(cfg, label_counts, n_sets, rows_per_set, row, share) for share in (HIGH_YIELD, LOW_YIELD))
    span = {key: [low[key], high[key]] for key in ("calls", "prompt_tokens", "completion_tokens", "tokens", "minutes")}
    cost = None if low["cost_usd"] is None else [low["cost_usd"], high["cost_usd"]]
    found: dict[str, Any] = {"strategy": cfg.strategy, "model": cfg.models, "rows": cfg.target_rows, **span, "cost_usd": cost}
    if cfg.llm.mode == "batch":
        found |= {"mode": "batch", "batch_discount": cfg.llm.batch_discount, "batches": [low["batches"], high["batches"]]}
        found["minutes"] = [low["batches"] * BATCH_MINUTES[0], high["batches"] * BATCH_MINUTES[1]]
    if cfg.llms is not None:
        found |= {"endpoints": ", ".join(one.llm.name for one in cfg.endpoints)}
    if cfg.strategy in WITH_DEMONSTRATIONS:
        found |= {"demonstration_sets": n_sets}
    found |= {"notes": prompts.Prompter(cfg, label_counts).notes()}
    return found | {"row_chars": row.chars, "budgets": _short_budgets(cfg, found) + _short_sets(cfg, n_sets, rows_per_set, auto_sets)}


def _short_sets(cfg: GenerateConfig, n_sets: int, rows_per_set: int, auto: bool) -> list[str]:
    """The demonstration sets, where they bring too few rows, in words."""
    most = n_sets * cfg.rows_a_set(rows_per_set)
    if cfg.strategy not in WITH_DEMONSTRATIONS or most * (HIGH_YIELD if auto else LOW_YIELD) >= cfg.target_rows:
        return []
    verb = "end" if most < cfg.target_rows else "may end"
    return [
        f"{n_sets:,} demonstration sets, of at most {cfg.rows_a_set(rows_per_set)} candidate rows each, {verb} it before {cfg.target_rows:,} rows are there; "
        "see select.demonstration_sets and generate.max_rows_per_set"
    ]


def _short_budgets(cfg: GenerateConfig, found: dict[str, Any]) -> list[str]:
    """The limits below what the generation takes, in words."""
    lines = []
    for key, taken in (("max_requests", "calls"), ("max_tokens", "tokens"), ("max_cost_usd", "cost_usd"), ("max_minutes", "minutes")):
        limit, span = getattr(cfg.limits, key), found[taken]
        if limit is not None and span is not None and span[1] > limit:
            verb = "ends" if span[0] > limit else "may end"
            lines.append(f"limits.{key} = {limit:,} {verb} it before {cfg.target_rows:,} rows are there")
    return lines


def _at_yield(cfg: GenerateConfig, counts: dict[Label, int], n_sets: int, rows_per_set: int, row: RowSize, share: float) -> dict[str, Any]:
    """The figures where ``share`` of the rows are accepted."""
    wanted = quotas(label_shares(counts or {None: 1}, cfg.label_shares, None), cfg.target_rows)
    rows = min(cfg.most_candidates, sum(math.ceil(quota / share) for quota in wanted.values()))
    most = math.ceil(cfg.most_candidates / cfg.rows_per_request)
    row_calls = min(most, sum(math.ceil(quota / (cfg.rows_per_request * share)) for quota in wanted.values()))
    a_set = cfg.calls_a_set(rows_per_set)
    if cfg.strategy in WITH_DEMONSTRATIONS:
        row_calls, rows = min(row_calls, n_sets * a_set), min(rows, n_sets * cfg.rows_a_set(rows_per_set))
    attribute_calls = min(n_sets, _sets_used(row_calls, a_set, share)) if cfg.strategy == "synalign" else 0
    asked_again = 1 + REASK_SHARE * (cfg.max_reasks > 0) * (share < HIGH_YIELD)
    attribute_calls, row_calls = math.ceil(attribute_calls * asked_again), math.ceil(row_calls * asked_again)
    attributes_tokens, rows_tokens = _prompt_tokens(cfg, counts, next(iter(wanted)), rows_per_set, row)
    answer_tokens = typical_tokens(row.text[: _longest_row(cfg, row)]) + ROW_OVERHEAD_TOKENS
    prompt = int(attribute_calls * attributes_tokens + row_calls * rows_tokens)
    completion = int(attribute_calls * len(cfg.attributes) * ATTRIBUTE_TOKENS + rows * asked_again * answer_tokens)
    calls = attribute_calls + row_calls
    return {
        "calls": calls,
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "tokens": prompt + completion,
        "cost_usd": _cost(cfg, prompt, completion, dearest=share < HIGH_YIELD),
        "minutes": round(_seconds(cfg, calls, prompt, completion) / 60, 1),
        "batches": _batches(cfg, calls, row_calls, share),
    }


def _cost(cfg: GenerateConfig, prompt: int, completion: int, dearest: bool) -> float | None:
    """In usd, at the dearest of several endpoints or at the cheapest: how the calls spread, their limits decide. None without prices."""
    found = [prices for one in cfg.endpoints if (prices := one.llm.prices_usd(one.llm.mode == "batch")) is not None]
    costs = [round((prompt * prices[0] + completion * prices[1]) / 1e6, 4) for prices in found]
    return (max(costs) if dearest else min(costs)) if costs else None


def _batches(cfg: GenerateConfig, calls: int, row_calls: int, share: float) -> int:
    """Batches that so many calls go in: of each wave one for attributes, one for rows, and where answers fail one that asks again."""
    waves, room = 0, 0
    while room < row_calls:
        room, waves = room + wave_room(waves), waves + 1
    rounds = 1 + (cfg.strategy == "synalign") + (cfg.max_reasks > 0 and share < HIGH_YIELD)
    return waves * rounds + calls // cfg.llm.batch_requests


def _sets_used(row_calls: int, a_set: int, share: float) -> int:
    """Demonstration sets that so many calls are spread over, a_set of them each: while few rows are accepted a fresh set is tried
    with one call."""
    return row_calls if share < TRUSTED_YIELD else max(math.ceil(row_calls / a_set), min(row_calls, FIRST_WAVE_CALLS))


def _seconds(cfg: GenerateConfig, calls: int, prompt: int, completion: int) -> float:
    """By the slowest of the model, the concurrency and the rates; several endpoints work side by side."""
    return 1 / sum(1 / max(1e-9, _seconds_at(one, calls, prompt, completion)) for one in cfg.endpoints)


def _seconds_at(one: Endpoint, calls: int, prompt: int, completion: int) -> float:
    """Where one endpoint has all calls."""
    llm, limits = one.llm, one.limits
    embedded = llm.provider == "embedded"
    core_seconds = prompt / EMBEDDED_PROMPT_RATE + completion / EMBEDDED_COMPLETION_RATE
    seconds = [core_seconds / joblib.cpu_count() if embedded else calls * CALL_S / llm.concurrency]
    seconds += [60 * calls / limits.requests_per_minute] if limits.requests_per_minute else []
    seconds += [60 * (prompt + completion) / limits.tokens_per_minute] if limits.tokens_per_minute else []
    return max(seconds)


def _prompt_tokens(cfg: GenerateConfig, counts: dict[Label, int], label: Label, rows_per_set: int, row: RowSize) -> tuple[float, float]:
    """Tokens of a prompt for attributes and of one for rows, from prompts like those that will be sent."""
    prompter = prompts.Prompter(cfg, counts)
    texts = [row.text] * rows_per_set if cfg.strategy in WITH_DEMONSTRATIONS else []
    with_attributes = cfg.strategy in ("synalign", "attrprompt")
    attributes = prompts.random_attributes(cfg.attributes, cfg.attribute_values, "plan") if with_attributes else None
    step1, step2 = prompter.attributes(label, texts[: cfg.attributes_from]), prompter.rows(label, attributes, texts)
    return typical_tokens(step1.said) + CHAT_OVERHEAD_TOKENS, typical_tokens(step2.said) + CHAT_OVERHEAD_TOKENS


def _longest_row(cfg: GenerateConfig, row: RowSize) -> int:
    n_rows = 1 if cfg.rows_apart else cfg.rows_per_request  # in one answer
    return prompts.row_chars(n_rows, cfg.max_chars, cfg.llm.max_output_tokens, row.text)
