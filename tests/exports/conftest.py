"""A small finished run in a lake, written without Spark: labels, texts and names that are hostile to every format."""

import json

import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from deltalake import write_deltalake

from synalign_spark.pipeline.steps import STEPS
from synalign_spark.storage import tables
from synalign_spark.storage.contracts import RUN_ID, arrow_type
from synalign_spark.storage.lake_view import LakeView

FORMULA = '=cmd|"/c calc"!A1'
TEXTS = [
    "plain",
    FORMULA,
    "+1",
    "-x",
    "@SUM(A1)",
    "\t=1",
    " =1",
    "'=1",
    "'twas",
    "\uff1d1",
    'say "a, b"\nor\r\n---\nc',
    "line\u2028end\x85",
    "NULL",
    "ß 漢字",
    "a,b",
]
LABELS = ["no", "</script> | **x** [a](http://b.c)\n---\n# `h`", "1", "{{ 7 * 7 }}: &x"]
PARTS = [("title", "=t"), ("a b|c", "two")]
MODEL = "m | <img src=x> sk-secretsecret"
N = 60


def _typed(table, rows):
    """Rows as an Arrow table with every column of the contract, in its types, strings where they are needed."""
    plain = {"string": "x", "double": 0.25, "int": 1, "bigint": 3, "boolean": False, "array<double>": [1.0], "array<string>": ["x"]}
    schema = pa.schema([(column.name, arrow_type(column.dtype)) for column in table.columns])
    default = {column.name: None if column.nullable else plain.get(column.dtype) for column in table.columns}
    return pa.Table.from_pylist([default | row for row in rows], schema)


def synthetic_rows():
    return [
        {"doc_id": f"s{i}", "text": f"{TEXTS[i % len(TEXTS)]}", "label": LABELS[i % 4], "strategy": "synalign", "model": MODEL, "fields": PARTS[: i % 3] or None}
        for i in range(N)
    ]  # fmt: skip


def weight_rows():
    """In another order than the rows."""
    return [
        {"doc_id": f"s{i}", "label": LABELS[i % 4], "weight": (i + 1) / 3e3, "weight_in_label": 0.1 + i / 7, "base_weight": 1 / N,
         "label_confidence": None if i % 2 else 0.5, "capped_by": "near_copy" if i == 5 else None}
        for i in reversed(range(N))
    ]  # fmt: skip


def augmented_rows():
    real = [{"row_id": f"r{i}", "origin": "real", "doc_id": f"d{i}", "draw": 0, "text": f"real {i}", "label": LABELS[i % 4], "weight": 1.0,
             "sample_weight": 1.1} for i in range(20)]  # fmt: skip
    drawn = [{"row_id": f"w{i}", "origin": "synthetic", "draw": i % 2, "weight": 0.1 * (i + 1), "sample_weight": 1 / 3} | row
             for i, row in enumerate(synthetic_rows())]  # fmt: skip
    return real + [{name: row[name] for name in (*real[0], "fields")} for row in drawn]


def certificate_rows():
    return [
        {"label": label, "mixing_weight": 500.0, "n_synthetic": N, "n_real_holdout": 12, "ess": 41.4, "mmd2_before": 0.05, "mmd2_after": 0.0123,
         "closed_share": 0.6, "closed_share_low": 0.4, "closed_share_high": 0.8, "verdict": f"nearer; labels {LABELS[1]!r} of http://me:secretword@host"}
        for label in (None, *LABELS)
    ]  # fmt: skip


TABLES = {
    tables.SYNTHETIC: synthetic_rows(), tables.WEIGHTS: weight_rows(), tables.AUGMENTED: augmented_rows(), tables.CERTIFICATE: certificate_rows(),
    tables.REFUSALS: [{"request_id": f"q{i}", "reason": "copied" if i else "form"} for i in range(9)],
    tables.REJECTS: [{"origin": "real", "reason": "duplicate"}] * 4,
    tables.EVALUATION: [{"figure": "coverage", "kind": kind, "value": value, "better": "higher"}
                        for kind, value in (("uniform", 0.25), ("weighted", 0.5), ("real", 0.75))],
    tables.CALLS: [{"request_id": f"q{i}", "model": MODEL, "endpoint": "http://host/v1"} for i in range(7)],
}  # fmt: skip


def manifest(left=()):
    """Entries of a finished run but for the steps that are left."""
    settings = {
        "ingest": {"source.path": "/home/me/secret place/reviews|1.csv"},
        "embed": {"embed.model": "embedded:all-MiniLM-L6-v2"},
        "generate": {"generate.strategy": "synalign", "generate.task": "a <b>row</b> of {label}", "generate.language": "German", "generate.gates": ["form", "copied"],
                     "generate.llm.provider": "openai"},
        "align": {"align.method": "synalign", "run.seed": 7},
    }  # fmt: skip
    summaries = {
        "ingest": {"rows_accepted": 20, "profile": {"languages": {"fr": 0.9, "en": 0.1}}},
        "generate": {"prompt_tokens": 12_345, "completion_tokens": 678, "cost_usd": 1.5, "checks_off": {}},
        "select": {"demonstrations": 10, "demonstration_sets": 5},
        "cluster": {"clusters": 4},
        "embed": {"model": "embedded:all-MiniLM-L6-v2"},
        "resample": {"method": "systematic", "distinct_synthetic": N},
    }
    found = {}
    for step in STEPS:
        if step.name not in left:
            inputs = {name: name for name in step.inputs(found)}
            found[step.name] = {"produced": step.name, "inputs": inputs, "seconds": 1.0,
                                "settings": settings.get(step.name, {}), "summary": summaries.get(step.name, {})}  # fmt: skip
    return found


def write_manifest(root, run_id, steps):
    path = root / "_synalign" / run_id / "manifest.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"run_id": run_id, "steps": steps}))


def write_rows(root, kind, run_id, table, rows):
    stored = _typed(table, rows)
    stored = stored.append_column(RUN_ID, pa.array([run_id] * len(stored)))
    parts = [RUN_ID, *table.scope]
    if kind == "delta":
        write_deltalake(str(root / table.name), stored, mode="append", partition_by=parts)
    else:
        part = ds.partitioning(pa.schema([(name, pa.string()) for name in parts]), flavor="hive")
        ds.write_dataset(
            stored, root / table.name, format="parquet", partitioning=part, existing_data_behavior="overwrite_or_ignore",
            basename_template=f"{len(list(root.rglob('*.parquet')))}-{{i}}.parquet",
        )  # fmt: skip


@pytest.fixture(scope="session", params=["delta", "parquet"])
def lake(request, tmp_path_factory):
    """(folder, format) of a lake with the run 'done', in several files a table, and rows of another run beside it."""
    root = tmp_path_factory.mktemp(f"export-{request.param}")
    for table, rows in TABLES.items():
        third = max(1, len(rows) // 3)
        for part in (rows[:third], rows[third : 2 * third], rows[2 * third :]):
            if part:
                write_rows(root, request.param, "done", table, part)
    write_rows(root, request.param, "other", tables.AUGMENTED, augmented_rows()[:3])
    write_manifest(root, "done", manifest())
    write_manifest(root, "other", manifest(left=("report", "resample")))
    return root, request.param


@pytest.fixture
def view(lake):
    return LakeView(str(lake[0]), lake[1], "done")
