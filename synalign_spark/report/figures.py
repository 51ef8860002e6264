"""The figures of the report. Each function takes findings and returns a matplotlib figure; none reads data."""

from collections import Counter
from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from synalign_spark.formatting import cut
from synalign_spark.report.findings import LabelShare, Row, WeightSpread
from synalign_spark.report.svg import MUTED, SERIES, STYLE

MOST_LABELS = len(SERIES) - 1  # more labels than that share the last colour
LABEL_CHARS = 24


def coverage(trace: Sequence[Row]) -> Figure:
    """Share of the corpus within reach of a demonstration, and mean uncertainty, after each demonstration set. trace: selection_trace."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.4, 3.2))
        axes = figure.add_subplot()
        order = _label_order([row["label"] for row in trace])
        for label in order:
            rows = [row for row in trace if row["label"] == label]
            sets = np.arange(1, len(rows) + 1)
            colour = _colour(label, order)
            axes.plot(sets, [row["coverage_after"] for row in rows], color=colour, label=f"{_name(label)}: coverage", marker=".")
            axes.plot(sets, [row["mean_sd_after"] for row in rows], color=colour, linestyle=":", label=f"{_name(label)}: mean uncertainty")
        axes.set_xlabel("demonstration sets")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_ylim(0, 1.05)
        axes.set_ylabel("share of rows; standard deviation")
        if len(order) <= MOST_LABELS // 2:
            axes.legend(fontsize=8)
        return figure


def weight_histogram(spread: WeightSpread) -> Figure:
    """Synthetic rows, and share of the weight, by relative weight. Logarithmic; a dashed line marks uniform."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.4, 3.2))
        axes = figure.add_subplot()
        centres = np.array(spread.centres)
        step = centres[1] / centres[0] if len(centres) > 1 else 10**0.25
        widths = centres * (step**0.46 - step**-0.46)
        total = max(spread.rows, 1)
        axes.bar(centres, np.array(spread.counts) / total, width=widths, color=SERIES[0], alpha=0.75, label="share of the rows")
        axes.step(centres, spread.weight_shares, where="mid", color=SERIES[3], label="share of the weight")
        axes.axvline(1.0, color=MUTED, linestyle="--", linewidth=1)
        _log_scale(axes)
        axes.set_xlabel("weight relative to uniform (1 = uniform)")
        axes.set_ylabel("share")
        axes.set_title(f"effective sample size {spread.ess:,.0f} of {spread.rows:,} rows", loc="left")
        axes.legend(fontsize=8)
        return figure


def label_bars(shares: Sequence[LabelShare]) -> Figure:
    """Share of each label among real rows, synthetic rows, and the weight."""
    shown = list(shares)[:30]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.4, 1.1 + 0.5 * len(shown)))
        axes = figure.add_subplot()
        place = np.arange(len(shown))
        totals = [max(sum(row.real for row in shares), 1), max(sum(row.synthetic for row in shares), 1), 1]
        series = (
            ("real", [row.real for row in shown]),
            ("synthetic", [row.synthetic for row in shown]),
            ("weighted", [row.weighted for row in shown]),
        )
        for i, (name, values) in enumerate(series):
            axes.barh(place + (i - 1) * 0.26, np.array(values) / totals[i], height=0.24, color=SERIES[(7, 0, 3)[i]], label=name)
        axes.set_yticks(place, [_name(row.label) for row in shown])
        axes.invert_yaxis()
        axes.set_xlabel("share of the rows")
        axes.legend(fontsize=8, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0))
        return figure


def lambda_path(trace: Sequence[Row]) -> Figure:
    """Held-out MMD^2 along the path of lambda, the chosen point marked. trace: solver_trace; infinity is left out."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.4, 3.2))
        axes = figure.add_subplot()
        order = _label_order([row["label"] for row in trace])
        for label in order:
            rows = sorted((row for row in trace if row["label"] == label and 0 < row["lambda"] < np.inf), key=lambda row: row["lambda"])
            colour = _colour(label, order)
            axes.plot([row["lambda"] for row in rows], [row["mmd2_validation"] for row in rows], color=colour, label=_name(label))
            chosen = [row for row in rows if row["chosen"]]
            axes.plot([row["lambda"] for row in chosen], [row["mmd2_validation"] for row in chosen], "o", color=colour)
        _log_scale(axes)
        axes.set_xlabel("lambda (weaker alignment to the right)")
        axes.set_ylabel("MMD² to validation rows")
        if order and len(order) <= MOST_LABELS:
            axes.legend(fontsize=8)
        return figure


def _log_scale(axes: Axes) -> None:
    """A logarithmic x axis with plain numbers under it."""
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _label_order(labels: Sequence[str | None]) -> list[str | None]:
    """Distinct labels, most frequent first, ties by name, null last."""
    counts = Counter(labels)
    return sorted(counts, key=lambda label: (label is None, -counts[label], label or ""))


def _colour(label: str | None, order: list[str | None]) -> str:
    return SERIES[min(order.index(label), MOST_LABELS)]


def _name(label: str | None) -> str:
    """A label as the figures show it: cut, on one line, never hidden for a leading underscore."""
    if label is None:
        return "all rows"
    return ("\u200b" if label.startswith("_") else "") + cut(label, LABEL_CHARS)
