"""`synalign report`: where a page is, and two runs of one lake side by side, read and written without a JVM."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from deltalake import write_deltalake
from typer.testing import CliRunner

from synalign_spark.cli.main import app
from synalign_spark.pipeline.steps import STEPS
from synalign_spark.storage import tables

NUMBERS = {"bigint": pa.int64(), "int": pa.int32(), "double": pa.float64()}
OTHERS = {"string": pa.string(), "array<double>": pa.list_(pa.float64()), "boolean": pa.bool_()}


def run(*arguments):
    return CliRunner().invoke(app, ["report", *arguments])


def certificate(gain):
    """A certificate of all rows together."""
    found = {column.name: pa.array([None], (NUMBERS | OTHERS)[column.dtype]) for column in tables.CERTIFICATE.columns}
    numbers = {
        "gain": gain,
        "gain_error": 0.002,
        "mixing_weight": 300.0,
        "closed_share": 0.5,
        "closed_share_low": 0.4,
        "closed_share_high": 0.6,
    }
    return found | {name: [value] for name, value in numbers.items()} | {"verdict": ["use these rows; they are close"]}


def metrics(gain):
    values = {
        "align.gain": gain,
        "align.gain_error": 0.002,
        "generate.calls": 10.0,
        "generate.accepted": 100.0,
        "generate.refused.copied": 5.0,
    }
    return {
        "name": list(values),
        "label": pa.array([None] * len(values), pa.string()),
        "value": list(values.values()),
        "unit": ["1"] * len(values),
    }


def manifest(target_rows, without=()):
    """Entries of a run whose every stage is done, but for some."""
    entries = {}
    for step in STEPS:
        if step.on_request or step.name in without:
            continue
        entries[step.name] = {
            "settings": {"generate.target_rows": target_rows, "generate.llms": [{"base_url": f"http://me:hunter2@host/{target_rows}"}]} if step.name == "generate" else {},
            "inputs": {name: name for name in step.inputs(entries)}, "produced": step.name, "seconds": 1.0, "tables": [], "summary": {},
        }  # fmt: skip
    return entries


@pytest.fixture(scope="module", params=["delta", "parquet"])
def lake(request, tmp_path_factory):
    """Options that name a lake with the finished runs a and b, and c, which is not finished."""
    root = tmp_path_factory.mktemp(request.param)
    for run_id, gain, target, without in (("a", 0.01, 100, ()), ("b", 0.03, 200, ()), ("c", 0.0, 300, ("resample", "report"))):
        for name, columns in (("certificate", certificate(gain)), ("metrics", metrics(gain))):
            rows = pa.table(columns).append_column("run_id", pa.array([run_id] * len(next(iter(columns.values())))))
            if request.param == "delta":
                write_deltalake(str(root / name), rows, mode="append", partition_by=["run_id"])
            else:
                part = ds.partitioning(pa.schema([("run_id", pa.string())]), flavor="hive")
                ds.write_dataset(rows, root / name, format="parquet", partitioning=part, existing_data_behavior="overwrite_or_ignore")
        path = root / "_synalign" / run_id / "manifest.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({"run_id": run_id, "steps": manifest(target, without)}))
    return ["--set", f"lake.path={root}", "--set", f"lake.format={request.param}"]


def test_two_runs_are_put_side_by_side_in_one_page(lake):
    done = run(*lake, "--compare", "a", "b")
    assert done.exit_code == 0, done.output
    assert "The rows of b help more; how close the rows are is not known of both." in done.stdout
    assert "a: Use them. Use these rows." in done.stdout
    place = Path(done.stdout.split("page: ")[1].strip().replace("\n", ""))
    assert place.name == "a+b.html"
    page = place.read_text(encoding="utf-8")
    assert "<td>+1.0 points (+0.6 to +1.4)</td><td>+3.0 points (+2.6 to +3.4)</td>" in page
    assert '<th scope="row">generate.target_rows</th><td class="left text">100</td><td class="left text">200</td>' in page
    before = place.stat().st_mtime_ns
    found = json.loads(run(*lake, "--compare", "a", "b", "--json").stdout)
    assert place.stat().st_mtime_ns > before
    assert place.read_text(encoding="utf-8") == page
    assert found["page"] == str(place)
    assert found["settings"][1:] == [["generate.target_rows", "100", "200"]]
    assert "http://[hidden]@host/200" in found["settings"][0][2]
    assert "hunter2" not in page
    assert next(one["second"] for one in found["numbers"]) == "+3.0 points (+2.6 to +3.4)"


@pytest.mark.parametrize(
    ("runs", "status", "words"),
    [
        (("a", "nowhere"), 3, ["run.id: 'nowhere' is not in lake.path", "it holds a, b, c"]),
        (("c", "a"), 3, ["run.id: 'c' is not finished (resample, report left)"]),
        (("a", "a"), 2, ["--compare: 'a' stands twice"]),
    ],
)
def test_runs_that_do_not_compare_are_named(lake, runs, status, words):
    done = run(*lake, "--compare", *runs)
    assert done.exit_code == status
    for part in words:
        assert part in " ".join(done.stderr.split())
    assert not list(Path(lake[1].removeprefix("lake.path=")).glob(f"reports/{'+'.join(runs)}*"))


def test_without_another_run_the_page_of_the_run_is_named(lake):
    done = run(*lake, "--set", "run.id=a")
    assert done.stdout.replace("\n", "").endswith("/reports/a.html")
    assert json.loads(run(*lake, "--set", "run.id=a", "--json").stdout)["page"].endswith("/reports/a.html")
    done = run(*lake, "--set", "run.id=c")
    assert done.exit_code == 3
    assert "'c' has no report yet" in done.stderr


def test_one_name_is_not_enough(lake):
    assert run(*lake, "--compare", "a").exit_code == 2
