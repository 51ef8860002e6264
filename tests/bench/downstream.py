"""Do the weights help the models that are trained on the rows? Accuracy on a real test table, for several methods of weighting.

    python tests/bench/downstream.py [--quick] [--tasks agnews,sst2-mixed] [--methods uniform,adam,dsir,density_ratio,ours] [--seeds 5]
    python tests/bench/downstream.py --real r.jsonl.gz --synthetic a.jsonl.gz b.jsonl.gz --test t.jsonl.gz --label-column topic

The corpora lie under the folder that SYNALIGN_DATA names (tests/bench/support/corpora.py gives their sources); vectors are computed once and
kept. Two downstream classifiers (logistic regression on embeddings, on TF-IDF) are trained on rows drawn by weight (`drawn`), on all rows with sample
weights (`weighted`), and on real and drawn rows together (`with_real`). A seed decides which of the real rows are taken, the method's own
randomness, and the draws. --develop validates by real rows that a run does not see, for choosing between ways of weighting without a look at
test rows. --out with --resume goes on with an interrupted run. The last line is one JSON object.
"""

import argparse
import contextlib
import functools
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # a script's own folder is on the path, the project's is not

from synalign_spark.config.files import load as load_config
from synalign_spark.errors import ConfigError
from tests.bench.pipeline import SHORT_LIVED
from tests.bench.support import summary
from tests.bench.support.classifiers import CLASSIFIERS, Stack, TrainingSet, stack, training_sets
from tests.bench.support.corpora import data_folder
from tests.bench.support.hits import packed
from tests.bench.support.methods import METHODS, OURS, weigh
from tests.bench.support.tasks import KNOWN, Dataset, Task, known_task, open_task, real_rows

QUICK: dict[str, Any] = {
    "tasks": ["sst2-gpt35"],
    "seeds": 1,
    "real_rows": [None],
    "draws": 300,
    "most": (300, 500, 400),
    "settings": ["n_features=512", "permutations=50"],
}
Ours = Callable[..., Any]


class Runs:
    """The results so far: kept in memory, and line by line in a file where one is given."""

    def __init__(self, path: Path | None, resume: bool) -> None:
        self._path = path
        self.done: dict[tuple[Any, ...], dict[str, Any]] = {}
        if path and resume and path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                with contextlib.suppress(json.JSONDecodeError):  # the line that a kill cut short
                    run = json.loads(line)
                    self.done[run_key(run)] = run
            if not path.read_bytes().endswith(b"\n"):
                with path.open("a", encoding="utf-8") as lines:
                    lines.write("\n")

    def add(self, run: dict[str, Any]) -> None:
        """Keeps a run, and says how it went."""
        self.done[run_key(run)] = run
        if self._path:
            with self._path.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps(run) + "\n")
        shown = "; ".join(
            f"{classifier} " + " ".join(f"{way} {100 * value:.1f}" for way, value in ways.items())
            for classifier, ways in run["scores"].items()
        )
        print(
            f"{run['task']} real={run['real_rows']} seed={run['seed']} {run['method']} {run['seconds']} s: {shown}",
            file=sys.stderr,
            flush=True,
        )


def run_key(run: dict[str, Any]) -> tuple[Any, ...]:
    """What makes two runs the same run."""
    return tuple(run[name] for name in ("task", "fingerprint", "real_rows", "seed", "method", "draws", "settings"))


def compare(data: Dataset, given: argparse.Namespace, ours: Ours, runs: Runs) -> Iterator[dict[str, Any]]:
    """Every run of a task; those that are done already are not done again."""
    stacked = functools.lru_cache(maxsize=1)(lambda: stack_of(data))  # of use only where a run is still to do
    for wanted in given.real_rows:
        for seed in range(given.seeds):
            places = real_rows(data, wanted, seed)
            validation = validation_rows(data, places if given.develop else None)
            for method in (summary.REAL_ALONE, *given.methods):
                alone = method == summary.REAL_ALONE
                if alone and seed and len(places) == len(data.real):
                    continue  # all real rows are the same rows for every seed
                settings = " ".join(sorted(given.settings)) if method == OURS else ""
                run = {
                    "task": shown_name(data, given),
                    "fingerprint": data.fingerprint,
                    "real_rows": len(places),
                    "seed": seed,
                    "method": method,
                }
                run |= {"draws": 0 if alone else given.draws, "settings": settings}
                if run_key(run) not in runs.done:
                    scored = score(data, stacked(), places, validation, run, ours)
                    if given.develop:
                        del scored["hits"]  # seeds are validated by different rows there
                    runs.add(run | scored)
                yield runs.done[run_key(run)]


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
    return stack(np.concatenate([table.x for table in tables]), [text for table in tables for text in table.texts], labels)


def score(data: Dataset, stacked: Stack, places: Any, validation: Any, run: dict[str, Any], ours: Ours) -> dict[str, Any]:
    """Weighs by one method and trains every downstream classifier in every way. places: of the real rows that the run may see; validation: of the rows in
    the stack that downstream classifiers are scored on."""
    started, extra = time.monotonic(), None
    if run["method"] == summary.REAL_ALONE:
        sets = {summary.REAL_ALONE: TrainingSet(places, np.ones(len(places)))}
    else:
        weighting = weigh(run["method"], data.real.take(places), data.synthetic, run["seed"], ours)
        sets = dict(training_sets(weighting, data.synthetic.labels, places, len(data.real), run["draws"], run["seed"]))
        extra = {"ess": round(float(1.0 / np.sum(weighting.weight**2)), 1), "certificate": weighting.extra}
    weighed = time.monotonic()
    hits = {name: {way: classifier(stacked, rows, validation) for way, rows in sets.items()} for name, classifier in CLASSIFIERS.items()}
    return {
        "scores": {name: {way: round(float(found.mean()), 6) for way, found in ways.items()} for name, ways in hits.items()},
        "hits": {name: {way: packed(found) for way, found in ways.items()} for name, ways in hits.items()},
        "validation": len(validation),
        "extra": extra,
        "seconds": round(weighed - started, 1),
        "training_seconds": round(time.monotonic() - weighed, 1),
    }


@contextlib.contextmanager
def product(given: argparse.Namespace) -> Iterator[Ours]:
    """The product as a method; Spark starts when it is first asked."""
    settings = ["source.path=unused", "spark.master=local[2]", "lake.format=parquet", "spark.shuffle_partitions=2"]
    cfg = load_config([], [*settings, *(f"align.{setting.removeprefix('align.')}" for setting in given.settings)])
    if given.quick:
        cfg = cfg.model_copy(update={"spark": cfg.spark.model_copy(update={"conf": SHORT_LIVED})})
    with contextlib.ExitStack() as held:

        @functools.lru_cache(maxsize=1)
        def started() -> Ours:
            from synalign_spark.pipeline.session import spark_session
            from tests.bench.support.product import Product

            return Product(held.enter_context(spark_session(cfg)), cfg.align)

        yield lambda real, synthetic, seed: started()(real, synthetic, seed)


def whole_numbers(text: str) -> list[int | None]:
    """'300,all' as [300, None]."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part == "all" or (part.isdigit() and int(part) > 0) for part in parts):
        raise argparse.ArgumentTypeError(f"must be numbers or 'all', such as 300,all; got {text!r}")
    return [None if part == "all" else int(part) for part in parts]


def names(known: Sequence[str]) -> Callable[[str], list[str]]:
    """Reads 'a,b' and refuses a name that is not known."""

    def read(text: str) -> list[str]:
        found = [part.strip() for part in text.split(",")]
        if strange := [name for name in found if name not in known]:
            raise argparse.ArgumentTypeError(f"{', '.join(strange)} is not known; choose from {', '.join(known)}")
        return found

    return read


def arguments() -> argparse.Namespace:
    """The command line; --quick gives every option that was not given its small value."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    methods = [*METHODS, OURS]
    add = parser.add_argument
    add("--quick", action="store_true", help="one small task, one seed: ends within 45 s on two cores")
    add("--tasks", type=names(list(KNOWN)), help=f"default: all of {','.join(KNOWN)}")
    add("--methods", type=names(methods), default=methods, help=f"default: all of {','.join(methods)}")
    add("--seeds", type=int, help="runs of each kind, default 5")
    add("--real-rows", type=whole_numbers, help="labelled real rows to use, default 300,all")
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
    usual = {"tasks": list(KNOWN), "seeds": 5, "real_rows": [300, None], "draws": 5_000, "settings": [], "most": given.most}
    if given.develop:
        usual["real_rows"] = [300]
    for name, value in (usual | QUICK if given.quick else usual).items():
        if getattr(given, name) is None:
            setattr(given, name, value)
    if given.seeds < 1 or given.draws < 1:
        parser.error(f"--seeds and --draws must be at least 1, got {given.seeds} and {given.draws}")
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
        with product(given) as ours:
            for task in tasks:
                data = open_task(task, given.text_column, given.label_column)
                removed[data.name] = data.removed
                found += list(compare(data, given, ours, runs))
                test_rows[shown_name(data, given)] = fewest_validation_rows(data, given)
    except (ConfigError, ValueError) as err:
        raise SystemExit(f"downstream: {err}") from err
    if given.markdown:
        for training in ("drawn", "with_real"):
            print(f"{training}:\n\n{summary.markdown(found, training)}\n")
    print(json.dumps({"benchmark": "downstream", "quick": given.quick, **summary.report(found, test_rows), "removed": removed}))


if __name__ == "__main__":
    main()
