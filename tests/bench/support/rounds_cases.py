"""One-shot generation and the closed loop on the same pool of LLM-written rows: the product's choice of sets, alignment and missing mass in memory.

The language model is simulated: a call answers with rows of the pool that are near the demonstrations of its set and that nobody was given yet. What
a prompt, a parser or a gate does is left out; a real model follows its demonstrations less closely.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

import synalign_spark as sa
from synalign_spark.config.selection import ClusterConfig, SelectConfig
from synalign_spark.core.evaluation.mmd import Stratified, compare
from synalign_spark.core.features import median_distance
from synalign_spark.core.sampling.clusters import Clustering, cluster_rows, count_labels, demonstrations
from synalign_spark.core.sampling.neighbours import nearest
from synalign_spark.core.sampling.quota import quotas
from synalign_spark.core.sampling.strata import DemonstrationSet, LabelClusters, demonstration_sets, missing_mass
from tests.bench.support.corpora import Corpus, read_rows
from tests.bench.support.tasks import clean, known_task

ROWS_A_CALL, CALLS_A_SET, AMONG = 5, 2, 4  # as the defaults of the configuration; a call draws from so many times its rows
WIDTH = 100  # of vectors that need no model
MOST_ROWS = 12_000  # of a table
TASKS = ("agnews", "sst2-gpt35")
ARMS = {  # whether the alignment leads it, and select.alpha
    "one_shot": (False, 0.0),
    "one_shot_by_share": (False, 1.0),
    "rounds_by_share": (True, 1.0),
    "rounds": (True, 0.0),
}
FIGURES = ("mmd2", "weighted_mmd2", "accuracy", "weighted_accuracy")
SCALE = {"mmd2": 1e4, "weighted_mmd2": 1e4, "accuracy": 1.0, "weighted_accuracy": 1.0}
Mass = Mapping[str, npt.NDArray[np.float64]]


@dataclass(frozen=True)
class Case:
    """real: what the product knows; pool: what the model may write; heldout: real rows that nobody was shown; test: of the students."""

    real: Corpus
    pool: Corpus
    heldout: Corpus
    test: Corpus


@dataclass(frozen=True)
class Point:
    """After so many calls. mmd2, weighted_mmd2: to held-out real rows; accuracy, weighted_accuracy: in percent, of a linear student on test rows."""

    calls: int
    mmd2: float
    weighted_mmd2: float
    accuracy: float
    weighted_accuracy: float


def lsa(texts: Sequence[str]) -> npt.NDArray[np.float32]:
    """(n, WIDTH) unit vectors: TF-IDF, reduced by a singular value decomposition. No model is needed."""
    counted = TfidfVectorizer(sublinear_tf=True, min_df=3, max_features=20_000, stop_words="english").fit_transform(texts)
    x = TruncatedSVD(WIDTH, n_iter=3, random_state=0).fit_transform(counted)
    return np.ascontiguousarray(x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-9), dtype=np.float32)


def drawn(real: Corpus, pool: Corpus, test: Corpus, n_real: int, n_heldout: int, seed: int) -> Case:
    """The case of a seed: other real rows are known and held out."""
    order = np.random.default_rng([seed, 0x10]).permutation(len(real))
    parts = np.sort(order[:n_real]), np.sort(order[n_real : n_real + n_heldout])
    return Case(real.take(parts[0]), pool, real.take(parts[1]), test)


class Run:
    """One generation, round after round."""

    def __init__(self, case: Case, seed: int, alpha: float) -> None:
        self.case, self.seed, self.rule = case, seed, SelectConfig(alpha=alpha)
        self.found: Clustering = cluster_rows(case.real.ids.tolist(), case.real.x, ClusterConfig(), seed)
        self.clusters: LabelClusters = count_labels(self.found, case.real.labels.tolist())
        self.counts = {str(label): int(rows.sum()) for label, rows in self.clusters.rows.items()}
        self.sets: list[DemonstrationSet] = []
        self.taken: list[int] = []
        self.free = np.ones(len(case.pool), dtype=bool)
        self.calls = 0
        self._rng = np.random.default_rng([seed, 0x11])

    def round(self, rows: int, missing: Mass | None) -> None:
        """So many rows more. missing: what leads the choice of sets, None for none."""
        shares = None if missing is None else {label: self.counts[label] * float(mass.sum()) for label, mass in missing.items()}
        wanted = quotas(shares or self.counts, rows)
        n_sets = 2 * -(-rows // (ROWS_A_CALL * CALLS_A_SET))
        sets = demonstration_sets(self.clusters, self.rule, max(n_sets, len(wanted)), self.sets, self.seed, shares, missing)
        shown: dict[DemonstrationSet, list[int]] = {one: [] for one in sets}
        for one, _, place in demonstrations(
            sets, self.found, self.case.real.ids.tolist(), self.case.real.labels.tolist(), self.found.sq_distance
        ):
            shown[one].append(place)
        for label, quota in wanted.items():
            of_label = [one for one in sets if one.label == label]
            for call in range(-(-quota // ROWS_A_CALL)):
                one = of_label[min(call // CALLS_A_SET, len(of_label) - 1)]
                self._call(label, shown[one], min(ROWS_A_CALL, quota - call * ROWS_A_CALL))
        self.sets += sets

    def _call(self, label: str, shown: list[int], rows: int) -> None:
        pool = np.flatnonzero(self.free & (self.case.pool.labels == label))
        near = pool[np.argsort(-(self.case.pool.x[pool] @ self.case.real.x[shown].mean(axis=0)), kind="stable")[: AMONG * ROWS_A_CALL]]
        got = self._rng.permutation(near)[:rows]
        self.free[got] = False
        self.taken += got.tolist()
        self.calls += 1

    @property
    def rows(self) -> Corpus:
        return self.case.pool.take(np.array(self.taken))

    def weights(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """The product's: of all rows, and within the label."""
        sides = [
            pd.DataFrame({"id": one.ids, "text": one.texts, "label": one.labels, "embedding": list(one.x)})
            for one in (self.case.real, self.rows)
        ]
        found = sa.align(*sides, id="id", text="text", label="label", embedding="embedding", seed=self.seed, mixing_weight=0).weights
        return found["weight"].to_numpy(dtype=np.float64), found["weight_in_label"].to_numpy(dtype=np.float64)

    def missing(self, in_label: npt.NDArray[np.float64]) -> Mass:
        """What the next round is to be led by."""
        rows, k = self.rows, len(self.clusters.ids)
        places = nearest(rows.x, self.clusters.centroids)[0]
        return {
            label: missing_mass(counts, np.bincount(places[rows.labels == label], in_label[rows.labels == label], minlength=k))
            for label, counts in self.clusters.rows.items()
        }

    def point(self, weight: npt.NDArray[np.float64]) -> Point:
        rows, case = self.rows, self.case
        bandwidths = [median_distance(case.real.x[:2_000])]
        ones = [np.ones(len(one)) for one in (rows, case.heldout)]
        found = compare(Stratified.of(rows.x), ones[0], weight, Stratified.of(case.heldout.x), ones[1], bandwidths)
        distances = [found.before.mmd2, found.after.mmd2] if found else [float("nan")] * 2
        accuracies = []
        for one in (None, weight * len(weight)):
            student = LogisticRegression(max_iter=1_000).fit(rows.x, rows.labels, sample_weight=one)
            accuracies.append(100 * float(student.score(case.test.x, case.test.labels)))
        return Point(self.calls, *distances, *accuracies)


def curve(case: Case, seed: int, rows: int, rounds: int, arm: str) -> list[Point]:
    """A point after each round. arm: of ARMS; where the alignment does not lead the rounds after the first, they are one generation in parts."""
    loop, alpha = ARMS[arm]
    run, points = Run(case, seed, alpha), []
    missing: Mass | None = None
    for number in range(rounds):
        run.round(rows * (number + 1) // rounds - rows * number // rounds, missing)
        weight, in_label = run.weights()
        points.append(run.point(weight))
        missing = run.missing(in_label) if loop else None
    return points


def open_corpora(task: str) -> tuple[Corpus, Corpus, Corpus]:
    """(real, pool, test) rows of a task, free of rows that stand in two of them, with LSA vectors: seconds, where an embedder takes minutes."""
    known = known_task(task)
    parts = [texts_of(known.real), texts_of(*known.synthetic), texts_of(known.test)]
    data = clean(task, *parts)
    tables = (data.real, data.synthetic, data.test)
    x = lsa([text for one in tables for text in one.texts])
    edges = np.cumsum([0, *map(len, tables)])
    real, pool, test = (replace(one, x=x[first:last]) for one, first, last in zip(tables, edges, edges[1:], strict=False))
    return real, pool, test


def texts_of(*paths: Path) -> Corpus:
    """The rows of files without vectors, in the order of their hashes, at most MOST_ROWS of them."""
    rows: dict[str, tuple[str, str]] = {}
    for path in paths:
        for row in read_rows(path):
            text = " ".join(str(row["text"]).split())
            rows.setdefault(hashlib.sha256(text.encode()).hexdigest(), (text, str(row["label"])))
    ids = sorted(rows)[:MOST_ROWS]
    return Corpus(
        np.array(ids), [rows[key][0] for key in ids], np.array([rows[key][1] for key in ids]), np.empty((len(ids), 0), dtype=np.float32)
    )
