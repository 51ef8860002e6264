"""From the scores of single runs to means, gains, losses and the table of the README.

A run is a mapping with task, size (as asked: "300" or "all"), real_rows, seed, method, scores and macro_f1 (student to way of training to accuracy or
F1). The standard error is that of the mean over seeds: which real rows were taken, the method's own randomness and the draws. The error
of a finite test table is another one, the same for all seeds: test_stderr, that of a share of so many rows (872 for SST-2: 1.6 points at 70%).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tests.bench.support.hits import Hits, paired_error, unpacked

OURS, REAL_ALONE, UNIFORM, FILTER = "ours", "real alone", "uniform", "filter"
WITH_REAL, SYNTHETIC_ALONE = "with_real", ("drawn", "weighted")
Run = Mapping[str, Any]
Cell = tuple[str, int, str, str, str]  # task, real rows, method, student, way of training
Scores = dict[Cell, dict[int, float]]  # by seed


def flat(runs: Iterable[Run], of: str = "scores") -> Scores:
    """The scores in the order of the runs. of: scores, which are accuracies, or macro_f1."""
    cells: Scores = {}
    for run in runs:
        for student, ways in run[of].items():
            for way, value in ways.items():
                cells.setdefault((run["task"], run["real_rows"], run["method"], student, way), {})[run["seed"]] = value
    return cells


def by_cell(runs: Iterable[Run]) -> dict[Cell, dict[int, Hits]]:
    """The hits of runs that were validated by test rows, as ``flat`` orders accuracies."""
    cells: dict[Cell, dict[int, Hits]] = {}
    for run in runs:
        for student, ways in run.get("hits", {}).items():
            for way, text in ways.items():
                key = (run["task"], run["real_rows"], run["method"], student, way)
                cells.setdefault(key, {})[run["seed"]] = unpacked(text, run["validation"])
    return cells


def mean_and_error(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean, and its standard error; None where there is one value."""
    found = np.asarray(values, dtype=np.float64)
    return float(found.mean()), float(found.std(ddof=1) / np.sqrt(len(found))) if len(found) > 1 else None


def rows(runs: Sequence[Run], test_rows: Mapping[str, int] | None = None) -> list[dict[str, Any]]:
    """One entry a task, number of real rows, method, student and way of training. test_rows: of each task."""
    result, f1 = [], flat(runs, "macro_f1")
    for cell, by_seed in flat(runs).items():
        task, real, method, student, way = cell
        accuracy, error = mean_and_error(list(by_seed.values()))
        result.append(
            {"task": task, "real_rows": real, "method": method, "student": student, "way": way, "accuracy": _short(accuracy),
             "stderr": _short(error), "macro_f1": _short(float(np.mean(list(f1[cell].values())))), "seeds": len(by_seed)}
        )  # fmt: skip
        if test_rows:
            result[-1]["test_stderr"] = _short(float(np.sqrt(accuracy * (1 - accuracy) / test_rows[task])))
    return result


def pairs(cells: Mapping[Cell, Any], way: str, against: str | None = None) -> Iterator[tuple[Cell, Cell]]:
    """The cells of ours in a way of training, each with that of another method, or of the real rows alone, for the same student.

    against: this one alone; ablations of ours are no other methods."""
    for cell in cells:
        task, real, method, student, trained = cell
        ours = (task, real, OURS, student, way)
        named = against in (None, method) and not method.startswith(OURS)
        if named and trained == (REAL_ALONE if method == REAL_ALONE else way) and ours in cells:
            yield ours, cell


def losses(runs: Sequence[Run], way: str = WITH_REAL) -> list[dict[str, Any]]:
    """Where 'ours' is below another method, or the real rows alone, by more than the standard error over the seeds that both have.

    With one seed the error is that of the test rows. with_test_rows: where seeds and test rows, both, are taken as drawn by chance; absent where
    seeds are validated by different rows."""
    cells, hits, found = flat(runs), by_cell(runs), []
    for ours, other in pairs(cells, way):
        seeds = sorted(set(cells[ours]) & set(cells[other]))
        margin, error = mean_and_error([cells[ours][seed] - cells[other][seed] for seed in seeds])
        both = [[hits.get(cell, {}).get(seed) for seed in seeds] for cell in (ours, other)]
        of_rows = paired_error(*both) if all(rows is not None for side in both for rows in side) else None
        error = of_rows if error is None else error
        if error is not None and margin < -error:
            place = dict(zip(("task", "real_rows", "student", "way"), (*ours[:2], *ours[3:]), strict=True)) | {"other": other[2]}
            place |= {"margin": _short(margin), "stderr": _short(error)}
            found.append(place if of_rows is None else place | {"with_test_rows": _short(of_rows)})
    return found


def mean_gains(runs: Sequence[Run], over: str, way: str = WITH_REAL, of: str = "scores") -> dict[str, float]:
    """What 'ours' gains on a method, or on the real rows alone, by size: the mean over tasks and students.

    Each task counts once, with the mean over the seeds that both methods have."""
    cells, found = flat(runs, of), {}
    size_of = {(run["task"], run["real_rows"]): run["size"] for run in runs}
    for ours, other in pairs(cells, way, over):
        shared = sorted(set(cells[ours]) & set(cells[other]))
        found.setdefault(size_of[ours[:2]], []).append(np.mean([cells[ours][seed] - cells[other][seed] for seed in shared]))
    return {size: round(float(np.mean(differences)), 5) for size, differences in found.items()}


def gains(runs: Sequence[Run], way: str = WITH_REAL, of: str = "scores") -> dict[str, dict[str, float]]:
    """``mean_gains`` on what the rows must beat."""
    overs = (REAL_ALONE, UNIFORM, FILTER) if way == WITH_REAL else (UNIFORM, FILTER)
    return {f"mean_gain_over_{over.replace(' ', '_')}": mean_gains(runs, over, way, of) for over in overs}


def weight_on_flipped(runs: Iterable[Run]) -> dict[str, dict[str, float]]:
    """Share of the weight on rows whose label is known to be wrong, where it is: the mean over seeds by task and size, and method."""
    found: dict[str, dict[str, list[float]]] = {}
    for run in runs:
        if "weight_on_flipped" in (run["extra"] or {}):
            found.setdefault(f"{run['task']}, {run['size']}", {}).setdefault(run["method"], []).append(run["extra"]["weight_on_flipped"])
    return {place: {method: round(float(np.mean(shares)), 4) for method, shares in methods.items()} for place, methods in found.items()}


def report(runs: Sequence[Run], test_rows: Mapping[str, int] | None = None) -> dict[str, Any]:
    """What the last line of the benchmark holds. real_alone: the same students on the real rows; certificates: of each run of the product."""
    found = rows(runs, test_rows)
    certificates = [
        {name: run[name] for name in ("task", "real_rows", "seed", "method", "settings")} | (run["extra"] or {})
        for run in runs
        if run["method"].startswith(OURS)
    ]
    return {
        "rows": [row for row in found if row["method"] != REAL_ALONE],
        "real_alone": [row for row in found if row["method"] == REAL_ALONE],
        "certificates": certificates,
        "weight_on_flipped": weight_on_flipped(runs),
        "synthetic_alone": {way: {"losses": losses(runs, way), **gains(runs, way)} for way in SYNTHETIC_ALONE},
        "macro_f1": gains(runs, of="macro_f1"),
        "losses": losses(runs),
        **gains(runs),
    }


def _short(value: float | None) -> float | None:
    return None if value is None else round(value, 5)


def markdown(runs: Sequence[Run], way: str = "drawn") -> str:
    """The table of the README: "embeddings / TF-IDF" accuracies in %, the best of a line in bold, and real rows alone beside them."""
    found = rows(runs)
    methods = list(dict.fromkeys(row["method"] for row in found if row["method"] != REAL_ALONE))
    students = ("embeddings", "tfidf")
    value = {
        (row["task"], row["real_rows"], row["method"], row["student"]): row["accuracy"] for row in found if row["way"] in (way, REAL_ALONE)
    }
    lines = ["| task | real rows | " + " | ".join([*methods, REAL_ALONE]) + " |", "|---" * (len(methods) + 3) + "|"]
    for task, real in dict.fromkeys((row["task"], row["real_rows"]) for row in found):
        best = {student: max((value.get((task, real, method, student), -1.0) for method in methods), default=-1.0) for student in students}
        cells = [" / ".join(_cell(value.get((task, real, method, student)), best[student]) for student in students) for method in methods]
        alone = " / ".join(_cell(value.get((task, real, REAL_ALONE, student)), 2.0) for student in students)
        lines.append(f"| {task} | {real:,} | " + " | ".join([*cells, alone]) + " |")
    return "\n".join(lines)


def _cell(accuracy: float | None, best: float) -> str:
    if accuracy is None:
        return "-"
    shown = f"{100 * accuracy:.1f}"
    return f"**{shown}**" if accuracy >= best else shown
