"""k-means, ours and that of scikit-learn, faiss and Spark's MLlib: CPU seconds, inertia, and which rare topics get a centroid.

    python tests/bench/cluster.py [--quick] [--rows N] [--width D] [--k K] [--seeds S] [--only NAME ...]

sentences: vectors of real sentences (support/sentence_vectors.py). topics: unit vectors about k directions, 60 of which have a share of
0.02 % of the rows each (20 rows at least), the others shares of a long tail; a topic is found where most rows of some cluster are its rows.
spark: the sentences as a DataFrame on two cores, ours in one barrier stage against MLlib; beyond the fixed cost of either, which is what it takes for
a thousandth of the rows. One thread, but for Spark. Each method may make the same number of passes; its inertia is
measured again with exact distances. faiss-cpu is measured where it is installed. The last line is one JSON object.
"""

import argparse
import importlib.util
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# One thread for all: set before numpy starts.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import numpy.typing as npt
from sklearn.cluster import KMeans, MiniBatchKMeans

from synalign_spark.config import ClusterConfig
from synalign_spark.core.communicator import LocalCommunicator
from synalign_spark.core.sampling.kmeans import fit
from synalign_spark.core.sampling.neighbours import nearest
from tests.bench.support.processes import cpu_seconds
from tests.bench.support.sentence_vectors import vectors

MOST_PASSES = 20  # cluster.max_epochs
TOLERANCE = 3e-4  # cluster.tolerance, a share of the inertia; scikit-learn's is one of the mean variance, on squared moves
RARE, RARE_SHARE, FEWEST_RARE = 60, 2e-4, 20  # topics, of the rows, rows
CORES = 2

Matrix = npt.NDArray[np.float32]
Centroids = npt.NDArray[np.floating]


def topics(rows: int, width: int, k: int) -> tuple[Matrix, npt.NDArray[np.int64]]:
    """(rows, width) unit vectors and their topics, (rows,): the first RARE have a share of RARE_SHARE each."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(k, width))
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    each, common = max(round(rows * RARE_SHARE), FEWEST_RARE), k - RARE
    tail = 1 / np.sqrt(np.arange(1, common + 1))
    topic = np.concatenate([np.repeat(np.arange(RARE), each), RARE + rng.choice(common, size=rows - RARE * each, p=tail / tail.sum())])
    topic = topic[rng.permutation(rows)]
    noise = rng.normal(size=(rows, width)).astype(np.float32)
    x = centres[topic] + noise / np.linalg.norm(noise, axis=1, keepdims=True)
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32), topic


def faiss_centroids(x: Matrix, k: int, seed: int) -> Centroids:
    import faiss

    faiss.omp_set_num_threads(1)
    model = faiss.Kmeans(x.shape[1], k, niter=MOST_PASSES, seed=seed + 1, max_points_per_centroid=len(x))
    model.train(x)
    return model.centroids


def ours(x: Matrix, k: int, seed: int) -> Centroids:
    keys = np.random.default_rng(seed).random(len(x))
    return fit(x, keys, k, LocalCommunicator(), seed=seed, max_epochs=MOST_PASSES, tolerance=TOLERANCE).centroids


def methods(k: int, slow: bool) -> dict[str, Callable[[Matrix, int], Centroids]]:
    """Centroids from rows and a seed, by name. slow: full passes from the start too."""
    common: dict[str, Any] = {"n_clusters": k, "n_init": 1, "max_iter": MOST_PASSES}
    found: dict[str, Callable[[Matrix, int], Centroids]] = {
        "ours": lambda x, seed: ours(x, k, seed),
        "sklearn_mini_batch": lambda x, seed: MiniBatchKMeans(**common, random_state=seed, batch_size=4_096).fit(x).cluster_centers_,
    }
    if importlib.util.find_spec("faiss"):
        found["faiss"] = lambda x, seed: faiss_centroids(x, k, seed)
    if slow:
        found["sklearn_lloyd"] = lambda x, seed: KMeans(**common, random_state=seed, algorithm="lloyd").fit(x).cluster_centers_
    return found


def measured(method: Callable[[Matrix, int], Centroids], x: Matrix, seeds: int, topic: npt.NDArray[np.int64] | None) -> dict[str, float]:
    """Means over the seeds. topic: (n,), the first RARE are rare ones."""
    figures: dict[str, list[float]] = {"cpu_s": [], "wall_s": [], "inertia": []}
    for seed in range(seeds):
        started, started_cpu = time.perf_counter(), time.process_time()
        centroids = method(x, seed)
        figures["cpu_s"].append(time.process_time() - started_cpu)
        figures["wall_s"].append(time.perf_counter() - started)
        ids, sq_dist = nearest(x, centroids.astype(np.float64))
        figures["inertia"].append(sq_dist.sum())
        if topic is not None:
            figures.setdefault("rare_topics", []).append(rare_found(ids, topic))
    return {name: round(float(np.mean(values)), 2) for name, values in figures.items()}


def rare_found(ids: npt.NDArray[np.integer], topic: npt.NDArray[np.int64]) -> int:
    """Rare topics whose rows are most of some cluster. ids, topic: (n,)."""
    pairs = np.zeros((int(ids.max()) + 1, int(topic.max()) + 1), dtype=np.int64)
    np.add.at(pairs, (ids, topic), 1)
    mostly = pairs.argmax(axis=1)[2 * pairs.max(axis=1) > pairs.sum(axis=1)]
    return int((np.unique(mostly) < RARE).sum())


def compared(x: Matrix, k: int, seeds: int, slow: bool, topic: npt.NDArray[np.int64] | None = None) -> dict[str, Any]:
    """Figures of each method, and ours over those that a target is about."""
    found: dict[str, Any] = {}
    for name, method in methods(k, slow).items():
        found[name] = measured(method, x, seeds, topic)
        print(f"  {name}", found[name], file=sys.stderr, flush=True)
    best = min(figures["inertia"] for figures in found.values())
    return {
        "rows": len(x),
        "k": k,
        "inertia_over_best": round(found["ours"]["inertia"] / best, 4),
        "cpu_over_mini_batch": round(found["ours"]["cpu_s"] / found["sklearn_mini_batch"]["cpu_s"], 2),
        **found,
    }


def on_spark(x: Matrix, k: int) -> dict[str, Any]:
    """CPU seconds of all processes to fit k-means to a stored DataFrame, ours and MLlib's, beyond those for a thousandth of the rows."""
    import tempfile

    import pyarrow as pa
    import pyarrow.parquet as pq
    from pyspark.ml.clustering import KMeans as MLlib
    from pyspark.ml.functions import array_to_vector

    from synalign_spark.spark import cluster_fit
    from synalign_spark.udfs.arrow import from_matrix
    from tests.bench.support.spark_rows import session

    def of_mllib(rows: Any, n: int, k: int) -> Centroids:
        vectors_ml = rows.select(array_to_vector("embedding").alias("features")).persist()
        model = MLlib(k=k, maxIter=MOST_PASSES, tol=TOLERANCE, seed=0).fit(vectors_ml)
        vectors_ml.unpersist()
        return np.array(model.clusterCenters())

    def of_ours(rows: Any, n: int, k: int) -> Centroids:
        cfg = ClusterConfig(k=k, max_epochs=MOST_PASSES, tolerance=TOLERANCE)
        return cluster_fit.fit_clusters(rows, cfg, 0, n, x.shape[1], lambda line: print(f"  {line}", file=sys.stderr)).centroids

    found: dict[str, Any] = {}
    cluster_fit.LOCAL_BYTES = 0  # the barrier stage, however few rows
    with tempfile.TemporaryDirectory() as folder, session(CORES) as spark:
        few = max(len(x) // 1_000, 8)
        for name, n in (("few", few), ("all", len(x))):
            ids = [f"{i:08d}" for i in range(n)]
            pq.write_table(
                pa.table({"doc_id": ids, "embedding": from_matrix(x[:n])}), f"{folder}/{name}", row_group_size=-(-n // (4 * CORES))
            )
        for name, method in (("ours", of_ours), ("mllib", of_mllib)):
            cpu = {}
            for size, n, clusters in (("few", few, 4), ("few", few, 4), ("all", len(x), k)):  # the first starts workers
                with cpu_seconds() as spent:
                    centroids = method(spark.read.parquet(f"{folder}/{size}"), n, clusters)
                cpu[size] = spent[0]
            inertia = float(nearest(x, centroids.astype(np.float64))[1].sum())
            found[name] = {"fixed_cpu_s": round(cpu["few"], 1), "cpu_s": round(cpu["all"], 1), "inertia": round(inertia, 1)}
            print(f"  {name}", found[name], file=sys.stderr, flush=True)
    beyond = {name: figures["cpu_s"] - figures["fixed_cpu_s"] for name, figures in found.items()}
    return {"rows": len(x), "k": k, "mllib_over_ours": round(beyond["mllib"] / beyond["ours"], 1), **found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="5,000 rows, 64 dimensions, 40 clusters; 20,000 rows of 80 topics; one seed")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--width", type=int, default=384)
    parser.add_argument("--k", type=int, default=256)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--only", nargs="+", choices=["sentences", "topics", "spark"], help="all; sentences and topics in the quick form")
    given = parser.parse_args()
    rows, width, k, seeds = (5_000, 64, 40, 1) if given.quick else (given.rows, given.width, given.k, given.seeds)
    parts = given.only or (["sentences", "topics"] if given.quick else ["sentences", "topics", "spark"])
    result: dict[str, Any] = {"benchmark": "cluster", "quick": given.quick, "width": width, "seeds": seeds}
    x = vectors(rows, width) if {"sentences", "spark"} & set(parts) else None
    if x is not None and "sentences" in parts:
        result["sentences"] = compared(x, k, seeds, slow=True)
    if "topics" in parts:
        many, about = (20_000, 80) if given.quick else (2 * rows, k)
        drawn, topic = topics(many, width, about)
        result["topics"] = compared(drawn, about, seeds, slow=False, topic=topic)
    if x is not None and "spark" in parts:
        result["spark"] = on_spark(x, k)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
