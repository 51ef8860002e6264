"""From the scores of single runs to means, margins and the table of the README.

A run is a mapping with task, real_rows, seed, method and scores (downstream classifier to training to accuracy). The standard error is that of the mean
over seeds: which real rows were taken, the method's own randomness and the draws. The error of a finite test table is another one,
the same for all seeds: test_stderr, that of a share of so many rows (872 for SST-2: 1.6 points at 70%).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from tests.bench.support.hits import Hits, paired_error, unpacked

OURS, REAL_ALONE = "ours", "real alone"
FEW = 300  # real rows, the few of the default runs
Run = Mapping[str, Any]


def flat(runs: Iterable[Run]) -> dict[tuple[str, int, str, str, str], dict[int, float]]:
    """(task, real_rows, method, downstream classifier, training) to seed to accuracy, in the order of the runs."""
    cells: dict[tuple[str, int, str, str, str], dict[int, float]] = {}
    for run in runs:
        for classifier, trainings in run["scores"].items():
            for training, accuracy in trainings.items():
                key = (run["task"], run["real_rows"], run["method"], classifier, training)
                cells.setdefault(key, {})[run["seed"]] = accuracy
    return cells


def by_cell(runs: Iterable[Run]) -> dict[tuple[str, int, str, str, str], dict[int, Hits]]:
    """The hits of runs that were validated by test rows, as ``flat`` orders accuracies."""
    cells: dict[tuple[str, int, str, str, str], dict[int, Hits]] = {}
    for run in runs:
        for classifier, trainings in run.get("hits", {}).items():
            for training, text in trainings.items():
                key = (run["task"], run["real_rows"], run["method"], classifier, training)
                cells.setdefault(key, {})[run["seed"]] = unpacked(text, run["validation"])
    return cells


def mean_and_error(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean, and its standard error; None where there is one value."""
    found = np.asarray(values, dtype=np.float64)
    return float(found.mean()), float(found.std(ddof=1) / np.sqrt(len(found))) if len(found) > 1 else None


def rows(runs: Iterable[Run], test_rows: Mapping[str, int] | None = None) -> list[dict[str, Any]]:
    """One entry a task, number of real rows, method, downstream classifier and way of training. test_rows: of each task."""
    result = []
    for (task, real, method, classifier, training), by_seed in flat(runs).items():
        accuracy, error = mean_and_error(list(by_seed.values()))
        result.append(
            {"task": task, "real_rows": real, "method": method, "classifier": classifier, "training": training,
             "accuracy": _short(accuracy), "stderr": _short(error), "seeds": len(by_seed)}
        )  # fmt: skip
        if test_rows:
            result[-1]["test_stderr"] = _short(float(np.sqrt(accuracy * (1 - accuracy) / test_rows[task])))
    return result


def worst_margin(runs: Iterable[Run], against: str | None = None) -> dict[str, Any] | None:
    """The smallest mean difference of 'ours' to the best other method, or over ``against``; negative where another method is better.

    The difference is taken seed by seed, since the methods of a seed share its real rows. None where there is nothing to compare."""
    cells = flat(runs)
    worst: dict[str, Any] | None = None
    for (task, real, method, classifier, training), ours in cells.items():
        if method != OURS:
            continue
        others = {
            key[2]: values
            for key, values in cells.items()
            if key[:2] == (task, real)
            and key[3:] == (classifier, training)
            and key[2] not in (OURS, REAL_ALONE)
            and against in (None, key[2])
        }
        shared = {name: sorted(set(ours) & set(values)) for name, values in others.items()}
        means = {name: float(np.mean([others[name][seed] for seed in seeds])) for name, seeds in shared.items() if seeds}
        if not means:
            continue
        best = max(means, key=lambda name: means[name])
        margin, error = mean_and_error([ours[seed] - others[best][seed] for seed in shared[best]])
        if worst is None or margin < worst["margin"]:
            worst = {
                "margin": _short(margin),
                "stderr": _short(error),
                "task": task,
                "real_rows": real,
                "classifier": classifier,
                "training": training,
                "other": best,
            }
    return worst


def losses(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Where 'ours' is below another method by more than the standard error over the seeds that both have.

    with_test_rows: the standard error where the test rows, too, are taken as drawn by chance; absent where seeds are validated by different rows."""
    cells, hits, found = flat(runs), by_cell(runs), []
    for (task, real, other, classifier, training), scores in cells.items():
        ours = cells.get((task, real, OURS, classifier, training), {})
        seeds = sorted(set(ours) & set(scores))
        differences = [ours[seed] - scores[seed] for seed in seeds]
        if other in (OURS, REAL_ALONE) or len(differences) < 2:
            continue
        margin, error = mean_and_error(differences)
        if error is not None and margin < -error:
            place = {"task": task, "real_rows": real, "classifier": classifier, "training": training, "other": other}
            place |= {"margin": _short(margin), "stderr": _short(error)}
            both = [[hits.get((task, real, method, classifier, training), {}).get(seed) for seed in seeds] for method in (OURS, other)]
            if all(rows is not None for side in both for rows in side):
                place["with_test_rows"] = _short(paired_error(*both))
            found.append(place)
    return found


def gains(runs: Iterable[Run]) -> dict[str, float | None]:
    """What 'ours' gains on 'uniform', by way of training and real rows ("drawn, 300", "drawn, more"): the mean over tasks and downstream classifiers.

    Each task counts once, with the mean over the seeds that both methods have."""
    cells, found = flat(runs), {}
    for (task, real, method, classifier, training), ours in cells.items():
        before = cells.get((task, real, "uniform", classifier, training), {})
        shared = sorted(set(ours) & set(before))
        if method == OURS and shared:
            kind = f"{training}, {FEW if real <= FEW else 'more'}"
            found.setdefault(kind, []).append(np.mean([ours[seed] - before[seed] for seed in shared]))
    return {kind: _short(float(np.mean(differences))) for kind, differences in found.items()}


def report(runs: Sequence[Run], test_rows: Mapping[str, int] | None = None) -> dict[str, Any]:
    """What the last line of the benchmark holds. real_alone: the same downstream classifiers on the real rows; extra: of each run of 'ours'."""
    found = rows(runs, test_rows)
    certificates = [
        {name: run[name] for name in ("task", "real_rows", "seed", "settings")} | (run["extra"] or {})
        for run in runs
        if run["method"] == OURS
    ]
    return {
        "rows": [row for row in found if row["method"] != REAL_ALONE],
        "real_alone": [row for row in found if row["method"] == REAL_ALONE],
        "gain_over_uniform": gains(runs),
        "losses": losses(runs),
        "worst_margin": worst_margin(runs),
        "worst_margin_to_uniform": worst_margin(runs, against="uniform"),
        "certificates": certificates,
    }


def _short(value: float | None) -> float | None:
    return None if value is None else round(value, 5)


def markdown(runs: Iterable[Run], training: str = "drawn") -> str:
    """The table of the README: "embeddings / TF-IDF" accuracies in %, the best of a line in bold, and real rows alone beside them."""
    found = rows(runs)
    methods = list(dict.fromkeys(row["method"] for row in found if row["method"] != REAL_ALONE))
    classifiers = ("embeddings", "tfidf")
    value = {
        (row["task"], row["real_rows"], row["method"], row["classifier"]): row["accuracy"]
        for row in found
        if row["training"] in (training, REAL_ALONE)
    }
    lines = ["| task | real rows | " + " | ".join([*methods, REAL_ALONE]) + " |", "|---" * (len(methods) + 3) + "|"]
    for task, real in dict.fromkeys((row["task"], row["real_rows"]) for row in found):
        best = {
            classifier: max((value.get((task, real, method, classifier), -1.0) for method in methods), default=-1.0)
            for classifier in classifiers
        }
        cells = [
            " / ".join(_cell(value.get((task, real, method, classifier)), best[classifier]) for classifier in classifiers)
            for method in methods
        ]
        alone = " / ".join(_cell(value.get((task, real, REAL_ALONE, classifier)), 2.0) for classifier in classifiers)
        lines.append(f"| {task} | {real:,} | " + " | ".join([*cells, alone]) + " |")
    return "\n".join(lines)


def _cell(accuracy: float | None, best: float) -> str:
    if accuracy is None:
        return "-"
    shown = f"{100 * accuracy:.1f}"
    return f"**{shown}**" if accuracy >= best else shown
