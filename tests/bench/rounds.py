"""Does the closed loop need fewer calls than one-shot generation? Held-out MMD^2 and the accuracy of a student by calls, at equal calls.

    SYNALIGN_DATA=DIR python tests/bench/rounds.py [--quick] [--tasks agnews,sst2-gpt35] [--seeds 5] [--rows 600] [--rounds 4] [--real 2000]

one_shot goes on in the order of the Gaussian process alone, as a generation without rounds does by default; one_shot_by_share does so with
select.alpha = 1, large clusters first; in rounds, which begins as one_shot does, the alignment of the rows so far leads each further round;
rounds_by_share begins by share. What is simulated: a call answers with LLM-written rows near its demonstrations, see support/rounds_cases.py. Each
seed draws other real rows, and others of them to be held out. The last line is one JSON object. By task and number of calls: the means, and what rounds brings beside each of the others, with
its standard error over seeds, paired; of MMD^2 in 1e-4, of accuracy in points. calls_to_reach: calls at which the mean curve of rounds reaches the
last point of one_shot, null where it does not.
"""

import argparse
import json
import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # a script's own folder is on the path, the project's is not

import itertools

import numpy as np
import numpy.typing as npt

from tests.bench.support.arguments import names
from tests.bench.support.rounds_cases import ARMS, FIGURES, SCALE, TASKS, curve, drawn, open_corpora


def interpolated(calls: npt.NDArray[np.float64], values: npt.NDArray[np.float64], wanted: float) -> float | None:
    """Calls at which a falling curve reaches a value, by straight lines between its points; None where it does not.

    >>> interpolated(np.array([10.0, 20.0]), np.array([4.0, 2.0]), 3.0)
    15.0
    """
    for (c0, c1), (v0, v1) in zip(itertools.pairwise(calls), itertools.pairwise(values), strict=True):
        if v1 <= wanted < v0:
            return round(float(c0 + (v0 - wanted) / (v0 - v1) * (c1 - c0)), 1)
    return None


def table(found: npt.NDArray[np.float64]) -> dict[str, object]:
    """found: (seeds, arms, rounds, figures), calls first."""
    calls, seeds = found[:, :, :, 0].mean(axis=(0, 1)), len(found)
    points = []
    for number, n_calls in enumerate(calls):
        entry: dict[str, object] = {"calls": round(float(n_calls), 1)}
        for place, name in enumerate(FIGURES, start=1):
            values = SCALE[name] * found[:, :, number, place]  # (seeds, arms)
            entry[name] = {arm: round(float(values[:, i].mean()), 2) for i, arm in enumerate(ARMS)}
            for i, arm in enumerate(list(ARMS)[:-1]):
                gains = (values[:, -1] - values[:, i]) * (-1 if "mmd2" in name else 1)
                entry[name][f"gain_over_{arm}"] = [round(float(gains.mean()), 2), round(float(gains.std(ddof=1) / np.sqrt(seeds)), 2)]
        points.append(entry)
    of = {name: found[:, :, :, place].mean(axis=0) for place, name in enumerate(FIGURES, start=1)}  # (arms, rounds)
    distance, accuracy = of["weighted_mmd2"], -of["weighted_accuracy"]
    reached = {
        "weighted_mmd2": interpolated(calls, distance[-1], distance[0, -1]),
        "weighted_accuracy": interpolated(calls, accuracy[-1], accuracy[0, -1]),
    }
    return {"points": points, "one_shot_calls": round(float(calls[-1]), 1), "calls_to_reach": reached}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two seeds of one task, few rows")
    parser.add_argument("--tasks", type=names(TASKS), default=None)
    for name, default in (("seeds", 5), ("rows", 600), ("rounds", 4), ("real", 2_000), ("heldout", 2_000)):
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    if given.quick:
        given.seeds, given.rows, given.rounds, given.real, given.heldout = 2, 240, 3, 800, 800
    found = {}
    for task in given.tasks or (TASKS[:1] if given.quick else TASKS):
        corpora = open_corpora(task)
        runs = []
        for seed in range(given.seeds):
            case = drawn(*corpora, given.real, given.heldout, seed)
            arms = [curve(case, seed, given.rows, given.rounds, arm) for arm in ARMS]
            runs.append([[[point.calls, *(getattr(point, name) for name in FIGURES)] for point in arm] for arm in arms])
            print(task, seed, [[round(1e4 * point.weighted_mmd2, 1) for point in arm] for arm in arms], file=sys.stderr, flush=True)
        found[task] = table(np.array(runs, dtype=np.float64))
    print(json.dumps({"benchmark": "rounds", "quick": given.quick, "seeds": given.seeds, "real_rows": given.real, "tasks": found}))


if __name__ == "__main__":
    main()
