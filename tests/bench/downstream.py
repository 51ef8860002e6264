"""Do the weights help the models that are trained on the rows? Accuracy and macro F1 on a real test table, for several methods of weighting.

    python tests/bench/downstream.py [--quick] [--tasks agnews,amazon_24cat] [--real-rows 25,50,100,300,1000,all] [--methods uniform,ours] [--seeds 5]
    python tests/bench/downstream.py --real r.jsonl.gz --synthetic a.jsonl.gz b.jsonl.gz --test t.jsonl.gz --label-column topic

The corpora lie under the folder that SYNALIGN_DATA names (tests/bench/support/corpora.py gives their sources); vectors are computed once and
kept. Four students (logistic regression on embeddings and on TF-IDF, a linear SVM on character n-grams, a neural network on embeddings; with
--finetune the embedded encoder itself) are trained on real rows alone, on rows drawn by weight (`drawn`), on all rows with sample weights
(`weighted`), and on real and drawn rows together: `with_real`, where the synthetic rows together count as the product's usual number of real ones, or
with the sample weights of `ours`; `each_one`, where each row counts as one. A seed decides which of the real rows are taken, the method's own
randomness, and the draws. --develop validates by real rows that a run does not see, for choosing between ways of weighting without a look at
test rows. --out with --resume goes on with an interrupted run; several processes, each with a part of --tasks, --real-rows, --methods or seeds
(--first-seed) and an --out of its own, share the work, and their files one after another are what --resume reports on. The last line is one JSON
object.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import f1_score

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # a script's own folder is on the path, the project's is not

from synalign_spark.errors import ConfigError, SynalignError
from tests.bench.support import summary
from tests.bench.support.arguments import names, whole_numbers
from tests.bench.support.classifiers import STUDENTS, Stack, Student
from tests.bench.support.corpora import data_folder
from tests.bench.support.finetune import FINETUNED, WAYS_FINETUNED, by_finetuning
from tests.bench.support.hits import packed
from tests.bench.support.methods import METHODS, weigh
from tests.bench.support.product import ABLATIONS, OURS, check_ablations, options_of, weigh_by_product
from tests.bench.support.runs import Runs, run_key
from tests.bench.support.summary import REAL_ALONE
from tests.bench.support.tasks import KNOWN, Dataset, Task, known_task, open_task, real_rows
from tests.bench.support.training import WAYS, TrainingSet, training_sets

QUICK: dict[str, Any] = {
    "tasks": ["sst2-gpt35"],
    "seeds": 1,
    "real_rows": [None],
    "draws": 300,
    "most": (300, 500, 400),
    "ways": ["drawn", "with_real"],
    "settings": ["n_features=512", "permutations=99"],
}


def compare(data: Dataset, given: argparse.Namespace, runs: Runs) -> Iterator[dict[str, Any]]:
    """Every run of a task; those that are done already are not done again."""
    stacked = stack_of(data)
    for wanted in given.real_rows:
        for seed in range(given.first_seed, given.first_seed + given.seeds):
            places = real_rows(data, wanted, seed)
            validation = validation_rows(data, places if given.develop else None)
            for method in (REAL_ALONE, *given.methods):
                alone = method == REAL_ALONE
                same = alone and len(places) == len(data.real)  # all real rows are the same rows for every seed
                run = {
                    "task": shown_name(data, given), "fingerprint": data.fingerprint, "size": str(wanted or "all"), "real_rows": len(places),
                    "seed": 0 if same else seed, "method": method, "draws": 0 if alone else given.draws,
                    "settings": " ".join(sorted(given.settings)) if method in ABLATIONS else "",
                    "students": " ".join(students(given)), "ways": "" if alone else " ".join(given.ways),
                }  # fmt: skip
                if run_key(run) not in runs.done:
                    scored = score(data, stacked, places, validation, run, given)
                    if given.develop:
                        del scored["hits"]  # seeds are validated by different rows there
                    runs.add(run | scored)
                yield runs.done[run_key(run)] | {"seed": seed}


def students(given: argparse.Namespace) -> dict[str, Student]:
    """The students by name."""
    return {name: STUDENTS[name] for name in given.students} | ({FINETUNED: by_finetuning} if given.finetune else {})


def shown_name(data: Dataset, given: argparse.Namespace) -> str:
    """The task as results name it."""
    return f"{data.name} (development)" if given.develop else data.name


def validation_rows(data: Dataset, taken: Any = None) -> Any:
    """Places in the stack of the rows that accuracies are of: the test rows, or the real rows that were not ``taken``.

    Raises ValueError where all were."""
    if taken is None:
        before = len(data.real) + len(data.synthetic)
        return np.arange(before, before + len(data.test))
    left = np.setdiff1d(np.arange(len(data.real)), taken)
    if not len(left):
        raise ValueError(f"--develop validates by real rows that a run does not take: give --real-rows below {len(data.real):,}")
    return left


def fewest_validation_rows(data: Dataset, given: argparse.Namespace) -> int:
    """Rows that every accuracy of a task is of, at least."""
    taken = max(wanted or len(data.real) for wanted in given.real_rows)
    return len(data.real) - taken if given.develop else len(data.test)


def stack_of(data: Dataset) -> Stack:
    """All rows of a task: real, synthetic, test."""
    tables = (data.real, data.synthetic, data.test)
    labels = np.concatenate([table.labels for table in tables])
    return Stack(np.concatenate([table.x for table in tables]), [text for table in tables for text in table.texts], labels)


def weighted_sets(
    data: Dataset, places: Any, run: dict[str, Any], given: argparse.Namespace
) -> tuple[dict[str, TrainingSet], dict[str, Any]]:
    """The training sets of the run's method by way, and what it has to say. Raises the product's SynalignError."""
    real = data.real.take(places)
    if run["method"] in ABLATIONS:
        weighting = weigh_by_product(run["method"], real, data.synthetic, run["seed"], options_of(given.settings))
    else:
        weighting = weigh(run["method"], real, data.synthetic, run["seed"])
    found = training_sets(weighting, data.synthetic.labels, places, len(data.real), run["draws"], run["seed"])
    extra = {"ess": round(float(1.0 / np.sum(weighting.weight**2)), 1), "certificate": weighting.extra}
    if data.flipped is not None:
        extra["weight_on_flipped"] = round(float(weighting.weight[data.flipped].sum()), 5)
    return {way: found[way] for way in given.ways}, extra


def score(data: Dataset, stacked: Stack, places: Any, validation: Any, run: dict[str, Any], given: argparse.Namespace) -> dict[str, Any]:
    """Weighs by one method and trains every student in every way. places: of the real rows that the run may see; validation: of the rows in
    the stack that students are scored on."""
    started, extra, sets = time.monotonic(), None, {REAL_ALONE: TrainingSet(places, np.ones(len(places)))}
    if run["method"] != REAL_ALONE:
        try:
            sets, extra = weighted_sets(data, places, run, given)
        except SynalignError as err:  # the product takes no such rows: said, and the other runs go on
            sets, extra = {}, {"refused": str(err)}
    weighed, truth = time.monotonic(), stacked.labels[validation]
    answers = {
        name: {way: student(stacked, rows, validation) for way, rows in sets.items() if name != FINETUNED or way in WAYS_FINETUNED}
        for name, student in students(given).items()
    }
    return {
        "scores": {name: {way: round(float(np.mean(said == truth)), 6) for way, said in ways.items()} for name, ways in answers.items()},
        "macro_f1": {name: {way: round(macro_f1(truth, said), 6) for way, said in ways.items()} for name, ways in answers.items()},
        "hits": {name: {way: packed(said == truth) for way, said in ways.items()} for name, ways in answers.items()},
        "validation": len(validation),
        "extra": extra,
        "seconds": round(weighed - started, 1),
        "training_seconds": round(time.monotonic() - weighed, 1),
    }


def macro_f1(truth: Any, said: Any) -> float:
    """The mean F1 over the labels of the test rows."""
    return float(f1_score(truth, said, labels=np.unique(truth), average="macro", zero_division=0.0))


def arguments() -> argparse.Namespace:
    """The command line; --quick gives every option that was not given its small value."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    methods = [*METHODS, OURS]
    known = [*METHODS, *ABLATIONS]
    add = parser.add_argument
    add("--quick", action="store_true", help="one small task, one seed: ends within 45 s on two cores")
    add("--tasks", type=names(list(KNOWN)), help=f"default: all of {','.join(KNOWN)}")
    add("--methods", type=names(known), default=methods, help=f"of {','.join(known)}; default: {','.join(methods)}")
    add("--students", type=names(list(STUDENTS)), default=list(STUDENTS), help=f"default: all of {','.join(STUDENTS)}")
    add("--ways", type=names(WAYS), help=f"of training, default: all of {','.join(WAYS)}")
    add(
        "--finetune",
        action="store_true",
        help="also fine-tune the embedded encoder on real rows and on both sides: minutes a run, seconds on a GPU",
    )
    add("--seeds", type=int, help="runs of each kind, default 5")
    add("--first-seed", type=int, default=0, help="number of the first: processes that share the seeds have one --out each")
    add("--real-rows", type=whole_numbers, help="labelled real rows to use, such as 25,50,100,300,1000,all; default 300,all")
    add(
        "--develop",
        action="store_true",
        help="validate by the real rows that a run does not take, not by test rows; --real-rows is 300 then",
    )
    add("--draws", type=int, help="rows drawn by weight, default 5000")
    add("--real", type=Path, help="a real table of your own (JSON lines, CSV, TSV or Parquet), with --synthetic and --test")
    add("--synthetic", type=Path, nargs="+", help="its synthetic tables")
    add("--test", type=Path, help="its test table")
    add("--text-column", default="text")
    add("--label-column", default="label")
    add("--most", type=int, help="keep so many rows of each of these tables, those with the smallest hashes")
    add("--set", action="append", dest="settings", metavar="KEY=VALUE", help="a setting of `align`, for method ours")
    add("--markdown", action="store_true", help="also print the tables of the README")
    add("--out", type=Path, help="append every result to this file, one JSON object a line")
    add("--resume", action="store_true", help="take the results that --out holds already: not after a change of the code")
    given = parser.parse_args()
    if len({given.real is None, given.synthetic is None, given.test is None}) > 1:
        parser.error("--real, --synthetic and --test go together: give all three or none")
    usual = {
        "tasks": list(KNOWN),
        "seeds": 5,
        "real_rows": [300, None],
        "draws": 5_000,
        "settings": [],
        "most": given.most,
        "ways": list(WAYS),
    }
    if given.develop:
        usual["real_rows"] = [300]
    for name, value in (usual | QUICK if given.quick else usual).items():
        if getattr(given, name) is None:
            setattr(given, name, value)
    if given.seeds < 1 or given.draws < 1 or given.first_seed < 0:
        parser.error(
            f"--seeds and --draws must be at least 1 and --first-seed at least 0, got {given.seeds}, {given.draws} and {given.first_seed}"
        )
    return given


def wanted_tasks(given: argparse.Namespace) -> list[Task]:
    """The tasks to run. Raises SystemExit where the corpora are not there."""
    most = (given.most,) * 3 if isinstance(given.most, int) else given.most
    if given.real:
        return [Task(given.real.name, given.real, tuple(given.synthetic), given.test, most or (None, None, None))]
    data_folder()
    return [known_task(name, most) for name in given.tasks]


def main() -> None:
    given = arguments()
    try:
        tasks = wanted_tasks(given)
    except SystemExit as err:  # machines without the corpora run the other benchmarks
        print(err, file=sys.stderr)
        print(json.dumps({"benchmark": "downstream", "quick": given.quick, "skipped": str(err)}))
        return
    runs, found = Runs(given.out, given.resume), []
    removed, test_rows = {}, {}
    try:
        options_of(given.settings)
        check_ablations([method for method in given.methods if method in ABLATIONS])
        for task in tasks:
            data = open_task(task, given.text_column, given.label_column)
            removed[data.name] = data.removed
            found += list(compare(data, given, runs))
            test_rows[shown_name(data, given)] = fewest_validation_rows(data, given)
    except (ConfigError, ValueError) as err:
        raise SystemExit(f"downstream: {err}") from err
    if given.markdown:
        for way in ("drawn", "with_real"):
            print(f"{way}:\n\n{summary.markdown(found, way)}\n")
    print(json.dumps({"benchmark": "downstream", "quick": given.quick, **summary.report(found, test_rows), "removed": removed}))


if __name__ == "__main__":
    main()
