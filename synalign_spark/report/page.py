"""The HTML page of a run: what was found, as one file."""

from markupsafe import Markup

from synalign_spark.report import figures
from synalign_spark.report.findings import Findings
from synalign_spark.report.frame import render_page
from synalign_spark.report.map_data import map_json
from synalign_spark.report.map_picture import label_names, label_places, map_svg
from synalign_spark.report.svg import to_svg
from synalign_spark.report.terms import REFUSALS
from synalign_spark.report.verdict import COLOURS, headline, sentences, signal, three_figures


def render(findings: Findings) -> str:
    """The report as an HTML document. The same findings give the same bytes."""
    word, points = signal(findings), findings.points
    return render_page(
        "page.html.j2", f=findings, signal=word, colour=COLOURS.get(word, ""), headline=headline(findings),
        three_figures=three_figures(findings), behind=sentences(findings), figures=drawn(findings), refusals=REFUSALS,
        map_picture=Markup(map_svg(points)) if points else "", map_labels=label_names(label_places(points)[0]) if points else [],
        map_data=Markup(map_json(points)) if points else "",
    )  # fmt: skip


def drawn(findings: Findings) -> dict[str, Markup]:
    """The figures that the findings allow beside the map, by name, as SVG elements."""
    drawings: dict[str, Markup] = {}

    def add(name: str, figure: object, title: str, description: str) -> None:
        drawings[name] = Markup(to_svg(figure, name, title, description))  # type: ignore[arg-type]

    if findings.coverage:
        description = (
            "Share of the real rows within reach of a demonstration, and mean posterior standard deviation, after each demonstration set."
        )
        add("coverage", figures.coverage(findings.coverage), "Coverage by demonstration sets", description)
    if findings.weights is not None:
        description = f"Histogram of the weights; effective sample size {findings.weights.ess:.0f} of {findings.weights.rows} rows."
        add("weights", figures.weight_histogram(findings.weights), "Weights", description)
    if any(row.label is not None for row in findings.labels):
        add("labels", figures.label_bars(findings.labels), "Labels", "Share of each label; the table beside it has the numbers.")
    if any(0 < row["lambda"] < float("inf") for row in findings.solver):
        description = "Squared MMD to the validation rows over lambda; the chosen point is marked."
        add("path", figures.lambda_path(findings.solver), "How strongly to align", description)
    return drawings
