"""Rows for the paper's comparison: the three tasks, and what a language model writes for them by each strategy."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

import synalign_spark as sa
from synalign_spark.api.generate import make_config
from synalign_spark.config import GenerateConfig
from synalign_spark.config.files import read_yaml
from synalign_spark.config.language_model import GEMMA, SMOLLM
from synalign_spark.core.defaults import SETS_MARGIN
from synalign_spark.errors import ConfigError
from synalign_spark.generation import engine
from synalign_spark.generation.estimate import RowSize, estimate
from synalign_spark.progress import Progress
from tests.bench.rows import real_rows
from tests.bench.support.corpora import Corpus, data_folder, load
from tests.bench.support.row_scores import corpus_of
from tests.bench.support.tasks import KNOWN, SST2

TASKS = {"sst2": SST2, "agnews": (KNOWN["agnews"][0], KNOWN["agnews"][2]), "amazon": (KNOWN["amazon_24cat"][0], KNOWN["amazon_24cat"][2])}
STRATEGIES = ("simprompt", "attrprompt", "fewshot", "synalign")
EXISTING = {"sst2": ("sst2-gpt35", "sst2-fewgen13"), "agnews": ("agnews",), "amazon": ()}  # tasks of tasks.KNOWN with LLM-written rows
ROWS_PER_SET, FEWEST_A_LABEL = 2, 5  # k of the paper; and rows that the weights of a label are about at least
SELECTS: Mapping[str, Mapping[str, Any]] = {"clusters": {"rows_per_set": ROWS_PER_SET}, "paper": {"preset": "paper"}}
# As the quickstart asks: the embedded model continues the demonstrations, a row a call.
EMBEDDED: dict[str, Any] = {
    "rows_per_request": 1, "max_rows_per_set": 4, "min_chars": 15, "max_chars": 250, "model": GEMMA, "temperature": 1.2, "top_p": 1.0,
    "max_output_tokens": 64, "extra_body": {"min_p": 0.04, "top_k": 100},
}  # fmt: skip
SMALLEST: dict[str, Any] = {
    "model": SMOLLM,
    "temperature": 0.8,
    "top_p": 0.95,
    "max_output_tokens": 40,
    "attributes": ["topic", "tone"],
    "extra_body": {"min_p": 0.0, "top_k": 0},
}


@dataclass(frozen=True)
class Given:
    """The real rows and the test rows of a task; name: as results name it."""

    task: str
    name: str
    real: Corpus
    test: Corpus


def given_task(task: str, most_real: int | None, most_test: int | None) -> Given:
    """The rows of a task. Without SYNALIGN_DATA, SST-2 is replaced by its source, and the others end in SystemExit, which says so."""
    try:
        folder = data_folder()
    except SystemExit as err:
        if task != "sst2":
            raise SystemExit(f"{task} needs its corpus: {err}") from err
        real, test = real_rows(most_real, most_test)
        return Given(task, "sst2 (Rotten Tomatoes)", real, test)
    real_file, test_file = TASKS[task]
    return Given(task, task, load([folder / f"{real_file}.jsonl.gz"], most_real), load([folder / f"{test_file}.jsonl.gz"], most_test))


@dataclass(frozen=True)
class Model:
    """Who writes. options: of ``generate``, its limits among them; base_url: None for the embedded model."""

    name: str
    base_url: str | None
    options: Mapping[str, Any]

    @classmethod
    def embedded(cls, smallest: bool = False) -> "Model":
        """The small model that comes with the package, or the smallest; its options keep it to a row a call."""
        options = EMBEDDED | (SMALLEST if smallest else {})
        return cls(str(options.pop("model")), None, options)

    @classmethod
    def of_file(cls, path: Path) -> "Model":
        """An endpoint by a YAML file with a section generate. Raises ConfigError where it sets no budget or leaves out what a call needs."""
        section = dict(read_yaml(path).get("generate") or {})
        llm, limits = dict(section.pop("llm", None) or {}), dict(section.pop("limits", None) or {})
        address, model = llm.pop("base_url", None), llm.pop("model", None)
        if not address or not model:
            raise ConfigError(f"{path}: generate.llm needs base_url and model; give both")
        if limits.get("max_cost_usd") is None:
            raise ConfigError(
                f"{path}: generate.limits.max_cost_usd is not set, and this comparison starts with a hard budget only; set it"
            )
        llm.pop("provider", None)
        return cls(str(model), str(address), section | llm | limits)

    def config(self, task: str, strategy: str, rows: int, budget_usd: float | None = None) -> GenerateConfig:
        """The ``generate`` section of one case, with the paper's preset of the task. budget_usd: its part of the budget."""
        options: dict[str, Any] = {"preset": f"paper-{task}", "strategy": strategy, **self.options}
        if budget_usd is not None:
            options["max_cost_usd"] = budget_usd
        return make_config(options, self.base_url or "embedded", self.name, rows, "in_process")


@dataclass(frozen=True)
class Case:
    """One generation: rows of a task by a strategy. plan: what ``estimate`` says of it; budget_usd: its part of the budget, None for none."""

    given: Given
    strategy: str
    seed: int
    rows: int
    plan: Mapping[str, Any]
    budget_usd: float | None = None


def plan_cases(given: Given, model: Model, strategies: Sequence[str], seeds: int, rows: int) -> list[Case]:
    """Every strategy and seed of a task, with its estimate; nothing is asked."""
    counts: dict[str | None, int] = dict(Counter(given.real.labels.tolist()))
    wanted = max(rows, FEWEST_A_LABEL * len(counts))
    lengths = sorted(map(len, given.real.texts))
    found = []
    for strategy in strategies:
        cfg = model.config(given.task, strategy, wanted)
        plan = estimate(cfg, counts, n_sets(cfg, given.real), ROWS_PER_SET, RowSize(lengths[len(lengths) // 2]), auto_sets=True)
        found += [Case(given, strategy, seed, wanted, plan) for seed in range(seeds)]
    return found


def n_sets(cfg: GenerateConfig, real: Corpus) -> int:
    """Demonstration sets, by the rule of the configuration's auto, and at least one a label."""
    return max(len(set(real.labels.tolist())), math.ceil(SETS_MARGIN * cfg.target_rows / cfg.rows_a_set(ROWS_PER_SET)))


def share_budget(cases: list[Case], budget_usd: float) -> list[Case]:
    """The cases with their parts of the budget, in proportion to what they may cost at most.

    The parts are those of the plan, whatever was spent before, and a case counts the calls that its ledger holds: so their sum holds however
    often the comparison is killed and started again."""
    dearest = [max(case.plan["cost_usd"][1], 1e-9) for case in cases]
    total = sum(dearest)
    return [
        Case(case.given, case.strategy, case.seed, case.rows, case.plan, budget_usd * cost / total)
        for case, cost in zip(cases, dearest, strict=True)
    ]


def write(case: Case, model: Model, select: str, folder: Path) -> tuple[Corpus, dict[str, Any]]:
    """The accepted rows, and what the engine says of them. folder: of the stored answers; nothing in it is asked twice.

    Raises what generation raises."""
    cfg = model.config(case.given.task, case.strategy, case.rows, case.budget_usd)
    real = case.given.real
    frame = pd.DataFrame({"text": real.texts, "label": real.labels, "embedding": list(real.x)})
    shown = sa.select(frame, n=ROWS_PER_SET * n_sets(cfg, real), label="label", embedding="embedding", seed=case.seed, **SELECTS[select])
    ledger = folder / select / "-".join([model.name.replace("/", "_"), case.given.name.split()[0], case.strategy, str(case.seed)])
    table = pa.Table.from_pandas(shown, preserve_index=False)
    done = engine.generate(table, dict(Counter(real.labels.tolist())), cfg, case.seed, str(ledger), Progress())
    rows = done.synthetic.to_pydict()
    told = {key: done.summary.get(key) for key in ("calls", "cost_usd", "stopped_by", "refused")}
    return corpus_of(rows["doc_id"], rows["text"], rows["label"]), {"accepted": len(rows["text"]), **told}
