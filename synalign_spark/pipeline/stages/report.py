"""The ``report`` stage: the run's tables -> metrics, and one HTML file beside the tables."""

from dataclasses import replace

import pyarrow as pa

from synalign_spark.compat import from_arrow
from synalign_spark.config import Config
from synalign_spark.generation.gates import pii
from synalign_spark.pipeline.context import Context, Summary
from synalign_spark.report.findings import Generation
from synalign_spark.report.gather import gather
from synalign_spark.report.metrics import metric_rows
from synalign_spark.report.page import render
from synalign_spark.report.place import write_page
from synalign_spark.storage import tables
from synalign_spark.storage.runs import RunStore


def run(ctx: Context) -> Summary:
    """Measures the run's tables, writes ``<lake>/reports/<run_id>.html`` and ``metrics``."""
    findings = gather(ctx.lake, ctx.cfg, RunStore(ctx.cfg.lake.path, ctx.cfg.run.id).manifest())
    findings = replace(findings, generation=without_personal_data(findings.generation, ctx.cfg))
    rows = metric_rows(findings)
    place = write_page(ctx.cfg.lake.path, ctx.cfg.run.id, render(findings))
    ctx.lake.write(tables.METRICS, from_arrow(ctx.spark, pa.Table.from_pylist(rows, tables.METRICS.arrow)))
    summary: Summary = {"report": place, "metrics": len(rows)}
    if findings.downstream is not None:
        uniform, weighted, real, both = findings.downstream.scores
        summary |= {
            "classifier_accuracy_uniform": round(uniform.accuracy, 4),
            "classifier_accuracy_weighted": round(weighted.accuracy, 4),
            "classifier_accuracy_real": round(real.accuracy, 4),
            "classifier_accuracy_real_and_synthetic": round(both.accuracy, 4),
            "classifier_held_out_rows": findings.downstream.n_holdout,
            "classifier_gain": round(findings.downstream.gain.accuracy, 4),
            "classifier_gain_standard_error": round(findings.downstream.gain.error, 4),
            "classifier_gain_beside_real": round(findings.downstream.gain_beside_real.accuracy, 4),
            "classifier_gain_beside_real_standard_error": round(findings.downstream.gain_beside_real.error, 4),
        }
    elif ctx.cfg.report.downstream:
        summary["classifier_skipped"] = findings.downstream_skipped
    return summary


def without_personal_data(found: Generation, cfg: Config) -> Generation:
    """Masked in the examples where the gates look for it: a row that another gate refused first was never looked at for it."""
    if pii.GATE not in cfg.generate.gates:
        return found
    shown = {reason: [{name: _masked(text, cfg) for name, text in one.items()} for one in rows] for reason, rows in found.examples.items()}
    return replace(found, examples=shown)


def _masked(text: str | None, cfg: Config) -> str | None:
    return None if text is None else pii.masked(text, cfg.generate.language)
