"""`synalign show`: tables, certificate and lineage, read without a JVM from both formats."""

import io
import json
import sys

import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from deltalake import write_deltalake
from rich.console import Console

from synalign_spark.cli import show_prompt
from synalign_spark.cli.plan import RowSize, typical_row
from synalign_spark.cli.show import render, show
from synalign_spark.config import Config
from synalign_spark.errors import DataError, LakeError
from synalign_spark.pipeline.steps import STEPS, left_to_run
from synalign_spark.storage import tables

TABLES = {
    "corpus": {"doc_id": ["r1", "r2"], "text": ["one \x1b[31mred", "[bold]two[/bold]"], "label": ["a", "a"], "source_id": ["17", None],
               "n_chars": pa.array([3, 3], pa.int32()), "prior_weight": pa.array([None, None], pa.float64())},
    "clusters": {"doc_id": ["r1", "r2"], "label": ["a", "a"], "cluster_id": pa.array([4, 5], pa.int32()), "sq_distance": [0.5, 0.25]},
    "synthetic": {"doc_id": ["s1", "s2", "s3"], "text": ["first", "second", "third"], "label": ["a"] * 3, "strategy": ["synalign"] * 3, "model": ["m"] * 3,
                  "request_id": ["q1"] * 3, "row_index": pa.array([0, 1, 2], pa.int32()), "attribute_set_id": ["c1", "c1", None],
                  "round": pa.array([0] * 3, pa.int32()), "set_rank": pa.array([0] * 3, pa.int32()), "cluster_id": pa.array([4] * 3, pa.int32()), "prior_weight": pa.array([None] * 3, pa.float64()),
                  "fields": pa.array([None] * 3, pa.map_(pa.string(), pa.string()))},
    "attributes": {"attribute_set_id": ["c1"], "request_id": ["q0"], "label": ["a"], "round": pa.array([0], pa.int32()), "set_rank": pa.array([0], pa.int32()),
                   "cluster_id": pa.array([4], pa.int32()), "demo_ids": [["r2", "r1", "gone"]],
                   "attributes": pa.array([[("tone", "warm")]], pa.map_(pa.string(), pa.string()))},
    "calls": {name: [0, 0] for name in tables.CALLS.column_names} | {"request_id": ["q0", "q1"], "prompt_hash": ["abc0", "abd1"]},
    "prompts": {"prompt_hash": ["abc0", "abd1", "abd2"], "step": ["attributes", "rows", "rows"],
                "messages": pa.array([[[("role", "user"), ("content", "what is [bold]common[/]?")]], [], []],
                                     pa.list_(pa.map_(pa.string(), pa.string()))),
                "text": [None, "Each line is ...", "other"], "stop": [[], ["\n"], ["\n"]], "schema": ["{}"] * 3},
    "weights": {"doc_id": ["s3", "s2", "s1"], "label": ["a"] * 3, "weight": [0.25, 0.5, 0.25], "weight_in_label": [0.25, 0.5, 0.25], "base_weight": [1 / 3] * 3,
                "label_confidence": [0.5] * 3, "repaired_label": pa.array([None] * 3, pa.string()), "log_density_ratio": [0.1] * 3, "log_embedding_ratio": [0.1] * 3, "capped_by": pa.array([None] * 3, pa.string())},
    "witness": {"label": ["b", "a", "a", "a", "a"], "cluster_id": pa.array([4, 9, 4, 7, 5], pa.int32()), "real_rows": [5] * 5,
                "real_share": [0.25, 0.05, 0.5, 0.2, 0.25], "synthetic_rows": [1] * 5, "synthetic_share_before": [0.5] * 5,
                "synthetic_share": [0.125, 0.045, 0.75, 0.075, 0.0], "missing_share": [0.125, 0.005, 0.0, 0.125, 0.25], "witness_mean_before": [0.5] * 5,
                "witness_mean": [0.25] * 5, "rank": pa.array([2, 4, 3, 2, 1], pa.int32()),
                "example_ids": [["r2"], ["r1"], ["r1"], [], ["r1", "r2"]], "examples": [["[bold]two[/bold]"], ["x"], ["y"], [], ["one \x1b[31mred", "z"]]},
}  # fmt: skip


def certificate():
    kinds = {"double": pa.float64(), "int": pa.int64(), "bigint": pa.int64(), "boolean": pa.bool_()}
    values = {"double": 0.5, "int": 3, "bigint": 3, "boolean": True}
    columns = {c.name: pa.array([values[c.dtype]] * 2, kinds[c.dtype]) for c in tables.CERTIFICATE.columns if c.dtype in kinds}
    columns |= {"lambda": [float("inf"), 0.1], "ess": [2.0, 2.0], "p_value_after": [float("nan")] * 2}
    return columns | {"label": ["a", None], "rule": ["mmd_rule"] * 2, "bandwidths": [[1.0]] * 2, "verdict": ["part", "close"]}


@pytest.fixture(scope="module", params=["delta", "parquet"])
def stored(request, tmp_path_factory):
    """(path, format) of a lake with the runs '007' (whole) and 'other' (one table)."""
    root = tmp_path_factory.mktemp(request.param)
    runs = [("007", {**TABLES, "certificate": certificate()}), ("other", {"weights": TABLES["weights"]})]
    for run_id, found in runs:
        for name, columns in found.items():
            rows = pa.table(columns).append_column("run_id", pa.array([run_id] * len(next(iter(columns.values())))))
            if request.param == "delta":
                write_deltalake(str(root / name), rows, mode="append", partition_by=["run_id"])
            else:
                part = ds.partitioning(pa.schema([("run_id", pa.string())]), flavor="hive")
                ds.write_dataset(rows, root / name, format="parquet", partitioning=part, existing_data_behavior="overwrite_or_ignore")
    manifest = root / "_synalign" / "007" / "manifest.json"
    manifest.parent.mkdir(parents=True)
    entry = {
        "started": "2026-01-01T00:00:00",
        "seconds": 2.5,
        "tables": ["corpus"],
        "summary": {"accepted": 2},
        "settings": {"spark.conf": "secret"},
    }
    manifest.write_text(json.dumps({"run_id": "007", "steps": {"ingest": entry, "report": entry}}))
    return str(root), request.param


def test_show_gathers_tables_steps_certificate_and_lineage(stored):
    found = show(*stored, "007", 2)
    assert found["tables"] == {
        "corpus": 2,
        "clusters": 2,
        "attributes": 1,
        "synthetic": 3,
        "calls": 2,
        "prompts": 3,
        "weights": 3,
        "certificate": 2,
        "witness": 5,
    }
    assert found["steps"]["ingest"]["summary"] == {"accepted": 2}
    assert "secret" not in json.dumps(found)
    assert [row["label"] for row in found["certificate"]] == [None, "a"]
    assert [row["doc_id"] for row in found["rows"]] == ["s2", "s1"], "by weight, ties by id"
    row = found["rows"][0]
    assert (row["text"], row["weight"], row["attributes"]) == ("second", 0.5, {"tone": "warm"})
    assert [(real["doc_id"], real["cluster_id"], real["source_id"]) for real in row["demonstrations"]] == [("r2", 5, None), ("r1", 4, "17")]
    assert found["report"].endswith("/reports/007.html")


def test_show_tells_the_three_clusters_that_miss_most(stored):
    found = show(*stored, "007", 0)
    missing = found["missing"]
    assert [(row["label"], row["cluster_id"]) for row in missing] == [("a", 5), ("a", 7), ("b", 4)], (
        "by missing share, ties by rank and label"
    )
    assert missing[0]["example_ids"] == ["r1", "r2"]
    assert show(*stored, "other", 1)["missing"] == []
    sink = io.StringIO()
    render(found, Console(file=sink, width=60, force_terminal=False))
    lines = [line for line in sink.getvalue().splitlines() if line.startswith("still missing")]
    assert lines == [
        "still missing [a]: cluster 5 has 25.0% of the real rows, 0.0% of the weight: “one [31mred”",
        "still missing [a]: cluster 7 has 20.0% of the real rows, 7.5% of the weight",
        "still missing [b]: cluster 4 has 25.0% of the real rows, 12.5% of the weight: “[bold]two[/bold]”",
    ]


def test_show_tells_what_is_left_to_run():
    """A step is left too where one that it reads ran anew, or is left itself."""
    manifest = {}
    for step in STEPS:
        manifest[step.name] = {
            "produced": step.name,
            "summary": {},
            "inputs": {name: manifest[name]["produced"] for name in step.inputs(manifest)},
        }
    assert left_to_run(manifest) == []
    manifest["align"]["produced"] = "anew"
    assert left_to_run(manifest) == ["rounds", "resample", "evaluate", "report"]
    del manifest["align"]
    assert left_to_run(manifest) == ["align", "rounds", "resample", "evaluate", "report"]
    del manifest["rounds"], manifest["evaluate"]
    assert left_to_run(manifest) == ["align", "resample", "report"], "rounds and evaluate run where they are asked for"


def test_the_tables_of_steps_that_are_left_are_said_to_be_from_before(stored):
    found = show(*stored, "007", 0)
    assert found["left_to_run"][-1] == "report", "its inputs are not there"
    sink = io.StringIO()
    render(found, Console(file=sink, width=160, force_terminal=False))
    assert "resample, report (what report wrote is from before)" in sink.getvalue()


def test_show_is_one_json_object_of_plain_numbers(stored):
    again = json.loads(json.dumps(show(*stored, "007", 1), allow_nan=False))
    assert [row["lambda"] for row in again["certificate"]] == [0.1, "inf"]
    assert again["certificate"][0]["p_value_after"] is None


def test_render_escapes_and_cuts(stored):
    sink = io.StringIO()
    render(show(*stored, "007", 3), Console(file=sink, width=160, force_terminal=False))
    text = sink.getvalue()
    assert "\x1b" not in text
    assert "[bold]two[/bold]" in text
    assert "1.500 × uniform [a] “second”" in text
    assert "close" in text


def test_the_certificate_is_whole_on_a_terminal_of_80_columns(stored):
    sink = io.StringIO()
    render(show(*stored, "007", 0), Console(file=sink, width=80, force_terminal=False))
    table = sink.getvalue().partition("\ncertificate")[2].splitlines()[1:4]
    assert table[0].split() == ["label", "MMD²", "weighted", "closed", "(95%)", "p-value", "effective", "rows"]
    assert "…" not in "".join(table)
    assert table[2].split()[:3] == ["a", "0.5000", "0.5000"]


def test_no_rows_asked_for_and_runs_without_certificate(stored):
    assert show(*stored, "007", 0)["rows"] == []
    found = show(*stored, "other", 1)
    assert found["tables"] == {"weights": 3}
    assert found["rows"][0]["text"] is None
    sink = io.StringIO()
    render(found, Console(file=sink))
    assert "no certificate yet" in sink.getvalue()


def test_a_prompt_is_found_by_its_hash_and_by_a_row_that_it_led_to(stored):
    assert [prompt["text"] for prompt in show_prompt.find_prompts(*stored, "007", "abd2")] == ["other"]
    behind = show_prompt.find_prompts(*stored, "007", "s1")
    assert [(prompt["prompt_hash"], prompt["step"]) for prompt in behind] == [("abc0", "attributes"), ("abd1", "rows")]
    assert [prompt["prompt_hash"] for prompt in show_prompt.find_prompts(*stored, "007", "s3")] == ["abd1"], "without attributes"
    sink = io.StringIO()
    show_prompt.render(behind, Console(file=sink, width=160, force_terminal=False))
    assert "what is [bold]common[/]?" in sink.getvalue()
    assert "Each line is ..." in sink.getvalue()


def test_a_prompt_that_is_not_there_or_not_the_only_one(stored):
    with pytest.raises(DataError, match="no prompt_hash and no doc_id of run '007' begins so"):
        show_prompt.find_prompts(*stored, "007", "zzz")
    with pytest.raises(DataError, match="2 values of prompt_hash begin so .*abd1"):
        show_prompt.find_prompts(*stored, "007", "abd")


def test_missing_run_names_the_runs_there_are(stored):
    with pytest.raises(LakeError, match=r"run.id: 'nope' is not in lake.path .*; it holds 007, other"):
        show(*stored, "nope", 1)


def test_missing_lake_other_format_and_damaged_manifest(stored, tmp_path):
    path, stored_as = stored
    with pytest.raises(LakeError, match=r"lake.path: there is no lake at"):
        show(str(tmp_path / "none"), "delta", "x", 1)
    with pytest.raises(LakeError, match="it holds no run yet"):
        show(str(tmp_path), "delta", "x", 1)
    with pytest.raises(LakeError, match=f"set lake.format to '{stored_as}'"):
        show(path, "parquet" if stored_as == "delta" else "delta", "007", 1)
    damaged = tmp_path / "_synalign" / "x" / "manifest.json"
    damaged.parent.mkdir(parents=True)
    damaged.write_text("{")
    with pytest.raises(LakeError, match="damaged"):
        show(str(tmp_path), "parquet", "x", 1)


def test_show_needs_no_spark(stored):
    import subprocess

    code = f"import sys; from synalign_spark.cli.show import show; show({stored[0]!r}, {stored[1]!r}, '007', 1); print('pyspark' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_plan_takes_the_length_of_rows_from_the_corpus_of_its_run(stored):
    path, stored_as = stored
    settings = {"source": {"path": "x"}, "lake": {"path": path, "format": stored_as}}
    assert typical_row(Config.model_validate(settings | {"run": {"id": "007"}})) == RowSize(14, 1.0)
    assert typical_row(Config.model_validate(settings | {"run": {"id": "other"}})) is None
