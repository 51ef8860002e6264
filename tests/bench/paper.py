"""The paper's comparison (Ren et al. 2025, arXiv 2502.08661): real rows against rows by four ways of asking, SynAlign's with three weights.

    python tests/bench/paper.py [--quick] [--tasks sst2,agnews,amazon] [--sources embedded,existing] [--rows 40] [--seeds 2] [--finetune]
    python tests/bench/paper.py --config conf/paper-endpoint.yaml [--plan]

Who writes the rows is the source: `embedded`, the small model that comes with the package; `existing`, LLM-written sets below SYNALIGN_DATA; and with
--config an endpoint of your own, whose file sets a hard budget: each case has its part of it. The plan of calls and cost is printed before the first
call, and --plan ends there. Answers are stored below --folder: a comparison that was killed goes on, and no call is paid for twice.
--select paper chooses demonstrations as the authors' scripts do. Students are trained on synthetic rows alone, each with its weight, and scored on
real test rows: logistic regression on embeddings and on TF-IDF, with --finetune the embedded encoder.
± is the standard error over seeds, which decide demonstrations, answers and weights (of an existing set the weights); test rows are the same for
all. The last line is one JSON object.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # a script's own folder is on the path, the project's is not

import numpy as np

from synalign_spark.errors import SynalignError
from tests.bench.downstream import macro_f1, stack_of
from tests.bench.support.arguments import names
from tests.bench.support.classifiers import CLASSIFIERS, Stack, Student
from tests.bench.support.corpora import Corpus
from tests.bench.support.finetune import FINETUNED, by_finetuning
from tests.bench.support.methods import Weighting, weigh
from tests.bench.support.paper_rows import (
    EXISTING,
    SELECTS,
    STRATEGIES,
    TASKS,
    Case,
    Given,
    Model,
    given_task,
    plan_cases,
    share_budget,
    write,
)
from tests.bench.support.paper_table import GOLD, summarised, text_table
from tests.bench.support.product import OURS, weigh_by_product
from tests.bench.support.tasks import Dataset, clean, known_task, open_task
from tests.bench.support.training import TrainingSet, training_sets

WEIGHTS = {"uniform": "without MMD", "mmd": "mmd", OURS: "ours"}
NAMES = {"simprompt": "SimPrompt", "attrprompt": "AttrPrompt", "fewshot": "few-shot", "synalign": "SynAlign"}
LIMITS = (
    "embedded: a model of at most 270 million parameters continues the demonstrations that it is shown. It can show that the comparison runs from end to "
    "end and what weights do to poor rows; it cannot show what the paper measured with large instructed models: that attributes help."
)
USUAL: dict[str, Any] = {
    "tasks": list(TASKS),
    "rows": 40,
    "seeds": 2,
    "real_rows": 2_000,
    "test_rows": 1_000,
    "synthetic_rows": 4_000,
    "strategies": list(STRATEGIES),
}
QUICK: dict[str, Any] = {
    "tasks": ["sst2"],
    "rows": 10,
    "seeds": 1,
    "real_rows": 120,
    "test_rows": 100,
    "synthetic_rows": 200,
    "strategies": ["simprompt", "synalign"],
}

Score = dict[str, Any]


def students(finetune: bool) -> dict[str, Student]:
    """The students by name."""
    return dict(CLASSIFIERS) | ({FINETUNED: by_finetuning} if finetune else {})


def scored(data: Stack, rows: TrainingSet, test: Any, finetune: bool) -> dict[str, dict[str, float]]:
    """Accuracy and macro F1 on the test rows, of each student."""
    truth, found = data.labels[test], {}
    for name, student in students(finetune).items():
        said = student(data, rows, test)
        found[name] = {"accuracy": float(np.mean(said == truth)), "macro_f1": macro_f1(truth, said)}
    return found


def weighting(method: str, real: Corpus, synthetic: Corpus, seed: int) -> Weighting:
    """By ``align.method`` mmd as the paper, by the product's defaults, or none. Raises the product's SynalignError."""
    if method == "uniform":
        return weigh("uniform", real, synthetic, seed)
    return weigh_by_product(OURS, real, synthetic, seed, {"method": "mmd"} if method == "mmd" else {})


def score_set(data: Dataset, who: str, seed: int, weights: list[str], finetune: bool) -> Iterator[Score]:
    """One synthetic set under each kind of weights. They are sample weights: as many rows drawn by them as there are would each come once, or
    hardly ever another number of times, whatever the weights of a small set."""
    stacked = stack_of(data)
    n_real, n = len(data.real), len(data.synthetic)
    test = np.arange(n_real + n, len(stacked.labels))
    for method in weights:
        name = who if len(weights) == 1 else f"{who} ({WEIGHTS[method]})"
        try:
            found = weighting(method, data.real, data.synthetic, seed)
        except SynalignError as err:  # too few rows for weights: said, and the others go on
            yield {"row": name, "seed": seed, "rows": n, "error": str(err)}
            continue
        sets = training_sets(found, data.synthetic.labels, np.arange(n_real), n_real, n, seed)
        ess = round(float(1 / np.sum(found.weight**2)), 1)
        yield {"row": name, "seed": seed, "rows": n, "ess": ess, "scores": scored(stacked, sets["weighted"], test, finetune)}


def gold(data: Dataset, finetune: bool) -> Score:
    """The real rows themselves: the same for every seed."""
    n_real, stacked = len(data.real), stack_of(data)
    test = np.arange(n_real + len(data.synthetic), len(stacked.labels))
    rows = TrainingSet(np.arange(n_real), np.ones(n_real))
    return {"row": GOLD, "seed": 0, "rows": n_real, "scores": scored(stacked, rows, test, finetune)}


def of_model(cases: list[Case], model: Model, given: argparse.Namespace) -> Iterator[Score]:
    """Rows by a language model, case by case; the real rows once a task."""
    seen: set[str] = set()
    for case in cases:
        of_task = {"source": model.name, "task": case.given.name}
        started = time.monotonic()
        try:
            rows, told = write(case, model, given.select, given.folder)
            data = clean(case.given.name, case.given.real, rows, case.given.test)
        except (SynalignError, ValueError) as err:  # no rows of this case: said, and the others go on
            yield {**of_task, "row": NAMES[case.strategy], "seed": case.seed, "rows": 0, "error": str(err)}
            continue
        print(
            f"{case.given.name} {case.strategy} seed {case.seed}: {told}, {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True
        )
        if case.given.name not in seen:
            seen.add(case.given.name)
            yield of_task | gold(data, given.finetune)
        weights = list(WEIGHTS) if case.strategy == "synalign" else ["uniform"]
        for found in score_set(data, NAMES[case.strategy], case.seed, weights, given.finetune):
            yield of_task | {"generation": told} | found


def of_existing(given: argparse.Namespace) -> Iterator[Score]:
    """Sets that large models wrote, under each kind of weights. Raises SystemExit where the corpora are not there."""
    most = (given.real_rows, given.synthetic_rows, given.test_rows)
    for name in (name for task in given.tasks for name in (EXISTING[task][:1] if given.quick else EXISTING[task])):
        data = open_task(known_task(name, most))
        of_task = {"source": "existing", "task": name}
        yield of_task | gold(data, given.finetune)
        for seed in range(given.seeds):
            for found in score_set(data, "LLM-written set", seed, list(WEIGHTS), given.finetune):
                yield of_task | found


def show_plan(cases: list[Case], budget_usd: float | None) -> dict[str, Any]:
    """Prints what the cases take at most and at least; their sums."""
    for case in (case for case in cases if case.seed == 0):
        calls, tokens, cost = (case.plan[key] for key in ("calls", "tokens", "cost_usd"))
        seeds = sum((other.given, other.strategy) == (case.given, case.strategy) for other in cases)
        price = "" if cost is None else f", {cost[0]:.4f} to {cost[1]:.4f} USD"
        times = f", {seeds} times" if seeds > 1 else ""
        print(
            f"plan: {case.given.name} {case.strategy}: {case.rows} rows, {calls[0]} to {calls[1]} calls, {tokens[0]:,} to {tokens[1]:,} tokens{price}{times}"
        )
    sums: dict[str, Any] = {key: [sum(case.plan[key][i] for case in cases) for i in (0, 1)] for key in ("calls", "tokens")}
    if all(case.plan["cost_usd"] is not None for case in cases):
        sums["cost_usd"] = [round(sum(case.plan["cost_usd"][i] for case in cases), 4) for i in (0, 1)]
    print(f"plan: in all {sums}, " + (f"the budget is {budget_usd} USD" if budget_usd else "no money"), flush=True)
    return sums | {"budget_usd": budget_usd}


def tasks_there(given: argparse.Namespace, skipped: list[str]) -> list[Given]:
    """The tasks whose rows are there; what is left out is added to ``skipped``."""
    found = []
    for task in given.tasks:
        try:
            found.append(given_task(task, given.real_rows, given.test_rows))
        except SystemExit as err:
            skipped.append(str(err))
    return found


def compare(given: argparse.Namespace) -> dict[str, Any]:
    """Plans, and runs what is to be run. The result: plan, scores and what was left out."""
    skipped: list[str] = []
    scores: list[Score] = []
    plan: dict[str, Any] = {}
    model = Model.of_file(given.config) if given.config else Model.embedded(given.quick) if "embedded" in given.sources else None
    if model:
        cases = [case for one in tasks_there(given, skipped) for case in plan_cases(one, model, given.strategies, given.seeds, given.rows)]
        budget = model.options.get("max_cost_usd")
        if budget is not None:
            cases = share_budget(cases, budget)
        plan = show_plan(cases, budget)
        scores += [] if given.plan else of_model(cases, model, given)
    if "existing" in given.sources and not given.plan:
        try:
            scores += of_existing(given)
        except SystemExit as err:
            skipped.append(f"existing sets: {err}")
        skipped += [f"{task}: no LLM-written set is known" for task in given.tasks if not EXISTING[task]]
    return {"plan": plan, "scores": scores, "skipped": skipped}


def arguments() -> argparse.Namespace:
    """The command line; --quick gives every option that was not given its small value."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--quick", action="store_true", help="one small task, two strategies, one seed: about a minute on two cores")
    add("--tasks", type=names(list(TASKS)), help=f"default: all of {','.join(TASKS)}")
    add("--strategies", type=names(STRATEGIES), help=f"default: all of {','.join(STRATEGIES)}")
    add("--sources", type=names(["embedded", "existing"]), help="default: embedded,existing; with --config the endpoint alone")
    add("--config", type=Path, help="YAML of an endpoint, see conf/paper-endpoint.yaml")
    add("--plan", action="store_true", help="print the plan of calls and cost, and ask nothing")
    add("--select", choices=list(SELECTS), default="clusters", help="how demonstrations are chosen; paper: as the authors' scripts do")
    add("--rows", type=int, help="rows of a task by a strategy, at least 5 a label; default 40")
    add("--seeds", type=int, help="runs of each case, default 2")
    add("--real-rows", type=int, help="real rows of a task at most, default 2000")
    add("--test-rows", type=int, help="test rows of a task at most, default 1000")
    add("--synthetic-rows", type=int, help="rows of an existing set at most, default 4000")
    add(
        "--finetune",
        action="store_true",
        help="also fine-tune the embedded encoder: about a minute a row of the table and seed, seconds on a GPU",
    )
    add("--folder", type=Path, default=Path("build/paper"), help="where answers are stored")
    given = parser.parse_args()
    for name, value in (QUICK if given.quick else USUAL).items():
        if getattr(given, name) is None:
            setattr(given, name, value)
    if given.sources is None:
        given.sources = [] if given.config else ["embedded", "existing"]
    for name in ("rows", "seeds", "real_rows", "test_rows", "synthetic_rows"):
        if getattr(given, name) < 1:
            parser.error(f"--{name.replace('_', '-')} must be at least 1, got {getattr(given, name)}")
    return given


def main() -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    given = arguments()
    try:
        found = compare(given)
    except (SynalignError, ValueError) as err:
        raise SystemExit(f"paper: {err}") from err
    tables = summarised(found["scores"])
    if not given.plan:
        print(text_table(tables))
    if "embedded" in given.sources and not given.config:
        print(LIMITS)
    for reason in found["skipped"]:
        print(f"left out: {reason}")
    print(
        json.dumps(
            {
                "benchmark": "paper",
                "quick": given.quick,
                "select": given.select,
                "plan": found["plan"],
                "tables": tables,
                "skipped": found["skipped"],
            }
        )
    )


if __name__ == "__main__":
    main()
