"""Job `report`: one HTML file beside the tables, and the ``metrics`` table."""

import pyarrow as pa

from jobs.context import Context, Summary
from synalign_spark import tables
from synalign_spark.errors import LakeError
from synalign_spark.files import filesystem, local_path
from synalign_spark.report.gather import gather
from synalign_spark.report.metrics import metric_rows
from synalign_spark.report.page import render
from synalign_spark.runs import RunStore

METRICS_SCHEMA = pa.schema([("name", pa.string()), ("label", pa.string()), ("value", pa.float64()), ("unit", pa.string())])


def run(ctx: Context) -> Summary:
    """Measures the run's tables, writes ``<lake>/reports/<run_id>.html`` and ``metrics``."""
    findings = gather(ctx.lake, ctx.cfg, RunStore(ctx.cfg.lake.path, ctx.cfg.run.id).manifest())
    rows = metric_rows(findings)
    place = write_page(ctx.cfg.lake.path, ctx.cfg.run.id, render(findings))
    ctx.lake.write(tables.METRICS, ctx.spark.createDataFrame(pa.Table.from_pylist(rows, METRICS_SCHEMA)))
    summary: Summary = {"report": place, "metrics": len(rows)}
    if findings.probe is not None:
        uniform, weighted, real = findings.probe.arms
        summary |= {
            "probe_accuracy_uniform": round(uniform.accuracy, 4),
            "probe_accuracy_weighted": round(weighted.accuracy, 4),
            "probe_accuracy_real": round(real.accuracy, 4),
            "probe_gain_standard_error": round(findings.probe.gain_error, 4),
        }
    elif ctx.cfg.report.downstream:
        summary["probe_skipped"] = findings.probe_skipped
    return summary


def page_path(lake_path: str, run_id: str) -> str:
    """Where the page of a run is: a path on this machine, or an address."""
    folder = local_path(lake_path)
    return f"{lake_path.rstrip('/') if folder is None else folder}/reports/{run_id}.html"


def write_page(lake_path: str, run_id: str, page: str) -> str:
    """Writes the page whole or not at all; returns its path. Raises LakeError where the lake cannot be written."""
    place = page_path(lake_path, run_id)
    try:
        files, path = filesystem(place)
        folder, name = path.rsplit("/", 1)
        files.create_dir(folder, recursive=True)
        hidden = f"{folder}/.{name}.part"
        with files.open_output_stream(hidden) as sink:
            sink.write(page.encode())
        files.move(hidden, path)
    except OSError as err:
        raise LakeError(f"lake.path: the report cannot be written to {place!r} ({err}); name a folder that you may write") from err
    return place
