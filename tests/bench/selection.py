"""CPU seconds of the choice of demonstrations, against the loop that refits and against plain pivoted Cholesky.

    python tests/bench/selection.py [--quick] [--largest]

Vectors of real sentences (see support/sentence_vectors.py) stand for centroids. Three ways to pick them by posterior standard deviation:
ours, with the trace that a run writes; pivoted Cholesky as one would write it, a column a pick, without a trace; and
scikit-learn's Gaussian process fitted again for each pick, on what we had picked so far: where each of its picks is the next one of
ours, the two loops pick the same. --quick makes every tenth of these fits and multiplies their time by ten. --largest (with the
full form always) picks 2,000 of 100,000 in a process of its own and says its seconds and its peak memory.
The last line is one JSON object: identical (picks of all three), speedup_vs_refit, time_over_plain_cholesky (of CPU seconds; the largest of the sizes).
"""

import argparse
import json
import multiprocessing
import os
import resource
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from typing import TypeVar

# One thread for all: set before numpy starts.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import numpy.typing as npt
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF
from support.sentence_vectors import vectors

from synalign_spark.core.sampling.contenders import TIE
from synalign_spark.core.sampling.gp import Tracker, median_length_scale

WIDTH, NOISE, ALPHA, REACH_SD = 384, 0.1, 0.0, 0.7
REFIT_SIZE = (5_000, 200)
SIZES = {True: [REFIT_SIZE], False: [REFIT_SIZE, (20_000, 1_000)]}
LARGEST = (100_000, 2_000)

Matrix = npt.NDArray[np.float64]
Result = TypeVar("Result")


def timed(work: Callable[[], Result]) -> tuple[Result, float]:
    """The result and its CPU seconds."""
    started = time.process_time()
    result = work()
    return result, time.process_time() - started


def ours(x: Matrix, length_scale: float, count: int) -> list[int]:
    """Picks, and the trace of them."""
    tracker = Tracker(x, np.full(len(x), 1 / len(x)), length_scale, NOISE, ALPHA)
    tracker.pick(count)
    tracker.trace(REACH_SD)
    return tracker.picked


def plain_cholesky(x: Matrix, length_scale: float, count: int) -> list[int]:
    """One column a pick (Rasmussen & Williams 2006, alg. 2.1), the kernel by one product of a matrix and a vector."""
    columns, variance, square, picked = np.empty((count, len(x))), np.ones(len(x)), np.square(x).sum(axis=1), []
    for j in range(count):
        value = np.sqrt(np.maximum(variance, 0.0))
        pivot = int(np.argmax(value >= value.max() * (1 - TIE)))
        kernel = np.exp(np.maximum(square + square[pivot] - 2 * x @ x[pivot], 0.0) / (-2 * length_scale**2))
        columns[j] = (kernel - columns[:j, pivot] @ columns[:j]) / np.sqrt(variance[pivot] + NOISE**2)
        variance -= np.square(columns[j])
        picked.append(pivot)
    return picked


def refitted(x: Matrix, length_scale: float, picked: list[int]) -> int:
    """The next pick, by a regressor fitted on those before."""
    if not picked:
        return 0
    model = GaussianProcessRegressor(RBF(length_scale), alpha=NOISE**2, optimizer=None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sd = model.fit(x[picked], np.zeros(len(picked))).predict(x, return_std=True)[1]
    return int(np.argmax(sd >= sd.max() * (1 - TIE)))


def against_refits(x: Matrix, length_scale: float, picked: list[int], every: int) -> tuple[bool, float]:
    """Whether the next pick is that of a refit, at every ``every``-th step, and the CPU seconds of all steps."""
    steps = range(every - 1, len(picked), every)
    same, seconds = timed(lambda: [refitted(x, length_scale, picked[:j]) == picked[j] for j in steps])
    return all(same), seconds * len(picked) / len(steps)


def largest(path: str, count: int, to: "multiprocessing.connection.Connection") -> None:
    """In a process of its own: seconds, CPU seconds and peak memory."""
    x = np.load(path)
    length_scale = median_length_scale(x)
    started = time.perf_counter()
    _, cpu = timed(lambda: ours(x, length_scale, count))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    to.send({"wall_s": round(time.perf_counter() - started, 1), "cpu_s": round(cpu, 1), "peak_gb": round(peak / 1e9, 2)})


def of_largest() -> dict[str, float]:
    rows, count = LARGEST
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "x.npy")
        np.save(path, vectors(rows, WIDTH).astype(np.float64))
        mine, theirs = multiprocessing.Pipe()
        process = multiprocessing.get_context("spawn").Process(target=largest, args=(path, count, theirs))
        process.start()
        figures: dict[str, float] = mine.recv()
        process.join()
    return {"rows": rows, "picks": count, **figures}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="5,000 x 200 alone, a tenth of the refits")
    parser.add_argument("--largest", action="store_true", help="100,000 x 2,000 in the quick form too")
    given = parser.parse_args()
    identical, ratios, sizes, speedup = True, [], {}, 0.0
    for rows, count in SIZES[given.quick]:
        x = vectors(rows, WIDTH).astype(np.float64)
        length_scale = median_length_scale(x)
        picked, seconds = timed(lambda x=x, scale=length_scale, count=count: ours(x, scale, count))
        plain, plain_seconds = timed(lambda x=x, scale=length_scale, count=count: plain_cholesky(x, scale, count))
        identical &= picked == plain
        figures = {"ours_s": round(seconds, 3), "plain_s": round(plain_seconds, 3)}
        if (rows, count) == REFIT_SIZE:
            same, refit_seconds = against_refits(x, length_scale, picked, 10 if given.quick else 1)
            identical &= same
            speedup, figures["refit_s"] = refit_seconds / seconds, round(refit_seconds, 1)
        ratios.append(seconds / plain_seconds)
        sizes[f"{rows} x {count}"] = figures
        print(f"{rows} x {count}", figures, file=sys.stderr, flush=True)
    found = {"benchmark": "select", "quick": given.quick, "identical": identical, "speedup_vs_refit": round(speedup, 1)}
    found |= {"time_over_plain_cholesky": round(max(ratios), 3), "sizes": sizes}
    if given.largest or not given.quick:
        found["largest"] = of_largest()
    print(json.dumps(found))


if __name__ == "__main__":
    main()
