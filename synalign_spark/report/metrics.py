"""Every figure of the report in long form: the rows of the ``metrics`` table."""

from typing import Any

from synalign_spark.report.findings import Findings

# Columns of the certificate that are figures, and their units.
CERTIFIED = {
    "n_synthetic": "rows", "n_real_fit": "rows", "n_real_holdout": "rows", "lambda": "1", "label_confidence_exponent": "1", "density_ratio_exponent": "1", "embedding_ratio_exponent": "1", "n_features": "1",
    "mmd2_fit_before": "mmd2", "mmd2_fit_after": "mmd2",
    **{f"mmd2_{place}{end}": "mmd2" for place in ("before", "after", "floor") for end in ("", "_error", "_low", "_high")},
    **{f"closed_share{end}": "share" for end in ("", "_low", "_high")}, "n_compared": "rows", "n_compared_real": "rows",
    **{f"{name}_{place}": unit for place in ("before", "after") for name, unit in (
        ("p_value", "probability"), ("p_value_error", "probability"), ("p_adjusted", "probability"), ("detectable_mmd2", "mmd2"),
        ("n_tested", "rows"), ("n_tested_real", "rows"))},
    "gain": "share", "gain_error": "share", "gain_measured": "share", "gain_measured_rows": "rows",
    "dual_value": "1", "duality_gap": "1", "relative_gap": "1", "ess": "rows", "max_weight": "probability", "passes": "passes",
    "sample_passes": "passes", "seconds": "seconds",
}  # fmt: skip

MetricRow = dict[str, Any]


def metric_rows(findings: Findings) -> list[MetricRow]:
    """Rows (name, label, value, unit), one per name and label, by name and label.

    label is None for a figure of the whole run; value is None where nothing could be measured (NaN too)."""
    rows = [
        *_alignment(findings),
        *_rows(findings),
        *_weights(findings),
        *_missing(findings),
        *_generation(findings),
        *_downstream(findings),
        *_stages(findings),
    ]
    return sorted(rows, key=lambda row: (row["name"], row["label"] is not None, row["label"] or ""))


def _row(name: str, value: Any, unit: str, label: str | None = None) -> MetricRow:
    return {"name": name, "label": label, "value": None if value is None or value != value else float(value), "unit": unit}


def _alignment(findings: Findings) -> list[MetricRow]:
    certified = [_row(f"align.{name}", row[name], unit, row["label"]) for row in findings.certificate for name, unit in CERTIFIED.items()]
    last = {row["label"]: row for row in findings.coverage}
    covered = [_row("select.coverage", row["coverage_after"], "share", label) for label, row in last.items()]
    sd = [_row("select.mean_sd", row["mean_sd_after"], "standard deviation", label) for label, row in last.items()]
    sets = [
        _row("select.demonstration_sets", sum(r["label"] == label for r in findings.coverage), "demonstration sets", label)
        for label in last
    ]
    return certified + covered + sd + sets


def _rows(findings: Findings) -> list[MetricRow]:
    rows = [_row("rows.real.total", sum(s.real for s in findings.labels), "rows")]
    rows += [_row("rows.synthetic.total", sum(s.synthetic for s in findings.labels), "rows")]
    for shown in findings.labels:
        rows.append(_row("rows.real", shown.real, "rows", shown.label))
        rows.append(_row("rows.synthetic", shown.synthetic, "rows", shown.label))
        rows.append(_row("weight.share", shown.weighted, "share", shown.label))
    return rows + [_row(f"rejected.{row['origin']}.{row['reason']}", row["rows"], "rows") for row in findings.rejects]


def _weights(findings: Findings) -> list[MetricRow]:
    spread = findings.weights
    if spread is None:
        return []
    return [
        _row("weight.ess", spread.ess, "rows"),
        _row("weight.ess_share", spread.ess / spread.rows, "share"),
        _row("weight.largest_relative", spread.largest, "times uniform"),
        _row("weight.zeros", spread.zeros, "rows"),
    ]


def _missing(findings: Findings) -> list[MetricRow]:
    totals = findings.missing.totals if findings.missing is not None else []
    return [
        _row(name, row[key], "share", row["label"])
        for row in totals
        for name, key in (("missing.before", "before"), ("missing.after", "after"))
    ]


def _generation(findings: Findings) -> list[MetricRow]:
    generated = findings.generation
    rows = [
        _row("generate.calls", generated.n_calls, "calls"),
        _row("generate.attempts", generated.attempts, "requests"),
        _row("generate.tokens.prompt", generated.prompt_tokens, "tokens"),
        _row("generate.tokens.completion", generated.completion_tokens, "tokens"),
        _row("generate.cost", generated.cost_usd, "usd"),
        _row("generate.accepted", generated.accepted, "rows"),
        _row("generate.acceptance", generated.acceptance, "share"),
    ]
    rows += [_row(f"generate.calls.{step}.{status}", n, "calls") for (step, status), n in generated.calls.items()]
    return rows + [_row(f"generate.refused.{reason}", n, "rows") for reason, n in generated.refused.items()]


def _downstream(findings: Findings) -> list[MetricRow]:
    if findings.downstream is None:
        return []
    rows = [_row("classifier.holdout", findings.downstream.n_holdout, "rows")]
    for key, gain in (("gain", findings.downstream.gain), ("gain_beside_real", findings.downstream.gain_beside_real)):
        rows += [_row(f"classifier.{key}", gain.accuracy, "share"), _row(f"classifier.{key}.standard_error", gain.error, "share")]
    for key, score in zip(("uniform", "weighted", "real", "real_and_synthetic"), findings.downstream.scores, strict=True):
        rows.append(_row(f"classifier.accuracy.{key}", score.accuracy, "share"))
        rows.append(_row(f"classifier.accuracy.{key}.standard_error", score.standard_error, "share"))
        rows.append(_row(f"classifier.rows.{key}", score.rows, "rows"))
    return rows


def _stages(findings: Findings) -> list[MetricRow]:
    return [_row(f"seconds.{name}", entry.get("seconds"), "seconds") for name, entry in findings.steps.items()]
